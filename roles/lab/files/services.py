# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab's internet and servers answer: HTTP with the client's address, names, and a line on other TCP ports.

Every address of the machine is served, so in the internet's namespace every address there is.
Usage: python3 services.py [--name NAME] [--http PORT] [--dns PORT] [--echo PORT,PORT...] [--zone FILE]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import socket
import socketserver
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

A, CNAME, PTR, AAAA, ANY = 1, 5, 12, 28, 255
NXDOMAIN = 3
# Linux: the address a datagram was sent to comes with it, so that the answer leaves from there
IP_PKTINFO = 8


class Web(BaseHTTPRequestHandler):
    """Says who asked and for which address: "client server name", then the request's path."""

    name = "internet"
    protocol_version = "HTTP/1.1"

    def _answer(self, body: bool) -> None:
        own = self.connection.getsockname()
        lines = [
            f"client={self.client_address[0]}",
            f"port={self.client_address[1]}",
            f"server={own[0]}",
            f"name={self.name}",
            f"host={self.headers.get('Host', '')}",
            f"path={self.path}",
        ]
        data = ("\n".join(lines) + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: an answer is its own record."""


SIX = socket.AF_INET6


class SixMixin:
    """A server for the IPv6 addresses of the machine alone; another one has the same port of those of IPv4."""

    address_family = SIX
    socket: socket.socket

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # The server that this is mixed into has it
        super().server_bind()  # type: ignore[misc]


class WebServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        # The parent's version asks the name service who we are, and nobody there would answer
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "lab", self.server_address[1]


class Echo(socketserver.BaseRequestHandler):
    """One line to whoever connects, as the banner of a service would be."""

    def handle(self) -> None:
        own = self.request.getsockname()
        self.request.sendall(f"220 client={self.client_address[0]} server={own[0]} port={own[1]}\r\n".encode())


class EchoServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


class WebServerSix(SixMixin, WebServer):
    pass


class EchoServerSix(SixMixin, EchoServer):
    pass


class Zone:
    """Every name exists and has an address that follows from it, except names that only the site itself knows."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.names = {k.lower(): v for k, v in data.get("names", {}).items()}
        self.unknown = [u.lower() for u in data.get("unknown", [])]

    def address(self, name: str, client: str) -> str | None:
        if name == "whoami.example":
            return client
        if name in self.names:
            return str(self.names[name])
        if name.endswith(".invalid") or any(name == u or name.endswith("." + u) for u in self.unknown):
            return None
        digest = hashlib.sha256(name.encode()).digest()
        return f"192.0.2.{digest[0] % 250 + 1}"

    def answer(self, query: bytes, client: str) -> bytes | None:
        """A reply packet (RFC 1035)."""
        if len(query) < 17 or query[2] & 0x80:
            return None
        name, end = read_name(query)
        kind = struct.unpack("!H", query[end : end + 2])[0]
        question = query[12 : end + 4]
        code, record = 0, b""
        if name.endswith(".in-addr.arpa"):
            parts = name.split(".")[:4][::-1]
            if kind in (PTR, ANY):
                record = b"".join(bytes([len(p)]) + p for p in (f"host-{'-'.join(parts)}".encode(), b"example")) + b"\0"
                kind = PTR
        else:
            address = self.address(name, client)
            if address is None:
                code = NXDOMAIN
            elif kind in (A, ANY):
                record, kind = socket.inet_aton(address), A
        flags = 0x8180 | (struct.unpack("!H", query[2:4])[0] & 0x0110) | code
        reply = query[:2] + struct.pack("!HHHHH", flags, 1, 1 if record else 0, 0, 0) + question
        if record:
            reply += struct.pack("!HHHIH", 0xC00C, kind, 1, 60, len(record)) + record
        return reply


def read_name(packet: bytes) -> tuple[str, int]:
    """The name in the question, lower case, and where it ends."""
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1 : at + 1 + packet[at]].decode("ascii", "replace").lower())
        at += packet[at] + 1
    return ".".join(labels), at + 1


def serve_datagrams(zone: Zone, port: int) -> None:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    server.bind(("0.0.0.0", port))
    while True:
        query, ancillary, _flags, peer = server.recvmsg(4096, 256)
        try:
            reply = zone.answer(query, peer[0])
        except (IndexError, struct.error):
            continue
        target = next((d for level, kind, d in ancillary if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO)), None)
        if reply is None or target is None:
            continue
        source = struct.pack("=I4s4s", 0, target[8:12], bytes(4))
        try:
            server.sendmsg([reply], [(socket.IPPROTO_IP, IP_PKTINFO, source)], 0, peer)
        except OSError:
            # Whoever asked has no way back; a real server would not notice either
            continue


def dns_stream(zone: Zone) -> type[socketserver.StreamRequestHandler]:
    class Stream(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            size = self.rfile.read(2)
            if len(size) == 2:
                reply = zone.answer(self.rfile.read(struct.unpack("!H", size)[0]), self.client_address[0])
                if reply is not None:
                    self.wfile.write(struct.pack("!H", len(reply)) + reply)

    return Stream


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", default="internet")
    parser.add_argument("--http", type=int)
    parser.add_argument("--dns", type=int)
    parser.add_argument("--echo", default="")
    parser.add_argument("--zone", type=Path)
    options = parser.parse_args()
    Web.name = options.name
    threads = []
    if options.http:
        threads.append(threading.Thread(target=WebServer(("0.0.0.0", options.http), Web).serve_forever))
    if options.dns:
        zone = Zone(json.loads(options.zone.read_text(encoding="utf-8")) if options.zone else {})
        threads.append(threading.Thread(target=serve_datagrams, args=(zone, options.dns)))
        threads.append(threading.Thread(target=EchoServer(("0.0.0.0", options.dns), dns_stream(zone)).serve_forever))
    ports = [int(port) for port in filter(None, options.echo.split(","))]
    threads += [threading.Thread(target=EchoServer(("0.0.0.0", port), Echo).serve_forever) for port in ports]
    if Path("/proc/net/if_inet6").exists():
        servers: list[socketserver.BaseServer] = [EchoServerSix(("::", port), Echo) for port in ports]
        servers += [WebServerSix(("::", options.http), Web)] if options.http else []
        servers += [EchoServerSix(("::", options.dns), dns_stream(zone))] if options.dns else []
        threads += [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()


if __name__ == "__main__":
    main()
