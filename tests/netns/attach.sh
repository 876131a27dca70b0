#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Where the programs are attached, beside what else, and to interfaces that come and go.
# shellcheck disable=SC2119 # functions with optional arguments
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
fi

# enforced [POD]: the policy that all tests here start with is in force
enforced()
{
	expect_flows "${1:-web}" <<-EOF
		passed 10.1.2.2 80/TCP
		dropped 10.1.2.2 81/TCP
		passed fd00:1:2::2 80/TCP
		dropped fd00:1:2::2 81/TCP
	EOF
}

attach_kind()
{
	egressctl -o json status | json attach
}

declare -A FOREIGN_ASK=() FOREIGN_ANSWER=()

# start_foreign NAME INTERFACE [PRIORITY]: a program of somebody else's (tests/lib/foreign.c); foreign_count NAME asks
# it
start_foreign()
{
	local name=$1 process ask answer _ status=0

	shift
	mkfifo "$SANDBOX/$name.ask" "$SANDBOX/$name.answer"
	"$BUILD/tests/lib/foreign" "$@" <"$SANDBOX/$name.ask" >"$SANDBOX/$name.answer" &
	process=$!
	exec {ask}>"$SANDBOX/$name.ask" {answer}<"$SANDBOX/$name.answer"
	if ! read -r _ <&$answer; then
		wait $process || status=$?
		[ $status -ne 77 ] || skip "this kernel has no TCX"
		fail "the foreign program did not start"
	fi
	FOREIGN_ASK[$name]=$ask
	FOREIGN_ANSWER[$name]=$answer
}

foreign_count()
{
	local count

	echo >&"${FOREIGN_ASK[$1]}"
	read -r count <&"${FOREIGN_ANSWER[$1]}"
	echo "$count"
}

require_tcx()
{
	ip link add tcxprobe type veth
	start_foreign probe tcxprobe
	ip link delete tcxprobe
}

# pinned_links: how many links are pinned
pinned_links()
{
	find "$PIN" -path '*/links/*' | wc -l
}

test_tcx()
{
	require_tcx
	cluster_up
	agent_up --attach tcx
	assert_equal "attach kind" tcx "$(attach_kind)"
	assert_equal "filters in the way of clsact" "" "$(tc filter show dev web0 ingress)"
	enforced
}

test_clsact()
{
	cluster_up
	agent_up --attach clsact
	assert_equal "attach kind" clsact "$(attach_kind)"
	assert_matches "filter on web0" 'egress_from_pod' "$(tc filter show dev web0 ingress)"
	assert_matches "filter on web0" 'egress_to_pod' "$(tc filter show dev web0 egress)"
	enforced
}

test_auto_takes_tcx_where_there_is_tcx()
{
	require_tcx
	cluster_up
	agent_up
	assert_equal "attach kind" tcx "$(attach_kind)"
	enforced
}

test_foreign_tcx_program_keeps_running()
{
	local before

	cluster_up
	start_foreign tcx web0
	agent_up
	before=$(foreign_count tcx)
	enforced
	[ "$(foreign_count tcx)" -gt "$before" ]
	agent_stop
	before=$(foreign_count tcx)
	passes web 10.1.2.2 80/TCP
	[ "$(foreign_count tcx)" -gt "$before" ]
}

# One before ours and one after it; both hand the packet on.
foreign_filters_keep_running()
{
	local first last

	cluster_up
	start_foreign first web0 10
	start_foreign last web0 60000
	agent_up --attach "$1"
	first=$(foreign_count first)
	last=$(foreign_count last)
	enforced
	[ "$(foreign_count first)" -gt "$first" ]
	[ "$(foreign_count last)" -gt "$last" ]
	manifest pods.yaml </dev/null
	eventually 5 filters_left 2
	agent_stop
	assert_matches "foreign filters after the agent" 'pref 10 bpf' "$(tc filter show dev web0 ingress)"
	assert_matches "foreign filters after the agent" 'pref 60000 bpf' "$(tc filter show dev web0 ingress)"
}

# filters_left COUNT: so many filters are on web0, and no link of ours
filters_left()
{
	[ "$(tc filter show dev web0 ingress | grep -c ' handle ')" -eq "$1" ] && [ "$(pinned_links)" -eq 0 ]
}

test_foreign_filter_keeps_running_beside_clsact()
{
	foreign_filters_keep_running clsact
}

test_foreign_filter_keeps_running_beside_tcx()
{
	require_tcx
	foreign_filters_keep_running tcx
}

test_interface_that_appears_later()
{
	cluster_up
	agent_up
	pod_manifest late 3 web | manifest late.yaml
	# A local pod without its interface is not enforced: the agent is alive, but not ready.
	eventually 5 agent_is_not_ready
	assert_equal "/healthz while the interface is missing" 200 "$(http_status /healthz)"
	add_pod late
	network_ready
	eventually 5 agent_is_ready
	enforced late
}

test_interface_that_vanishes_is_cleaned_up()
{
	local links

	cluster_up
	agent_up
	links=$(pinned_links)
	assert_equal "endpoints" 2 "$(metric egressd_endpoints)"
	ip link delete web0
	eventually 5 links_are_below "$links"
	assert_no_match "endpoints" '"web0"' "$(egressctl -o json dump maps)"
	# The pod comes back: same name, a new interface.
	add_veth web web0 10.1.1 fd00:1:1 2
	network_ready
	eventually 5 agent_is_ready
	enforced
}

agent_is_not_ready()
{
	[ "$(http_status /readyz)" = 503 ]
}

links_are_below()
{
	[ "$(pinned_links)" -lt "$1" ] || [ "$1" -eq 0 ]
}

test_interface_found_through_the_network_namespace()
{
	cluster_up
	pod_manifest web 1 web "egressd.io/netns: $(netns_path web)" >"$SANDBOX/web"
	pod_manifest peer 2 peer >>"$SANDBOX/web"
	mv "$SANDBOX/web" "$MANIFESTS/pods.yaml"
	agent_up
	assert_matches "interface of default/web" '"interface": *"web0"' "$(egressctl -o json pods)"
	enforced
}

test_pod_that_is_removed_is_let_go()
{
	local links

	cluster_up
	agent_up
	links=$(pinned_links)
	pod_manifest peer 2 peer >"$SANDBOX/peer"
	mv "$SANDBOX/peer" "$MANIFESTS/pods.yaml"
	eventually 5 links_are_below "$links"
	eventually 5 passes web 10.1.2.2 81/TCP
}

run_tests "$@"
