#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Tries one flow of tests/e2e/flows on the cluster and compares with what is meant: what became of it, what the agent
counted, and what egressctl explains in the agent's pod.

  flow.py SOURCE PROTOCOL DESTINATION PORT VERDICT [BY]

SOURCE       NAMESPACE/POD
PROTOCOL     TCP, UDP, ICMP; DNS/UDP, DNS/TCP: a question for a Service's address; TLS: TCP that is opened, no more
DESTINATION  pod:NAMESPACE/POD, service:NAMESPACE/SERVICE, address:ADDRESS, node, or name:NAME, which is looked up in the
             pod as its programs do
VERDICT      allowed or denied
BY           of what is allowed: who answers, a regular expression

kubectl is found in PATH; METRICS is the URL of the agent's metrics.
"""

import ipaddress
import json
import os
import re
import subprocess
import sys
import urllib.request

AGENT = ("-n", "kube-system", "exec", "daemonset/egressd", "--")
TIMEOUT = "1.5"
# The name that DNS/UDP and DNS/TCP ask for, and what it is.
QUESTION = "kubernetes.default.svc.cluster.local"

LOOK_UP = """
import json, socket, sys
try:
    found = socket.getaddrinfo(sys.argv[1], None, socket.AF_INET, socket.SOCK_STREAM)
    print(json.dumps({"addresses": sorted({item[4][0] for item in found})}))
except socket.gaierror as error:
    print(json.dumps({"error": "timeout" if error.errno == socket.EAI_AGAIN else str(error)}))
"""

ASK = """
import socket, struct, sys
kind, address, port, name, timeout = sys.argv[1:]
def receive(client, length):
    data = b""
    while len(data) < length:
        more = client.recv(length - len(data))
        if not more:
            raise EOFError
        data += more
    return data
question = struct.pack("!HHHHHH", 7, 0x100, 1, 0, 0, 0)
question += b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\\0" + struct.pack("!HH", 1, 1)
try:
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "TCP" else socket.SOCK_DGRAM)
    client.settimeout(float(timeout))
    client.connect((address, int(port)))
    if kind == "TCP":
        client.sendall(struct.pack("!H", len(question)) + question)
        answer = receive(client, struct.unpack("!H", receive(client, 2))[0])
    else:
        client.send(question)
        answer = client.recv(2048)
    # One answer, an address, at the end.
    print(socket.inet_ntoa(answer[-4:]) if answer[:2] == question[:2] and answer[7] else "no answer")
except TimeoutError:
    print("timeout")
"""

OPEN = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3]))
    print("open")
except TimeoutError:
    print("timeout")
"""


class Failure(Exception):
    pass


