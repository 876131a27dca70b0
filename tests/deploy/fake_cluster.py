#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""kind, docker and kubectl for kind.sh, by the name that it is called with: writes every call into $FAKE_CALLS and what
docker was given into $FAKE_CALLS.input, and answers as a cluster in which every policy works would, but for what $FAKE
says: no-daemon, cluster-there, no-image, dual (addresses), leak (a flow passes that should not), lie (explain is
wrong once)."""

import json
import os
import sys

CALLS = os.environ["FAKE_CALLS"]
FAKE = os.environ.get("FAKE", "")
NODES = {"egressd-control-plane": ("172.18.0.2", "fc00:f853::2", "10.244.0.0/24", "fd00:10:244::/64"),
         "egressd-worker": ("172.18.0.3", "fc00:f853::3", "10.244.1.0/24", "fd00:10:244:1::/64")}
PODS = {"web": ("egressd-worker", "10.244.1.5", "fd00:10:244:1::5"),
        "orders": ("egressd-control-plane", "10.244.0.5", "fd00:10:244::5"),
        "dns": ("egressd-control-plane", "10.244.0.6", "fd00:10:244::6"),
        "outside": ("egressd-control-plane", "172.18.0.2", "fc00:f853::2"),
        "server": ("egressd-control-plane", "10.244.0.7", "fd00:10:244::7")}
SERVICE = ("10.96.7.7", "fd00:10:96::7")


def families(addresses):
    return list(addresses if FAKE == "dual" else addresses[:1])


def remembered(name, change=None):
    """A number that outlives the call."""
    path = f"{os.path.dirname(CALLS)}/fake-{name}"
    value = 0
    if os.path.exists(path):
        with open(path, encoding="ascii") as file:
            value = int(file.read())
    if change is not None:
        with open(path, "w", encoding="ascii") as file:
            file.write(str(change(value)))
    return value


def allowed(source, address, port, protocol):
    orders_port = 9090 if remembered("port") == 9090 else 8080
    if source not in ("web", "orders"):
        return True
    if address in PODS["dns"]:
        return port == 53
    if source == "orders":
        return False
    if address in SERVICE:
        return orders_port == 8080
    if address in PODS["orders"]:
        return port == orders_port
    return address in ("198.51.100.10", "2001:db8:100::10") and port == 443 and protocol == "TCP"


def kind(arguments):
    if arguments[:2] == ["get", "clusters"] and FAKE == "cluster-there":
        print("egressd")
    if arguments[:2] == ["create", "cluster"] and FAKE == "no-image":
        sys.exit("ERROR: failed to create cluster: failed to pull image \"kindest/node:v0\"")


def docker(arguments):
    if arguments == ["info"] and FAKE == "no-daemon":
        sys.exit(1)
    if "-i" in arguments:
        with open(CALLS + ".input", "a", encoding="utf-8") as file:
            file.write(sys.stdin.read())


def probe(pod):
    for line in sys.stdin:
        flow = json.loads(line)
        passes = allowed(pod, flow["to"], flow["port"], flow["protocol"])
        if FAKE == "leak" and flow["to"] == "203.0.113.10":
            passes = True
        print(json.dumps({"passed": passes, "by": "it", "error": None if passes else "timeout"}))


def explain(arguments):
    source = arguments[arguments.index("--from") + 1].split("/")[1]
    place, protocol = arguments[arguments.index("--to") + 1].split("/")
    address, port = place.rsplit(":", 1)
    verdict = allowed(source, address.strip("[]"), int(port), protocol)
    if FAKE == "lie" and source == "dns":
        verdict = False
    print(json.dumps({"verdict": "allow" if verdict else "deny"}))


def measure():
    """Without, with the agent, with policy; in the second round the machine has something else to do."""
    installed, policy = remembered("agent"), remembered("policy")
    count = remembered("measured", lambda value: value + 1)
    rate = (980 if policy else 990 if installed else 1000) if count // 3 != 1 else 100
    print(json.dumps({"request rate": rate, "p50": 10, "datagrams": 5}))


def kubectl_exec(arguments):
    if "traffic.py" in arguments:
        probe(arguments[arguments.index("exec") + 2])
    elif "explain" in arguments:
        explain(arguments)
    elif "measure" in arguments:
        assert sys.stdin.read() == PODS["server"][1] + "\n"
        measure()
    elif "status" in arguments:
        print(json.dumps({"generation": remembered("generation")}))
    elif "json" in arguments and "pods" in arguments:
        print(json.dumps([{"pod": "client", "isolated": bool(remembered("policy")), "attached": True}]))


def kubectl_get(arguments):
    kind_of, name = arguments[arguments.index("get") + 1:arguments.index("get") + 3]
    if kind_of == "node":
        node = NODES[name]
        print("\n".join(families(node[2:] if "podCIDRs" in arguments[-1] else node[:2])))
    elif kind_of == "pod" and name in PODS:
        node, *addresses = PODS[name]
        if "json" in arguments:
            print(json.dumps({"spec": {"nodeName": node}, "status": {"podIPs": [{"ip": ip} for ip in families(addresses)]}}))
        else:
            print(addresses[0])
    elif kind_of == "pod":
        print("egressd-abcde")
    elif kind_of == "service":
        print(json.dumps({"spec": {"clusterIPs": families(SERVICE)}}))


def kubectl_apply(arguments):
    if arguments[-1] == "-":
        given = sys.stdin.read()
        if "web-to-orders" in given:
            remembered("port", lambda _: 9090 if "port: 9090" in given else 8080)
            remembered("generation", lambda value: value + 1)
        else:
            remembered("policy", lambda _: 1)
            with open(CALLS + ".policy", "w", encoding="utf-8") as file:
                file.write(given)
    elif arguments[-1].endswith("/deploy"):
        remembered("agent", lambda _: 1)


def kubectl_delete(arguments):
    if "networkpolicy" in arguments:
        remembered("policy", lambda _: 0)
    elif arguments[-1].endswith("/deploy"):
        remembered("agent", lambda _: 0)


def kubectl(arguments):
    actions = {"exec": kubectl_exec, "get": kubectl_get, "apply": kubectl_apply, "delete": kubectl_delete}
    for word in arguments:
        if word in actions:
            actions[word](arguments)
            return


def main():
    name = os.path.basename(sys.argv[0])
    with open(CALLS, "a", encoding="utf-8") as file:
        file.write(" ".join([name, *sys.argv[1:]]).replace("\n", " ") + "\n")
    {"kind": kind, "docker": docker, "kubectl": kubectl}[name](sys.argv[1:])


if __name__ == "__main__":
    main()
