#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What passes and what is dropped, with real packets.
# shellcheck disable=SC2119 # functions with optional arguments
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
fi

test_policy_decides_by_pod_port_and_protocol()
{
	cluster_up
	agent_up
	expect_flows web <<-EOF
		passed 10.1.2.2 80/TCP
		passed 10.1.2.2 53/UDP
		dropped 10.1.2.2 81/TCP
		dropped 10.1.2.2 54/UDP
		dropped 10.1.2.2 0/ICMP
		dropped 192.0.2.10 443/TCP
		dropped 192.0.2.10 53/UDP
		dropped 192.0.2.10 0/ICMP
		passed fd00:1:2::2 80/TCP
		passed fd00:1:2::2 53/UDP
		dropped fd00:1:2::2 81/TCP
		dropped fd00:1:2::2 54/UDP
		dropped fd00:1:2::2 0/ICMP
		dropped 2001:db8:2::10 443/TCP
		dropped 2001:db8:2::10 53/UDP
		dropped 2001:db8:2::10 0/ICMP
	EOF
}

test_pod_that_no_policy_selects_is_not_touched()
{
	cluster_up
	agent_up
	expect_flows peer <<-EOF
		passed 192.0.2.10 443/TCP
		passed 192.0.2.10 53/UDP
		passed 192.0.2.10 0/ICMP
		passed 10.1.1.2 80/TCP
		passed 2001:db8:2::10 443/TCP
		passed 2001:db8:2::10 53/UDP
		passed 2001:db8:2::10 0/ICMP
		passed fd00:1:1::2 80/TCP
	EOF
}

test_rule_without_ports_allows_every_protocol()
{
	cluster_up
	policy_manifest web web <<<'- to: [{ipBlock: {cidr: 192.0.2.0/24}}, {ipBlock: {cidr: "2001:db8:2::/64"}}]' |
		manifest policy.yaml
	agent_up
	expect_flows web <<-EOF
		passed 192.0.2.10 443/TCP
		passed 192.0.2.10 53/UDP
		passed 192.0.2.10 0/ICMP
		dropped 10.1.2.2 80/TCP
		passed 2001:db8:2::10 443/TCP
		passed 2001:db8:2::10 53/UDP
		passed 2001:db8:2::10 0/ICMP
		dropped fd00:1:2::2 80/TCP
	EOF
}

test_except_is_cut_out_of_its_block()
{
	cluster_up
	add_outside_address 198.51.100.10
	add_outside_address 198.51.100.200
	add_outside_address 2001:db8:100::10
	add_outside_address 2001:db8:100:bad::10
	policy_manifest web web <<-EOF | manifest policy.yaml
		- to:
		  - ipBlock: {cidr: 198.51.100.0/24, except: [198.51.100.128/25]}
		  - ipBlock: {cidr: "2001:db8:100::/48", except: ["2001:db8:100:bad::/64"]}
		  ports: [{port: 443}]
	EOF
	agent_up
	expect_flows web <<-EOF
		passed 198.51.100.10 443/TCP
		dropped 198.51.100.10 80/TCP
		dropped 198.51.100.200 443/TCP
		passed 2001:db8:100::10 443/TCP
		dropped 2001:db8:100::10 80/TCP
		dropped 2001:db8:100:bad::10 443/TCP
	EOF
}

test_isolated_pod_may_answer()
{
	cluster_up
	deny_everything
	agent_up
	expect_flows outside <<-EOF
		passed 10.1.1.2 80/TCP
		passed 10.1.1.2 53/UDP
		passed 10.1.1.2 0/ICMP
		passed fd00:1:1::2 80/TCP
		passed fd00:1:1::2 53/UDP
		passed fd00:1:1::2 0/ICMP
	EOF
	expect_flows web <<-EOF
		dropped 192.0.2.10 443/TCP
		dropped 192.0.2.10 53/UDP
		dropped 2001:db8:2::10 443/TCP
	EOF
}

test_isolated_pod_reaches_its_own_node()
{
	cluster_up
	deny_everything
	agent_up
	expect_flows web <<-EOF
		passed 10.1.1.1 0/ICMP
		passed fd00:1:1::1 0/ICMP
		dropped 192.0.2.10 0/ICMP
	EOF
}

