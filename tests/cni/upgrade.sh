#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Another version of the agent takes over while egress-cni is still the former one's. "twin" is the former: the same under
# another contract number (see Makefile).
# shellcheck disable=SC2119 # functions with optional arguments
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
	# shellcheck source=tests/lib/plugin.sh
	. "$TESTS/lib/plugin.sh"
fi

# The variant is built once, without sanitizers.
TWIN=$ROOT/build/twin

# start_until_links_moved: the agent stands still between that and its first tables. Its programs take their time to load,
# so that it is not past that before it is looked for.
start_until_links_moved()
{
	local pins="$PIN/v$CONTRACT" program_load=5

	with_faults
	faults "$program_load delay 200"
	agent_start
	until [ -n "$(ls "$pins/links" 2>/dev/null)" ] && [ -z "$(ls "$PIN/v1001/links")" ]; do
		kill -0 "$AGENT"
	done
	kill -STOP "$AGENT"
	faults
	[ ! -e "$pins/tables" ] || fail "the agent was too fast"
}

# link_ids NAME: of its links, wherever they are pinned; one that is made anew has another
link_ids()
{
	local pin

	for pin in "$PIN"/v*/links/"$(ifindex "$1")"-*; do
		bpftool -j link show pinned "$pin" | json id
	done | sort -n | xargs
}

ifindex()
{
	ip -oneline link show dev "${1}0" | cut -d: -f1
}

log_says()
{
	grep -q "$1" "$AGENT_LOG"
}

test_what_the_former_egress_cni_attaches_meanwhile_stays_attached()
{
	local links begin

	plugin_cluster
	EGRESSD=$TWIN/egressd agent_up
	EGRESS_CNI=$TWIN/egress-cni cni_add web 1
	agent_kill
	[ -d "$PIN/v1001/links" ] || skip "this kernel has no TCX links: a filter needs no pin"
	: >"$AGENT_LOG"
	start_until_links_moved
	EGRESS_CNI=$TWIN/egress-cni cni_add peer 2
	links=$(link_ids peer)
	assert_equal "links" 2 "$(wc -w <<<"$links")"
	kill -CONT "$AGENT"
	until log_says 'generation 1 in force'; do
		sleep 0.01
	done
	begin=${EPOCHREALTIME/./}
	until log_says 'default/peer: attached'; do
		sleep 0.01
	done
	# Not when it tries again what failed, a second later.
	[ $((${EPOCHREALTIME/./} - begin)) -lt 800000 ] || fail "the pod's policy was in force $((${EPOCHREALTIME/./} - begin)) us later"
	assert_equal "links" "$links" "$(link_ids peer)"
	eventually 10 agent_is_ready
	assert_equal "pinned versions" "v$CONTRACT" "$(ls "$PIN")"
	expect_flows web <<-END
		passed 10.1.2.2 80/TCP
		dropped 10.1.2.2 81/TCP
	END
	passes peer 10.1.1.2 80/TCP
}

run_tests "$@"
