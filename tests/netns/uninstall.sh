#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `egressctl uninstall`: all of ours goes, what is others' stays, and it says what it did.
# shellcheck disable=SC2119 # functions with optional arguments
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
fi

# What is on the node: filters, qdiscs, links, pins, state.
inventory()
{
	local interface

	for interface in web0 peer0 out0; do
		tc qdisc show dev $interface
		tc filter show dev $interface ingress
		tc filter show dev $interface egress
	done
	bpftool net show
	find /sys/fs/bpf -mindepth 1 -not -name '*.debug' | sort
	[ ! -e "$STATE" ] || find "$STATE" | sort
}

nothing_of_ours()
{
	assert_no_match "programs on the interfaces" 'egress_' "$(inventory)"
	assert_equal "pins" "" "$(find /sys/fs/bpf -mindepth 1 -not -name '*.debug')"
	[ ! -e "$STATE" ] || fail "the state is still there"
	passes web 10.1.2.2 81/TCP
}

test_all_of_it_goes()
{
	local before output

	cluster_up
	before=$(inventory)
	agent_up
	fails passes web 10.1.2.2 81/TCP
	agent_stop
	output=$(egressctl uninstall)
	assert_matches "output" "detached TCX link on web0|removed tc filter on web0" "$output"
	assert_matches "output" "removed pins in $PIN/v$CONTRACT" "$output"
	assert_matches "output" "removed state in $STATE" "$output"
	nothing_of_ours
	assert_equal "the node" "$before" "$(inventory)"
	assert_equal "second time" "nothing of egressd's is on this node" "$(egressctl uninstall)"
}

test_dry_run_changes_nothing()
{
	local before planned carried_out

	cluster_up
	agent_up --attach clsact
	agent_stop
	before=$(inventory)
	planned=$(egressctl uninstall --dry-run -o json)
	assert_equal "the node" "$before" "$(inventory)"
	assert_matches "plan" "would remove clsact qdisc of web0" "$(egressctl uninstall --dry-run)"
	fails passes web 10.1.2.2 81/TCP
	carried_out=$(egressctl uninstall -o json)
	assert_equal "what was planned and what was done" "$(json steps <<<"$planned")" "$(json steps <<<"$carried_out")"
	assert_equal "complete" true "$(json complete <<<"$carried_out")"
	nothing_of_ours
}

test_dry_run_beside_a_running_agent_and_refusal_without()
{
	local status=0 output

	cluster_up
	agent_up
	assert_matches "plan" "would remove pins" "$(egressctl uninstall --dry-run)"
	output=$(egressctl uninstall 2>&1) || status=$?
	assert_equal "exit status" 2 $status
	assert_matches "refusal" "stop it first" "$output"
	fails passes web 10.1.2.2 81/TCP
	agent_is_ready
}

foreign_stays()
{
	local before

	cluster_up
	tc qdisc add dev web0 clsact
	tc filter add dev web0 ingress prio 10 protocol ip u32 match u32 0 0 flowid 1:1
	tc qdisc add dev peer0 clsact
	tc qdisc add dev out0 clsact
	tc filter add dev out0 egress prio 25959 protocol ip u32 match u32 0 0 flowid 1:1
	before=$(inventory)
	agent_up --attach "$1"
	agent_stop
	egressctl uninstall
	assert_equal "the node" "$before" "$(inventory)"
	egressctl uninstall
	assert_equal "the node after a second time" "$before" "$(inventory)"
}

test_foreign_filters_and_qdiscs_stay_clsact()
{
	foreign_stays clsact
}

test_foreign_filters_and_qdiscs_stay_auto()
{
	foreign_stays auto
}

test_qdisc_of_ours_that_others_use_stays()
{
	cluster_up
	agent_up --attach clsact
	agent_stop
	tc filter add dev web0 egress prio 10 protocol ip u32 match u32 0 0 flowid 1:1
	assert_matches "output" 'left clsact qdisc, which others use, on web0' "$(egressctl uninstall)"
	assert_matches "filter" 'pref 10 u32' "$(tc filter show dev web0 egress)"
	assert_no_match "filters" egress_ "$(tc filter show dev web0 ingress)"
	assert_no_match "qdisc of peer0" clsact "$(tc qdisc show dev peer0)"
}

test_filters_without_pins()
{
	cluster_up
	agent_up --attach clsact
	agent_kill
	rm -rf "$PIN"
	assert_matches "output" 'removed tc filter on web0' "$(egressctl uninstall)"
	passes web 10.1.2.2 81/TCP
}

test_pins_that_cannot_be_read()
{
	cluster_up
	agent_up
	agent_kill
	# What another version, or chance, may leave: missing maps and directories of other versions.
	rm "$PIN/v$CONTRACT/flows" "$PIN/v$CONTRACT/tables"
	mkdir -p "$PIN/v77/links" "$PIN/other"
	egressctl uninstall
	passes web 10.1.2.2 81/TCP
	assert_equal "pins" "$PIN $PIN/other" "$(find "$PIN" | sort | xargs)"
}

# As a DaemonSet runs it: it must not end before it is told to, nor when it has failed look as if it had not.
test_it_may_stay()
{
	local stayer status=0

	cluster_up
	agent_up
	status=0
	timeout $((20 * TEST_SLOWNESS)) "$EGRESSCTL" --pin "$PIN" --state "$STATE" uninstall --stay 2>/dev/null || status=$?
	assert_equal "exit status while an agent runs" 2 $status
	agent_stop
	"$EGRESSCTL" --pin "$PIN" --state "$STATE" uninstall --stay >"$SANDBOX/output" &
	stayer=$!
	eventually 10 grep -q "removed state" "$SANDBOX/output"
	nothing_of_ours
	kill -0 $stayer || fail "it did not stay"
	kill -TERM $stayer
	status=0
	wait $stayer || status=$?
	assert_equal "exit status after SIGTERM" 0 $status
}

# As in the DaemonSet's container: the state is a directory of the node's, mounted into a root directory that is read-only.
test_state_directory_that_is_a_mount_point()
{
	local root=/sys/fs/cgroup

	# A place whose propagation is the sandbox's own.
	mount -t tmpfs none $root
	mkdir $root/state
	mount -t tmpfs none $root/state
	mount -o remount,ro $root
	STATE=$root/state
	cluster_up
	agent_up
	agent_stop
	assert_matches "output" "removed state in $STATE" "$(egressctl uninstall)"
	assert_equal "what is left of the state" "" "$(find "$STATE" -mindepth 1)"
	assert_equal "second time" "nothing of egressd's is on this node" "$(egressctl uninstall)"
}

test_directory_that_is_not_on_a_bpffs_is_not_touched()
{
	mkdir -p "$SANDBOX/home/v1"
	echo precious >"$SANDBOX/home/v1/file"
	"$EGRESSCTL" --pin "$SANDBOX/home" --state "$SANDBOX/none" uninstall
	assert_equal "the file" precious "$(cat "$SANDBOX/home/v1/file")"
}

run_tests "$@"
