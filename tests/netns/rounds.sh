#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Ten thousand pods that come and go leave nothing: no map entry, pin, link, descriptor, mapping, endpoint id or memory.
# Some of them have interfaces, which take their time; tests/bpf/rounds.c makes as many rounds of the kernel's part.
# With sanitizers, the agent's end also says what nobody refers to any more.
# shellcheck disable=SC2119 # functions with optional arguments
# shellcheck disable=SC2034 # the harness's
TEST_TIMEOUT=400
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
fi

PODS=250
CYCLES=40

# map_entries MAP EXPRESSION: entries of a pinned map for which the Python expression of its words is true
map_entries()
{
	bpftool -j map dump pinned "$PIN/v$CONTRACT/$1" | /usr/bin/python3 -c '
import json, struct, sys
entries = (bytes(int(byte, 16) for byte in entry["value"]) for entry in json.load(sys.stdin) if "value" in entry)
words = (struct.unpack_from("<%dI" % (len(value) // 4), value) for value in entries)
print(sum(1 for word in words if eval(sys.argv[1])))' "$2"
}

# What the agent and the kernel hold, a line each.
holdings()
{
	echo "descriptors $(find "/proc/$AGENT/fd" -type l | wc -l)"
	echo "bpf mappings $(grep -c bpf-map "/proc/$AGENT/maps")"
	echo "pins $(find "$PIN" | wc -l)"
	echo "links $(find "$PIN" -path '*/links/*' | wc -l)"
	echo "endpoints $(map_entries endpoints 'word[0]')"
	echo "endpoints behind $(map_entries endpoints_overflow 'True')"
	echo "buckets in use $(map_entries endpoints 'any(word)')"
	echo "flows $(map_entries flows 'True')"
	echo "ids $(egressctl -o json pods | /usr/bin/python3 -c '
import json, sys
print(sorted(pod["id"] for pod in json.load(sys.stdin)))')"
}

holdings_are()
{
	[ "$(holdings)" = "$1" ]
}

memory_kilobytes()
{
	sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$AGENT/status"
}

ten_thousand_rounds()
{
	local before memory

	cluster_up
	agent_up --attach "$1"
	before=$(holdings)
	# Memory is counted from where the allocator has what the largest number of pods takes.
	"$TESTS/lib/rounds.py" "$MANIFESTS" "$LISTEN" "$PODS" 2
	memory=$(memory_kilobytes)
	"$TESTS/lib/rounds.py" "$MANIFESTS" "$LISTEN" "$PODS" "$2"
	eventually 20 holdings_are "$before" || assert_equal "what is held" "$before" "$(holdings)"
	echo "memory: $memory kB after 2 cycles, $(memory_kilobytes) kB at the end"
	if [[ $BUILD != *asan* ]] && [ "$(memory_kilobytes)" -gt $((memory + 4096)) ]; then
		fail "memory grew from $memory kB to $(memory_kilobytes) kB"
	fi
	expect_flows web <<-EOF
		passed 10.1.2.2 80/TCP
		dropped 10.1.2.2 81/TCP
	EOF
}

test_ten_thousand_pods_leave_nothing()
{
	ten_thousand_rounds auto "$CYCLES"
}

test_a_thousand_pods_and_filters_leave_nothing()
{
	ten_thousand_rounds clsact $((CYCLES / 10))
}

run_tests "$@"
