#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Floods, for so many seconds; prints "ready" when the first packets are out, and at the end how many were sent. And what
somebody else notices of them.

  flood.py datagrams ADDRESS PORT SECONDS   UDP
  flood.py syns ADDRESS PORT SECONDS        TCP SYNs, each from another address of 198.18.0.0/15 and another port
  flood.py exchanges ADDRESS PORT SECONDS   a question over a TCP connection as soon as the last one is answered; prints
                                            how many were answered, and the median time of one in microseconds
  flood.py connections ADDRESS PORT SECONDS 100 TCP connections that say nothing, each made anew when it is closed; says
                                            "held" when there were 100, and at the end how many were made in all
"""

import os
import select
import socket
import statistics
import struct
import sys
import time

BATCH = 64


def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def syn(address, port):
    source = socket.inet_aton("198.%d.%d.%d" % (18 + os.urandom(1)[0] % 2, *os.urandom(2)))
    destination = socket.inet_aton(address)
    header = struct.pack("!2s2xIIBBHHH", os.urandom(2), 0, 0, 5 << 4, 2, 1024, 0, 0)
    header = header[:2] + struct.pack("!H", port) + header[4:]
    total = checksum(source + destination + struct.pack("!HH", 6, len(header)) + header)
    header = header[:16] + struct.pack("!H", total) + header[18:]
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, 6, 0, source, destination) + header


def flood(kind, address, port, seconds):
    if kind == "syns":
        sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        packets = [syn(address, port) for _ in range(20000)]
    else:
        sender = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        packets = [b"x" * 16] * BATCH
    end, sent = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        for _ in range(BATCH):
            try:
                sender.sendto(packets[sent % len(packets)], (address, 0 if kind == "syns" else port))
            except OSError:  # the queue is full
                pass
            sent += 1
        if sent == BATCH:
            print("ready", flush=True)
    print(sent)


def exchanges(address, port, seconds):
    times = []
    with socket.create_connection((address, port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.recv(4096)  # the greeting
        end = time.monotonic() + seconds
        while (start := time.monotonic()) < end:
            connection.sendall(b"question")
            connection.recv(4096)
            times.append(time.monotonic() - start)
    print(len(times), round(statistics.median(times) * 1e6))


def connections(address, port, seconds):
    held, made = {}, 0
    poll = select.poll()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if len(held) < 100:
            connection = socket.create_connection((address, port), timeout=10)
            held[connection.fileno()] = connection
            poll.register(connection, select.POLLIN)
            made += 1
            if made == 100:
                print("held", flush=True)
        # Not faster than one in a millisecond: who holds descriptors needs no speed.
        for number, _ in poll.poll(1):
            poll.unregister(number)
            held.pop(number).close()
    print(made)


if __name__ == "__main__":
    if len(sys.argv) != 5 or sys.argv[1] not in ("datagrams", "syns", "exchanges", "connections"):
        sys.exit(__doc__)
    kind, address, port, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    if kind == "exchanges":
        exchanges(address, port, seconds)
    elif kind == "connections":
        connections(address, port, seconds)
    else:
        flood(kind, address, port, seconds)
