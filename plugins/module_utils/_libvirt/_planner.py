# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""From what a guest is and what it shall be to the steps between, without touching anything."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from xml.etree.ElementTree import Element

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt import _devices, _mark
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._backend import Domain, Metadata
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._disks import Disk, Files
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._disks import inspect as inspect_disk
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._guest import CONSOLE_DIRECTORY, Guest, Settings
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._images import Image
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._options import BY_NAME, GIB, ROWS, Option, View
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._seed import digest
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._xml import parse, serialise
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Change, Problem

# What a domain of ours has and no option changes. No USB controller and no video: a server's guest needs neither, and
# starts faster without them.
_SKELETON = """<domain><name/><uuid/><metadata/><memory/><currentMemory/><vcpu placement="static"/>
<os><type>hvm</type><boot dev="hd"/></os><features><acpi/><apic/></features><clock offset="utc"/>
<on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>restart</on_crash>
<devices><controller type="usb" model="none"/><serial type="pty"><target port="0"/></serial>
<console type="pty"><target type="serial" port="0"/></console></devices></domain>"""

# What a plan shows of a new guest; the rest are defaults that say nothing
_SHOWN_ON_CREATE = ("memory_mib", "vcpus", "image", "disk_path", "disk_gib", "kernel", "nics", "autostart")


@dataclass
class Step:
    """All that happens to one guest, as data: the applier does it, check mode only shows it."""

    name: str
    guest: Guest | None = None
    changes: list[Change] = field(default_factory=list)
    make_disk: tuple[str, int | None, Image | None] | None = None
    seed: tuple[str, bytes] | None = None
    define: str | None = None
    metadata: list[tuple[Metadata, str | None]] = field(default_factory=list)
    grow: tuple[Disk, int] | None = None
    autostart: bool | None = None
    power: Literal["start", "stop", "restart"] | None = None
    running: bool = False
    unproven: bool = False
    address: str | None = None
    undefine: bool = False
    keep_nvram: bool = True
    remove: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    recreate: dict[str, tuple[Any, Any]] = field(default_factory=dict)


def _differs(row: Option, have: Any, want: Any) -> bool:
    if want is None:
        return row.clears and have not in (None, [], "")
    return not row.same(have, want)


def _problem(guest: Guest, key: str, value: object, allowed: str) -> Problem:
    return Problem(guest.variable, guest.index, key, value, allowed)