def kubectl(*arguments, given=None):
    done = subprocess.run(["kubectl", *arguments], input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def get(kind, name):
    namespace, _, name = name.partition("/")
    return json.loads(kubectl("-n", namespace, "get", kind, name, "-o", "json"))


def in_pod(pod, *command, given=None):
    namespace, _, name = pod.partition("/")
    return kubectl("-n", namespace, "exec", "-i", name, "--", *command, given=given)


def backends(namespace, service):
    slices = json.loads(kubectl("-n", namespace, "get", "endpointslices", "-l", f"kubernetes.io/service-name={service}",
                                "-o", "json"))
    return sorted(endpoint["addresses"][0] for one in slices["items"] for endpoint in one["endpoints"])


def service_addresses(namespace, name):
    """What its name stands for."""
    address = get("service", f"{namespace}/{name}")["spec"]["clusterIP"]
    return backends(namespace, name) if address == "None" else [address]


class Flow:
    def __init__(self, source, protocol, destination, port, verdict, by=None):
        self.source, self.protocol, self.port, self.verdict, self.by = source, protocol, int(port), verdict, by
        self.namespace = source.partition("/")[0]
        self.kind, _, self.destination = destination.partition(":")
        self.problems = []
        self.unresolved = False

    def addresses(self):
        """Where it goes to, as far as that needs no packet of the pod."""
        if self.kind == "node":
            return [get("node", "/node-a")["status"]["addresses"][0]["address"]]
        if self.kind == "address":
            return [self.destination]
        if self.kind == "pod":
            return [get("pod", self.destination)["status"]["podIP"]]
        if self.kind == "service":
            return service_addresses(*self.destination.split("/"))
        service, namespace = (self.destination.split(".") + [self.namespace])[:2]
        return service_addresses(namespace, service)

    def look_up(self, expected):
        """"timeout", or None once the name's addresses are those that are expected."""
        found = json.loads(in_pod(self.source, "python3", "-c", LOOK_UP, self.destination))
        if "error" in found:
            return found["error"]
        if found["addresses"] != expected:
            raise Failure(f"{self.destination} is {found['addresses']}, should be {expected}")
        return None

    def attempt(self, addresses):
        """Who answered; "timeout" where nobody did, or another error."""
        if self.kind == "name":
            error = self.look_up(addresses)
            if error:
                self.unresolved = True
                return error
        target = self.destination if self.kind == "name" else addresses[0]
        if self.protocol.startswith("DNS/"):
            return in_pod(self.source, "python3", "-c", ASK, self.protocol[4:], target, str(self.port), QUESTION,
                          TIMEOUT).strip()
        if self.protocol == "TLS":
            return in_pod(self.source, "python3", "-c", OPEN, target, str(self.port), TIMEOUT).strip()
        flow = json.dumps({"to": target, "port": self.port, "protocol": self.protocol})
        result = json.loads(in_pod(self.source, "traffic.py", "probe", TIMEOUT, given=flow + "\n"))
        return result["by"] if result["passed"] else result["error"]

    def counted(self):
        """{reason: packets} that were dropped of the pod, and "allowed"."""
        # As long as the agent may take on a machine that has other things to do.
        with urllib.request.urlopen(os.environ["METRICS"], timeout=30) as answer:
            text = answer.read().decode()
        namespace, name = self.source.split("/")
        found = {}
        for metric, labels, value in re.findall(r"^egressd_(allowed|dropped)_packets_total\{(.*)\} (\d+)$", text, re.M):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            if (labels["namespace"], labels["pod"]) == (namespace, name):
                found[labels.get("reason", metric)] = int(value)
        return found

    def explained(self, address):
        protocol = {"DNS/UDP": "UDP", "TLS": "TCP", "DNS/TCP": "TCP"}.get(self.protocol, self.protocol)
        place = f"[{address}]" if ipaddress.ip_address(address).version == 6 else address
        to = f"{place}/{protocol}" if protocol == "ICMP" else f"{place}:{self.port}/{protocol}"
        answer = json.loads(kubectl(*AGENT, "egressctl", "-o", "json", "explain", "--from", self.source, "--to", to))
        self.check(f"the kernel's tables and the agent's objects differ about {to}", not answer["contradiction"])
        return {"allow": "allowed", "deny": "denied"}[answer["verdict"]]

    def check(self, what, good):
        if not good:
            self.problems.append(what)

    def run(self):
        addresses = self.addresses()
        before = self.counted()
        result = self.attempt(addresses)
        after = self.counted()
        grown = {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key, 0)}
        dropped = {key: value for key, value in grown.items() if key != "allowed"}
        if self.verdict == "allowed":
            self.check(f"answered by {result}, meant {self.by}", re.fullmatch(self.by, result or ""))
            self.check(f"dropped packets were counted: {dropped}", not dropped)
        else:
            self.check(f"answered: {result}", result == "timeout")
            self.check(f"counted as dropped: {dropped}, meant policy and nothing else", list(dropped) == ["policy"])
        if self.unresolved:
            # It did not get further than to the resolver.
            addresses, self.port, self.protocol = service_addresses("kube-system", "kube-dns"), 53, "UDP"
        for address in addresses:
            said = self.explained(address)
            self.check(f"explained as {said} to {address}", said == self.verdict)
        print(f"{', '.join(addresses)}: {result}, counted {grown}, explained")


def main():
    if len(sys.argv) not in (6, 7):
        sys.exit(__doc__)
    flow = Flow(*sys.argv[1:])
    try:
        flow.run()
    except Failure as failure:
        flow.problems.append(str(failure))
    print("\n".join(flow.problems))
    return 1 if flow.problems else 0


if __name__ == "__main__":
    sys.exit(main())
