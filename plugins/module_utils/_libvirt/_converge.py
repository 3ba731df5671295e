# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""The flow of kvm_guest: read, normalise, check, plan, apply; without AnsibleModule."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt import _mark
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._apply import Applier
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._backend import Backend, Domain
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._boot import Boot, has_order
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._disks import Files, chain, inspect
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._drives import source_of
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._guest import Guest, Settings, normalise
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._images import Image, Library, read_images
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._options import BY_NAME
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._planner import Planner
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._problems import check_guests
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._read import read_entries, read_users, told_once
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._step import Step
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._wait import Probe, address_of
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Change, Plan, Problem


@dataclass
class Outcome:
    """What was planned, and after the apply what came of it."""

    steps: list[Step] = field(default_factory=list)
    downloads: list[Image] = field(default_factory=list)
    arrived: list[Image] = field(default_factory=list)
    images: dict[str, Image] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    boot: Change | None = None
    problems: list[Problem] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)

    def plan(self) -> Plan:
        """Return the plan in the user's terms."""
        plan = Plan(_arrival(image) for image in (*self.arrived, *self.downloads))
        for step in self.steps:
            for change in step.changes:
                plan.add(change)
        for path in self.unused:
            plan.add(Change("delete", "image", path))
        if self.boot is not None:
            plan.add(self.boot)
        return plan

    def to_result(self) -> dict[str, Any]:
        """Return the module's result."""
        result = self.plan().to_result()
        result["pending_restart"] = [
            # In the table's order, whether the plan knew or libvirt refused
            {"name": step.name, "options": sorted(step.pending, key=list(BY_NAME).index)}
            for step in self.steps
            if step.pending
        ]
        result["needs_recreate"] = [
            {"name": step.name, "options": {key: {"have": h, "want": w} for key, (h, w) in step.recreate.items()}}
            for step in self.steps
            if step.recreate
        ]
        result["guests"] = [
            {
                "name": step.name,
                "state": step.guest.state,
                "address": self.addresses.get(step.name, step.address),
                "nics": step.guest.given.get("nics", []),
            }
            for step in self.steps
            if step.guest is not None and step.guest.state != "absent"
        ]
        return result

    def failure(self) -> str:
        """Return what went wrong while applying, guest by guest."""
        return "\n".join(f"{name}: {reason}" for name, reason in sorted(self.failures.items()))


def _arrival(image: Image) -> Change:
    if image.source is not None:
        return Change("create", "image", image.name, {"path": (None, image.source)}, "converted to qcow2")
    return Change("create", "image", image.name, {"url": (None, image.url)})


def host_memory_mib() -> int | None:
    """Return the host's memory."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    except (OSError, ValueError):
        return None


class Converger:
    """Converges the guests of one host.

    Args:
        backend: where domains live.
        files: where disks and seeds are.
        library: the host's images.
        probe: what the host knows about the guests' network.
        settings: what the call says for all guests.
        memory_mib: the host's memory, None not to check it.
        boot: what starts guests with the host in their order; None where nothing does.
    """

    def __init__(
        self,
        backend: Backend,
        files: Files,
        library: Library,
        probe: Probe,
        settings: Settings,
        memory_mib: int | None = None,
        boot: Boot | None = None,
    ) -> None:
        self._backend = backend
        self._files = files
        self.library = library
        self._probe = probe
        self._settings = settings
        self._memory_mib = memory_mib
        self._boot = boot

    def plan(self, entries: Sequence[Mapping[str, Any]], images: Mapping[str, Any], exclusive: bool) -> Outcome:
        """Read, check and plan; nothing is written."""
        outcome = Outcome()
        known, outcome.problems = read_images(images, str(self.library.directory))
        rows, wrong = read_entries(entries)
        users, more = read_users(self._settings.users)
        outcome.problems += wrong + more
        settings = replace(self._settings, users=users)
        known = outcome.images = self.library.resolve(known)
        guests = [normalise(row, known, settings) for row in rows]
        domains = self._backend.domains()
        names = {guest.name for guest in guests}
        staying = [d for d in domains if not exclusive or d.name in names or _mark.find(d.root) is None]
        found = check_guests(guests, known, staying, self._memory_mib)
        outcome.problems += told_once(found, outcome.problems)
        used = {g.image.name: g.image for g in guests if g.image is not None and g.state != "absent"}
        outcome.problems += told_once(self._check_images(used.values(), domains, guests), outcome.problems)
        leases, now = self._probe.leases(), self._probe.now()
        planner = Planner(settings, self._files, lambda mac: address_of(mac, leases, now))
        if outcome.problems:
            # What the host alone can tell is told along with the rest; none of these steps is taken
            whole = len(rows) == len(entries) and all(guest.says("name", "renamed_from") for guest in guests)
            planner.plan([guest.sketch() for guest in guests], domains, exclusive and whole)
            outcome.problems += told_once(planner.problems, outcome.problems)
            return outcome
        outcome.steps = planner.plan(guests, domains, exclusive)
        outcome.problems = planner.problems
        outcome.downloads = self.library.missing(used.values())
        if self._boot is not None:
            touched = {step.domain for step in outcome.steps}
            others = [domain for domain in domains if domain.name not in touched]
            outcome.boot = self._boot.plan(has_order((g for g in guests if g.state != "absent"), others))
        if self._settings.prune_images:
            outcome.unused = self.library.unused(known.values(), self._standing(domains, outcome.steps))
        return outcome

    def _standing(self, domains: Sequence[Domain], steps: Sequence[Step]) -> set[str]:
        """Return the files that disks stand on: of domains, and of guests that may come back to theirs."""
        removed = {path for step in steps for path in step.remove}
        disks = {source_of(disk) for domain in domains for disk in domain.root.findall("devices/disk")}
        disks |= {source_of(disk) for d in domains if d.live is not None for disk in d.live.findall("devices/disk")}
        disks |= set(self._files.disks())
        return {path for disk in disks if disk is not None and disk not in removed for path in chain(disk)}

    def _check_images(self, images: Any, domains: Sequence[Domain], guests: Sequence[Guest]) -> list[Problem]:
        paths = {name: str(path) for d in domains if (name := d.name) and (path := _mark.get(d.root, "disk"))}
        paths |= {g.name: g.given["disk_path"] for g in guests if g.given.get("disk_path")}
        overlays: dict[str, list[str]] = {}
        for name, path in sorted(paths.items()):
            disk = inspect(path)
            if disk is not None and disk.backing is not None:
                overlays.setdefault(disk.backing, []).append(name)
        return [
            problem for image in images for problem in self.library.check(image, overlays.get(image.path or "", []))
        ]

    def apply(self, outcome: Outcome) -> None:
        """Carry out a plan without problems. A failure of one guest is noted, and the others are made."""
        if outcome.downloads or any(step.make or step.seed for step in outcome.steps):
            self._files.prepare()
        if outcome.downloads:
            self.library.download_all(outcome.downloads)
        used = {s.guest.image.name: s.guest.image for s in outcome.steps if s.guest is not None and s.guest.image}
        self.library.remember(used.values())
        applier = Applier(self._backend, self._files, self._probe, self._settings)
        applier.apply(outcome.steps)
        for path in [] if applier.failures else outcome.unused:
            self.library.remove(path)
        if self._boot is not None and outcome.boot is not None:
            self._boot.apply(outcome.boot.action != "delete")
        outcome.failures = applier.failures
        outcome.addresses = applier.addresses
