#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a pod gets between the appearance of its interface and the arrival of its policy.
# shellcheck disable=SC2119 # functions with optional arguments
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
fi

held_are()
{
	[ "$(metric egressd_interfaces_held)" = "$1" ]
}

pending_drops()
{
	local value

	value=$(metric 'egressd_dropped_packets_total{namespace="",pod="",reason="pending"}')
	echo "${value:-0}"
}

# newcomer_appears: a pod "newcomer" with the interface veth7, of which no manifest speaks; the third one, so 10.1.3.2
newcomer_appears()
{
	add_pod newcomer veth7
	# It cannot be reached either while it is held, so nothing says when its network is up but the kernel.
	eventually 5 carrier_of newcomer
	serve newcomer 80/TCP
}

carrier_of()
{
	[ "$(on "$1" ip -j link show eth0 | json 0.operstate)" = UP ]
}

newcomer_is_known()
{
	pod_manifest newcomer 3 "$1" "egressd.io/interface: veth7" | manifest newcomer.yaml
}

test_interface_of_an_unknown_pod_is_held_until_the_pod_is_known()
{
	local before

	cluster_up
	agent_up --pod-interfaces 'veth*'
	newcomer_appears
	eventually 2 held_are 1
	before=$(pending_drops)
	fails passes newcomer 10.1.2.2 80/TCP
	fails passes newcomer fd00:1:2::2 81/TCP
	[ "$(pending_drops)" -gt "$before" ]
	agent_is_ready
	newcomer_is_known web
	eventually 5 held_are 0
	eventually 5 passes newcomer 10.1.2.2 80/TCP
	expect_flows newcomer <<-EOF
		passed 10.1.2.2 80/TCP
		dropped 10.1.2.2 81/TCP
	EOF
	# The pod goes, its interface stays: nobody's again.
	rm "$MANIFESTS/newcomer.yaml"
	eventually 5 held_are 1
	fails passes newcomer 10.1.2.2 80/TCP
	ip link delete veth7
	eventually 5 held_are 0
}

test_a_pod_that_no_policy_selects_is_let_through_once_it_is_known()
{
	cluster_up
	agent_up --pod-interfaces 'eth*,veth*'
	newcomer_appears
	eventually 2 held_are 1
	newcomer_is_known other
	eventually 5 passes newcomer 10.1.2.2 81/TCP
	held_are 0
}

test_default_holds_only_once_there_is_policy()
{
	cluster_up
	: | manifest policy.yaml
	agent_up --pod-interfaces 'veth*'
	newcomer_appears
	eventually 5 passes newcomer 10.1.2.2 80/TCP
	held_are 0
	after_change allow_peer_80
	eventually 2 held_are 1
	fails passes newcomer 10.1.2.2 80/TCP
	: | manifest policy.yaml
	eventually 5 held_are 0
	eventually 5 passes newcomer 10.1.2.2 80/TCP
	agent_stop
	agent_up --pod-interfaces 'veth*' --pending=deny
	eventually 2 held_are 1
	fails passes newcomer 10.1.2.2 80/TCP
}

test_allow_holds_nothing()
{
	cluster_up
	agent_up --pod-interfaces 'veth*' --pending=allow
	newcomer_appears
	eventually 5 passes newcomer 10.1.2.2 81/TCP
	held_are 0
	newcomer_is_known web
	eventually 5 not passes newcomer 10.1.2.2 81/TCP
	passes newcomer 10.1.2.2 80/TCP
}

test_interfaces_that_are_no_pods_are_left_alone()
{
	cluster_up
	agent_up --pod-interfaces 'veth*' --pending=deny
	held_are 0
	expect_flows outside <<-EOF
		passed 10.1.1.2 80/TCP
		passed 10.1.2.2 80/TCP
	EOF
	assert_equal "pinned links of the outside host" "" \
		"$(find "$PIN" -name "$(ip -j link show out0 | json 0.ifindex)-*")"
}

test_what_is_held_stays_held_without_the_agent()
{
	cluster_up
	agent_up --pod-interfaces 'veth*'
	newcomer_appears
	eventually 2 held_are 1
	agent_kill
	fails passes newcomer 10.1.2.2 80/TCP
	agent_up --pod-interfaces 'veth*'
	held_are 1
	fails passes newcomer 10.1.2.2 80/TCP
	newcomer_is_known web
	eventually 5 passes newcomer 10.1.2.2 80/TCP
	agent_kill
	rm "$MANIFESTS/newcomer.yaml"
	agent_up --pod-interfaces 'veth*'
	eventually 2 held_are 1
	fails passes newcomer 10.1.2.2 80/TCP
	agent_stop
	# Without the option nobody says that it is a pod's.
	agent_up
	eventually 2 held_are 0
	eventually 5 passes newcomer 10.1.2.2 80/TCP
}

test_held_interface_that_someone_takes_our_filter_from()
{
	local repairs

	cluster_up
	agent_up --attach clsact --pod-interfaces 'veth*'
	newcomer_appears
	eventually 2 held_are 1
	repairs=$(metric egressd_repairs_total)
	tc filter del dev veth7 ingress
	eventually 2 repairs_beyond "$repairs"
	fails passes newcomer 10.1.2.2 80/TCP
}

repairs_beyond()
{
	[ "$(metric egressd_repairs_total)" -gt "$1" ]
}

# fast NAME: what a new interface of that name sends is judged within 5 ms of it being able to send. That is the median of
# ten, and the best of some tries, because others use this machine too. An agent with sanitizers is several times slower.
fast()
{
	local median longest passed try limit=5000

	[ "$(basename "$BUILD")" != asan ] || limit=50000
	for try in {1..12}; do
		read -r median longest passed < <("$BUILD/tests/lib/appearance" "$1" \
			"$PIN/v$CONTRACT/drop_log_state" 10)
		echo "$1: judged after $median us (longest $longest us, $passed packets passed)"
		[ "$median" -gt $limit ] || return 0
		sleep "0.$try"
	done
	fail "$1: judged only after $median us"
}

test_interface_gets_its_program_within_5_ms()
{
	cluster_up
	pod_manifest late 9 web "egressd.io/interface: late0" | manifest late.yaml
	ip link add late0 type veth peer name apart0
	agent_up --pod-interfaces 'veth*'
	ip link delete late0
	renice -n -20 -p "$AGENT" >/dev/null
	fast late0
	fast veth9
}

run_tests "$@"
