#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Conversations that wait for a word in the middle: a line on standard input. What happens is printed, a line each.

  talk.py answer-later                      takes four questions (UDP port 5353 and echo, IPv4 and IPv6), and answers each
                                            three times after the word
  talk.py ask ADDRESS4 ADDRESS6             asks them once each, and waits for all answers
  talk.py from-listening-port OWN ADDRESS PORT  an exchange every 20 ms over a connection from a port that is listened at
  talk.py push-later PORT                   takes a connection, and sends the first byte after the word
  talk.py receive ADDRESS PORT [SOURCE]     connects and waits for that byte
"""

import selectors
import socket
import struct
import sys
import time

ANSWERS = 3
UDP_PORT = 5353
IDENTIFIER = 4711


def say(*words):
    print(*words, flush=True)


def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def echo(kind, version6):
    packet = struct.pack("!BBHHH", kind, 0, 0, IDENTIFIER, 1)
    if version6:  # the kernel fills it in
        return packet
    return packet[:2] + struct.pack("!H", checksum(packet)) + packet[4:]


def is_echo(data, kind, version6):
    header = data if version6 else data[(data[0] & 15) * 4:]
    return header[0] == kind and struct.unpack("!H", header[4:6])[0] == IDENTIFIER


def open_sockets():
    """[(socket, IPv6?, echo?)]"""
    return [(socket.socket(family, socket.SOCK_DGRAM), version6, False) for family, version6
            in ((socket.AF_INET, False), (socket.AF_INET6, True))] + [
        (socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP), False, True),
        (socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6), True, True)]


def take(sockets, kinds, wanted):
    """{number of the socket: who sent} once so many packets came on each."""
    selector, came, peers = selectors.DefaultSelector(), {}, {}
    for number, (one, _, _) in enumerate(sockets):
        selector.register(one, selectors.EVENT_READ, number)
    while len(came) < len(sockets) or min(came.values()) < wanted:
        for key, _ in selector.select():
            one, version6, is_raw = sockets[key.data]
            data, peer = one.recvfrom(2048)
            if not is_raw or is_echo(data, kinds[version6], version6):
                came[key.data] = came.get(key.data, 0) + 1
                peers[key.data] = peer
    return peers


def answer_later():
    sockets = open_sockets()
    for one, version6, is_raw in sockets:
        if not is_raw:
            if version6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(("::" if version6 else "0.0.0.0", UDP_PORT))
    say("ready")
    peers = take(sockets, (8, 128), 1)
    say("asked", len(peers))
    sys.stdin.readline()
    for _ in range(ANSWERS):
        for number, (one, version6, is_raw) in enumerate(sockets):
            one.sendto(echo(129 if version6 else 0, version6) if is_raw else b"!", peers[number])


def ask(address4, address6):
    sockets = open_sockets()
    for one, version6, is_raw in sockets:
        address = address6 if version6 else address4
        one.sendto(echo(128 if version6 else 8, version6) if is_raw else b"?", (address, 0 if is_raw else UDP_PORT))
    say("answered", len(take(sockets, (0, 129), ANSWERS)))


def from_listening_port(own, address, port):
    listener, client = socket.socket(), socket.socket()
    for one in (listener, client):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind(("0.0.0.0", int(own)))
    client.connect((address, int(port)))
    listener.listen()
    while client.recv(256):
        client.sendall(b"x")
        say("exchanged")
        time.sleep(0.02)


def push_later(port):
    listener = socket.create_server(("0.0.0.0", int(port)))
    say("ready")
    connection, _ = listener.accept()
    sys.stdin.readline()
    connection.sendall(b"x")
    time.sleep(60)


def receive(address, port, source=""):
    client = socket.create_connection((address, int(port)), source_address=(source, 0))
    say("connected")
    client.recv(1)
    say("received")
    time.sleep(60)


if __name__ == "__main__":
    ROLES = {"answer-later": answer_later, "ask": ask, "from-listening-port": from_listening_port,
             "push-later": push_later, "receive": receive}
    if len(sys.argv) < 2 or sys.argv[1] not in ROLES:
        sys.exit(__doc__)
    ROLES[sys.argv[1]](*sys.argv[2:])
