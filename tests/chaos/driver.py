#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Does to an agent all that a node does, in an order that a seed decides, while traffic runs, and tells what of the
traffic was lost or let through. Run by chaos.sh, inside its sandbox. Standard output has what it comes to; EVENTS has
all that happened, and AGENT_LOG what the agents said, both with seconds since the start.

Allowed by every policy that is ever in force, and never to break: connections from pod web to pod peer and to the
outside, and from the outside to pod web (which answers). Denied by every one of them, and never to arrive: what web
sends to ports 7000 to 7009 of peer and of the outside, counted on their side.

When an attachment itself is taken away nothing judges until it is repaired; the promise is that this takes less than a
second. So the senders of what is denied rest meanwhile, and the time to the repair is measured instead. Attaching waits
for the kernel, some 20 ms at a time. On a busy machine a repair once took 2.6 s although traffic never stood still for
longer than 0.2 s; so how long the kernel lets wait is measured beside.
"""

import ctypes
import fcntl
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

E = os.environ
MANIFESTS, STATE, PIN = E["MANIFESTS"], E["STATE"], E["PIN"]
SECONDS = int(E["CHAOS_SECONDS"])
SEED = int(E.get("CHAOS_SEED") or random.SystemRandom().randrange(1 << 32))
BINARIES = [E["EGRESSD"], *filter(None, E.get("OTHER_EGRESSD", "").split(":"))]
# Ten are denied, from DENIED_PORT on; what the node itself sends to the one behind them shows that the capture works.
ALLOWED_PORT, ANSWER_PORT, DENIED_PORT, SEEN_PORT = 80, 8080, 7000, 7010
WEB, PEER, OUTSIDE = ("10.1.1.2", "fd00:1:1::2"), ("10.1.2.2", "fd00:1:2::2"), ("192.0.2.10", "2001:db8:2::10")
CONNECTIONS = 16
REPAIR_SECONDS = 1.5
# What a repair waits for besides: one for each of the two directions (tcx_entry_sync() in the kernel), after those that a
# new generation under way waits for before and after it is published.
REPAIR_WAITS = 4
# On a machine that does much else besides; how long it takes is not what is judged here.
READY_SECONDS = 300
chance = random.Random(SEED)
# The clock by which the kernel stamps packets.
started = time.time()
counts = {}
late_repairs = []
events = open(E["EVENTS"], "w", encoding="utf-8")  # open until the end
# What was done when, for arrivals to be laid beside.
steps = []


def since_start():
    return time.time() - started


def say(text):
    steps.append((since_start(), text))
    print(f"{steps[-1][0]:8.3f} {text}", file=events, flush=True)


class Failure(Exception):
    pass


def wait_for(seconds, what, condition):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.02)
    raise Failure(f"not so within {seconds} s: {what}")


def run(*command, check=True):
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and result.returncode:
        raise Failure(f"{' '.join(command)}: {result.stderr.strip()}")
    return result.stdout


def get(path):
    """Status and body of an answer of the agent; 0 where there is none."""
    address, port = E["LISTEN"].rsplit(":", 1)
    try:
        with socket.create_connection((address, int(port)), timeout=5) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: chaos\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while data := connection.recv(65536):
                answer += data
    except OSError:
        return 0, ""
    head, _, body = answer.decode().partition("\r\n\r\n")
    return int(head.split()[1]), body


def metric(name):
    for line in get("/metrics")[1].splitlines():
        if line.startswith(name + " "):
            return int(line.split()[1])
    return 0


def write(name, text):
    temporary = os.path.join(E["SANDBOX"], "driver.new")
    with open(temporary, "w", encoding="ascii") as file:
        file.write(text)
    os.rename(temporary, os.path.join(MANIFESTS, name))


# ---------------------------------------------------------------------- the agent

def keep_log(output):
    """Until the process ends; with a time, which the agent leaves to whoever keeps its log."""
    with output, open(E["AGENT_LOG"], "a", encoding="utf-8") as log:
        for line in output:
            print(f"{since_start():8.3f} {line.rstrip()}", file=log, flush=True)


class Agent:
    def __init__(self):
        self.process = None
        self.starts = 0

    def launch(self, binary, attach):
        self.process = subprocess.Popen(
            [binary, "run", "--from", f"dir:{MANIFESTS}", "--pin", PIN, "--state", STATE, "--listen", E["LISTEN"],
             "--attach", attach, *E.get("AGENT_OPTIONS", "").split()],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        threading.Thread(target=keep_log, args=[self.process.stdout], daemon=True).start()
        self.starts += 1
        say(f"started {binary} --attach {attach}")

    def start(self, binary=None):
        self.launch(binary or chance.choice(BINARIES), chance.choice(["auto", "auto", "clsact"]))
        self.await_ready()
        say("ready")

    def await_ready(self):
        wait_for(READY_SECONDS, "the agent is ready", lambda: self.alive() and get("/readyz")[0] == 200)

    def alive(self):
        if self.process.poll() is not None:
            raise Failure(f"the agent ended by itself with {self.process.returncode}")
        return True

    def end(self, number):
        self.process.send_signal(number)
        status = self.process.wait(60)
        if status != (0 if number == signal.SIGTERM else -number):
            raise Failure(f"the agent ended with {status} after signal {number}")
        say(f"ended by signal {number}")
        self.process = None

    def status(self, field):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return next((int(line.split()[1]) for line in file if line.startswith(field)), 0)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


agent = Agent()


# ---------------------------------------------------------------------- traffic

class Traffic:
    def __init__(self, where, *arguments):
        self.where = where
        self.arguments = arguments
        command = ["nsenter", f"--net=/proc/{E[where]}/ns/net", "--", E["TRAFFIC"], *map(str, arguments)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)

    def __str__(self):
        return f"{self.where.lower()} {' '.join(map(str, self.arguments))}"

    def end(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        output = self.process.communicate(timeout=60)[0]
        say(f"{self}: {' '.join(output.split())}")
        if self.process.returncode:
            raise Failure(f"{self} ended with {self.process.returncode}")
        words = output.split()
        result = {words[i]: int(words[i + 1]) for i in range(len(words) - 1) if words[i + 1].isdigit()}
        result["windows"] = [tuple(map(float, line.split()[1:])) for line in output.splitlines()
                             if line.startswith("window ")]
        return result


servers, connections, floods, captures = [], [], [], []


def start_traffic():
    servers.extend([Traffic("PEER", "serve", ALLOWED_PORT), Traffic("OUTSIDE", "serve", ALLOWED_PORT),
                    Traffic("WEB", "serve", ANSWER_PORT)])
    captures.extend([Traffic("PEER", "capture", DENIED_PORT), Traffic("OUTSIDE", "capture", DENIED_PORT)])
    time.sleep(1)
    for i in range(2):
        connections.extend([Traffic("WEB", "connect", PEER[i], ALLOWED_PORT, CONNECTIONS),
                            Traffic("WEB", "connect", OUTSIDE[i], ALLOWED_PORT, CONNECTIONS),
                            Traffic("OUTSIDE", "connect", WEB[i], ANSWER_PORT, CONNECTIONS)])
        floods.extend([Traffic("WEB", "flood", PEER[i], DENIED_PORT), Traffic("WEB", "flood", OUTSIDE[i], DENIED_PORT)])


def is_stopped(process):
    with open(f"/proc/{process.pid}/stat", encoding="ascii") as file:
        return file.read().rpartition(")")[2].split()[0] == "T"


def rest():
    """Until nothing of the floods is under way any more, also where the machine is busy."""
    for flood in floods:
        flood.process.send_signal(signal.SIGSTOP)
    wait_for(10, "the floods rest", lambda: all(is_stopped(flood.process) for flood in floods))
    time.sleep(0.2)


def go_on():
    for flood in floods:
        flood.process.send_signal(signal.SIGCONT)


# ---------------------------------------------------------------------- policy

def rule(peers, ports):
    return f"    - to: [{', '.join(peers)}]\n      ports: [{', '.join(ports)}]\n"


def random_rule():
    """Allows something, but never a port of 7000 to 7009."""
    blocks = [f"{{ipBlock: {{cidr: {chance.randrange(1, 224)}.{chance.randrange(256)}.0.0/16}}}}"
              for _ in range(chance.randrange(1, 40))]
    low = chance.randrange(1, 6000)
    return rule(blocks, [f"{{port: {low}, endPort: {chance.randrange(low, 7000)}, protocol: {chance.choice(['TCP', 'UDP'])}}}"])


def change_policy():
    rules = [rule(["{podSelector: {matchLabels: {app: peer}}}", "{ipBlock: {cidr: 192.0.2.0/24}}",
                   '{ipBlock: {cidr: "2001:db8:2::/64"}}'], [f"{{port: {ALLOWED_PORT}}}"])]
    rules += [random_rule() for _ in range(chance.randrange(6))]
    chance.shuffle(rules)
    write("policy.yaml", "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: web}\nspec:\n"
          "  podSelector: {matchLabels: {app: web}}\n  policyTypes: [Egress]\n  egress:\n" + "".join(rules))


def wrong_policy():
    write("broken.yaml", "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: broken}\nspec: 7\n")
    time.sleep(chance.random() / 5)
    os.unlink(os.path.join(MANIFESTS, "broken.yaml"))


# ---------------------------------------------------------------------- pods

pods = {}


def pod_manifest(number):
    return (f"apiVersion: v1\nkind: Pod\nmetadata:\n  name: churn{number}\n  uid: \"{chance.randrange(1 << 30)}\"\n"
            f"  labels: {{app: {chance.choice(['web', 'peer', 'other'])}}}\n"
            f"  annotations: {{egressd.io/interface: churn{number}}}\n"
            f"status: {{podIPs: [{{ip: 10.2.{number // 256}.{number % 256}}}]}}\n")


def add_pod():
    number = chance.randrange(1, 200)
    if number in pods:
        return replace_pod(number)
    pods[number] = True
    steps = [lambda: run("ip", "link", "add", f"churn{number}", "up", "type", "veth", "peer", "name", f"far{number}"),
             lambda: write(f"churn{number}.yaml", pod_manifest(number))]
    chance.shuffle(steps)
    for step in steps:
        step()
    return None


def replace_pod(number):
    """Another one under its name, as a StatefulSet does."""
    write(f"churn{number}.yaml", pod_manifest(number))


def remove_pod():
    if not pods:
        return
    number = chance.choice(sorted(pods))
    del pods[number]
    steps = [lambda: run("ip", "link", "delete", f"churn{number}"),
             lambda: os.unlink(os.path.join(MANIFESTS, f"churn{number}.yaml"))]
    chance.shuffle(steps)
    for step in steps:
        step()


def many_pods():
    for _ in range(chance.randrange(2, 20)):
        add_pod() if chance.random() < 0.5 else remove_pod()


# ---------------------------------------------------------------------- what else happens

def kill():
    agent.end(signal.SIGKILL)
    for _ in range(chance.randrange(3)):
        chance.choice([change_policy, add_pod, remove_pod])()
    time.sleep(chance.random() / 2)
    agent.start()


def kill_amid_change():
    change_policy()
    time.sleep(chance.random() / 20)
    agent.end(signal.SIGKILL)
    agent.start()


def kill_amid_start():
    agent.end(signal.SIGKILL)
    agent.launch(chance.choice(BINARIES), chance.choice(["auto", "clsact"]))
    time.sleep(chance.random())
    agent.end(signal.SIGKILL)
    agent.start()


def restart():
    agent.end(signal.SIGTERM)
    agent.start()


def hang_up():
    agent.process.send_signal(signal.SIGHUP)


def fill_tables():
    """Flows that web would have to remember, more than its share."""
    filler = Traffic("OUTSIDE", "openings", WEB[chance.randrange(2)], 9, chance.randrange(100, 8000))
    filler.process.communicate(timeout=60)


class KernelWaits:
    """How long the kernel lets a process wait that asks for what attaching asks for, while it is entered: a grace period,
    and the lock of all interfaces (rtnl_lock(), held across grace periods where an interface goes). The longest is kept,
    in seconds."""
    SYS_MEMBARRIER = {"x86_64": 324, "aarch64": 283}[os.uname().machine]
    MEMBARRIER_CMD_GLOBAL = 1
    SIOCGIFTXQLEN, SIOCSIFTXQLEN = 0x8942, 0x8943

    def __init__(self):
        self.longest = 0
        self.over = False
        self.thread = threading.Thread(target=self.wait_again_and_again, daemon=True)

    def wait_again_and_again(self):
        libc = ctypes.CDLL(None)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as node:
            request = struct.pack("16s24x", b"lo")
            while not self.over:
                start = time.monotonic()
                libc.syscall(self.SYS_MEMBARRIER, self.MEMBARRIER_CMD_GLOBAL, 0, 0)
                request = fcntl.ioctl(node, self.SIOCGIFTXQLEN, request)
                fcntl.ioctl(node, self.SIOCSIFTXQLEN, request)
                self.longest = max(self.longest, time.monotonic() - start)
                time.sleep(0.001)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over = True
        self.thread.join()


def repaired(what, disturb):
    before = metric("egressd_repairs_total")
    with KernelWaits() as waits:
        start = time.monotonic()
        disturb()
        wait_for(30, f"{what} is repaired", lambda: metric("egressd_repairs_total") > before)
        took = time.monotonic() - start
    say(f"{what} is repaired after {took * 1000:.0f} ms, while the kernel let wait {waits.longest * 1000:.0f} ms at a time")
    counts["slowest repair (ms)"] = max(counts.get("slowest repair (ms)", 0), round(took * 1000))
    if took > REPAIR_SECONDS + REPAIR_WAITS * waits.longest:
        late_repairs.append(f"{what} was repaired only after {took * 1000:.0f} ms, while the kernel let wait "
                            f"{waits.longest * 1000:.0f} ms at a time")
    agent.await_ready()
    counts["repairs"] = counts.get("repairs", 0) + 1


def take_off():
    """The attachment of web, by whoever can."""
    links = [os.path.join(root, name) for root, _, names in os.walk(PIN) if root.endswith("/links") for name in names
             if name.startswith(f"{socket.if_nametoindex('web0')}-")]
    rest()
    try:
        if links:
            link = json.loads(run("bpftool", "-j", "link", "show", "pinned", chance.choice(links)))["id"]
            repaired("a detached link", lambda: run("bpftool", "link", "detach", "id", str(link)))
        elif chance.random() < 0.5:
            repaired("a deleted filter", lambda: run("tc", "filter", "del", "dev", "web0",
                                                     chance.choice(["ingress", "egress"])))
        else:
            repaired("a cleared qdisc", lambda: run("tc", "qdisc", "del", "dev", "web0", "clsact"))
    finally:
        go_on()


def unpin():
    directory = next(os.path.join(PIN, name) for name in sorted(os.listdir(PIN)) if name.startswith("v"))
    victim = chance.choice(["endpoints", "flows", "flows_beside", "allowed", "dropped", "tables", "first_chunk", "from_pod",
                            "to_pod"])
    repaired(f"the pin {victim}", lambda: os.unlink(os.path.join(directory, victim)))


def foreign_filter():
    """Somebody else's business on the interface: ahead of ours something that looks at each packet and passes it on,
    behind ours something that takes whatever gets there. (What takes packets ahead of ours would keep them from it.)"""
    filters = {"7": ["match", "ip", "dst", "203.0.113.1"], "40000": ["match", "u32", "0", "0"]}
    run("tc", "qdisc", "add", "dev", "web0", "clsact", check=False)
    for priority, match in filters.items():
        run("tc", "filter", "add", "dev", "web0", "ingress", "prio", priority, "protocol", "ip", "u32", *match,
            "flowid", "1:1", check=False)
    time.sleep(chance.random() / 10)
    for priority in filters:
        run("tc", "filter", "del", "dev", "web0", "ingress", "prio", priority, check=False)


def directory_away():
    os.rename(MANIFESTS, MANIFESTS + ".away")
    time.sleep(chance.random() / 5)
    os.rename(MANIFESTS + ".away", MANIFESTS)


ACTIONS = {change_policy: 12, add_pod: 12, remove_pod: 10, many_pods: 3, kill: 4, kill_amid_change: 3,
           kill_amid_start: 2, restart: 3, hang_up: 2, fill_tables: 3, take_off: 2, unpin: 2, foreign_filter: 2,
           wrong_policy: 2, directory_away: 2}
# Left out with CHAOS_RESTARTS=no: then one agent lives through all of it, and its memory tells of leaks.
RESTARTS = (kill, kill_amid_change, kill_amid_start, restart)


# ---------------------------------------------------------------------- the end

def map_entries():
    """Endpoints in the kernel, by interface."""
    return [pod["pod"] for pod in json.loads(run(E["EGRESSCTL"], "--pin", PIN, "--state", STATE, "-o", "json", "pods"))]


def leftovers(descriptors):
    """What should not be there once all that came is gone again."""
    while pods:
        remove_pod()
    agent.end(signal.SIGTERM)
    agent.start(BINARIES[0])
    wait_for(20, "only two pods are left", lambda: sorted(map_entries()) == ["peer", "web"])
    links = sum(len(names) for root, _, names in os.walk(PIN) if root.endswith("/links"))
    versions = [name for name in os.listdir(PIN) if name.startswith("v")]
    overflow = json.loads(run("bpftool", "-j", "map", "dump", "pinned", f"{PIN}/{versions[0]}/endpoints_overflow"))
    endpoints = json.loads(run("bpftool", "-j", "map", "dump", "pinned", f"{PIN}/{versions[0]}/endpoints"))
    taken = sum(1 for entry in endpoints if any(int(byte, 16) for byte in entry["value"][:4]))
    found = {"links": links, "versions": len(versions), "endpoints in the array": taken,
             "endpoints behind it": len(overflow), "descriptors": agent.descriptors() - descriptors}
    say(f"left: {found}")
    wrong = []
    if links not in (0, 4) or len(versions) != 1 or taken + len(overflow) != 2 or found["descriptors"] > 0:
        wrong.append(f"something leaked: {found}")
    return wrong


def chaos():
    end = time.monotonic() + SECONDS
    memory, next_sample = [], time.monotonic() + 10
    allowed = {action: weight for action, weight in ACTIONS.items()
               if action not in RESTARTS or E.get("CHAOS_RESTARTS") != "no"}
    actions, weights = list(allowed), list(allowed.values())
    while time.monotonic() < end:
        action = chance.choices(actions, weights)[0]
        counts[action.__name__] = counts.get(action.__name__, 0) + 1
        say(action.__name__)
        action()
        agent.alive()
        for traffic in servers + connections + floods + captures:
            if traffic.process.poll() is not None:
                raise Failure(f"{traffic} ended early: {traffic.process.stdout.read().strip()}")
        if time.monotonic() > next_sample:
            memory.append(agent.status("VmRSS"))
            next_sample += 10
        time.sleep(chance.random() / 4)
    return memory


def show_that_captures_work():
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as node:
        node.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        for address in (PEER[0], OUTSIDE[0]):
            node.sendto(b"seen", (f"::ffff:{address}", SEEN_PORT))


def steps_around(first, last):
    """What was under way: the last that began before it, and what began within it."""
    before = [step for step in steps if step[0] <= first][-3:]
    return before + [step for step in steps if first < step[0] <= last]


def judge_arrivals(captured):
    """One line for the whole, and one for each time when something came through."""
    wrong = []
    total = sum(result["arrived"] for result in captured)
    if total:
        wrong.append(f"{total} denied packets arrived")
    for capture, result in zip(captures, captured):
        for first, last, count in result["windows"]:
            around = "; ".join(f"{when:.3f} {text}" for when, text in steps_around(first - started, last - started))
            wrong.append(f"{count:.0f} denied packets arrived at {capture.where.lower()} from {first - started:.3f} to "
                         f"{last - started:.3f}: {around}")
    return total, wrong


def judge(sent, results, captured):
    arrived, wrong = judge_arrivals(captured)
    broken = sum(result["broken"] for result in results)
    if broken:
        wrong.append(f"{broken} allowed connections broke")
    if not sent or any(not result["exchanges"] for result in results) or any(not one["seen"] for one in captured):
        wrong.append("there was no traffic to judge by")
    wrong.extend(late_repairs)
    figures = (f"agents started: {agent.starts}; exchanges: {sum(result['exchanges'] for result in results)} on "
               f"{len(results) * CONNECTIONS} connections, {broken} broken, longest wait "
               f"{max(result['longest_ms'] for result in results)} ms; denied packets: {sent} sent, {arrived} arrived")
    return wrong, figures


def memory_figures(memory):
    if not memory:
        return "resident memory of the agent: no sample"
    return (f"resident memory of the agent (KiB): first {memory[0]}, last {memory[-1]}, least {min(memory)}, most "
            f"{max(memory)}; in the course of it {memory[::max(1, len(memory) // 12)]}")


def check():
    change_policy()
    agent.start(BINARIES[0])
    descriptors = agent.descriptors()
    start_traffic()
    time.sleep(2)
    memory = chaos()
    wrong = leftovers(descriptors)
    sent = sum(flood.end()["sent"] for flood in floods)
    results = [connection.end() for connection in connections]
    show_that_captures_work()
    time.sleep(0.5)
    found, figures = judge(sent, results, [capture.end() for capture in captures])
    agent.end(signal.SIGTERM)
    return found + wrong, [f"events: {counts}", figures, memory_figures(memory)]


def main():
    say(f"seed {SEED}, {SECONDS} s")
    figures = []
    try:
        wrong, figures = check()
    except (Failure, OSError, subprocess.SubprocessError) as error:
        wrong = [str(error)]
    for process in [traffic.process for traffic in servers + connections + floods + captures] + [agent.process]:
        if process and process.poll() is None:
            process.kill()
    shutil.rmtree(MANIFESTS + ".away", ignore_errors=True)
    lines = [f"seed {SEED}, {SECONDS} s: {'failed' if wrong else 'all promises held'} (repeat with CHAOS_SEED={SEED})",
             *(f"WRONG: {text}" for text in wrong), *figures]
    for line in lines:
        print(line)
        say(line)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
