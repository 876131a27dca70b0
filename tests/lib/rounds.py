#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Pods that come and go under a running agent, many at a time; nine of them on interfaces here.

  rounds.py DIRECTORY LISTEN PODS CYCLES

In each cycle, through one file of DIRECTORY that is replaced:

  1. every pod comes, with a UID of its own and another address than in the cycle before: they move from pod to pod
  2. some change while they are there: addresses change hands; pods are recreated under their own names on the same
     interfaces; interfaces are deleted and others get their numbers; one pod goes
  3. all of them go, and their namespace with them; some interfaces are replaced at the same time

After each step it waits until the agent at LISTEN (ADDRESS:PORT) has as many endpoints as there are, and is ready.
"""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request

FEW = 3
LOCAL = 3 * FEW


def link_batch(lines):
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines) + "\n", text=True, check=True)


def interface_index(name):
    with open(f"/sys/class/net/{name}/ifindex", encoding="ascii") as file:
        return int(file.read())


def add_link(number, index=""):
    return f"link add round{number} {index} type veth peer name other{number}"


class Node:
    def __init__(self, directory, listen, pods):
        self.path = os.path.join(directory, "rounds.yaml")
        self.url = f"http://{listen}"
        self.pods = pods
        self.others = self.metric("egressd_endpoints")
        # Numbers of their own, apart from those that the kernel gives.
        self.indexes = [5000 + 2 * number for number in range(LOCAL)]
        link_batch([add_link(number, f"index {index}") for number, index in enumerate(self.indexes)])

    def get(self, path):
        try:
            with urllib.request.urlopen(self.url + path, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name):
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(name + " "):
                return int(line.split()[1])
        raise SystemExit(f"there is no metric {name}")

    def replace_links(self, numbers):
        link_batch([f"link delete round{number}" for number in numbers])
        link_batch([add_link(number, f"index {self.indexes[number]}") for number in numbers])

    def pod(self, number, uid, address):
        where = f"egressd.io/interface: round{number}" if number < LOCAL else "note: elsewhere"
        return (f"{{apiVersion: v1, kind: Pod, metadata: {{name: pod-{number}, namespace: rounds, uid: {uid}, "
                f"labels: {{app: round}}, annotations: {{{where}}}}}, "
                f"status: {{podIPs: [{{ip: 10.200.{address // 250}.{address % 250 + 1}}}]}}}}")

    def write(self, documents):
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            file.write("\n---\n".join(documents) + "\n")
        os.rename(self.path + ".new", self.path)

    def in_force(self, expected):
        return self.metric("egressd_endpoints") == self.others + expected and self.get("/readyz")[0] == 200

    def wait(self, expected, what):
        limit = time.monotonic() + 60 * int(os.environ.get("TEST_SLOWNESS", "1"))
        while not self.in_force(expected):
            if time.monotonic() > limit:
                raise SystemExit(f"{what}: {self.metric('egressd_endpoints')} endpoints, not {self.others + expected}; "
                                 f"{self.get('/readyz')[1]}")
            time.sleep(0.01)

    def cycle(self, cycle):
        namespace = f"{{apiVersion: v1, kind: Namespace, metadata: {{name: rounds, labels: {{cycle: '{cycle}'}}}}}}"
        policy = ("{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: rounds, namespace: rounds}, "
                  "spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}]}}")
        pods = [self.pod(number, f"u-{cycle}-{number}", (number + cycle) % self.pods) for number in range(self.pods)]
        self.write([namespace, policy, *pods])
        self.wait(LOCAL, f"cycle {cycle}, all come")

        for number in range(FEW):
            pods[number] = self.pod(number, f"u-{cycle}-{number}", ((number + 1) % FEW + cycle) % self.pods)
        for number in range(FEW, 2 * FEW):
            pods[number] = self.pod(number, f"again-{cycle}-{number}", (number + cycle) % self.pods)
        del pods[LOCAL - 1]
        self.write([namespace, policy, *pods])
        self.replace_links(range(2 * FEW, 3 * FEW))
        self.wait(LOCAL - 1, f"cycle {cycle}, some change")

        self.write([])
        self.replace_links(range(FEW))
        self.wait(0, f"cycle {cycle}, all go")


def main():
    directory, listen, pods, cycles = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    node = Node(directory, listen, pods)
    for cycle in range(cycles):
        node.cycle(cycle)
    link_batch([f"link delete round{number}" for number in range(LOCAL)])
    os.unlink(node.path)


main()
