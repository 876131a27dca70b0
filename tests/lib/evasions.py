#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A catalogue of what a pod with root and raw sockets tries in order to get a packet out that policy denies.

  evasions.py POD_PID OUTSIDE_PID PEER_PID METRICS_URL

Each row says what is tried and what must happen: the reason that counts, once for each frame, and nothing arrives; or
PASS, and it arrives. Frames are sent by AF_PACKET from inside the pod's namespace; outside and peer are listened to. The
pod's own kernel is kept silent by the caller. Prints TAP, a line a row.

Policy of the pod (10.1.1.2, fd00:1:1::2): to 192.0.2.10 and 2001:db8:2::10 443/TCP and 53/UDP; to 203.0.113.7 and
2001:db8:8::8 everything; to 198.51.100.7, 2001:db8:7::7 and the peer pod (10.1.2.2, fd00:1:2::2) nothing.
"""

import collections
import ctypes
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
import warnings

warnings.filterwarnings("ignore")
from scapy.all import (
    AH, ARP, Dot1Q, Ether, GRE, ICMP, IP, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PadN, Raw, TCP, UDP, ICMPv6EchoReply, ICMPv6EchoRequest, checksum, raw)

POD, POD6 = "10.1.1.2", "fd00:1:1::2"
NODE, NODE6 = "10.1.1.1", "fd00:1:1::1"
GOOD, GOOD6 = "192.0.2.10", "2001:db8:2::10"      # 443/TCP, 53/UDP
FREE, FREE6 = "203.0.113.7", "2001:db8:8::8"      # everything
BAD, BAD6 = "198.51.100.7", "2001:db8:7::7"       # nothing
PEER, PEER6 = "10.1.2.2", "fd00:1:2::2"           # nothing
OWN_MAC = "00:00:00:00:00:00"                     # stands for the pod's own
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)
PASS = "pass"
LINK = "link"  # passes; it is for the link, so nobody beyond it hears it

Row = collections.namedtuple("Row", "name expected frames before", defaults=[()])
ROWS = []


def row(name, expected, *frames, before=()):
    ROWS.append(Row(name, expected, frames, before))


def t4(destination=BAD, port=443, source=POD, flags="S", sport=40000, **fields):
    return IP(src=source, dst=destination, **fields) / TCP(sport=sport, dport=port, flags=flags)


def u4(destination=BAD, port=53, source=POD, sport=40000, **fields):
    return IP(src=source, dst=destination, **fields) / UDP(sport=sport, dport=port)


def t6(destination=BAD6, port=443, source=POD6, flags="S", sport=40000, **fields):
    return IPv6(src=source, dst=destination, **fields) / TCP(sport=sport, dport=port, flags=flags)


def u6(destination=BAD6, port=53, source=POD6, sport=40000, **fields):
    return IPv6(src=source, dst=destination, **fields) / UDP(sport=sport, dport=port)


def p4(protocol, destination=BAD, payload=b"\0" * 40, source=POD):
    return IP(src=source, dst=destination, proto=protocol) / Raw(payload)


def p6(protocol, destination=BAD6, payload=b"\0" * 40, source=POD6):
    return IPv6(src=source, dst=destination, nh=protocol) / Raw(payload)


def sctp(sport, port):
    """A header and a chunk, of which only the ports matter."""
    return sport.to_bytes(2, "big") + port.to_bytes(2, "big") + bytes(8) + bytes([10, 0, 0, 20]) + b"SCTP chunk data."


def f4(offset, more, payload, destination=GOOD, ident=1, protocol=17):
    """A fragment; offset in bytes."""
    return IP(src=POD, dst=destination, proto=protocol, id=ident, flags="MF" if more else 0,
              frag=offset // 8) / Raw(payload)


def f6(offset, more, payload, destination=GOOD6, ident=1, protocol=17):
    return IPv6(src=POD6, dst=destination, nh=44) / IPv6ExtHdrFragment(
        nh=protocol, offset=offset // 8, m=int(more), id=ident) / Raw(payload)


def udp_head(port, length=16):
    """The first bytes of a UDP datagram."""
    return bytes([0x9c, 0x40, port >> 8, port & 255, 0, length, 0, 0]) + b"#" * (length - 8)


class Cut:
    """A packet whose bytes are changed after scapy has made it."""

    def __init__(self, packet, change):
        self.packet, self.change = packet, change

    def bytes(self):
        return self.change(bytearray(raw(self.packet)))


def poke(packet, **places):
    """poke(packet, b0=0x44): sets the byte at that offset."""
    def change(data):
        for place, value in places.items():
            data[int(place[1:])] = value
        return data
    return Cut(packet, change)


def short(packet, length):
    return Cut(packet, lambda data: data[:length])


def options(data, destination=GOOD):
    """TCP to an allowed port behind these bytes of options, well-formed or not."""
    def insert(packet):
        packet[0] = 0x45 + len(data) // 4
        packet[2:4] = (len(packet) + len(data)).to_bytes(2, "big")
        packet[10:12] = b"\0\0"
        header = bytes(packet[:20]) + data
        packet[10:12] = checksum(header).to_bytes(2, "big")
        return packet[:20] + data + packet[20:]
    return Cut(t4(destination) / Raw(b"options"), insert)


def nd(kind, destination, target=None, source=POD6, hop=255, option=b"", code=0, flags=0):
    body = bytes([kind, code, 0, 0, flags, 0, 0, 0])
    if target:
        body += socket.inet_pton(socket.AF_INET6, target)
    return IPv6(src=source, dst=destination, nh=58, hlim=hop) / Raw(body + option)


def ether(kind, payload):
    return Ether(type=kind) / Raw(payload)


def quoted4(destination, peer, port, kind=3):
    quote = IP(src=peer, dst=POD) / UDP(sport=port, dport=9)
    return IP(src=POD, dst=destination) / ICMP(type=kind, code=3 if kind == 3 else 0) / quote


def quoted6(destination, peer, port):
    quote = raw(IPv6(src=peer, dst=POD6) / UDP(sport=port, dport=9))
    return IPv6(src=POD6, dst=destination, nh=58) / Raw(bytes([1, 4, 0, 0, 0, 0, 0, 0]) + quote)


def catalogue():
    hidden = UDP(sport=40000, dport=443) / b"hidden"
    # ------------------------------------------------------------- policy, and tunnels as what they are
    row("TCP to a denied address", "policy", t4())
    row("TCP to a denied port", "policy", t4(GOOD, 80))
    row("UDP to a denied port", "policy", u4(GOOD, 443))
    row("TCP to another pod", "policy", t4(PEER, 80))
    row("echo request", "policy", IP(src=POD, dst=BAD) / ICMP())
    row("echo request to where only ports are allowed", "policy", IP(src=POD, dst=GOOD) / ICMP())
    row("timestamp request", "policy", IP(src=POD, dst=GOOD) / ICMP(type=13))
    row("SCTP", "policy", p4(132, GOOD))
    row("UDP-Lite with an allowed port", "policy", p4(136, GOOD, udp_head(53)))
    row("an unknown protocol", "policy", p4(253, GOOD))
    row("DCCP with an allowed port", "policy", p4(33, GOOD, udp_head(443, 40)))
    row("IPv6 in IPv4", "policy", IP(src=POD, dst=BAD, proto=41) / t6(GOOD6))
    row("Ethernet in IPv4", "policy", p4(97, GOOD, b"\x30\0" + raw(Ether() / t4(GOOD))))
    row("L2TP", "policy", p4(115, GOOD))
    row("IPv4 in IPv4", "policy", IP(src=POD, dst=BAD) / t4(GOOD))
    row("GRE", "policy", IP(src=POD, dst=BAD) / GRE() / t4(GOOD))
    row("ESP", "policy", p4(50, GOOD))
    row("VXLAN", "policy", u4(GOOD, 4789))
    row("IPv4 in IPv4 to the node, for another", "node_tunnel", IP(src=POD, dst=NODE) / t4(BAD))
    row("IPv6 in IPv4 to the node, for another", "node_tunnel", IP(src=POD, dst=NODE, proto=41) / t6(BAD6))
    row("VXLAN to the node", "node_tunnel", u4(NODE, 8472))
    row("GRE to the node", "node_tunnel", IP(src=POD, dst=NODE) / GRE() / t4(BAD))
    row("multicast", "policy", u4("224.0.0.251", 5353))
    row("IGMP report", "policy", p4(2, "224.0.0.22", bytes(16)))
    row("broadcast", "policy", u4("255.255.255.255", 67))
    row("broadcast of the subnet", "policy", u4("10.1.1.255", 53))
    row("TCP to a denied address, IPv6", "policy", t6())
    row("TCP to a denied port, IPv6", "policy", t6(GOOD6, 80))
    row("UDP to a denied port, IPv6", "policy", u6(GOOD6, 443))
    row("TCP to another pod, IPv6", "policy", t6(PEER6, 80))
    row("echo request, IPv6", "policy", IPv6(src=POD6, dst=BAD6) / ICMPv6EchoRequest())
    row("echo request to where only ports are allowed, IPv6", "policy", IPv6(src=POD6, dst=GOOD6) / ICMPv6EchoRequest())
    row("node information query, IPv6", "policy", IPv6(src=POD6, dst=GOOD6, nh=58) / Raw(bytes([139, 0]) + bytes(30)))
    row("SCTP, IPv6", "policy", p6(132, GOOD6))
    row("UDP-Lite with an allowed port, IPv6", "policy", p6(136, GOOD6, udp_head(53)))
    row("DCCP with an allowed port, IPv6", "policy", p6(33, GOOD6, udp_head(443, 40)))
    row("an unknown protocol, IPv6", "policy", p6(253, GOOD6))
    row("Ethernet in IPv6", "policy", p6(97, GOOD6, b"\x30\0" + raw(Ether() / t6(GOOD6))))
    row("IPv6 in IPv6", "policy", IPv6(src=POD6, dst=BAD6) / t6(GOOD6))
    row("IPv4 in IPv6", "policy", IPv6(src=POD6, dst=BAD6, nh=4) / t4(GOOD))
    row("GRE, IPv6", "policy", IPv6(src=POD6, dst=BAD6, nh=47) / GRE() / t6(GOOD6))
    row("ESP, IPv6", "policy", p6(50, GOOD6))
    row("VXLAN, IPv6", "policy", u6(GOOD6, 8472))
    row("IPv6 in IPv6 to the node, for another", "node_tunnel", IPv6(src=POD6, dst=NODE6) / t6(BAD6))
    row("Geneve to the node, IPv6", "node_tunnel", u6(NODE6, 6081))
    row("no next header, IPv6", "policy", p6(59, GOOD6))
    row("multicast, IPv6", "policy", u6("ff02::fb", 5353))
    row("multicast beyond the link, IPv6", "policy", u6("ff0e::1", 53))
    # ------------------------------------------------------------- forged sources
    row("another pod's address", "spoofed_source", t4(GOOD, source="10.1.1.3"))
    row("the node's address", "spoofed_source", t4(GOOD, source=NODE))
    row("the loopback's address", "spoofed_source", t4(GOOD, source="127.0.0.1"))
    row("DHCP, from no address", "spoofed_source", u4("255.255.255.255", 67, "0.0.0.0", 68))
    row("another pod's address, IPv6", "spoofed_source", t6(GOOD6, source="fd00:1:1::3"))
    row("the node's address, IPv6", "spoofed_source", t6(GOOD6, source=NODE6))
    row("a link-local address, IPv6", "spoofed_source", u6(GOOD6, source="fe80::2"))
    row("the pod's IPv4 address, mapped", "spoofed_source", u6(GOOD6, source="::ffff:10.1.1.2"))
    row("DHCPv6, from a link-local address", "spoofed_source", u6("ff02::1:2", 547, "fe80::2", 546))
    # ------------------------------------------------------------- headers
    row("loose source route", "source_route", options(bytes([131, 7, 4]) + socket.inet_aton(BAD) + b"\0"))
    row("strict source route", "source_route", options(bytes([137, 7, 4]) + socket.inet_aton(BAD) + b"\0"))
    row("source route behind other options", "source_route",
        options(bytes([1, 7, 3, 4, 131, 7, 4]) + socket.inet_aton(BAD) + b"\0"))
    row("option of length 0", "ip_header_length", options(bytes([7, 0, 0, 0])))
    row("option beyond the header", "ip_header_length", options(bytes([7, 40, 4, 0])))
    row("header length of 16", "ip_header_length", poke(t4(GOOD), b0=0x44))
    row("header length beyond the packet", "ip_header_length", poke(t4(GOOD), b0=0x4f))
    row("version 6 as IPv4", "ip_version", poke(t4(GOOD), b0=0x65))
    row("version 5", "ip_version", poke(t4(GOOD), b0=0x55))
    row("total length beyond the packet", "ip_total_length", poke(t4(GOOD), b2=1))
    row("total length within the header", "ip_total_length", poke(t4(GOOD), b2=0, b3=19))
    row("total length 0", "ip_total_length", poke(t4(GOOD), b2=0, b3=0))
    row("half an IP header", "truncated", short(t4(GOOD), 10))
    row("half a TCP header", "truncated", IP(src=POD, dst=GOOD, proto=6) / Raw(raw(TCP(dport=443))[:12]))
    row("half a UDP header", "truncated", IP(src=POD, dst=GOOD, proto=17) / Raw(udp_head(53)[:4]))
    row("half an SCTP header", "truncated", p4(132, FREE, udp_head(53)[:3]))
    row("half an ICMP header", "truncated", p4(1, FREE, b"\x08"))
    row("authentication header beyond the packet, IPv4", "policy", p4(51, GOOD, bytes([17, 99]) + bytes(22) + raw(hidden)))
    row("IPv6 as IPv4", "ip_version", Ether(type=0x0800) / Raw(raw(t6(GOOD6))))
    row("IPv4 as IPv6", "ip_version", Ether(type=0x86dd) / Raw(raw(t4(GOOD)) + bytes(20)))
    row("payload beyond the packet, IPv6", "ip_total_length", poke(t6(GOOD6), b4=1))
    row("half a TCP header, IPv6", "truncated", p6(6, GOOD6, raw(TCP(dport=443))[:12]))
    row("half a UDP header, IPv6", "truncated", p6(17, GOOD6, udp_head(53)[:4]))
    row("half an SCTP header, IPv6", "truncated", p6(132, FREE6, udp_head(53)[:3]))
    row("half an ICMP header, IPv6", "truncated", p6(58, FREE6, b"\x80"))
    row("payload length that ends in the ports, IPv6", "truncated", poke(t6(GOOD6), b4=0, b5=3))
    row("half an IPv6 header", "truncated", short(t6(GOOD6), 30))
    row("routing header with segments left", "source_route",
        IPv6(src=POD6, dst=GOOD6) / IPv6ExtHdrRouting(addresses=[BAD6], segleft=1) / hidden)
    row("segment routing header with segments left", "source_route",
        p6(43, GOOD6, bytes([17, 2, 4, 1, 0, 0, 0, 0]) + socket.inet_pton(socket.AF_INET6, BAD6) + raw(hidden)))
    row("hop-by-hop options in the second place", "ipv6_extensions",
        p6(60, GOOD6, bytes([0, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0]) + udp_head(53)))
    row("ten extension headers", "ipv6_extensions",
        p6(60, GOOD6, bytes([60, 0, 1, 4, 0, 0, 0, 0]) * 9 + bytes([17, 0, 1, 4, 0, 0, 0, 0]) + udp_head(53)))
    row("extension header beyond the packet", "ipv6_extensions",
        p6(60, GOOD6, bytes([17, 99, 1, 4, 0, 0, 0, 0]) + udp_head(53)))
    row("jumbogram", "ipv6_extensions",
        p6(0, GOOD6, bytes([17, 0, 0xc2, 4, 0, 1, 0, 0]) + udp_head(53)))
    row("denied port behind destination options", "policy",
        IPv6(src=POD6, dst=GOOD6) / IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)]) / hidden)
    row("denied port behind hop-by-hop options", "policy",
        IPv6(src=POD6, dst=GOOD6) / IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 4)]) / hidden)
    row("denied port behind an authentication header", "policy",
        p6(51, GOOD6, bytes([17, 4]) + bytes(22) + raw(hidden)))
    row("denied port behind an authentication header, IPv4", "policy",
        IP(src=POD, dst=GOOD) / AH(nh=17) / hidden)
    row("authentication header beyond the packet", "ipv6_extensions",
        p6(51, GOOD6, bytes([17, 99]) + bytes(22) + raw(hidden)))
    for number, name in ((135, "mobility"), (139, "HIP"), (140, "Shim6")):
        row(f"denied port behind a {name} header", "policy",
            p6(number, GOOD6, bytes([17, 0]) + bytes(6) + raw(hidden)))
    # ------------------------------------------------------------- fragments
    for family, fragment, good in ((4, f4, GOOD), (6, f6, GOOD6)):
        tail = f", IPv{family}"
        row("later fragment alone" + tail, "fragment_unknown", fragment(800, 0, b"#" * 64, ident=11))
        row("first fragment without its ports" + tail, "fragment_invalid", fragment(0, 1, b"", ident=12))
        row("first fragment with half its header" + tail, "fragment_invalid",
            fragment(0, 1, raw(TCP(dport=443))[:8], ident=13, protocol=6))
        row("both fragments of a denied datagram" + tail, "policy",
            fragment(0, 1, udp_head(443), ident=14), fragment(16, 0, b"#" * 64, ident=14))
        row("later fragment first" + tail, "fragment_unknown", fragment(16, 0, b"#" * 64, ident=15))
        row("later fragment over the ports of the first" + tail, "fragment_invalid",
            fragment(8, 0, udp_head(443), ident=16), before=[fragment(0, 1, udp_head(53), ident=16)])
        row("the rest of a datagram that was played with" + tail, "fragment_invalid",
            fragment(64, 0, b"#" * 64, ident=16))
        row("beyond the largest datagram" + tail, "fragment_invalid", fragment(65528, 0, b"#" * 64, ident=17))
        row("a later fragment over the end of the first" + tail, "fragment_invalid",
            fragment(32, 0, b"overlaps" * 8, ident=22), before=[fragment(0, 1, udp_head(53, 64), ident=22)])
        row("a second first fragment, with another port" + tail, "policy",
            fragment(0, 1, udp_head(443), ident=23), before=[fragment(0, 1, udp_head(53), ident=23)])
        row("the rest of a datagram with two beginnings" + tail, "policy", fragment(16, 0, b"the rest" * 8, ident=23))
        row("a fragment of odd length with more to come" + tail, "fragment_invalid",
            fragment(0, 1, udp_head(53) + b"#", ident=18))
        row("a later fragment with another id" + tail, "fragment_unknown",
            fragment(16, 0, b"#" * 64, ident=20), before=[fragment(0, 1, udp_head(53), ident=19)])
        row("a later fragment to somebody else" + tail, "fragment_unknown",
            fragment(16, 0, b"#" * 64, BAD6 if family == 6 else BAD, ident=19))
        row("fragments in order" + tail, PASS,
            fragment(0, 1, udp_head(53, 64), ident=21), fragment(64, 0, b"#" * 64, ident=21))
    row("a later fragment of another protocol", "fragment_unknown",
        f4(16, 0, b"#" * 64, ident=24, protocol=6), before=[f4(0, 1, udp_head(53), ident=24)])
    row("header chain in two fragments", "fragment_invalid",
        f6(0, 1, bytes([17, 1, 1, 4, 0, 0, 0, 0]), ident=31, protocol=60))
    row("fragment in a fragment", "ipv6_extensions",
        f6(0, 1, bytes([17, 0, 0, 1, 0, 0, 0, 9]) + udp_head(53), ident=32, protocol=44))
    row("atomic fragment to a denied port", "policy", f6(0, 0, udp_head(443), ident=33))
    # ------------------------------------------------------------- answers that nobody asked for
    for family, make, udp, good, bad, pod in ((4, t4, u4, GOOD, BAD, POD), (6, t6, u6, GOOD6, BAD6, POD6)):
        tail = f", IPv{family}"
        ask = dict(source=bad, destination=pod)
        row("an ACK nobody asked for" + tail, "policy", make(flags="A", sport=80, port=999))
        row("a SYN-ACK nobody asked for" + tail, "policy", make(flags="SA", sport=80, port=999))
        row("a RST nobody asked for" + tail, "policy", make(flags="R", sport=80, port=999))
        row("after a bare ACK to the pod" + tail, "policy", make(flags="A", sport=80, port=1001),
            before=[make(flags="A", sport=1001, port=80, **ask)])
        row("after a SYN-ACK to the pod" + tail, "policy", make(flags="A", sport=80, port=1002),
            before=[make(flags="SA", sport=1002, port=80, **ask)])
        row("the answer to a SYN" + tail, PASS, make(flags="SA", sport=80, port=1003),
            before=[make(flags="S", sport=1003, port=80, **ask)])
        row("a SYN in a connection of the peer's" + tail, "policy", make(flags="S", sport=80, port=1003))
        row("another port than the peer's" + tail, "policy", make(flags="A", sport=80, port=1004))
        row("UDP instead of TCP" + tail, "policy", udp(sport=80, port=1003))
        row("the answer to a datagram" + tail, PASS, udp(sport=53, port=1005),
            before=[udp(sport=1005, port=53, **ask)])
        row("another datagram than the answer" + tail, "policy", udp(sport=54, port=1005))
        proto = p6 if family == 6 else p4
        row("SCTP that nobody asked for" + tail, "policy", proto(132, bad, sctp(80, 1006)))
        row("the answer to SCTP" + tail, PASS, proto(132, bad, sctp(80, 1007)),
            before=[proto(132, pod, sctp(1007, 80), bad)])
        row("a RST in a connection of the peer's, to another port" + tail, "policy", make(flags="R", sport=80, port=1008),
            before=[make(flags="S", sport=1009, port=80, **ask)])
        row("a datagram to another pod, in the peer's name" + tail, "policy",
            udp(PEER6 if family == 6 else PEER, sport=53, port=1005))
    row("echo reply nobody asked for", "policy", IP(src=POD, dst=BAD) / ICMP(type=0, id=7))
    row("echo reply nobody asked for, IPv6", "policy", IPv6(src=POD6, dst=BAD6) / ICMPv6EchoReply(id=7))
    row("the reply to an echo request", PASS, IP(src=POD, dst=BAD) / ICMP(type=0, id=8),
        before=[IP(src=BAD, dst=POD) / ICMP(type=8, id=8)])
    row("the reply to another echo request", "policy", IP(src=POD, dst=BAD) / ICMP(type=0, id=9))
    row("the reply to an echo request, IPv6", PASS, IPv6(src=POD6, dst=BAD6) / ICMPv6EchoReply(id=8),
        before=[IPv6(src=BAD6, dst=POD6) / ICMPv6EchoRequest(id=8)])
    row("the reply to another echo request, IPv6", "policy", IPv6(src=POD6, dst=BAD6) / ICMPv6EchoReply(id=9))
    row("an echo request after the peer's", "policy", IP(src=POD, dst=BAD) / ICMP(type=8, id=8))
    row("an echo request after the peer's, IPv6", "policy", IPv6(src=POD6, dst=BAD6) / ICMPv6EchoRequest(id=8))
    row("ICMP error about what nobody sent", "policy", quoted4(BAD, BAD, 53))
    row("ICMP error about somebody else's flow", "policy", quoted4(BAD, GOOD, 53))
    row("ICMP error about a denied flow", "policy", quoted4(GOOD, GOOD, 54))
    row("ICMP error about an allowed flow", PASS, quoted4(GOOD, GOOD, 53))
    row("ICMP redirect about an allowed flow", "policy", quoted4(GOOD, GOOD, 53, kind=5))
    row("ICMP error about what nobody sent, IPv6", "policy", quoted6(BAD6, BAD6, 53))
    row("ICMP error about somebody else's flow, IPv6", "policy", quoted6(BAD6, GOOD6, 53))
    row("ICMP error about a denied flow, IPv6", "policy", quoted6(GOOD6, GOOD6, 54))
    row("ICMP error about an allowed flow, IPv6", PASS, quoted6(GOOD6, GOOD6, 53))
    # ------------------------------------------------------------- not IP
    row("802.1Q tag", "vlan", Ether() / Dot1Q(vlan=7) / t4(GOOD))
    row("802.1ad tag", "vlan", Ether(type=0x88a8) / Raw(b"\0\7\x08\0" + raw(t4(GOOD))))
    row("two tags", "vlan", Ether() / Dot1Q(vlan=7) / Dot1Q(vlan=8) / t6(GOOD6))
    for kind, name in ((0x8847, "MPLS"), (0x8863, "PPPoE discovery"), (0x8864, "PPPoE"), (0x0026, "LLC"),
                       (0x88cc, "LLDP"), (0x8035, "RARP"), (0x88b5, "an experiment"), (0x6558, "Ethernet in Ethernet")):
        row(name, "ethertype", ether(kind, bytes(8) + raw(t4(GOOD))))
    own = dict(hwsrc=OWN_MAC, psrc=POD, pdst=NODE)
    row("ARP request of the pod's", LINK, Ether() / ARP(op=1, **own))
    row("ARP for another's address", "arp", Ether() / ARP(op=1, **{**own, "psrc": "10.1.1.3"}))
    row("ARP reply as the gateway", "arp", Ether() / ARP(op=2, **{**own, "psrc": NODE, "pdst": "10.1.1.9"}))
    row("ARP with another's hardware address", "arp", Ether() / ARP(op=1, **{**own, "hwsrc": "02:00:00:00:00:99"}))
    row("ARP with something behind it", "arp", Ether() / ARP(op=1, **own) / Raw(b"#" * 18))
    row("ARP with a packet behind it", "arp", Ether() / ARP(op=1, **own) / Raw(b"\0" * 400))
    row("reverse ARP as ARP", "arp", Ether() / ARP(op=3, **own))
    solicited = "ff02::1:ff00:1"
    row("neighbour solicitation", LINK, nd(135, solicited, NODE6))
    row("advertisement of the pod's own address", LINK, nd(136, NODE6, POD6, flags=0x60))
    row("advertisement over a router", "neighbour_discovery", nd(136, NODE6, POD6, flags=0x60, hop=254))
    row("router solicitation over a router", "neighbour_discovery", nd(133, "ff02::2", hop=254))
    row("router solicitation", LINK, nd(133, "ff02::2"))
    row("router advertisement", "neighbour_discovery", nd(134, "ff02::1", source="fe80::2"))
    row("redirect", "neighbour_discovery", nd(137, NODE6, BAD6, source="fe80::2"))
    row("advertisement of the gateway's address", "neighbour_discovery", nd(136, "ff02::1", NODE6, flags=0x20))
    row("advertisement as a router", "neighbour_discovery", nd(136, "ff02::1", POD6, flags=0xa0))
    row("advertisement to somebody far away", "neighbour_discovery", nd(136, BAD6, POD6))
    row("solicitation of somebody far away", "neighbour_discovery", nd(135, BAD6, BAD6))
    row("solicitation to everybody", "neighbour_discovery", nd(135, "ff02::1", NODE6))
    row("solicitation over a router", "neighbour_discovery", nd(135, solicited, NODE6, hop=254))
    row("solicitation with a code", "neighbour_discovery", nd(135, solicited, NODE6, code=1))
    row("solicitation from a forged address", "spoofed_source", nd(135, solicited, NODE6, source="fd00:1:1::3"))
    row("solicitation with data in an option", "neighbour_discovery",
        nd(135, solicited, NODE6, option=bytes([200, 1]) + b"secret"))
    row("solicitation with a packet behind it", "neighbour_discovery", nd(135, solicited, NODE6, option=b"#" * 400))
    row("router solicitation to one neighbour", "neighbour_discovery", nd(133, "fe80::9"))
    row("listener query", "neighbour_discovery", nd(130, "ff02::1", "ff02::1", source="fe80::2", hop=1))
    row("listener report with data behind it", "neighbour_discovery",
        IPv6(src="fe80::2", dst="ff02::16", hlim=1, nh=0) /
        Raw(bytes([58, 0, 5, 2, 0, 0, 1, 0, 143, 0, 0, 0, 0, 0, 0, 0]) + b"#" * 64))
    row("listener report without router alert", "neighbour_discovery",
        nd(143, "ff02::16", source="fe80::2", hop=1))
    # ------------------------------------------------------------- what must pass
    row("TCP to an allowed port", PASS, t4(GOOD))
    row("echo request to where all is allowed", PASS, IP(src=POD, dst=FREE) / ICMP())
    row("SCTP to where all is allowed", PASS, p4(132, FREE, sctp(5000, 5001)))
    row("ESP to where all is allowed", PASS, p4(50, FREE, b"ESP of the pod's" * 2))
    row("IPv6 in IPv4 to where all is allowed", PASS, IP(src=POD, dst=FREE, proto=41) / t6(BAD6))
    row("UDP to an allowed port", PASS, u4(GOOD))
    row("harmless options", PASS, options(bytes([1, 1, 1, 0])))
    row("IPv4 in IPv4 to where all is allowed", PASS, IP(src=POD, dst=FREE) / t4(BAD))
    row("TCP to an allowed port, IPv6", PASS, t6(GOOD6))
    row("echo request to where all is allowed, IPv6", PASS, IPv6(src=POD6, dst=FREE6) / ICMPv6EchoRequest())
    row("SCTP to where all is allowed, IPv6", PASS, p6(132, FREE6, sctp(5000, 5001)))
    row("ESP to where all is allowed, IPv6", PASS, p6(50, FREE6, b"ESP of the pod's" * 2))
    row("UDP to an allowed port, IPv6", PASS, u6(GOOD6))
    row("an allowed port behind destination options", PASS,
        IPv6(src=POD6, dst=GOOD6) / IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)]) / UDP(sport=4000, dport=53))
    row("GRE to where all is allowed, IPv6", PASS, IPv6(src=POD6, dst=FREE6, nh=47) / GRE() / t6(BAD6))


class Namespace:
    """Sockets inside another network namespace."""

    def __init__(self, pid):
        self.path = f"/proc/{pid}/ns/net"

    def packet_socket(self, interface):
        here, there = os.open("/proc/self/ns/net", os.O_RDONLY), os.open(self.path, os.O_RDONLY)
        try:
            if LIBC.setns(there, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            made.bind((interface, 3))
        finally:
            LIBC.setns(here, CLONE_NEWNET)
            os.close(here)
            os.close(there)
        made.setblocking(False)
        return made

    def mac(self, interface):
        command = ["nsenter", f"--net={self.path}", "ip", "-j", "link", "show", interface]
        return json.loads(subprocess.check_output(command))[0]["address"]


def node_mac(interface):
    return json.loads(subprocess.check_output(["ip", "-j", "link", "show", interface]))[0]["address"]


def drops(url):
    text = urllib.request.urlopen(url + "/metrics").read().decode()
    pattern = r'egressd_dropped_packets_total\{namespace="default",pod="web",reason="(\w+)"\} (\d+)'
    return collections.Counter({reason: int(count) for reason, count in re.findall(pattern, text)})


def frame_of(packet, source, destination, marker):
    """Bytes of an Ethernet frame; IP packets that can hold one end with the marker."""
    if isinstance(packet, Cut):
        data = packet.bytes()
        return Ether(src=source, dst=destination, type=0x86dd if packet.packet.version == 6 else 0x0800).build() + bytes(data)
    if packet.haslayer(ARP) and packet[ARP].hwsrc == OWN_MAC:
        packet = packet.copy()
        packet[ARP].hwsrc = source
    if not isinstance(packet, Ether):
        if isinstance(packet.lastlayer(), (TCP, UDP, ICMP, ICMPv6EchoReply, ICMPv6EchoRequest)):
            packet = packet / Raw(marker)
        packet = Ether() / packet
    packet = packet.copy()
    packet.src, packet.dst = source, destination
    return raw(packet)


def heard(sockets, needles, wait):
    """Which of the needles arrive within the time."""
    found = set()
    end = time.monotonic() + wait
    while time.monotonic() < end and len(found) < len(needles):
        for listener in sockets:
            try:
                while True:
                    data, address = listener.recvfrom(65536)
                    if address[2] != socket.PACKET_OUTGOING:
                        found |= {needle for needle in needles if needle in data}
            except BlockingIOError:
                pass
        time.sleep(0.002)
    return found


class Bench:
    def __init__(self, pod, outside, peer, url):
        pod, outside, peer = Namespace(pod), Namespace(outside), Namespace(peer)
        self.pod, self.outside = pod.packet_socket("eth0"), outside.packet_socket("eth0")
        self.listeners = [self.outside, peer.packet_socket("eth0")]
        self.pod_macs = pod.mac("eth0"), node_mac("web0")
        self.outside_macs = outside.mac("eth0"), node_mac("out0")
        self.url = url

    def prepare(self, packet, number):
        """What a row needs first: from outside towards the pod, or (a first fragment) from the pod."""
        ip = packet[0]
        marker = b"before%04d" % number
        if ip.src in (POD, POD6):
            self.pod.send(frame_of(packet, *self.pod_macs, marker))
        else:
            self.outside.send(frame_of(packet, *self.outside_macs, marker))

    def try_row(self, entry, number):
        for packet in entry.before:
            self.prepare(packet, number)
        if entry.before:
            time.sleep(0.02)
        heard(self.listeners, {b"\0never"}, 0)
        frames = [frame_of(packet, *self.pod_macs, b"EVADE%04d" % number) for packet in entry.frames]
        needles = {frame[-max(12, min(20, len(frame) - 34)):] for frame in frames}
        before = drops(self.url)
        for frame in frames:
            self.pod.send(frame)
        arrived = heard(self.listeners, needles, 1.0 if entry.expected == PASS else 0.01)
        after = drops(self.url)
        after.subtract(before)
        counted = {reason: count for reason, count in after.items() if count}
        wanted = {} if entry.expected in (PASS, LINK) else {entry.expected: len(frames)}
        if counted != wanted:
            return f"drops {counted}, expected {wanted}"
        if entry.expected == PASS and arrived != needles:
            return f"{len(arrived)} of {len(needles)} arrived"
        if entry.expected != PASS and arrived:
            return "it arrived"
        return None


def main(arguments):
    catalogue()
    bench = Bench(*arguments)
    print(f"1..{len(ROWS)}")
    for number, entry in enumerate(ROWS, 1):
        problem = bench.try_row(entry, number)
        print(f"{'not ok' if problem else 'ok'} {number} - {entry.expected}: {entry.name}", flush=True)
        if problem:
            print(f"# {problem}")


if __name__ == "__main__":
    main(sys.argv[1:])
