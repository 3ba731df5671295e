# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Probes: ICMP echo through one uplink, and ARP for a gateway that answers no ping."""

from __future__ import annotations

import array
import errno
import os
import socket
import struct
from dataclasses import dataclass

_ECHO, _ECHO_REPLY = 8, 0
_ETH_P_ARP = 0x0806
_SO_ATTACH_FILTER = 26
_IP_PKTINFO = 8
_BROADCAST = b"\xff" * 6
# The ruleset of the host itself refuses the probe: that says nothing about the uplink.
REFUSED = errno.EPERM


@dataclass(frozen=True)
class Answer:
    """What came back: the uplink's number, the probe's, and who answered."""

    uplink: int
    sequence: int
    source: str


def checksum(data: bytes) -> int:
    """The Internet checksum of an even number of bytes."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return int(~(total + (total >> 16)) & 0xFFFF)


def _filter(program: list[tuple[int, int, int, int]]) -> tuple[bytes, array.array[int]]:
    # Not by ctypes: importing it needs memory that is writable and executable
    held = array.array("B", b"".join(struct.pack("HBBI", *line) for line in program))
    return struct.pack("HL", len(program), held.buffer_info()[0]), held


class Echo:
    """ICMP echo requests with a mark each, from one socket.

    The identifier of a probe is a random byte of this process and the uplink's number: of conntrack they must be
    different connections, since two uplinks can share an address.
    """

    def __init__(self) -> None:
        self._nonce = os.urandom(8)
        self._base = self._nonce[0]
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP)
        # Only replies to this process wake it up: skip the IP header, compare type and first byte of the identifier
        program = [
            (0xB1, 0, 0, 0),
            (0x50, 0, 0, 0),
            (0x15, 0, 3, _ECHO_REPLY),
            (0x50, 0, 0, 4),
            (0x15, 0, 1, self._base),
            (0x06, 0, 0, 0xFFFF),
            (0x06, 0, 0, 0),
        ]
        option, _held = _filter(program)
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, option)

    def send(self, uplink: int, sequence: int, target: str, source: str, mark: int) -> int:
        """Send a probe; return 0, or the error's number."""
        body = self._nonce + struct.pack("!HHI", uplink, sequence, mark)
        head = struct.pack("!BBHBBH", _ECHO, 0, 0, self._base, uplink, sequence)
        packet = head[:2] + struct.pack("!H", checksum(head + body)) + head[4:] + body
        where = struct.pack("I4s4s", 0, socket.inet_aton(source), bytes(4))
        ancillary = [
            (socket.SOL_SOCKET, socket.SO_MARK, struct.pack("I", mark)),
            (socket.IPPROTO_IP, _IP_PKTINFO, where),
        ]
        try:
            self.socket.sendmsg([packet], ancillary, 0, (target, 0))
        except OSError as error:
            return error.errno or -1
        return 0

    def receive(self) -> list[Answer]:
        """Return the answers that came."""
        answers: list[Answer] = []
        while True:
            try:
                packet, (source, _port) = self.socket.recvfrom(512)
            except OSError:
                return answers
            icmp = packet[(packet[0] & 0xF) * 4 :] if packet else b""
            if len(icmp) >= 24 and icmp[0] == _ECHO_REPLY and icmp[8:16] == self._nonce:
                uplink, sequence, _mark = struct.unpack("!HHI", icmp[16:24])
                answers.append(Answer(uplink, sequence, str(source)))

    def close(self) -> None:
        self.socket.close()


class Neighbour:
    """ARP requests for the gateway of one interface."""

    def __init__(self, interface: str) -> None:
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0)
        try:
            self.socket.bind((interface, _ETH_P_ARP))
        except OSError:
            self.socket.close()
            raise
        self._interface = interface
        self._address = self.socket.getsockname()[4]

    def ask(self, gateway: str, source: str, mac: str | None = None) -> int:
        """Send a request; return 0, or the error's number."""
        if len(self._address) != 6:
            return errno.EAFNOSUPPORT
        request = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + self._address + socket.inet_aton(source)
        request += bytes(6) + socket.inet_aton(gateway)
        destination = bytes.fromhex(mac.replace(":", "")) if mac else _BROADCAST
        try:
            self.socket.sendto(request, (self._interface, _ETH_P_ARP, 0, 0, destination))
        except OSError as error:
            return error.errno or -1
        return 0

    def receive(self) -> list[str]:
        """Return the addresses that answered."""
        found: list[str] = []
        while True:
            try:
                packet = self.socket.recv(64)
            except OSError:
                return found
            if len(packet) >= 28 and struct.unpack("!HH", packet[:4]) == (1, 0x0800) and packet[7] == 2:
                found.append(socket.inet_ntoa(packet[14:18]))

    def close(self) -> None:
        self.socket.close()
