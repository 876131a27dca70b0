#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The demo's table of flows, on a cluster: tries every flow between the pods of pods.yaml at once, and compares what
happened with what egressctl explains on the pod's node and with what the policies are meant to say.

  flows.py [--orders-port PORT]    prints the table; the exit status is 1 if any flow is not as policy says

kubectl does the work. --orders-port is the port that the policy in force lets web use on orders (8080).
"""

import argparse
import concurrent.futures
import dataclasses
import ipaddress
import json
import subprocess
import sys

PODS = {"web": ("shop", "web"), "orders": ("shop", "orders"), "dns": ("kube-system", "dns"),
        "outside": ("default", "outside")}
SERVICE = ("shop", "orders")
OUTSIDE = {"partner": ("198.51.100.10", "2001:db8:100::10"), "partner's guest": ("198.51.100.200", "2001:db8:100:bad::10"),
           "elsewhere": ("203.0.113.10", "2001:db8:bad::10")}


@dataclasses.dataclass
class Flow:
    source: str
    destination: str
    port: int
    protocol: str
    meant: str  # allow, deny, or answer: opened from outside


def flows(orders_port):
    def to_orders(port):
        return "allow" if port == orders_port else "deny"
    return [
        Flow("web", "dns", 53, "UDP", "allow"),
        Flow("web", "dns", 53, "TCP", "allow"),
        Flow("web", "dns", 80, "TCP", "deny"),
        Flow("web", "service orders", 80, "TCP", to_orders(8080)),
        Flow("web", "orders", 8080, "TCP", to_orders(8080)),
        Flow("web", "orders", 9090, "TCP", to_orders(9090)),
        Flow("web", "partner", 443, "TCP", "allow"),
        Flow("web", "partner", 80, "TCP", "deny"),
        Flow("web", "partner's guest", 443, "TCP", "deny"),
        Flow("web", "elsewhere", 443, "TCP", "deny"),
        Flow("orders", "dns", 53, "UDP", "allow"),
        Flow("orders", "web", 8080, "TCP", "deny"),
        Flow("dns", "elsewhere", 443, "TCP", "allow"),
        Flow("outside", "web", 8080, "TCP", "answer"),
    ]


def kubectl(*arguments, given=None):
    done = subprocess.run(["kubectl", *arguments], input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"flows: kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def by_family(addresses):
    return {ipaddress.ip_address(address).version: address for address in addresses}


class Cluster:
    def __init__(self):
        self.addresses = {name: by_family(addresses) for name, addresses in OUTSIDE.items()}
        self.nodes = {}
        for name, (namespace, pod) in PODS.items():
            found = json.loads(kubectl("-n", namespace, "get", "pod", pod, "-o", "json"))
            self.addresses[name] = by_family(address["ip"] for address in found["status"]["podIPs"])
            self.nodes[name] = found["spec"]["nodeName"]
        service = json.loads(kubectl("-n", SERVICE[0], "get", "service", SERVICE[1], "-o", "json"))
        self.addresses["service orders"] = by_family(service["spec"]["clusterIPs"])
        # Of the families that pods have.
        self.families = sorted(self.addresses["web"])
        self.agents = {}

    def agent(self, node):
        if node not in self.agents:
            self.agents[node] = kubectl("-n", "kube-system", "get", "pod", "-l", "app.kubernetes.io/name=egressd",
                                        "--field-selector", f"spec.nodeName={node},status.phase=Running",
                                        "-o", "jsonpath={.items[0].metadata.name}").strip()
        return self.agents[node]

    def probe(self, source, wanted):
        """What happens to (address, flow) pairs from that pod, tried all at once."""
        lines = "".join(json.dumps({"to": address, "port": flow.port, "protocol": flow.protocol}) + "\n"
                        for address, flow in wanted)
        namespace, pod = PODS[source]
        output = kubectl("-n", namespace, "exec", "-i", pod, "--", "traffic.py", "probe", "1", given=lines)
        results = [json.loads(line) for line in output.splitlines()]
        if len(results) != len(wanted):
            sys.exit(f"flows: {len(wanted)} flows tried from {source}, {len(results)} results")
        return ["passed" if result["passed"] else "dropped" if result["error"] == "timeout" else "failed"
                for result in results]

    def explain(self, flow, family):
        if flow.meant == "answer":
            return "answer"
        address = self.addresses[flow.destination][family]
        place = f"[{address}]" if family == 6 else address
        answer = kubectl("-n", "kube-system", "exec", self.agent(self.nodes[flow.source]), "--", "egressctl", "-o", "json",
                         "explain", "--from", "/".join(PODS[flow.source]), "--to",
                         f"{place}:{flow.port}/{flow.protocol}")
        return json.loads(answer)["verdict"]


def try_flows(cluster, wanted):
    """{(index of the flow, family): what happened}"""
    per_source = {}
    for index, flow in enumerate(wanted):
        for family in cluster.families:
            per_source.setdefault(flow.source, []).append((index, family))
    happened = {}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        probes = {source: pool.submit(cluster.probe, source,
                                      [(cluster.addresses[wanted[index].destination][family], wanted[index])
                                       for index, family in keys]) for source, keys in per_source.items()}
        for source, keys in per_source.items():
            happened.update(zip(keys, probes[source].result()))
    return happened


def label(name):
    return "/".join(PODS[name]) if name in PODS and name != "outside" else name


def table(wanted, families, happened, explained):
    """(lines, number of flows that are not as policy says)"""
    lines = [f"  {'from':17} {'to':28} {'policy':8} " + " ".join(f"IPv{family:<6}" for family in families)]
    wrong = 0
    for index, flow in enumerate(wanted):
        right = "dropped" if flow.meant == "deny" else "passed"
        marks = []
        for family in families:
            said, got = explained[index, family], happened[index, family]
            if said != flow.meant or got != right:
                wrong += 1
                marks.append(f"WRONG (IPv{family}: meant {flow.meant}, explained {said}, {got})")
        lines.append(f"  {label(flow.source):17} {label(flow.destination) + f' {flow.port}/{flow.protocol}':28} "
                     f"{explained[index, families[0]]:8} "
                     + " ".join(f"{happened[index, family]:9}" for family in families) + " " + ("; ".join(marks) or "ok"))
    return lines, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders-port", type=int, default=8080)
    wanted = flows(parser.parse_args().orders_port)
    cluster = Cluster()
    happened = try_flows(cluster, wanted)
    explained = {(index, family): cluster.explain(flow, family)
                 for index, flow in enumerate(wanted) for family in cluster.families}
    lines, wrong = table(wanted, cluster.families, happened, explained)
    print("\n".join(lines))
    print(f"  {len(happened)} flows tried, {wrong} not as policy says")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
