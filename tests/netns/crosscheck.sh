#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What the node's own network says of where pods are, against where they were found: host routes as ptp and Calico make
# them, and a bridge. What does not agree is told, and enforcement stays; what the network does not say is no error.
# shellcheck disable=SC2119 # functions with optional arguments
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
fi

# add_bridged_pod NAME NUMBER: a port of br0, which is the gateway
add_bridged_pod()
{
	add_namespace "$1"
	ip link add "${1}0" master br0 type veth peer name eth0 netns "${HOLDER[$1]}"
	ip link set "${1}0" up
	on "$1" ip -batch - <<-EOF
		address add 10.2.0.$2/24 dev eth0
		link set eth0 up
		route add default via 10.2.0.1
	EOF
	NEIGHBOURS+=("10.2.0.$2")
}

# bridged_pod NAME NUMBER: its Pod
bridged_pod()
{
	cat <<-EOF
		---
		apiVersion: v1
		kind: Pod
		metadata: {name: $1, labels: {app: web}, annotations: {egressd.io/netns: $(netns_path "$1")}}
		status: {podIPs: [{ip: 10.2.0.$2}]}
	EOF
}

# The cluster, with a host route to each of its pods, and two more pods on a bridge.
setup()
{
	cluster_up
	ip route add 10.1.1.2/32 dev web0
	ip route add 10.1.2.2/32 dev peer0
	ip link add br0 type bridge
	ip address add 10.2.0.1/24 dev br0
	ip link set br0 up
	add_bridged_pod left 2
	add_bridged_pod right 3
	network_ready
	{
		bridged_pod left 2
		bridged_pod right 3
	} | manifest bridged.yaml
}

mismatched()
{
	[ "$(metric egressd_endpoints_mismatched)" = "$1" ]
}

test_the_network_agrees_or_does_not()
{
	local host_route bridge

	setup
	# One of which the network says nothing: it has no address here.
	pod_manifest silent 77 peer "egressd.io/interface: out0" | manifest silent.yaml
	agent_up
	ip route replace 10.1.1.2/32 dev peer0
	bridge fdb replace "$(hardware_address left eth0)" dev right0 master static sticky
	# These two, and none of those with which all agrees.
	eventually 15 mismatched 2
	host_route="the node's host route for 10.1.1.2 leads to peer0, but the pod was found behind web0"
	bridge="the node's bridge br0 has 10.2.0.2 behind right0, but the pod was found behind left0"
	grep -qF "default/web: $host_route, where its policy stays in force" "$AGENT_LOG" || fail "the log does not say it"
	grep -qF "default/left: $bridge, where its policy stays in force" "$AGENT_LOG" || fail "the log does not say it"
	eventually 5 status_says "$host_route"
	eventually 5 status_says "$bridge"
	assert_matches "the pod's own line" "peer0" "$(egressctl -o json pods | grep -F "found behind web0")"
	# It is told, and nothing else.
	assert_equal "readiness" 200 "$(http_status /readyz)"
	assert_equal "where web hangs" web0 "$(egressctl -o json pods | json 4.interface)"
	assert_equal "where left hangs" left0 "$(egressctl -o json pods | json 0.interface)"
	on web "$TRAFFIC" probe 0.2 <<<'{"to": "10.1.2.2", "port": 81, "protocol": "TCP"}' >/dev/null
	something_dropped || fail "web is not enforced any more"

	ip route replace 10.1.1.2/32 dev web0
	bridge fdb replace "$(hardware_address left eth0)" dev left0 master static sticky
	eventually 10 mismatched 0
	eventually 5 nothing_is_wrong
	assert_equal "times that it was told" 2 "$(grep -c 'but the pod was found behind' "$AGENT_LOG")"
}

nothing_is_wrong()
{
	! grep -q Problems <<<"$(egressctl status)"
}

# A pod that is elsewhere for IPv6 alone, and, where the kernel has them, VLANs of a bridge.
test_ipv6_and_vlans()
{
	local vlan=

	setup
	if ip link set br0 type bridge vlan_filtering 1 2>/dev/null; then
		vlan="vlan 7"
		bridge vlan add vid 7 dev left0 pvid untagged
		bridge vlan add vid 7 dev br0 self pvid untagged
	fi
	agent_up
	ip -6 route replace fd00:1:1::2/128 dev peer0
	# shellcheck disable=SC2086 # two words or none
	bridge fdb replace "$(hardware_address right eth0)" dev left0 master static sticky $vlan
	eventually 15 mismatched 2
	assert_matches "log" "host route for fd00:1:1::2 leads to peer0" "$(cat "$AGENT_LOG")"
	assert_matches "log" "bridge br0 has 10.2.0.3 behind left0" "$(cat "$AGENT_LOG")"
}

# An address leads somewhere, but whose it is it does not say: it helps who looks for the reason.
test_it_is_a_hint_where_a_pod_cannot_be_found()
{
	setup
	sed -i 's|annotations:.*|uid: 7b3f53a2-3f0f-4e0c-a3c8-6d2b0a0c7d11}\nspec: {nodeName: node-a}|' "$MANIFESTS/bridged.yaml"
	agent_start --node node-a
	eventually 30 grep -q "default/left: its interface cannot be found.*; the node's bridge br0 has 10.2.0.2 behind left0" \
		"$AGENT_LOG"
	assert_equal "attached" false "$(egressctl -o json pods | json 0.attached)"
}

run_tests "$@"
