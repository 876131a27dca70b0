#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How fast a change gets into force, with the real agent: update.py BUILD [quick|smoke], in a sandbox.

Prints a line of JSON for each figure. A change is a file that is written beside the manifests and renamed into place;
the clock runs from there until a packet is judged by it (tests/bench/watch.c). It is made when the agent is at rest: what
it has to do after the change before, such as to leave its state for egressctl, is not the change's. What that takes is
part of the figures of processor time."""

import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request

BUILD = sys.argv[1]
MODE = sys.argv[2] if len(sys.argv) > 2 else "full"
SANDBOX = os.environ["SANDBOX"]
LISTEN = "127.0.0.1:9300"
POD = "10.250.0.2"
GROUP = "250"


def report(program, value, unit, prefixes=None):
    result = {"group": "update", "program": program, "value": value, "unit": unit}
    if prefixes:
        result["prefixes"] = prefixes
    print(json.dumps(result), flush=True)


def address(number):
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def pod(name, ip, namespace="n0", app="app0", interface=None):
    metadata = {"name": name, "namespace": namespace, "labels": {"app": app, "tier": "t0"}}
    if interface:
        metadata["annotations"] = {"egressd.io/interface": interface}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": {"phase": "Running", "podIP": ip}}


def policy(name, namespace, rules, selector=None):
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"podSelector": selector or {}, "policyTypes": ["Egress"], "egress": rules}}


def to_app(app, port):
    return {"to": [{"podSelector": {"matchLabels": {"app": app}}}], "ports": [{"port": port}]}


def blocks(cidrs):
    return {"to": [{"ipBlock": {"cidr": cidr}} for cidr in cidrs]}


class Cluster:
    """A directory of manifests, an agent that follows it, and a watcher of the first local pod's packets."""

    def __init__(self, name, local):
        self.directory = os.path.join(SANDBOX, name)
        self.state = os.path.join(SANDBOX, name + "-state")
        self.pin = "/sys/fs/bpf/" + name
        os.mkdir(self.directory)
        # Names of interfaces are short. Those of a group go in one go.
        commands = "".join(f"link add {name}{i} group {GROUP} type veth peer name {name}{i}p\n"
                           f"link set {name}{i} up\nlink set {name}{i}p up\n" for i in range(local))
        subprocess.run(["ip", "-batch", "-"], input=commands, text=True, check=True)
        self.interfaces = [f"{name}{i}" for i in range(local)]
        self.agent = self.watcher = None

    def put(self, name, items):
        return self.put_text(name, ".json", json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))

    def put_text(self, name, suffix, text):
        path = os.path.join(self.directory, name)
        with open(path + ".new~", "w", encoding="utf-8") as file:
            file.write(text)
        now = time.monotonic_ns()
        os.rename(path + ".new~", path + suffix)
        return now

    def remove(self, name):
        now = time.monotonic_ns()
        os.unlink(os.path.join(self.directory, name + ".json"))
        return now

    def local_pods(self):
        return [pod(f"local-{i}", POD if i == 0 else address((250 << 16) + 2 + i), f"n{i % 100}", "local", interface)
                for i, interface in enumerate(self.interfaces)]

    def start(self):
        self.log = open(os.path.join(SANDBOX, "agent.log"), "w+", encoding="utf-8")
        self.agent = subprocess.Popen(
            [f"{BUILD}/egressd", "run", "--from", f"dir:{self.directory}", "--pin", self.pin, "--state", self.state,
             "--listen", LISTEN, "--node-addresses", "none"], stdin=subprocess.DEVNULL, stdout=self.log,
            stderr=self.log)
        end = time.monotonic() + 120
        while not self.ready():
            if self.agent.poll() is not None or time.monotonic() > end:
                self.log.seek(0)
                sys.exit("update.py: the agent did not get ready: " + self.log.read()[-2000:])
            time.sleep(0.05)
        version = [name for name in os.listdir(self.pin) if name.startswith("v")][0]
        self.watcher = subprocess.Popen(
            [f"{BUILD}/tests/bench/watch", f"{self.pin}/{version}/from_pod", self.interfaces[0], POD], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ready(self):
        try:
            with urllib.request.urlopen(f"http://{LISTEN}/readyz", timeout=1) as answer:
                return answer.status == 200
        except OSError:
            return False

    def watch(self, destination, verdict, change, port=443):
        """Milliseconds from the change, a function that returns when it was made, until the verdict."""
        self.watcher.stdin.write(f"{destination} {port} {verdict}\n")
        self.watcher.stdin.flush()
        self.answer("watching")
        begin = change()
        return (int(self.answer()) - begin) / 1e6

    def answer(self, expected=None):
        line = self.watcher.stdout.readline().strip()
        if not line or (expected and line != expected):
            sys.exit(f"update.py: the watcher said {line!r}")
        return line

    def agent_seconds(self):
        """Of processor time, to the nanosecond: of its one thread, which has had helpers only for a moment."""
        with open(f"/proc/{self.agent.pid}/schedstat", encoding="utf-8") as file:
            return int(file.read().split()[0]) / 1e9

    def rest(self):
        """Until the agent has nothing to do but to look around now and then."""
        before = self.agent_seconds()
        for _ in range(300):
            time.sleep(0.3)
            now = self.agent_seconds()
            if now - before < 0.006:
                return
            before = now
        sys.exit("update.py: the agent does not come to rest")

    def metrics(self, *names):
        """Their values, as they are at one moment."""
        with urllib.request.urlopen(f"http://{LISTEN}/metrics", timeout=5) as answer:
            lines = [line.split() for line in answer.read().decode().splitlines()]
        found = {line[0]: float(line[1]) for line in lines if len(line) == 2}
        missing = [name for name in names if name not in found]
        if missing:
            sys.exit(f"update.py: there is no metric {', '.join(missing)}")
        return [found[name] for name in names]

    def agent_resident(self):
        """Megabytes."""
        with open(f"/proc/{self.agent.pid}/status", encoding="utf-8") as file:
            return int(file.read().split("VmRSS:")[1].split()[0]) * 1024 / 1e6

    def kernel_memory(self):
        """Megabytes of the maps that the agent's programs use, and of the programs."""
        def listed(kind):
            listing = subprocess.run(["bpftool", "-j", kind, "show"], check=True, capture_output=True)
            return json.loads(listing.stdout)
        version = [name for name in os.listdir(self.pin) if name.startswith("v")][0]
        pinned = []
        for program in ("from_pod", "to_pod"):
            shown = subprocess.run(["bpftool", "-j", "prog", "show", "pinned", f"{self.pin}/{version}/{program}"],
                                   check=True, capture_output=True)
            pinned.append(json.loads(shown.stdout))
        maps = {number for program in pinned for number in program["map_ids"]}
        bytes_used = sum(entry["bytes_memlock"] for entry in listed("map") if entry["id"] in maps)
        return (bytes_used + sum(program["bytes_memlock"] for program in pinned)) / 1e6

    def stop(self):
        self.watcher.stdin.close()
        self.watcher.wait()
        self.agent.terminate()
        self.agent.wait()
        self.log.close()
        subprocess.run(["ip", "link", "del", "group", GROUP], check=True)


def other_pods(cluster, count):
    for begin in range(0, count, 5000):
        cluster.put(f"pods-{begin}", [pod(f"pod-{i}", address(256 + i), f"n{i % 100}", f"app{i // 100 % 10}")
                                      for i in range(begin, min(begin + 5000, count))])


class Followed:
    """How many changes the agent followed in place, and the time that they took it, since it was asked last."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.before = self.read()

    def read(self):
        return self.cluster.metrics("egressd_pod_changes_total", "egressd_pod_change_nanoseconds_total")

    def since(self):
        now = self.read()
        count, nanoseconds = (after - before for after, before in zip(now, self.before))
        self.before = now
        return count, nanoseconds


def one_second(cluster, address, made):
    begin = time.monotonic()
    for change in range(100):
        # Labels: a pod that is back before it is known that it was gone has not changed.
        cluster.put("new", [pod("new", address, app=f"app{(made + change) % 2}")])
        time.sleep(max(0, begin + (change + 1) / 100 - time.monotonic()))


def pod_changes(count, rounds, seconds):
    name = f"{count:,} pods"
    cluster = Cluster(f"pods{count}", 1)
    cluster.put("local", cluster.local_pods())
    other_pods(cluster, count)
    cluster.put("policy", [policy("p", "n0", [to_app("app0", 443)])])
    cluster.start()
    new = address((251 << 16) + 1)
    added, removed = [], []
    cluster.rest()
    for _ in range(rounds):
        added.append(cluster.watch(new, "pass", lambda: cluster.put("new", [pod("new", new)])))
        removed.append(cluster.watch(new, "drop", lambda: cluster.remove("new")))
    report(f"pod added, file to packet, {name}", statistics.median(added), "ms")
    report(f"pod removed, file to packet, {name}", statistics.median(removed), "ms")
    cluster.rest()
    followed, in_force, changes, in_place = Followed(cluster), [], 0, 0
    begin, used = time.monotonic(), cluster.agent_seconds()
    # Second by second: one in which others had the machine does not count more than the rest.
    while not changes or time.monotonic() - begin < seconds:
        one_second(cluster, new, changes)
        changes += 100
        count, nanoseconds = followed.since()
        in_place += count
        if count >= 50:
            in_force.append(nanoseconds / count / 1e3)
    used = cluster.agent_seconds() - used
    report(f"agent at 100 pod changes a second, {name}", 100 * used / (time.monotonic() - begin), "% of a processor")
    report(f"agent time for a pod change, {name}", 1e6 * used / changes, "µs")
    report(f"pod changes followed in place, {name}", 100 * in_place / changes, "%")
    if len(in_force) < changes / 200:
        sys.exit(f"update.py: in {len(in_force)} of {changes // 100} seconds the agent followed most changes: "
                 "the figures say nothing of one")
    # From the notice that a file changed: without the grace period after it, the state, the timers.
    report(f"agent time until a pod change is in force, {name}", statistics.median(in_force), "µs")
    cluster.stop()


def policies(count, extra=None):
    made = []
    for i in range(count):
        rules = [to_app("app0", 53), to_app(f"app{i % 10}", 8080),
                 {"to": [{"ipBlock": {"cidr": f"{20 + i % 150}.{i % 256}.0.0/16",
                                      "except": [f"{20 + i % 150}.{i % 256}.{i % 200}.0/24"]}}],
                  "ports": [{"port": 443 + i % 30}]}]
        if i == 0 and extra:
            rules.append(blocks([extra]))
        made.append(policy(f"p{i}", f"n{i % 100}", rules))
    return made


def policy_change(cluster, pods, count, rounds):
    name = f"250 local pods of {pods:,}, {count:,} policies"
    opened, closed = [], []
    for _ in range(rounds):
        cluster.rest()
        opened.append(cluster.watch("198.51.100.1", "pass",
                                    lambda: cluster.put("policy", policies(1, "198.51.100.0/24"))))
        cluster.rest()
        closed.append(cluster.watch("198.51.100.1", "drop", lambda: cluster.put("policy", policies(1))))
    cluster.rest()
    report(f"policy change, file to packet, {name}", max(statistics.median(opened), statistics.median(closed)), "ms")
    report(f"agent's resident memory, {name}", cluster.agent_resident(), "MB")
    report(f"kernel memory, {name}", cluster.kernel_memory(), "MB")


def policy_changes(sizes, rounds):
    """Of a node that grows from one size to the next."""
    cluster = Cluster("node", 250)
    cluster.put("local", cluster.local_pods())
    cluster.put("policy", policies(1))
    for pods, count in sizes:
        other_pods(cluster, pods)
        cluster.put("others", policies(count)[1:])
        if not cluster.agent:
            cluster.start()
        policy_change(cluster, pods, count, rounds)
    cluster.stop()


def list_as_json(cidrs):
    one = json.dumps(blocks(["CIDR"])["to"][0])
    return json.dumps(policy("p", "n0", [blocks(["CIDR"])])).replace(one, ", ".join(one.replace("CIDR", cidr)
                                                                                    for cidr in cidrs))


def list_as_yaml(cidrs):
    return ("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: n0}\n"
            "spec:\n  podSelector: {}\n  policyTypes: [Egress]\n  egress:\n  - to:\n"
            + "".join(f"    - ipBlock: {{cidr: {cidr}}}\n" for cidr in cidrs))


def list_change(prefixes, rounds):
    """The whole list is replaced; 192.0.2.0/24 is in every other one."""
    def cidrs(odd):
        scatter = ((i * 2654435761 + odd) & 0x7fffffff for i in range(prefixes - 1))
        yield from (f"{(n >> 24) + 1}.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}/32" for n in scatter)
        if odd:
            yield "192.0.2.0/24"
    lists = [list(cidrs(odd)) for odd in (0, 1)]
    for name, suffix, write in (("YAML", ".yaml", list_as_yaml), ("JSON", ".json", list_as_json)):
        cluster = Cluster(name.lower(), 1)
        cluster.put("local", cluster.local_pods())
        texts = [write(cidrs) for cidrs in lists]
        cluster.put_text("policy", suffix, texts[0])
        cluster.start()
        times = []
        for i in range(rounds):
            cluster.rest()
            times.append(cluster.watch("192.0.2.1", "drop" if i % 2 else "pass",
                                       lambda: cluster.put_text("policy", suffix, texts[(i + 1) % 2])))
        report(f"whole list in {name} replaced, file to packet", statistics.median(times), "ms", prefixes)
        if name == "JSON":
            report("kernel memory, one list", cluster.kernel_memory(), "MB", prefixes)
        cluster.stop()


def main():
    quick, smoke = MODE == "quick", MODE == "smoke"
    for count in (100,) if smoke else (100, 10000, 100000):
        pod_changes(count, 3 if smoke else 7 if quick else 31, 0.5 if smoke else 3 if quick else 5)
    if smoke:
        return
    policy_changes(((1000, 1000), (20000, 2000)), 3 if quick else 11)
    list_change(1000000, 2 if quick else 4)


if __name__ == "__main__":
    main()