class Planner:
    """Plans all guests of a host.

    Args:
        settings: what the call says for all guests.
        files: where disks and seeds are; only read here.
        addresses: the address that a MAC has a lease for.
    """

    def __init__(self, settings: Settings, files: Files, addresses: Callable[[str], str | None]) -> None:
        self.settings = settings
        self.files = files
        self._addresses = addresses
        self._starting = files.starting()
        self.problems: list[Problem] = []

    def plan(self, guests: Sequence[Guest], domains: Iterable[Domain], exclusive: bool) -> list[Step]:
        """Return a step for each guest listed and, if the list is exclusive, for each domain of ours that is not."""
        there = {domain.name: domain for domain in domains}
        steps = [self._step(guest, there.get(guest.name)) for guest in guests]
        if exclusive:
            listed = {guest.name for guest in guests}
            gone = (d for name, d in there.items() if name not in listed and _mark.find(d.root) is not None)
            steps += [self._absent(domain.name, domain, None) for domain in gone]
        return steps

    def _step(self, guest: Guest, domain: Domain | None) -> Step:
        if guest.state == "absent":
            return self._absent(guest.name, domain, guest)
        if domain is None:
            return self._create(guest)
        return self._change(guest, domain)

    def _absent(self, name: str, domain: Domain | None, guest: Guest | None) -> Step:
        step = Step(name, guest)
        disk = self.files.disk_path(name)
        if guest is not None and guest.given.get("disk_path"):
            disk = guest.given["disk_path"]
        elif domain is not None and _mark.get(domain.root, "disk"):
            disk = str(_mark.get(domain.root, "disk"))
        with_storage = guest is not None and guest.run["remove_storage"]
        leftovers = [self.files.seed_path(name), f"{CONSOLE_DIRECTORY}/{name}-console.log"]
        if with_storage:
            leftovers.append(disk)
        kept = self.files.exists(disk) and not with_storage
        step.remove = [path for path in leftovers if self.files.exists(path)]
        if domain is not None:
            step.undefine = True
            step.keep_nvram = not with_storage
            step.running = domain.power != "stopped"
            step.power = "stop" if step.running else None
            note = f"its disk stays: {disk}" if kept else "with its disk" if disk in step.remove else ""
            step.changes.append(Change("delete", "guest", name, note=note))
        elif disk in step.remove:
            step.changes.append(Change("delete", "disk", disk))
        else:
            # Rests of a run that was interrupted: not worth a change, gone with the next one
            step.remove = []
        return step

    def _create(self, guest: Guest) -> Step:
        step = Step(guest.name, guest)
        values = guest.values(ours=True)
        root = parse(_SKELETON)
        _name(root, guest.name)
        for row in ROWS:
            value = values.get(row.name)
            if row.write is not None and value is not None:
                row.write(root, value)
        step.define = serialise(root)
        shown: dict[str, tuple[Any, Any]] = {key: (None, values.get(key)) for key in _SHOWN_ON_CREATE}
        note = ""
        path = values.get("disk_path")
        if path is not None:
            disk = inspect_disk(path)
            if disk is None:
                self._make_disk(step, guest, values["disk_path"])
            else:
                note = f"on the disk that is there: {path}"
                self._foreign_backing(step, guest, disk)
                self._grow(step, guest, disk, shown, running=False)
        elif values.get("kernel") is None and "image" not in guest.given:
            allowed = "an image, or disk_gib for an empty disk, or a kernel: there is nothing to boot"
            self.problems.append(_problem(guest, "image", None, allowed))
        if guest.seed is not None and values.get("seed_path"):
            step.seed = (values["seed_path"], guest.seed)
            shown["seed"] = (None, digest(guest.seed))
        if values["autostart"]:
            step.autostart = True
        shown["state"] = (None, "running" if guest.state == "running" else "stopped")
        step.power = "start" if guest.state == "running" else None
        step.changes.append(Change("create", "guest", guest.name, shown, note))
        return step

    def _change(self, guest: Guest, domain: Domain) -> Step:
        step = Step(guest.name, guest, running=domain.power != "stopped")
        ours = _mark.get(domain.root, "origin") == "created"
        values = guest.values(ours)
        root = copy.deepcopy(domain.root)
        have_path = _devices.read_disk(domain.root)
        path = values.get("disk_path", have_path)
        disk = None if path is None else inspect_disk(path)
        seed_path = values.get("seed_path")
        content = None if seed_path is None else self.files.read(seed_path)
        view = View(domain.root, domain.autostart, None if disk is None else disk.size, digest(content))

        now: dict[str, tuple[Any, Any]] = {}
        later: dict[str, tuple[Any, Any]] = {}
        for row in ROWS:
            if row.name not in values or row.read is None:
                continue
            have, want = row.read(view), values[row.name]
            # A row written before may have touched this one: the maximum of the memory follows the memory
            touched = row.write is not None and _differs(row, row.read(View(root)), want)
            if not _differs(row, have, want):
                if touched and row.write is not None:
                    row.write(root, want)
                continue
            if row.name in ("disk_gib", "seed_content"):
                continue
            # An image is named for the disk that is made from it: another name does not change a disk that exists
            kept_disk = row.name == "image" and disk is not None and path == have_path
            if (row.effect == "recreate" and have is not None) or kept_disk:
                step.recreate[row.name] = (have, want)
                continue
            if row.write is not None:
                row.write(root, want)
            (later if row.effect == "next_boot" and step.running else now)[row.name] = (have, want)
        if any(BY_NAME[name].write is not None for name in (*now, *later)):
            step.define = serialise(root)

        if values.get("disk_path") is not None and disk is None:
            if path == have_path:
                allowed = "the file of the guest's disk, which is missing: put it back, or make the guest absent first"
                self.problems.append(_problem(guest, "disk_path", path, allowed))
            else:
                self._make_disk(step, guest, values["disk_path"])
        elif disk is not None:
            self._grow(step, guest, disk, now, step.running)
        if "autostart" in now:
            step.autostart = bool(values["autostart"])
        if step.running:
            self._live_metadata(step, root, now)
        self._pending(step, guest, values, root, domain)
        self._power(step, guest, domain, now)
        self._record(step, guest, domain, now, later)
        if guest.seed is not None and seed_path and content != guest.seed:
            step.seed = (seed_path, guest.seed)
            shown = {"seed": (digest(content), digest(guest.seed))}
            step.changes.append(Change("change", "guest", guest.name, shown, "read at the guest's first boot"))
        return step

    def _record(
        self,
        step: Step,
        guest: Guest,
        domain: Domain,
        now: Mapping[str, tuple[Any, Any]],
        later: Mapping[str, tuple[Any, Any]],
    ) -> None:
        if now:
            step.changes.append(Change("change", "guest", guest.name, now))
        if step.power == "restart" and domain.live is not None:
            live, values = View(domain.live), guest.values(_mark.get(domain.root, "origin") == "created")
            options = {name: (_read(BY_NAME[name], live), values.get(name)) for name in step.pending}
            if "address" in options:
                options["address"] = (step.address, guest.run["address"])
            step.changes.append(Change("change", "guest", guest.name, options, "by a restart"))
            step.pending = []
        elif later:
            step.changes.append(Change("change", "guest", guest.name, later, "at next boot"))

    def _power(self, step: Step, guest: Guest, domain: Domain, now: dict[str, tuple[Any, Any]]) -> None:
        if guest.state == "running" and domain.power != "running":
            step.power = "start"
            now["state"] = (domain.power, "running")
        elif guest.state == "stopped" and domain.power != "stopped":
            step.power = "stop"
            now["state"] = (domain.power, "stopped")
        elif guest.state == "running" and step.pending and guest.run["restart"] == "if_needed":
            step.power = "restart"
        if step.power == "stop":
            step.pending = []

    def _pending(self, step: Step, guest: Guest, values: Mapping[str, Any], root: Element, domain: Domain) -> None:
        """Find what the guest will be at its next boot and is not now, whoever asked for it and when."""
        if domain.live is None:
            return
        step.address = self._address(guest)
        step.unproven = guest.name in self._starting
        # A guest that runs keeps the address it has until it asks again, whatever the reservation says now
        moved = guest.run["address"] not in (None, step.address) and "lease" in guest.run["wait_for"]
        if moved and not step.unproven:
            step.pending.append("address")
        then, live = View(root), View(domain.live)
        for row in ROWS:
            if row.effect != "next_boot" or row.name not in values:
                continue
            want = _read(row, then)
            # A running domain shows the host's own model in place of this mode
            if want == "host-model":
                continue
            if not row.same(_read(row, live), want):
                step.pending.append(row.name)

    def _address(self, guest: Guest) -> str | None:
        nics = guest.given.get("nics", [])
        return self._addresses(nics[0]["mac"]) if nics else None

    def _live_metadata(self, step: Step, root: Element, now: Mapping[str, Any]) -> None:
        for kind in ("title", "description"):
            if kind in now:
                step.metadata.append(("title" if kind == "title" else "description", now[kind][1]))
        if _mark.text(root) and any(name in now for name in ("image", "start_order", "depends", "network", "origin")):
            step.metadata.append(("mark", _mark.text(root)))

    def _make_disk(self, step: Step, guest: Guest, path: str) -> None:
        size = guest.given.get("disk_gib")
        step.make_disk = (path, None if size is None else size * GIB, guest.image if _has_disk(guest.image) else None)
        image = inspect_disk(guest.image.path) if guest.image and guest.image.path else None
        if image is not None and size is not None and size * GIB < image.size:
            allowed = f"{-(-image.size // GIB)} or more: image {guest.given.get('image')} is larger"
            self.problems.append(_problem(guest, "disk_gib", size, allowed))
        if not _has_disk(guest.image) and size is None:
            self.problems.append(_problem(guest, "disk_gib", None, "the new disk's size in GiB, or an image for it"))

    def _grow(self, step: Step, guest: Guest, disk: Disk, now: dict[str, tuple[Any, Any]], running: bool) -> None:
        wanted = guest.given.get("disk_gib")
        if wanted is None or disk.size == wanted * GIB:
            return
        if disk.size > wanted * GIB:
            allowed = f"{-(-disk.size // GIB)} or more: a disk is never shrunk"
            self.problems.append(_problem(guest, "disk_gib", wanted, allowed))
            return
        step.grow = (disk, wanted * GIB)
        now["disk_gib"] = (disk.size // GIB, wanted)

    def _foreign_backing(self, step: Step, guest: Guest, disk: Disk) -> None:
        if _has_disk(guest.image) and guest.image is not None and disk.backing != guest.image.path:
            step.recreate["image"] = (disk.backing, guest.image.path)


def _name(root: Element, name: str) -> None:
    element = root.find("name")
    if element is not None:
        element.text = name


def _read(row: Option, view: View) -> Any:
    return None if row.read is None else row.read(view)


def _has_disk(image: Image | None) -> bool:
    return image is not None and image.path is not None