test_own_node_is_an_address_without_node_addresses()
{
	cluster_up
	deny_everything
	agent_up --node-addresses none
	expect_flows web <<-EOF
		dropped 10.1.1.1 0/ICMP
		dropped fd00:1:1::1 0/ICMP
	EOF
	assert_equal "node addresses in the state" "[]" "$(egressctl -o json status | json node_addresses)"
	agent_stop
	agent_up --node-addresses 10.1.1.1
	expect_flows web <<-EOF
		passed 10.1.1.1 0/ICMP
		dropped fd00:1:1::1 0/ICMP
	EOF
}

test_service_is_judged_by_its_backends()
{
	cluster_up
	nft -f - <<-EOF
		table ip service {
			chain prerouting {
				type nat hook prerouting priority dstnat;
				ip daddr 10.96.0.1 tcp dport 8000 dnat to 10.1.2.2:80
				ip daddr 10.96.0.1 tcp dport 8001 dnat to 10.1.2.2:81
			}
		}
	EOF
	manifest service.yaml <<-EOF
		apiVersion: v1
		kind: Service
		metadata: {name: peer}
		spec:
		  clusterIPs: [10.96.0.1]
		  selector: {app: peer}
		  ports: [{name: a, port: 8000, targetPort: 80}, {name: b, port: 8001, targetPort: 81}]
		---
		apiVersion: discovery.k8s.io/v1
		kind: EndpointSlice
		metadata: {name: peer-1, labels: {kubernetes.io/service-name: peer}}
		addressType: IPv4
		ports: [{name: a, port: 80}, {name: b, port: 81}]
		endpoints: [{addresses: [10.1.2.2], targetRef: {kind: Pod, name: peer, namespace: default}}]
	EOF
	agent_up
	expect_flows web <<-EOF
		passed 10.96.0.1 8000/TCP
		dropped 10.96.0.1 8001/TCP
	EOF
}

test_forged_source_is_dropped_and_counted()
{
	cluster_up
	agent_up
	on web ip address add 10.1.1.77/32 dev eth0
	on web ip address add fd00:1:1::77/128 dev eth0 nodad
	passes web 10.1.2.2 80/TCP
	fails passes web 10.1.2.2 80/TCP 10.1.1.77
	fails passes web fd00:1:2::2 80/TCP fd00:1:1::77
	[ "$(dropped_packets spoofed_source)" -ge 2 ]
	assert_equal "drops by policy" 0 "$(dropped_packets policy)"
}

test_every_packet_is_counted()
{
	local allowed dropped

	cluster_up
	agent_up
	allowed=$(allowed_packets)
	dropped=$(dropped_packets policy)
	on web "$TRAFFIC" send 10.1.2.2 53 100
	on web "$TRAFFIC" send fd00:1:2::2 53 20
	on web "$TRAFFIC" send 192.0.2.10 9 30
	on web "$TRAFFIC" send 2001:db8:2::10 9 7
	assert_equal "dropped packets" $((dropped + 37)) "$(dropped_packets policy)"
	# Neighbour discovery and the like may come on top of what is allowed.
	allowed=$(($(allowed_packets) - allowed))
	[ $allowed -ge 120 ]
	[ $allowed -le 140 ]
}

exchanges_beyond()
{
	[ "$(cat "$SANDBOX/stream" 2>/dev/null || echo 0)" -gt "$1" ]
}

test_revocation_stops_an_open_connection()
{
	local before

	cluster_up
	agent_up
	on web "$TRAFFIC" stream 10.1.2.2 80 "$SANDBOX/stream" &
	eventually 5 exchanges_beyond 10
	after_change deny_everything
	sleep 0.1
	before=$(cat "$SANDBOX/stream")
	sleep 0.7
	assert_equal "exchanges after the revocation" "$before" "$(cat "$SANDBOX/stream")"
	after_change allow_peer_80
	eventually 5 exchanges_beyond $((before + 10))
}

test_policy_change_does_not_disturb_what_both_allow()
{
	cluster_up
	agent_up
	on web "$TRAFFIC" stream 10.1.2.2 80 "$SANDBOX/stream" &
	eventually 5 exchanges_beyond 10
	policy_manifest web web <<<'[{to: [{podSelector: {}}]}]' >"$SANDBOX/wider"
	after_change mv "$SANDBOX/wider" "$MANIFESTS/policy.yaml"
	passes web 10.1.2.2 81/TCP
	eventually 5 exchanges_beyond "$(($(cat "$SANDBOX/stream") + 10))"
}

run_tests "$@"
