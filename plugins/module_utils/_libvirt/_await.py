# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""Waits until guests are really up: their lease, their agent, their ports; and says where one hangs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._backend import Backend, BackendError
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._disks import Files
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._guest import Guest
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._wait import (
    Lease,
    Probe,
    address_of,
    hangs_at,
    has_lease,
    with_console,
)

_POLL = 0.2
_AT_ONCE = 32


def kvm_hint(guest: Guest | None) -> str:
    """Return what to look at when a guest of this type does not come up: a broken KVM may say anything, or nothing."""
    if guest is None or {**guest.defaults, **guest.given}["virt_type"] != "kvm":
        return ""
    return " (virt_type kvm needs working hardware virtualisation; without it use qemu)"


class Waiter:
    """Waits for the guests of one tier.

    Args:
        backend: where domains live.
        files: where it is noted which guests were started and not yet seen up.
        probe: what the host knows about the guests' network.
        fresh: the guests that were just started.
        before: the leases from before that.
    """

    def __init__(
        self, backend: Backend, files: Files, probe: Probe, fresh: set[str], before: Mapping[str, Lease]
    ) -> None:
        self._backend = backend
        self._files = files
        self._probe = probe
        self._fresh = fresh
        self._before = before
        self.addresses: dict[str, str] = {}
        self.failures: dict[str, str] = {}

    def wait(self, guests: Iterable[Guest]) -> None:
        """Wait until each is up, or will not come up any more."""
        started = time.monotonic()
        waiting = list(guests)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            while waiting:
                leases = self._probe.leases()
                missing = list(pool.map(self._missing, waiting, repeat(leases)))
                seconds = time.monotonic() - started
                left = []
                for guest, lacks in zip(waiting, missing, strict=True):
                    if lacks is None:
                        self._files.set_starting(guest.name, False)
                    elif (reason := self._lost(guest, lacks, seconds)) is not None:
                        self.failures[guest.name] = reason
                    else:
                        left.append(guest)
                waiting = left
                if waiting:
                    time.sleep(_POLL)

    def _missing(self, guest: Guest, leases: Mapping[str, Lease]) -> str | None:
        """Return what a guest is waited for first, in words; None when all of it is there."""
        for what in guest.run["wait_for"]:
            lacks = None
            if what == "lease":
                lacks = self._lacks_lease(guest, leases)
            elif what == "agent":
                lacks = self._lacks_agent(guest)
            else:
                lacks = self._lacks_port(guest, leases, int(what["port"]))
            if lacks is not None:
                return lacks
        return None

    def _lacks_lease(self, guest: Guest, leases: Mapping[str, Lease]) -> str | None:
        before = self._before if guest.name in self._fresh else None
        taps = {nic["mac"]: nic["tap"] for nic in guest.given.get("nics", [])}
        for number, (mac, address) in enumerate(guest.run["leases"]):
            lease = has_lease(mac, leases, before, self._probe.now())
            if lease is None or address not in (None, lease.address):
                return hangs_at(taps[mac], mac, address, lease, self._probe)
            if number == 0:
                self.addresses[guest.name] = lease.address
        return None

    def _lacks_agent(self, guest: Guest) -> str | None:
        try:
            there = self._backend.has_agent(guest.name)
        except BackendError as exc:
            return str(exc)
        return None if there else "its guest agent is not there; is qemu-guest-agent installed and running in it?"

    def _lacks_port(self, guest: Guest, leases: Mapping[str, Lease], port: int) -> str | None:
        address = guest.run["address"] or self.addresses.get(guest.name)
        if address is None and guest.given.get("nics"):
            address = address_of(guest.given["nics"][0]["mac"], leases, self._probe.now())
        if address is None:
            return f"it has no address to try port {port} on: no lease, and none in its record"
        reason = self._probe.port(address, port)
        return None if reason is None else f"port {port} of {address}: {reason}"

    def _lost(self, guest: Guest, lacks: str, seconds: float) -> str | None:
        """Return why a guest will not come up any more; None while it may."""
        try:
            stopped = self._backend.power(guest.name) == "stopped"
        except BackendError as exc:
            return str(exc)
        if stopped:
            return with_console(f"it stopped by itself after {seconds:.0f} s", guest.name, self._probe)
        if seconds < guest.run["wait_timeout"]:
            return None
        where = with_console(f"it is not up after {seconds:.0f} s: {lacks}", guest.name, self._probe)
        return where + ("" if self._probe.console(guest.name) else kvm_hint(guest))
