# SPDX-License-Identifier: Apache-2.0
"""Rules for the measurements with real traffic: the same prefixes for every filter, in the words of each."""

import ipaddress
import json
import os
import random

SIZES = (10, 1000, 10000)
TARGETS = 1000
# In 64.0.0.0/3, which all is the outside host's (traffic.sh).
FIRST, COUNT = 0x40000000, 0x20000000
# The same for IPv6: what 3ffe::/16 holds.
FIRST_IPV6, COUNT_IPV6 = 0x3ffe << 112, 1 << 112
SIZE_IPV6 = 10000


def prefixes(size):
    """Distinct ones that do not overlap: sets of intervals take no others."""
    rng = random.Random(size)
    taken, found = set(), []
    while len(found) < size:
        network = ipaddress.ip_network((FIRST + rng.randrange(COUNT), rng.randint(20, 32)), strict=False)
        slots = range(int(network.network_address) >> 12, (int(network.broadcast_address) >> 12) + 1)
        if not taken.intersection(slots):
            taken.update(slots)
            found.append(network)
    return found


def prefixes_ipv6(size):
    """Of the lengths that lists have; those that overlap are no harm to egressd, and nobody else is given them."""
    rng = random.Random(6)
    found = {}
    while len(found) < size:
        found[ipaddress.ip_network((FIRST_IPV6 + rng.randrange(COUNT_IPV6), rng.randint(32, 128)), strict=False)] = None
    return list(found)


def targets(networks):
    rng = random.Random(1)
    for index in range(TARGETS):
        network = networks[rng.randrange(len(networks))] if index else networks[len(networks) // 2]
        yield network[rng.randrange(network.num_addresses)]


def manifests(networks):
    pods = [{"apiVersion": "v1", "kind": "Pod",
             "status": {"podIPs": [{"ip": f"10.1.{number}.2"}, {"ip": f"fd00:1:{number}::2"}]},
             "metadata": {"name": name, "namespace": "bench", "labels": {"app": "pod"},
                          "annotations": {"egressd.io/interface": f"{name}0"}}}
            for number, name in ((1, "pod"), (2, "loud"))]
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
              "metadata": {"name": "list", "namespace": "bench"},
              "spec": {"podSelector": {}, "policyTypes": ["Egress"],
                       "egress": [{"to": [{"ipBlock": {"cidr": str(network)}} for network in networks]}]}}
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [*pods, policy]})


def nftables(networks):
    elements = ", ".join(map(str, networks))
    return f"""table inet bench {{
  set allowed {{ type ipv4_addr; flags interval; elements = {{ {elements} }} }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    ct state established,related accept
    iifname "pod0" ip daddr @allowed accept
    iifname "pod0" drop
  }}
}}
"""


def iptables(rules):
    return "\n".join(["*filter", ":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", *rules,
                      "COMMIT", ""])


def iptables_filter(rules):
    return iptables(["-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", *rules,
                     "-A FORWARD -i pod0 -j DROP"])


def ipset(networks):
    return "".join(["create list hash:net maxelem 131072\n", *(f"add list {network}\n" for network in networks)])


def write_ipv6(directory):
    networks = prefixes_ipv6(SIZE_IPV6)
    for name, text in ((f"{SIZE_IPV6}-ipv6.json", manifests(networks)),
                       (f"{SIZE_IPV6}-ipv6.targets", "".join(f"{address}\n" for address in targets(networks)))):
        with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
            file.write(text)


def write(directory):
    write_ipv6(directory)
    for size in SIZES:
        networks = prefixes(size)
        rules = [f"-A FORWARD -i pod0 -d {network} -j ACCEPT" for network in networks]
        for name, text in ((f"{size}.json", manifests(networks)), (f"{size}.nft", nftables(networks)),
                           (f"{size}.iptables", iptables_filter(rules)), (f"{size}.ipset", ipset(networks)),
                           (f"{size}.targets", "".join(f"{address}\n" for address in targets(networks))),
                           ("ipset.iptables",
                            iptables_filter(["-A FORWARD -i pod0 -m set --match-set list dst -j ACCEPT"])),
                           ("empty.iptables", iptables([]))):
            with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
                file.write(text)
