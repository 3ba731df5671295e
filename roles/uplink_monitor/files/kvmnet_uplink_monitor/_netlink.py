# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""News from the kernel about interfaces, addresses, routes and rules."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_LINK, _ADDRESS, _ROUTE, _RULE = 0x1, 0x10, 0x40, 0x80
_LINKS, _ADDRESSES, _ROUTES = (16, 17), (20, 21), (24, 25, 32, 33)
_IFLA_IFNAME = 3


@dataclass
class News:
    """What changed since the last look: the names of interfaces, whether addresses, whether routes or rules did."""

    links: set[str]
    addresses: bool = False
    routes: bool = False


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 16 <= len(data):
        length, kind = struct.unpack_from("IH", data, at)
        if length < 16:
            return
        yield kind, data[at + 16 : at + length]
        at += (length + 3) & ~3


def _name(payload: bytes) -> str:
    at = 16
    while at + 4 <= len(payload):
        length, kind = struct.unpack_from("HH", payload, at)
        if length < 4:
            break
        if kind == _IFLA_IFNAME:
            return payload[at + 4 : at + length].rstrip(b"\0").decode("utf-8", "replace")
        at += (length + 3) & ~3
    return ""


def digest(data: bytes, news: News) -> None:
    """Note what a datagram says."""
    for kind, payload in _messages(data):
        if kind in _LINKS:
            news.links.add(_name(payload))
        elif kind in _ADDRESSES:
            news.addresses = True
        elif kind in _ROUTES:
            news.routes = True


class Listener:
    """A subscription."""

    def __init__(self) -> None:
        self.socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind((0, _LINK | _ADDRESS | _ROUTE | _RULE))

    def receive(self) -> News:
        """Return what changed."""
        news = News(set())
        while True:
            try:
                digest(self.socket.recv(1 << 16), news)
            except BlockingIOError:
                return news
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                # Some were lost: anything may have changed
                news.addresses = news.routes = True

    def close(self) -> None:
        self.socket.close()
