#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Another version takes over while traffic runs: "twin" has the same layout under another contract number, "next" a
# changed one (see Makefile).
# shellcheck disable=SC2119 # functions with optional arguments
# shellcheck disable=SC2034 # the harness's
TEST_TIMEOUT=240
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
fi

# The variants are built once, without sanitizers.
VARIANTS=$ROOT/build
OWN=$EGRESSD

exchanges_beyond()
{
	[ "$(cat "$SANDBOX/$1" 2>/dev/null || echo 0)" -gt "$2" ]
}

goes_on()
{
	eventually 5 exchanges_beyond "$1" "$(($(cat "$SANDBOX/$1" 2>/dev/null || echo 0) + 5))"
}

# become VARIANT|own [OPTION...]: that agent from now on
become()
{
	EGRESSD=$OWN
	if [ "$1" != own ]; then
		EGRESSD=$VARIANTS/$1/egressd
	fi
	CONTRACT=$("$EGRESSD" version | sed 's/.* contract //')
	shift
	agent_up "$@"
}

pinned_versions()
{
	find "$PIN" -mindepth 1 -maxdepth 1 -name 'v*' -printf '%f\n' | sort | xargs
}

# handed_over VARIANT...: all of it stays in force, and every count goes on
handed_over()
{
	local attach=$1 variant dropped ids

	shift
	cluster_up
	become own --attach "$attach"
	on web "$TRAFFIC" stream 10.1.2.2 80 "$SANDBOX/allowed" &
	on outside "$TRAFFIC" stream 10.1.1.2 80 "$SANDBOX/answers" &
	goes_on allowed
	goes_on answers
	for variant; do
		enforced
		dropped=$(dropped_packets policy)
		ids=$("$EGRESSCTL" --pin "$PIN" --state "$STATE" -o json status | json endpoints 2>/dev/null || true)
		agent_kill
		become "$variant" --attach "$attach"
		assert_equal "pinned versions" "v$CONTRACT" "$(pinned_versions)"
		[ "$(dropped_packets policy)" -ge "$dropped" ] ||
			fail "$variant: $(dropped_packets policy) drops counted, $dropped before"
		goes_on allowed
		goes_on answers
		enforced
		echo "$variant took over: $dropped drops carried over $ids"
	done
	agent_stop
	EGRESSD=$OWN
}

test_upgrade_and_downgrade_with_tcx()
{
	handed_over auto twin own twin next
}

test_upgrade_and_downgrade_with_clsact()
{
	handed_over clsact twin own next
}

test_downgrade_that_cannot_be_done_touches_nothing()
{
	local before status=0 output

	cluster_up
	become next
	enforced
	agent_kill
	before=$(find "$PIN" | sort)
	output=$("$OWN" run --from "dir:$MANIFESTS" --pin "$PIN" --state "$STATE" --listen none 2>&1) || status=$?
	assert_equal "exit status" 2 $status
	assert_matches "error" 'v1002\) that this one \(v[0-9]+\) cannot take over from: map flows' "$output"
	assert_equal "pins" "$before" "$(find "$PIN" | sort)"
	enforced
	become next
	enforced
}

# refuses_to_take_over PATTERN: the version of this build, and what it finds stays as it is
refuses_to_take_over()
{
	local before status=0 output

	before=$(find "$PIN" | sort)
	output=$(timeout $((60 * TEST_SLOWNESS)) "$OWN" run --from "dir:$MANIFESTS" --pin "$PIN" --state "$STATE" --listen none 2>&1) || status=$?
	assert_equal "exit status" 2 $status
	assert_matches "error" "$1" "$output"
	assert_equal "pins" "$before" "$(find "$PIN" | sort)"
}

test_version_with_maps_that_are_unknown_here()
{
	network_setup
	mkdir -p "$PIN/v99/links"
	bpftool map create "$PIN/v99/endpoints2" type hash key 4 value 64 entries 16 name endpoints2
	refuses_to_take_over 'v99\) that this one \(v[0-9]+\) cannot take over from: endpoints2 in it is unknown here'
	rm "$PIN/v99/endpoints2"
	# By another number of buckets the same entry is found elsewhere.
	bpftool map create "$PIN/v99/endpoints" type array key 4 value 64 entries 16 name endpoints
	refuses_to_take_over 'cannot take over from: map endpoints: .*found type 2, key 4, value 64, entries 16'
}

test_attempt_that_is_abandoned_is_taken_up_by_either()
{
	local variant

	cluster_up
	become own
	enforced
	for variant in own twin; do
		agent_kill
		# Killed somewhere in its start: as its programs are loaded, mostly.
		EGRESSD=$VARIANTS/twin/egressd agent_start
		eventually 20 [ -d "$PIN/v1001/taking_over" ]
		agent_kill
		enforced
		become "$variant"
		assert_equal "pinned versions" "v$CONTRACT" "$(pinned_versions)"
		enforced
	done
}

