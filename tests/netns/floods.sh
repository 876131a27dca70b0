#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A pod that floods, or is flooded, costs other pods nothing: neither their connections nor the record of their drops.
# What it costs them in time is measured in flooded.sh.
# shellcheck disable=SC2119 # functions with optional arguments
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
	# shellcheck source=tests/lib/floods.sh
	. "$TESTS/lib/floods.sh"
fi

# Of one processor, which a flood of drops may cost the agent at most; README.md says so.
CPU_PERCENT=2
FLOOD_SECONDS=5

# cpu_ticks PID: what the process has used, in hundredths of a second
cpu_ticks()
{
	local fields

	read -ra fields <"/proc/$1/stat"
	echo $((fields[13] + fields[14]))
}

exchanges_beyond()
{
	[ "$(cat "$1")" -gt "$2" ]
}

test_a_flood_of_syns_cuts_nobody_off()
{
	local file before sent

	both_isolated
	agent_up
	for file in 10.1.1.2 10.1.2.2; do
		on outside "$TRAFFIC" stream $file 80 "$SANDBOX/$file" </dev/null >/dev/null 2>&1 &
		eventually 10 test -s "$SANDBOX/$file"
	done
	sent=$(flood outside syns 10.1.1.2 80 3 | tail -n 1)
	echo "$sent SYNs"
	for file in 10.1.1.2 10.1.2.2; do
		before=$(cat "$SANDBOX/$file")
		eventually 10 exchanges_beyond "$SANDBOX/$file" $((before + 5))
	done
	assert_equal "drops of the other pod" 0 "$(dropped_packets policy peer)"
	# Flows that are not established get four rings of 80; one more is there for a live one that met no free slot.
	[ "$(flows_of default/web)" -le 400 ] || fail "default/web has $(flows_of default/web) flows"
	assert_equal "flows of the other pod" 1 "$(flows_of default/peer)"
}

# sum_of METRIC: over all its labels
sum_of()
{
	http_get /metrics | awk -v name="$1" '$1 ~ "^" name "({|$)" { sum += $2 } END { printf "%d\n", sum }'
}

test_a_flood_of_drops()
{
	local before used sent follower allowed

	both_isolated
	agent_up
	egressctl drops --follow --pod default/peer -o json >"$SANDBOX/drops" 2>"$SANDBOX/lost" &
	follower=$!
	before=$(cpu_ticks "$AGENT")
	flood web datagrams 192.0.2.10 53 $FLOOD_SECONDS >"$SANDBOX/sent" &
	sent=$!
	sleep 2
	# One packet of another pod, in the middle of it.
	on peer "$TRAFFIC" send 192.0.2.10 7777 1
	wait $sent
	used=$(($(cpu_ticks "$AGENT") - before))
	echo "$(tail -n 1 "$SANDBOX/sent") datagrams, $used hundredths of a second of the agent"
	allowed=$((FLOOD_SECONDS * CPU_PERCENT * TEST_SLOWNESS))
	[ $used -le $allowed ] || fail "the agent used $used hundredths of a second, more than $allowed"
	eventually 5 grep -q '"destination_port": *7777' "$SANDBOX/drops"
	kill $follower
	wait $follower || true
	assert_equal "what the one who follows has lost" "" "$(cat "$SANDBOX/lost")"
	[ "$(sum_of egressd_drop_events_suppressed_total)" -gt 0 ] || fail "nothing was suppressed: that was no flood"
	assert_equal "drops, logged or suppressed" "$(sum_of egressd_dropped_packets_total)" \
		$(($(sum_of egressd_drop_events_total) + $(sum_of egressd_drop_events_suppressed_total)))
}

run_tests "$@"
