# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# The small cluster that most tests with real traffic start from: pods default/web (isolated, for the tests to write
# policy for) and default/peer (no policy selects it), and the outside host. After harness.sh; brings network.sh and
# agent.sh along. shellcheck source=tests/lib/network.sh
. "$TESTS/lib/network.sh"
# shellcheck source=tests/lib/agent.sh
. "$TESTS/lib/agent.sh"

# pod_manifest NAME NUMBER LABEL [ANNOTATION]: a document, without the file's separator
pod_manifest()
{
	cat <<-EOF
		---
		apiVersion: v1
		kind: Pod
		metadata:
		  name: $1
		  labels: {app: $3}
		  annotations: {${4:-egressd.io/interface: ${1}0}}
		status:
		  podIPs: [{ip: 10.1.$2.2}, {ip: "fd00:1:$2::2"}]
	EOF
}

# policy_manifest NAME APP: isolates the pods with that label; the egress rules come from standard input, as a YAML list
policy_manifest()
{
	cat <<-EOF
		---
		apiVersion: networking.k8s.io/v1
		kind: NetworkPolicy
		metadata:
		  name: $1
		spec:
		  podSelector:
		    matchLabels: {app: $2}
		  policyTypes: [Egress]
		  egress:
	EOF
	sed 's/^/    /'
}

# A policy for web, allowing what is not elsewhere in the tests, with so many rules that it needs tables, and programs, anew.
many_rules_manifest()
{
	/usr/bin/python3 -c '
print(*(f"- {{ports: [{{port: {number + 1000}}}]}}" for number in range(10000)),
      *(f"- {{to: [{{ipBlock: {{cidr: 10.{50 + number}.0.0/16}}}}], ports: [{{port: {number + 100}}}]}}"
        for number in range(200)), sep="\n")' | policy_manifest many web
}

# cluster_up: network, servers and manifests, all but the agent
cluster_up()
{
	network_setup
	add_pod web
	add_pod peer
	network_ready
	serve web 80/TCP 53/UDP
	serve peer 80/TCP 81/TCP 53/UDP 54/UDP
	serve outside 443/TCP 80/TCP 53/UDP
	{
		pod_manifest web 1 web
		pod_manifest peer 2 peer
	} | manifest pods.yaml
	allow_peer_80
}

# The policy that stands at first: web may go to peer's port 80/TCP and 53/UDP and nowhere else.
allow_peer_80()
{
	policy_manifest web web <<-EOF | manifest policy.yaml
		- to: [{podSelector: {matchLabels: {app: peer}}}]
		  ports: [{port: 80}, {port: 53, protocol: UDP}]
	EOF
}

deny_everything()
{
	policy_manifest web web <<<"[]" | manifest policy.yaml
}

# enforced, enforced_ipv4: the policy that stands at first holds
enforced()
{
	enforced_ipv4
	expect_flows web <<-EOF
		passed fd00:1:2::2 80/TCP
		dropped fd00:1:2::2 81/TCP
	EOF
}

enforced_ipv4()
{
	expect_flows web <<-EOF
		passed 10.1.2.2 80/TCP
		dropped 10.1.2.2 81/TCP
	EOF
}

# dropped_packets REASON [POD]: the counter of default/web, 0 before the first drop
dropped_packets()
{
	local value

	value=$(metric "egressd_dropped_packets_total{namespace=\"default\",pod=\"${2:-web}\",reason=\"$1\"}")
	echo "${value:-0}"
}

something_dropped()
{
	[ "$(dropped_packets policy)" -gt 0 ]
}

allowed_packets()
{
	local value

	value=$(metric "egressd_allowed_packets_total{namespace=\"default\",pod=\"${1:-web}\"}")
	echo "${value:-0}"
}

after_failure()
{
	echo "--- the agent's log:"
	tail -n 40 "$AGENT_LOG"
}

# Every test with an agent in it ends with this.
after_test()
{
	if [ -n "$AGENT" ]; then
		agent_stop
	fi
	agent_log_is_clean
}
