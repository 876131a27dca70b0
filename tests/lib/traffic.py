#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Servers and clients for the tests with real traffic and the demo.

  traffic.py serve NAME PORT/PROTOCOL...   echo servers on every address; a TCP server greets with NAME first, a UDP
                                           server answers NAME. Prints "ready" once all of them listen.
  traffic.py probe [TIMEOUT]               reads {"to": ADDRESS, "port": N, "protocol": TCP|UDP|ICMP} objects, one a
                                           line ("from": ADDRESS is allowed too), tries all at once, and prints a JSON
                                           line for each, in order:
                                           {"passed": true|false, "by": NAME|null, "error": TEXT|null}
  traffic.py send ADDRESS PORT COUNT       sends so many UDP datagrams and waits for nothing
  traffic.py stream ADDRESS PORT FILE      keeps one TCP connection open, exchanges a line every 20 ms and writes to
                                           FILE how many exchanges there were; ends when the connection does.
"""

import concurrent.futures
import errno
import json
import os
import socket
import struct
import sys
import threading
import time

IPV6_PKTINFO_SIZE = 20


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def echo_connection(connection, name):
    with connection:
        try:
            connection.sendall(name.encode() + b"\n")
            while data := connection.recv(65536):
                connection.sendall(data)
        except OSError:
            pass


def serve_tcp(listener, name):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=echo_connection, args=(connection, name), daemon=True).start()


def serve_udp(listener, name):
    """Answers from the address that was asked, also where the host has several."""
    while True:
        _, ancillary, _, peer = listener.recvmsg(2048, socket.CMSG_SPACE(IPV6_PKTINFO_SIZE))
        reply = []
        for level, kind, data in ancillary:
            if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
                reply = [(level, kind, data[:16] + struct.pack("i", 0))]
        try:
            listener.sendmsg([name.encode()], reply, 0, peer)
        except OSError:
            pass


def serve(name, specifications):
    threads = []
    for specification in specifications:
        port, protocol = specification.split("/")
        kind = socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM
        listener = socket.socket(socket.AF_INET6, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if protocol == "UDP":
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        listener.bind(("::", int(port)))
        if protocol == "TCP":
            listener.listen(64)
        target = serve_tcp if protocol == "TCP" else serve_udp
        threads.append(threading.Thread(target=target, args=(listener, name), daemon=True))
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    for thread in threads:
        thread.join()


def bind_source(client, source):
    if source:
        client.bind((source, 0))


def probe_tcp(address, port, timeout, source):
    with socket.socket(family_of(address), socket.SOCK_STREAM) as client:
        client.settimeout(timeout)
        bind_source(client, source)
        client.connect((address, port))
        return client.recv(256).decode().strip()


def probe_udp(address, port, timeout, source):
    """Twice, because a first datagram may get lost while a neighbour is looked up."""
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as client:
        client.settimeout(timeout / 2)
        bind_source(client, source)
        client.connect((address, port))
        for attempt in (1, 2):
            client.send(b"?")
            try:
                return client.recv(256).decode()
            except TimeoutError:
                if attempt == 2:
                    raise


def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def probe_icmp(address, _port, timeout, source):
    version6 = ":" in address
    protocol = socket.IPPROTO_ICMPV6 if version6 else socket.IPPROTO_ICMP
    with socket.socket(family_of(address), socket.SOCK_RAW, protocol) as client:
        identifier = struct.unpack("!H", os.urandom(2))[0]
        request = struct.pack("!BBHHH", 128 if version6 else 8, 0, 0, identifier, 1)
        if not version6:  # the kernel fills in that of ICMPv6
            request = request[:2] + struct.pack("!H", checksum(request)) + request[4:]
        bind_source(client, source)
        client.connect((address, 0))
        client.send(request)
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            client.settimeout(left)
            packet = client.recv(2048)
            header = packet if version6 else packet[(packet[0] & 15) * 4:]
            if header[0] in (0, 129) and struct.unpack("!H", header[4:6])[0] == identifier:
                return "echo"
        raise TimeoutError


def probe_one(flow, timeout):
    probes = {"TCP": probe_tcp, "UDP": probe_udp, "ICMP": probe_icmp}
    try:
        by = probes[flow["protocol"]](flow["to"], flow.get("port", 0), timeout, flow.get("from"))
        return {"passed": True, "by": by, "error": None}
    except TimeoutError:
        return {"passed": False, "by": None, "error": "timeout"}
    except OSError as error:
        return {"passed": False, "by": None, "error": errno.errorcode.get(error.errno, str(error))}


def probe(timeout):
    flows = [json.loads(line) for line in sys.stdin if line.strip()]
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, len(flows))) as pool:
        for result in pool.map(lambda flow: probe_one(flow, timeout), flows):
            print(json.dumps(result))


def send(address, port, count):
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as client:
        for _ in range(count):
            client.sendto(b"?", (address, port))


def stream(address, port, path):
    exchanges = 0
    with socket.create_connection((address, port), timeout=5) as client:
        client.settimeout(None)
        client.recv(256)
        while True:
            client.sendall(b"x")
            if not client.recv(1):
                return
            exchanges += 1
            with open(path + ".new", "w", encoding="ascii") as file:
                file.write("%d\n" % exchanges)
            os.replace(path + ".new", path)
            time.sleep(0.02)


def main(arguments):
    if len(arguments) >= 2 and arguments[0] == "serve":
        serve(arguments[1], arguments[2:])
    elif arguments[:1] == ["probe"]:
        probe(float(arguments[1]) if len(arguments) > 1 else 1.0)
    elif len(arguments) == 4 and arguments[0] == "send":
        send(arguments[1], int(arguments[2]), int(arguments[3]))
    elif len(arguments) == 4 and arguments[0] == "stream":
        stream(arguments[1], int(arguments[2]), arguments[3])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
