#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Crash, restart, two agents, clean stop, and what stays.
# shellcheck disable=SC2119 # functions with optional arguments
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
fi

exchanges_beyond()
{
	[ "$(cat "$SANDBOX/stream" 2>/dev/null || echo 0)" -gt "$1" ]
}

killed_and_adopted()
{
	local dropped

	cluster_up
	agent_up --attach "$1"
	on web "$TRAFFIC" stream 10.1.2.2 80 "$SANDBOX/stream" &
	on outside "$TRAFFIC" stream 10.1.1.2 80 "$SANDBOX/answers" &
	eventually 5 exchanges_beyond 5
	enforced
	dropped=$(dropped_packets policy)
	[ "$dropped" -gt 0 ]
	agent_kill
	enforced
	agent_up --attach "$1"
	enforced
	[ "$(dropped_packets policy)" -gt "$dropped" ]
	eventually 5 exchanges_beyond "$(($(cat "$SANDBOX/stream") + 5))"
	mv "$SANDBOX/answers" "$SANDBOX/stream"
	eventually 5 exchanges_beyond 5
}

test_killed_agent_leaves_enforcement_and_a_new_one_adopts_it()
{
	killed_and_adopted auto
}

test_the_same_with_clsact()
{
	killed_and_adopted clsact
}

test_policy_that_changed_while_no_agent_ran()
{
	cluster_up
	agent_up
	agent_kill
	deny_everything
	passes web 10.1.2.2 80/TCP
	agent_up
	fails passes web 10.1.2.2 80/TCP
}

test_pod_that_went_while_no_agent_ran()
{
	cluster_up
	agent_up
	agent_kill
	pod_manifest peer 2 peer | manifest pods.yaml
	agent_up
	passes web 10.1.2.2 81/TCP
}

test_clean_stop_leaves_enforcement()
{
	cluster_up
	agent_up
	agent_stop
	enforced
}

test_egressctl_works_without_the_agent()
{
	cluster_up
	agent_up
	enforced
	agent_kill
	assert_matches "status" 'web|generation|stopped|not running' "$(egressctl status)"
	assert_matches "pods" 'default/web|default +web' "$(egressctl pods)"
	assert_matches "policies" web "$(egressctl policies)"
	assert_matches "drops" '10\.1\.2\.2' "$(egressctl drops)"
	for what in maps classes rows flows counters; do
		egressctl dump "$what" >/dev/null
		egressctl -o json dump "$what" | json "" >/dev/null
	done
	assert_equal verdict allow "$(verdict default/web 10.1.2.2:80)"
	assert_equal verdict deny "$(verdict default/web 10.1.2.2:81)"
	assert_equal verdict deny "$(verdict default/web 192.0.2.10:53/UDP)"
	assert_equal verdict allow "$(verdict default/peer 192.0.2.10:53/UDP)"
	assert_equal verdict allow "$(verdict default/web '[fd00:1:2::2]:80/TCP')"
}

test_second_agent_refuses()
{
	local status=0 output

	cluster_up
	agent_up
	output=$("$EGRESSD" run --from "dir:$MANIFESTS" --pin "$PIN" --state "$SANDBOX/second" --listen 127.0.0.1:9301 2>&1) ||
		status=$?
	assert_equal "exit status of the second agent" 2 "$status"
	# Valgrind's own remarks begin with its process id.
	assert_equal "lines of the second agent" 1 "$(grep -vc '^--[0-9]*--' <<<"$output")"
	agent_is_ready
	enforced
}

# second_agent OPTION...: with directories and port of the first; its process id in SECOND
second_agent()
{
	"$EGRESSD" run --from "dir:$MANIFESTS" --pin "$PIN" --state "$STATE" --listen "$LISTEN" "$@" \
		</dev/null >"$SANDBOX/second.log" 2>&1 &
	SECOND=$!
}

second_says()
{
	grep -q "$1" "$SANDBOX/second.log"
}

test_second_agent_waits_and_takes_over()
{
	cluster_up
	agent_up
	second_agent --lock=wait
	eventually 5 second_says "waiting until it ends"
	enforced
	deny_everything
	eventually 5 not passes web 10.1.2.2 80/TCP
	agent_kill
	eventually 10 second_says "ready: every local pod"
	eventually 5 agent_of_second
	fails passes web 10.1.2.2 80/TCP
	after_change allow_peer_80
	enforced
	kill -TERM $SECOND
	wait $SECOND
}

agent_of_second()
{
	[ "$(egressctl -o json status | json agent.pid)" = "$SECOND" ]
}

test_waiting_agent_ends_when_told_to()
{
	local status=0

	cluster_up
	agent_up
	second_agent --lock=wait
	eventually 5 second_says "waiting until it ends"
	kill -TERM $SECOND
	wait $SECOND || status=$?
	assert_equal "exit status" 143 $status
	enforced
}

test_lock_is_on_the_directory_and_not_on_its_path()
{
	local output

	cluster_up
	agent_up
	mkdir "$SANDBOX/elsewhere"
	mount --bind "$PIN" "$SANDBOX/elsewhere"
	output=$("$EGRESSD" run --from "dir:$MANIFESTS" --pin "$SANDBOX/elsewhere" --state "$SANDBOX/second" \
		--listen none --lock fail 2>&1 || true)
	umount "$SANDBOX/elsewhere"
	assert_matches "refusal" 'another egressd is using this pin directory' "$output"
	enforced
}

# By the kernel's ticks the pause after a notice, one millisecond, takes up to four more.
test_timers_end_when_they_are_due()
{
	cluster_up
	agent_up
	[ -n "$(find "/proc/$AGENT/fd" -lname 'anon_inode:\[timerfd\]')" ]
}

test_nothing_is_left_once_all_pods_are_gone()
{
	local maps

	cluster_up
	agent_up
	enforced
	maps=$(find "$PIN" -type f | wc -l)
	[ "$maps" -gt 0 ]
	manifest pods.yaml </dev/null
	eventually 5 nothing_is_attached
	agent_stop
	rm -rf "$PIN"
	assert_equal "what is left in the bpffs" "" "$(find /sys/fs/bpf -mindepth 1 -not -name '*.debug')"
	assert_equal "leftovers in the state directory" "objects.json state.json" \
		"$(cd "$STATE" && find . -type f -printf '%f\n' | grep -v lock | sort | xargs)"
}

nothing_is_attached()
{
	[ "$(find "$PIN" -path '*/links/*' | wc -l)" -eq 0 ] &&
		[ -z "$(tc filter show dev web0 ingress)$(tc filter show dev web0 egress)" ]
}

test_no_qdisc_is_left_by_clsact_that_was_not_there()
{
	cluster_up
	tc qdisc add dev peer0 clsact
	agent_up --attach clsact
	manifest pods.yaml </dev/null
	eventually 5 nothing_is_attached
	assert_matches "a qdisc of somebody else stays" clsact "$(tc qdisc show dev peer0)"
}

run_tests "$@"
