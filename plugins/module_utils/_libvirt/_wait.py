# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""Whether a guest is really up: its lease, and where it hangs when there is none."""

from __future__ import annotations

import glob
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._guest import CONSOLE_DIRECTORY

LEASE_FILES = ("/var/lib/misc/dnsmasq*.leases", "/var/lib/dnsmasq/*.leases", "/var/lib/kvmnet/*.leases")
# On the host itself: more is a guest that is not there
_PORT_TIMEOUT = 1.0
_CONSOLE_LINES = 8
_CONSOLE_TAIL = 4096


@dataclass(frozen=True)
class Lease:
    """A line of dnsmasq's lease file; expires is 0 for a lease without end."""

    expires: int
    address: str


def parse_leases(text: str) -> dict[str, Lease]:
    """Return MAC -> lease of a lease file."""
    leases = {}
    for line in text.splitlines():
        fields = line.split()
        # IPv6 leases follow a "duid" line and have no MAC
        if len(fields) >= 4 and fields[0].isdigit() and fields[1].count(":") == 5:
            leases[fields[1].lower()] = Lease(int(fields[0]), fields[2])
    return leases


class Probe:
    """What this host knows about the network of a guest.

    Args:
        lease_files: patterns of dnsmasq's lease files.
        links: the directory of the host's links.
        consoles: the directory of console logs.
    """

    def __init__(
        self,
        lease_files: Sequence[str] = LEASE_FILES,
        links: str = "/sys/class/net",
        consoles: str = CONSOLE_DIRECTORY,
    ) -> None:
        self.patterns = lease_files
        self._links = Path(links)
        self._consoles = Path(consoles)

    def leases(self) -> dict[str, Lease]:
        """Return MAC -> lease, of all lease files."""
        found: dict[str, Lease] = {}
        for pattern in self.patterns:
            for path in sorted(glob.glob(pattern)):
                try:
                    found |= parse_leases(Path(path).read_text(encoding="utf-8", errors="replace"))
                except OSError:
                    continue
        return found

    def has_tap(self, tap: str) -> bool:
        """Return whether a tap exists."""
        return (self._links / tap).exists()

    def has_carrier(self, tap: str) -> bool:
        """Return whether a guest holds the other end of a tap."""
        try:
            return (self._links / tap / "carrier").read_text(encoding="ascii").strip() == "1"
        except OSError:
            return False

    def port(self, address: str, port: int) -> str | None:
        """Return why nothing answers on a TCP port; None when something does."""
        try:
            with socket.create_connection((address, port), timeout=_PORT_TIMEOUT):
                return None
        except TimeoutError:
            return "no answer"
        except OSError as exc:
            return (exc.strerror or str(exc)).lower()

    def console(self, guest: str) -> str:
        """Return the last lines that a guest printed on its serial port."""
        try:
            with (self._consoles / f"{guest}-console.log").open("rb") as file:
                file.seek(0, 2)
                file.seek(max(0, file.tell() - _CONSOLE_TAIL))
                text = file.read().decode("utf-8", errors="replace")
        except OSError:
            return ""
        lines = ["".join(char for char in line if char.isprintable()) for line in text.splitlines()]
        return "\n".join(f"    {line}" for line in [line for line in lines if line.strip()][-_CONSOLE_LINES:])

    def now(self) -> float:
        """Return the time that leases expire by."""
        return time.time()


def address_of(mac: str, leases: Mapping[str, Lease], now: float) -> str | None:
    """Return the address that a MAC holds."""
    lease = has_lease(mac, leases, None, now)
    return None if lease is None else lease.address


def has_lease(mac: str, leases: Mapping[str, Lease], before: Mapping[str, Lease] | None, now: float) -> Lease | None:
    """Return a guest's lease if it is worth something.

    Args:
        mac: the guest's.
        leases: what is handed out.
        before: what was before the guest started; None if it ran already. A lease of an earlier boot proves nothing:
            the guest must have asked again, which moves its end.
        now: the time.
    """
    lease = leases.get(mac)
    if lease is None:
        return None
    if lease.expires == 0:
        return lease
    if lease.expires < now or (before is not None and before.get(mac) == lease):
        return None
    return lease


def hangs_at(tap: str | None, mac: str, address: str | None, lease: Lease | None, probe: Probe) -> str:
    """Return in words how far a guest without its lease came."""
    if tap is not None and not probe.has_tap(tap):
        return f"its tap {tap} is missing on the host"
    if tap is not None and not probe.has_carrier(tap):
        return f"nothing is attached to its tap {tap} (no carrier)"
    if lease is not None:
        return f"its lease is {lease.address}, its record says {address}"
    card = mac if tap is None else f"{mac} on {tap}"
    return f"{card} has no lease in {', '.join(probe.patterns)}"


def with_console(reason: str, guest: str, probe: Probe) -> str:
    """Return a reason with what the guest printed last."""
    console = probe.console(guest)
    return (
        f"{reason}; its console's last lines:\n{console}" if console else f"{reason}; it printed nothing on its console"
    )
