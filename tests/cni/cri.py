#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Asks a container runtime for pods as a kubelet does: CRI (runtime.v1) over its socket.

  cri.py SOCKET ready                             fails unless runtime and network are ready
  cri.py SOCKET start IMAGE FIRST COUNT WORD...   pods pod-FIRST ..., each with a container that runs WORD... ({pod}: the
                                                  pod's name) to its end; then the pod is removed
  cri.py SOCKET run NUMBER                        a pod without containers, that stays; prints its ID and address
  cri.py SOCKET remove ID NUMBER

"start" prints a JSON object a pod: its addresses, the exit status of the container, or the error.
"""

import contextlib
import json
import os
import sys
import time

import grpc

UNIFIED_OR_NOT = ("cgroup", "cgroup2")


# ---------------------------------------------------------------- messages, as protobuf has them on the wire

def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def message(fields):
    """{number: text, number, dict (a message) or list of these}; what is empty is left out."""
    out = b""
    for number, value in fields.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, int):
                out += varint(number << 3) + varint(item)
                continue
            data = item.encode() if isinstance(item, str) else message(item)
            out += varint(number << 3 | 2) + varint(len(data)) + data
    return out


def read_varint(data, at):
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at


def fields_of(data):
    """{number: [value...]}: numbers, and bytes, which the caller knows to be texts or messages."""
    found, at = {}, 0
    while at < len(data):
        key, at = read_varint(data, at)
        if key & 7 == 0:
            value, at = read_varint(data, at)
        elif key & 7 == 2:
            length, at = read_varint(data, at)
            value, at = data[at:at + length], at + length
        else:
            raise ValueError(f"wire type {key & 7}")
        found.setdefault(key >> 3, []).append(value)
    return found


def first(fields, number, default=b""):
    return fields.get(number, [default])[0]


# ---------------------------------------------------------------- the runtime

class Runtime:
    def __init__(self, path):
        self.channel = grpc.insecure_channel(f"unix://{path}")

    def call(self, name, fields):
        ask = self.channel.unary_unary(f"/runtime.v1.RuntimeService/{name}", request_serializer=message,
                                       response_deserializer=fields_of)
        return ask(fields, timeout=60)

    def conditions(self):
        """{name: ready}"""
        status = fields_of(first(self.call("Status", {}), 1))
        rows = [fields_of(row) for row in status.get(1, [])]
        return {first(row, 1).decode(): bool(first(row, 2, 0)) for row in rows}

    def run_sandbox(self, pod):
        return first(self.call("RunPodSandbox", {1: pod}), 1).decode()

    def addresses(self, sandbox):
        network = fields_of(first(fields_of(first(self.call("PodSandboxStatus", {1: sandbox}), 1)), 5))
        more = [first(fields_of(item), 1) for item in network.get(2, [])]
        return [item.decode() for item in [first(network, 1), *more] if item]

    def run_container(self, sandbox, pod, image, words):
        """To its end; its exit status."""
        config = {1: {1: "main"}, 2: {1: image}, 3: words, 15: {2: {}}}
        answer = self.call("CreateContainer", {1: sandbox, 2: config, 3: pod})
        container = first(answer, 1).decode()
        self.call("StartContainer", {1: container})
        end = time.monotonic() + 60
        while time.monotonic() < end:
            status = fields_of(first(self.call("ContainerStatus", {1: container}), 1))
            if first(status, 3, 0) == 2:
                return first(status, 7, 0)
            time.sleep(0.02)
        raise TimeoutError(container)

    def remove_sandbox(self, sandbox):
        self.call("StopPodSandbox", {1: sandbox})
        self.call("RemovePodSandbox", {1: sandbox})


# ---------------------------------------------------------------- pods

def uid_of(number):
    return f"00000000-0000-4000-8000-{number:012d}"


def cgroup_of(number):
    """As a kubelet with the cgroupfs driver has it; made by the runtime, but ours to remove."""
    return f"/kubepods/pod{uid_of(number)}"


def config_of(number):
    return {1: {1: f"pod-{number}", 2: uid_of(number), 3: "default"}, 2: f"pod-{number}",
            8: {1: cgroup_of(number), 2: {}}}


def remove_cgroup(number):
    with open("/proc/mounts", encoding="utf-8") as file:
        hierarchies = [words[1] for words in map(str.split, file) if words[2] in UNIFIED_OR_NOT]
    for hierarchy in hierarchies:
        for group in (cgroup_of(number), os.path.dirname(cgroup_of(number))):
            # Another test's pods may be in the one above.
            with contextlib.suppress(OSError):
                os.rmdir(hierarchy + group)


def start_one(runtime, image, number, words):
    report = {"pod": f"pod-{number}", "error": None, "status": None}
    pod, sandbox = config_of(number), None
    try:
        started = time.monotonic()
        sandbox = runtime.run_sandbox(pod)
        report["seconds"] = time.monotonic() - started
        report["addresses"] = runtime.addresses(sandbox)
        report["status"] = runtime.run_container(sandbox, pod, image,
                                                 [word.replace("{pod}", f"pod-{number}") for word in words])
    except (grpc.RpcError, TimeoutError) as error:
        report["error"] = str(error)
    if sandbox:
        runtime.remove_sandbox(sandbox)
    remove_cgroup(number)
    return report


def main():
    path, command, *arguments = sys.argv[1:]
    runtime = Runtime(path)
    if command == "ready":
        conditions = runtime.conditions()
        if not conditions or not all(conditions.values()):
            sys.exit(f"not ready: {conditions}")
    elif command == "start":
        for number in range(int(arguments[1]), int(arguments[1]) + int(arguments[2])):
            print(json.dumps(start_one(runtime, arguments[0], number, arguments[3:])), flush=True)
    elif command == "run":
        sandbox = runtime.run_sandbox(config_of(int(arguments[0])))
        print(sandbox, *runtime.addresses(sandbox))
    elif command == "remove":
        runtime.remove_sandbox(arguments[0])
        remove_cgroup(int(arguments[1]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
