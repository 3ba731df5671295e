# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Ask a wire who has an address. It needs no address of one's own there, no program, and no answer to a ping."""

from __future__ import annotations

import fcntl
import socket
import struct
import time
from pathlib import Path

_ETHERTYPE = 0x0806
_SIOCGIFADDR = 0x8915
_BROADCAST = b"\xff" * 6
_HEADER = struct.Struct("!6s6sHHHBBH6s4s6s4s")
_REQUEST, _REPLY = 1, 2
_TRIES = 3
_WAIT = 0.7


def request(own_mac: bytes, own_address: bytes, address: bytes) -> bytes:
    """Return the frame that asks for an address."""
    return _HEADER.pack(
        _BROADCAST, own_mac, _ETHERTYPE, 1, 0x0800, 6, 4, _REQUEST, own_mac, own_address, b"\0" * 6, address
    )


def answer(frame: bytes, address: bytes) -> str | None:
    """Return the MAC address that a frame says an address has, or None when it says nothing about it."""
    if len(frame) < _HEADER.size:
        return None
    fields = _HEADER.unpack(frame[: _HEADER.size])
    if fields[2] != _ETHERTYPE or fields[7] != _REPLY or fields[9] != address:
        return None
    return ":".join(f"{byte:02x}" for byte in fields[8])


def _own_address(interface: str) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as query:
        try:
            found = fcntl.ioctl(query.fileno(), _SIOCGIFADDR, struct.pack("256s", interface.encode()[:15]))
        except OSError:
            return b"\0" * 4
    return found[20:24]


def glance(interface: str, address: str) -> str | None:
    """Return the MAC address that answers at once for an IPv4 address on an interface, or None."""
    return neighbour(interface, address, tries=1)


def neighbour(interface: str, address: str, tries: int = _TRIES) -> str | None:
    """Return the MAC address that answers for an IPv4 address on an interface, or None."""
    try:
        wanted = socket.inet_aton(address)
        mac = bytes.fromhex(Path("/sys/class/net", interface, "address").read_text(encoding="ascii").replace(":", ""))
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETHERTYPE)) as wire:
            wire.bind((interface, _ETHERTYPE))
            for _unused in range(tries):
                wire.send(request(mac, _own_address(interface), wanted))
                deadline = time.monotonic() + _WAIT
                while (left := deadline - time.monotonic()) > 0:
                    wire.settimeout(left)
                    try:
                        found = answer(wire.recv(64), wanted)
                    except TimeoutError:
                        break
                    if found:
                        return found
    except (OSError, ValueError, struct.error):
        # No such interface, it is down, or it is no Ethernet: nobody answers.
        return None
    return None