# Of every attachment by a link: the kernel's number for it, which a new one would not have.
link_ids()
{
	local pin

	for pin in "$PIN"/v*/links/*; do
		bpftool -j link show pinned "$pin" | json id
	done | sort -n | xargs
}

links_moved()
{
	[ "$(find "$PIN/v1001/links" -name '*-*' 2>/dev/null | wc -l)" -eq 4 ]
}

test_attempt_that_is_killed_takes_no_attachment_off()
{
	local variant links

	cluster_up
	become own
	on outside "$TRAFFIC" stream 10.1.1.2 80 "$SANDBOX/answers" &
	goes_on answers
	links=$(link_ids)
	assert_equal "links" 4 "$(wc -w <<<"$links")"
	for variant in own twin; do
		agent_kill
		# The links have moved; the programs are being loaded.
		EGRESSD=$VARIANTS/twin/egressd agent_start
		eventually 20 links_moved
		agent_kill
		become "$variant"
		assert_equal "links after $variant took it up" "$links" "$(link_ids)"
		goes_on answers
		enforced
	done
	agent_stop
}

# Whether an attempt of twin stands still where its maps are filled and the former programs judge.
attempt_stands_still()
{
	become own
	agent_kill
	EGRESSD=$VARIANTS/twin/egressd agent_start
	eventually 20 links_moved
	kill -STOP "$AGENT"
	[ -e "$PIN/v1001/taking_over" ] && [ ! -e "$PIN/v1001/from_pod_next" ] && [ ! -e "$PIN/v1001/from_pod" ]
}

# Connections that come while ours are filled are in their tables alone, and be they the first that the pod ever had.
test_connection_that_is_opened_meanwhile_goes_on()
{
	local attempt

	cluster_up
	for ((attempt = 0; attempt < 5; attempt++)); do
		attempt_stands_still && break
		agent_kill
	done
	[ "$attempt" -lt 5 ] || fail "it was never to be stopped in time"
	on outside "$TRAFFIC" stream 10.1.1.2 80 "$SANDBOX/answers" &
	goes_on answers
	kill -CONT "$AGENT"
	eventually 20 [ ! -d "$PIN/v$CONTRACT" ]
	goes_on answers
	agent_stop
	EGRESSD=$OWN
}

# Killed before or after everything else that an attempt does: its directory is there, and nothing says what for.
test_attempt_that_had_hardly_begun_is_not_taken_over_from()
{
	local links

	cluster_up
	become own
	on outside "$TRAFFIC" stream 10.1.1.2 80 "$SANDBOX/answers" &
	goes_on answers
	links=$(link_ids)
	agent_kill
	mkdir "$PIN/v1001"
	become own
	assert_equal "pinned versions" "v$CONTRACT" "$(pinned_versions)"
	assert_equal "links" "$links" "$(link_ids)"
	goes_on answers
	enforced
	agent_stop
}

# where_attempt_ends STEP: "early" if the former version is in force where an attempt of twin is killed instead of that
# step, "late" if nothing is left of it, else "between": twin is in force, and not all was carried over
where_attempt_ends()
{
	local former=$PIN/v$CONTRACT

	"$BUILD/tests/lib/killed_at" "$1" "$VARIANTS/twin/egressd" run --from "dir:$MANIFESTS" --pin "$PIN" --state "$STATE" \
		--listen "$LISTEN" </dev/null >>"$AGENT_LOG" 2>&1 &
	AGENT=$!
	eventually 60 attempt_is_over
	kill -KILL "$AGENT" 2>/dev/null || true
	wait "$AGENT" 2>/dev/null || true
	if [ ! -d "$former" ]; then
		echo late
	elif [ -d "$former/taken_over" ]; then
		echo between
	else
		echo early
	fi
}

attempt_is_over()
{
	[ -z "$(readlink "/proc/$AGENT/exe")" ] || [ "$(http_status /readyz)" = 200 ]
}

test_attempt_that_is_killed_when_it_is_in_force_loses_no_counts()
{
	local low=0 high=128 step where dropped

	cluster_up
	become own
	enforced
	# The first step that is not early comes right after the one by which twin is in force.
	while [ $((high - low)) -gt 1 ]; do
		agent_kill
		step=$(((low + high) / 2))
		where=$(where_attempt_ends $step)
		echo "step $step: $where"
		if [ "$where" = early ]; then
			low=$step
		else
			high=$step
		fi
		become own
	done
	enforced
	dropped=$(dropped_packets policy)
	[ "$dropped" -gt 0 ]
	agent_kill
	assert_equal "where step $high is" between "$(where_attempt_ends $high)"
	become twin
	assert_equal "pinned versions" v1001 "$(pinned_versions)"
	[ "$(dropped_packets policy)" -ge "$dropped" ] || fail "$(dropped_packets policy) drops counted, $dropped before"
	enforced
	agent_stop
	EGRESSD=$OWN
}

test_uninstall_takes_another_version_off()
{
	cluster_up
	become twin
	agent_stop
	egressctl uninstall
	assert_equal "pins" "" "$(find "$PIN" 2>/dev/null)"
	passes web 10.1.2.2 81/TCP
}

run_tests "$@"
