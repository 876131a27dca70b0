#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A small container runtime: network namespaces, a CNI configuration list, runc.

  runtime.py start DIRECTORY FIRST COUNT       containers pod-FIRST ... pod-(FIRST + COUNT - 1), one after the other
  runtime.py capture FILE                      writes "PORT TEXT" for every UDP datagram that comes to this namespace

DIRECTORY holds settings.json: conflist (the path of one), plugins (directories of plugins), rootfs, program (arguments
of each container, with {pod} for its name), timeout (seconds that an ADD of the whole list may take), and optionally
runtimeConfig by type of plugin. As CNI says, each plugin of the list gets the result of the one before; DEL goes through
it backwards. "start" prints a JSON object a container: what went wrong in ADD, how long our plugin's ADD took, the exit
status of the container, and how many errors DEL gave.
"""

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time


class CniError(Exception):
    pass


class Network:
    """A configuration list, as a runtime executes it."""

    def __init__(self, settings):
        with open(settings["conflist"], encoding="utf-8") as file:
            self.conflist = json.load(file)
        self.settings = settings
        self.seconds = {}

    def find(self, kind):
        for directory in self.settings["plugins"]:
            path = os.path.join(directory, kind)
            if os.access(path, os.X_OK):
                return path
        raise CniError(f"there is no plugin {kind}")

    def call(self, verb, plugin, pod, netns, previous):
        config = {**plugin, "cniVersion": self.conflist["cniVersion"], "name": self.conflist["name"]}
        if previous is not None:
            config["prevResult"] = previous
        runtime = self.settings.get("runtimeConfig", {}).get(plugin["type"])
        if runtime and "capabilities" in config:
            config["runtimeConfig"] = runtime
        environment = {
            "CNI_COMMAND": verb, "CNI_CONTAINERID": f"{pod}-{os.environ.get('SANDBOX', '').rpartition('.')[2]}",
            "CNI_NETNS": netns, "CNI_IFNAME": "eth0", "CNI_PATH": ":".join(self.settings["plugins"]),
            "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={pod}",
            "PATH": os.environ["PATH"],
        }
        started = time.monotonic()
        done = subprocess.run([self.find(plugin["type"])], input=json.dumps(config), env=environment,
                              capture_output=True, text=True, timeout=self.settings["timeout"], check=False)
        self.seconds[verb, plugin["type"]] = time.monotonic() - started
        if done.returncode:
            raise CniError(f"{plugin['type']} {verb}: {done.stdout.strip()} {done.stderr.strip()}")
        return json.loads(done.stdout) if done.stdout.strip() else None

    def add(self, pod, netns):
        previous = None
        for plugin in self.conflist["plugins"]:
            previous = self.call("ADD", plugin, pod, netns, previous)
        return previous

    def delete(self, pod, netns, previous):
        errors = 0
        for plugin in reversed(self.conflist["plugins"]):
            try:
                self.call("DEL", plugin, pod, netns, previous)
            except CniError as error:
                print(error, file=sys.stderr)
                errors += 1
        return errors


def bundle(directory, settings, pod, netns):
    """What runc needs of a container with a network namespace that is there already."""
    config = {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0}, "cwd": "/", "env": [], "noNewPrivileges": True,
            "args": [word.replace("{pod}", pod) for word in settings["program"]],
            "capabilities": {kind: ["CAP_NET_RAW"] for kind in ("bounding", "effective", "permitted")},
        },
        "root": {"path": settings["rootfs"], "readonly": True},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"},
                                 {"type": "network", "path": netns}]},
    }
    os.makedirs(directory)
    with open(os.path.join(directory, "config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file)


def run_container(directory, settings, pod, netns):
    place = os.path.join(directory, pod)
    bundle(place, settings, pod, netns)
    name = f"egressd-{os.environ['SANDBOX'].rpartition('.')[2]}-{pod}"
    done = subprocess.run(["runc", "--root", os.path.join(directory, "runc"), "run", "--no-pivot", "--bundle", place,
                           name], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    shutil.rmtree(place)
    if done.returncode:
        print(f"{pod}: {done.stdout} {done.stderr}", file=sys.stderr)
    return done.returncode


def start_one(directory, settings, pod):
    network = Network(settings)
    netns = os.path.join(directory, f"netns-{pod}")
    with open(netns, "w", encoding="utf-8"):
        pass
    subprocess.run(["unshare", f"--net={netns}", "ip", "link", "set", "lo", "up"], check=True)
    report = {"pod": pod, "error": None, "status": None}
    result = None
    try:
        result = network.add(pod, netns)
        report["addresses"] = [item["address"] for item in result["ips"]]
        report["status"] = run_container(directory, settings, pod, netns)
    except CniError as error:
        report["error"] = str(error)
    report["add_seconds"] = network.seconds.get(("ADD", "egress-cni"))
    report["delete_errors"] = network.delete(pod, netns, result)
    # Lazily, as runtimes do: the agent may be looking into it.
    subprocess.run(["umount", "--lazy", netns], check=True)
    os.unlink(netns)
    return report


def start(directory, first, count):
    with open(os.path.join(directory, "settings.json"), encoding="utf-8") as file:
        settings = json.load(file)
    for number in range(first, first + count):
        print(json.dumps(start_one(directory, settings, f"pod-{number}")), flush=True)


def capture(path):
    """Frames, not datagrams: what comes here is seen whoever listens and whatever a firewall does."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as frames, \
            open(path, "w", encoding="utf-8") as out:
        frames.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
        print("ready", flush=True)
        while True:
            frame, address = frames.recvfrom(65536)
            if address[2] == socket.PACKET_OUTGOING or frame[23] != socket.IPPROTO_UDP:
                continue
            header = 14 + (frame[14] & 15) * 4
            port, length = struct.unpack("!HH", frame[header + 2:header + 6])
            print(port, frame[header + 8:header + length].decode(errors="replace"), file=out, flush=True)


def main():
    if len(sys.argv) == 5 and sys.argv[1] == "start":
        start(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    elif len(sys.argv) == 3 and sys.argv[1] == "capture":
        capture(sys.argv[2])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
