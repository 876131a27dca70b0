#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a hostile pod tries: the catalogue of tests/lib/evasions.py, row by row, each a test. Prints TAP itself.
# shellcheck disable=SC2119 # functions with optional arguments
if [ -z "${SANDBOX:-}" ]; then
	exec "$(dirname "$0")/../lib/sandbox" bash "$0"
fi
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
# shellcheck source=tests/lib/cluster.sh
. "$TESTS/lib/cluster.sh"

network_setup
add_pod web
add_pod peer
network_ready
for address in 198.51.100.7 203.0.113.7 2001:db8:7::7 2001:db8:8::8; do
	add_outside_address $address
done
# Nobody's kernel answers what the catalogue sends, or its answers would be counted.
for name in web outside; do
	on $name nft -f - <<-'EOT'
		table inet silent {
			chain input {
				type filter hook input priority 0; policy drop;
				icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept
			}
		}
	EOT
done
{
	pod_manifest web 1 web "egressd.io/netns: $(netns_path web)"
	pod_manifest peer 2 peer
} | manifest pods.yaml
policy_manifest web web <<-'EOT' | manifest policy.yaml
	- to: [{ipBlock: {cidr: 192.0.2.10/32}}, {ipBlock: {cidr: "2001:db8:2::10/128"}}]
	  ports: [{port: 443}, {port: 53, protocol: UDP}]
	- to: [{ipBlock: {cidr: 203.0.113.7/32}}, {ipBlock: {cidr: "2001:db8:8::8/128"}}]
EOT
agent_start
eventually 120 agent_is_ready
"$TESTS/lib/evasions.py" "${HOLDER[web]}" "${HOLDER[outside]}" "${HOLDER[peer]}" "http://$LISTEN"
agent_stop
