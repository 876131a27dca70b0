#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Many pods at once, each in a network namespace of its own with an echo server on port 80/TCP and idle processes.

  crowd.py pods COUNT PROCESSES FILE  makes them behind this namespace (pod I is 10.2+I/250.I%250.2 and fd00:2:I::2, its
                                      interface crowdI), writes "NUMBER PID" of each to FILE, prints "ready", and stays
  crowd.py talk COUNT FILE            a connection to each of them, over IPv4 or IPv6 in turn, and an exchange over each
                                      every 100 ms; writes the least number of exchanges that one has had to FILE
  crowd.py watch ADDRESS PORT PATH    asks for the path every 10 ms until standard input ends; prints the longest pause
                                      between two answers, in ms
"""

import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import time

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def address4(number, host):
    return f"10.{2 + number // 250}.{number % 250}.{host}"


def address6(number, host):
    return f"fd00:2:{number:x}::{host}"


def batch(lines):
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines) + "\n", text=True, check=True)


# ------------------------------------------------------------------ pods

def answer_forever():
    listener = socket.create_server(("::", 80), family=socket.AF_INET6, dualstack_ipv6=True, backlog=16)
    peers = [listener]
    while True:
        for one in select.select(peers, [], [])[0]:
            if one is listener:
                peers.append(listener.accept()[0])
                continue
            data = one.recv(4096)
            if data:
                one.sendall(data)
            else:
                peers.remove(one)


def pod(number, processes, ready, wired):
    """Runs in the pod's process, and never returns."""
    if LIBC.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    os.write(ready, b"x")
    os.read(wired, 1)
    batch(["link set lo up", f"address add {address4(number, 2)}/24 dev eth0",
           f"address add {address6(number, 2)}/64 dev eth0 nodad", "link set eth0 up",
           f"route add default via {address4(number, 1)}", f"route add default via {address6(number, 1)}"])
    for _ in range(processes):
        if not os.fork():
            signal.pause()
    os.write(ready, b"y")
    answer_forever()


def make_pods(count, processes, path):
    ready_read, ready = os.pipe()
    wired, wire = os.pipe()
    pids = []
    for number in range(count):
        pid = os.fork()
        if not pid:
            pod(number, processes, ready, wired)
        pids.append(pid)
    for _ in pids:
        os.read(ready_read, 1)
    for number, pid in enumerate(pids):
        batch([f"link add crowd{number} type veth peer name eth0 netns {pid}",
               f"address add {address4(number, 1)}/24 dev crowd{number}",
               f"address add {address6(number, 1)}/64 dev crowd{number} nodad", f"link set crowd{number} up"])
    os.write(wire, b"x" * count)
    for _ in pids:
        os.read(ready_read, 1)
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"{number} {pid}\n" for number, pid in enumerate(pids))
    print("ready", flush=True)
    signal.pause()


# ------------------------------------------------------------------ talk

def connect(number):
    address = address6(number, 2) if number % 2 else address4(number, 2)
    for _ in range(50):
        try:
            connection = socket.create_connection((address, 80), timeout=1)
            connection.setblocking(False)
            return connection
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"no connection to {address}")


def exchange(connection, exchanges):
    """One that is still under way is waited for by the next round: what TCP sends again comes late."""
    try:
        if connection.recv(4096):
            exchanges += 1
            connection.send(b"question\n")
    except BlockingIOError:
        pass
    return exchanges


def talk(count, path):
    connections = [connect(number) for number in range(count)]
    exchanges = [0] * count
    for connection in connections:
        connection.send(b"question\n")
    while True:
        time.sleep(0.1)
        exchanges = [exchange(*both) for both in zip(connections, exchanges)]
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(f"{min(exchanges)}\n")
        os.rename(path + ".new", path)


# ------------------------------------------------------------------ watch

def ask(address, port, path):
    with socket.create_connection((address, port), timeout=30) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        while connection.recv(4096):
            pass


def watch(address, port, path):
    longest, before = 0, None
    while not select.select([sys.stdin], [], [], 0.01)[0]:
        try:
            ask(address, port, path)
        except ConnectionError:
            continue
        now = time.monotonic()
        longest = max(longest, now - (before or now))
        before = now
    print(round(longest * 1000))


def main():
    role, *words = sys.argv[1:]
    if role == "pods":
        make_pods(int(words[0]), int(words[1]), words[2])
    elif role == "talk":
        talk(int(words[0]), words[1])
    elif role == "watch":
        watch(words[0], int(words[1]), words[2])


if __name__ == "__main__":
    main()
