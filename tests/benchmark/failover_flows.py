# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flows through the uplinks: run as C(server) in the internet and as C(client) in a guest.

The client writes what happened, one JSON list a line, with the time of the machine's monotonic clock:
C(["new", flow, sent, took, uplink]) a new connection's first packet; C(["udp", flow, sent, took, uplink]) one packet of
a long flow; C(["tcp", flow, sent, took, uplink]) one request of a long connection, and
C(took) is null when nothing came back. The server says by which gateway a packet came: that is the uplink.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

PORT = 7007
_IP_PKTINFO = 8
PATIENCE = 1.0
HEAD = struct.Struct("!IId")


def uplink_of(address: str) -> int:
    """The gateways' outer addresses are 10.9.<number>.1."""
    return int(address.split(".")[2])


def serve() -> None:
    """Answer with the request and the number of the uplink that it came by."""
    selector = selectors.DefaultSelector()
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    udp.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    udp.bind(("", PORT))
    tcp = socket.create_server(("", PORT), backlog=128)
    tcp.setblocking(False)

    def echo() -> None:
        while True:
            try:
                data, ancillary, _flags, peer = udp.recvmsg(512, 64)
            except BlockingIOError:
                return
            # From the address that was asked
            own = ancillary[0][2][8:12]
            reply = [(socket.IPPROTO_IP, _IP_PKTINFO, struct.pack("I4s4s", 0, own, bytes(4)))]
            udp.sendmsg([data + bytes([uplink_of(peer[0])])], reply, 0, peer)

    def stream(peer: socket.socket, number: int) -> Callable[[], None]:
        def pump() -> None:
            try:
                data = peer.recv(4096)
            except OSError:
                data = b""
            if data:
                whole = [data[at : at + HEAD.size] for at in range(0, len(data), HEAD.size)]
                peer.send(b"".join(each + bytes([number]) for each in whole))
            else:
                selector.unregister(peer)
                peer.close()

        return pump

    def accept() -> None:
        peer, address = tcp.accept()
        peer.setblocking(False)
        selector.register(peer, selectors.EVENT_READ, stream(peer, uplink_of(address[0])))

    selector.register(udp, selectors.EVENT_READ, echo)
    selector.register(tcp, selectors.EVENT_READ, accept)
    while True:
        for key, _events in selector.select():
            key.data()


class Client:
    """New connections at a pace, and long flows."""

    def __init__(self, servers: list[str], every: float, flows: int, log: Any) -> None:
        self.servers, self.every, self.log = servers, every, log
        self.selector = selectors.DefaultSelector()
        self.waiting: dict[tuple[str, int, int], float] = {}
        self.new: dict[int, socket.socket] = {}
        self.udp = [self.datagrams() for _flow in range(flows)]
        self.tcp: list[socket.socket | None] = [None] * flows
        self.buffers = [b""] * flows
        self.retry = [0.0] * flows
        self.heard = [0.0] * flows
        self.count = 0

    def datagrams(self) -> socket.socket:
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    def note(self, *what: object) -> None:
        self.log.write(json.dumps(what) + "\n")

    def run(self, until: Callable[[], bool]) -> None:
        for flow, each in enumerate(self.udp):
            each.connect((self.servers[-1 - flow], PORT))
            self.selector.register(each, selectors.EVENT_READ, ("udp", flow))
        turn = time.monotonic()
        while until():
            now = time.monotonic()
            if now >= turn:
                self.turn(now)
                turn = max(turn + self.every, now)
            for key, _events in self.selector.select(max(turn - time.monotonic(), 0)):
                self.read(key.fileobj, *key.data)
        self.expire(float("inf"))
        self.log.flush()

    def turn(self, now: float) -> None:
        self.count += 1
        self.expire(now - PATIENCE)
        fresh = self.datagrams()
        self.selector.register(fresh, selectors.EVENT_READ, ("new", self.count))
        self.new[self.count] = fresh
        self.send(fresh, "new", self.count, now, (self.servers[self.count % (len(self.servers) - 20)], PORT))
        if self.count % 5 == 0:
            for flow, each in enumerate(self.udp):
                self.send(each, "udp", flow, now)
            for flow in range(len(self.tcp)):
                self.request(flow, now)

    def send(self, sock: socket.socket, kind: str, flow: int, now: float, to: tuple[str, int] | None = None) -> None:
        self.waiting[kind, flow, self.count] = now
        data = HEAD.pack(flow, self.count, now)
        try:
            if to:
                sock.connect(to)
            sock.send(data)
        except OSError:
            pass

    def request(self, flow: int, now: float) -> None:
        each = self.tcp[flow]
        if each is None:
            if now < self.retry[flow]:
                return
            each = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            each.connect_ex((self.servers[-11 - flow], PORT))
            self.tcp[flow], self.buffers[flow], self.heard[flow] = each, b"", now
            self.selector.register(each, selectors.EVENT_READ, ("tcp", flow))
        if now - self.heard[flow] > 20:
            self.over(flow, now, "silent for 20 s")
            return
        self.waiting["tcp", flow, self.count] = now
        try:
            each.send(HEAD.pack(flow, self.count, now))
        except BlockingIOError:
            # Not connected yet, or nothing gets through
            self.waiting.pop(("tcp", flow, self.count))
        except OSError as error:
            self.over(flow, now, os.strerror(error.errno or 0))

    def over(self, flow: int, now: float, why: str) -> None:
        each = self.tcp[flow]
        if each is not None:
            self.selector.unregister(each)
            each.close()
            self.note("tcp", flow, now, "ended", why)
        self.tcp[flow], self.retry[flow] = None, now + 0.1
        for key in [key for key in self.waiting if key[:2] == ("tcp", flow)]:
            del self.waiting[key]

    def read(self, sock: Any, kind: str, flow: int) -> None:
        now = time.monotonic()
        try:
            data = sock.recv(4096)
        except BlockingIOError:
            return
        except OSError as error:
            if kind == "tcp":
                self.over(flow, now, os.strerror(error.errno or 0))
            return
        if kind == "tcp":
            if not data:
                self.over(flow, now, "closed")
                return
            data = self.buffers[flow] + data
        whole = len(data) // (HEAD.size + 1) * (HEAD.size + 1)
        for at in range(0, whole, HEAD.size + 1):
            _flow, count, sent = HEAD.unpack_from(data, at)
            if self.waiting.pop((kind, flow, count), None) is not None:
                self.note(kind, flow, round(sent, 4), round(now - sent, 4), data[at + HEAD.size])
        if kind == "tcp":
            self.buffers[flow] = data[whole:]
            self.heard[flow] = now
        elif kind == "new":
            self.close(flow)

    def close(self, flow: int) -> None:
        sock = self.new.pop(flow, None)
        if sock is not None:
            self.selector.unregister(sock)
            sock.close()

    def expire(self, before: float) -> None:
        for key in list(self.waiting):
            kind, flow, _count = key
            if kind == "tcp":
                # TCP sends again what was lost: what counts there is how long an answer took
                continue
            if self.waiting[key] > before:
                break
            self.note(kind, flow, round(self.waiting.pop(key), 4), None, None)
            if kind == "new":
                self.close(flow)


def main() -> None:
    if sys.argv[1] == "server":
        serve()
    servers, every, flows, path = sys.argv[2].split(","), float(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
    parent = os.getppid()
    with open(path, "w", encoding="utf-8", buffering=1 << 16) as log:
        Client(servers, every, flows, log).run(lambda: os.getppid() == parent and not os.path.exists(f"{path}.stop"))


if __name__ == "__main__":
    main()
