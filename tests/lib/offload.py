#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Packets as a kernel keeps them before a network card would cut them up: longer than any frame, in pages, checksums not
yet made.

  offload.py receive FILE PORT...          counts what comes to UDP ports, and over TCP to the same ones, in FILE: a line
                                           "PORT datagrams bytes" each; "ready" when it listens
  offload.py longest INTERFACE FILE        the length of the longest frame from the interface's other side, in FILE
  offload.py stream ADDRESS PORT           a file over TCP, page by page and without end
  offload.py segments ADDRESS PORT COUNT   so many datagrams of 1,000 bytes, handed to the kernel as one (UDP_SEGMENT)
  offload.py datagram ADDRESS PORT SIZE    one datagram
  offload.py pages INTERFACE GATEWAY-MAC SOURCE ADDRESS PORT
                                           a UDP datagram of 8 bytes; all but the Ethernet header is in a page
"""

import fcntl
import mmap
import os
import selectors
import socket
import struct
import sys
import tempfile

ETH_P_ALL, ETH_P_IP, ETH_P_IPV6, PACKET_OUTGOING = 3, 0x0800, 0x86DD, 4
SOL_PACKET, PACKET_TX_RING = 263, 13
SOL_UDP, UDP_SEGMENT = 17, 103
RING_HEADER, TP_STATUS_SEND_REQUEST = 32, 1
SIOCGIFHWADDR = 0x8927


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def write_file(path, text):
    with open(path + ".new", "w", encoding="ascii") as file:
        file.write(text)
    os.replace(path + ".new", path)


def receive(path, *ports):
    selector, counts = selectors.DefaultSelector(), {port: [0, 0] for port in ports}
    for port in ports:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            listener = socket.socket(socket.AF_INET6, kind)
            listener.bind(("::", int(port)))
            if kind == socket.SOCK_STREAM:
                listener.listen()
            selector.register(listener, selectors.EVENT_READ, (port, kind == socket.SOCK_STREAM))
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            port, accepts = key.data
            if accepts:
                selector.register(key.fileobj.accept()[0], selectors.EVENT_READ, (port, False))
                continue
            data = key.fileobj.recv(1 << 20)
            if not data:
                selector.unregister(key.fileobj)
                continue
            counts[port][0] += key.fileobj.type == socket.SOCK_DGRAM
            counts[port][1] += len(data)
            write_file(path, "".join("%s %d %d\n" % (port, *count) for port, count in counts.items()))


def longest(interface, path):
    capture = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    capture.bind((interface, ETH_P_ALL))
    most = 0
    write_file(path, "0\n")
    while True:
        data, sender = capture.recvfrom(1 << 17)
        if sender[2] != PACKET_OUTGOING and len(data) > most:
            most = len(data)
            write_file(path, "%d\n" % most)


def stream(address, port):
    with tempfile.TemporaryFile() as file, socket.create_connection((address, int(port))) as client:
        file.truncate(1 << 20)
        while True:
            os.sendfile(client.fileno(), file.fileno(), 0, 1 << 20)


def segments(address, port, count):
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as client:
        client.setsockopt(SOL_UDP, UDP_SEGMENT, 1000)
        client.sendto(bytes(1000 * int(count)), (address, int(port)))


def datagram(address, port, size):
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as client:
        client.sendto(bytes(int(size)), (address, int(port)))


def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def udp_datagram(port, pseudo_header):
    udp = struct.pack("!HHHH8s", 40000, int(port), 16, 0, b"in pages")
    return udp[:6] + struct.pack("!H", checksum(pseudo_header + udp)) + udp[8:]


def ipv4_datagram(source, address, port):
    ends = socket.inet_aton(source) + socket.inet_aton(address)
    udp = udp_datagram(port, ends + struct.pack("!BBH", 0, socket.IPPROTO_UDP, 16))
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, socket.IPPROTO_UDP, 0) + ends
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + udp


def ipv6_datagram(source, address, port):
    ends = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, address)
    udp = udp_datagram(port, ends + struct.pack("!II", 16, socket.IPPROTO_UDP))
    return struct.pack("!IHBB", 6 << 28, len(udp), socket.IPPROTO_UDP, 64) + ends + udp


def pages(interface, gateway_mac, source, address, port):
    size, version6 = 4096, ":" in address
    ethertype = ETH_P_IPV6 if version6 else ETH_P_IP
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    request = fcntl.ioctl(sender, SIOCGIFHWADDR, struct.pack("16s16x", interface.encode()))
    frame = (bytes.fromhex(gateway_mac.replace(":", "")) + request[18:24] + struct.pack("!H", ethertype)
             + (ipv6_datagram if version6 else ipv4_datagram)(source, address, port))
    sender.setsockopt(SOL_PACKET, PACKET_TX_RING, struct.pack("IIII", size, 1, size, 1))
    sender.bind((interface, ethertype))
    with mmap.mmap(sender.fileno(), size) as ring:
        ring[RING_HEADER:RING_HEADER + len(frame)] = frame
        ring[:16] = struct.pack("@LII", TP_STATUS_SEND_REQUEST, len(frame), len(frame))
        sender.send(b"")


if __name__ == "__main__":
    ROLES = {"receive": receive, "longest": longest, "stream": stream, "segments": segments, "datagram": datagram,
             "pages": pages}
    if len(sys.argv) < 2 or sys.argv[1] not in ROLES:
        sys.exit(__doc__)
    ROLES[sys.argv[1]](*sys.argv[2:])
