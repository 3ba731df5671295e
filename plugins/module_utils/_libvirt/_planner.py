# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""From what a guest is and what it shall be to the steps between, without touching anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt import _drives, _mark
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._backend import Domain, Metadata
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._disks import Files
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._disks import inspect as inspect_disk
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._guest import Guest, Settings
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._options import BY_NAME, ROWS, Option, View, brief
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._seed import digest
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._skeleton import new_domain
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._step import Step
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._storage import Shown, Storage, has_disk
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._xml import clone, ensure, serialise
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Change, Problem

# What a plan shows of a new guest; the rest are defaults that say nothing
_SHOWN_ON_CREATE = (
    *("memory_mib", "vcpus", "firmware", "kernel"),
    *("image", "disk_path", "disk_gib", "disks", "nics", "autostart"),
)
# What a running domain's mark is about, whatever it has for devices
_MARKED = ("image", "start_order", "start_delay", "depends", "network", "nics", "origin")


def _differs(row: Option, have: Any, want: Any) -> bool:
    if want is None:
        return row.clears and have not in (None, [], "")
    return not row.same(have, want)


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
        self._storage = Storage(files)
        self._addresses = addresses
        self._starting = files.starting()
        self._removing = files.removing()

    @property
    def problems(self) -> list[Problem]:
        """What is wrong with the records, as far as only the host can tell."""
        return self._storage.problems

    def plan(self, guests: Sequence[Guest], domains: Iterable[Domain], exclusive: bool) -> list[Step]:
        """Return a step for each guest listed and, if the list is exclusive, for each domain of ours that is not."""
        there = {domain.name: domain for domain in domains}
        self._storage.taken = set(there)
        found = [self._old(guest, there) for guest in guests]
        steps = [self._step(guest, domain) for guest, domain in zip(guests, found, strict=True)]
        if exclusive:
            listed = {domain.name for domain in found if domain is not None}
            gone = (d for name, d in there.items() if name not in listed and _mark.find(d.root) is not None)
            steps += [self._absent(domain.name, domain, None) for domain in gone]
        self._storage.spare_dependants(steps, there)
        return steps

    def _step(self, guest: Guest, domain: Domain | None) -> Step:
        if guest.state == "absent":
            return self._absent(guest.name if domain is None else domain.name, domain, guest)
        if domain is None:
            return self._create(guest)
        return self._change(guest, domain)

    def _old(self, guest: Guest, there: Mapping[str, Domain]) -> Domain | None:
        """Return the domain of a guest that had another name before, by that name or by what follows from it."""
        origin = guest.run["renamed_from"]
        if origin is None:
            return there.get(guest.name)
        uuid = guest.uuid
        same = (domain for name, domain in there.items() if name != guest.name and _uuid(domain) == uuid)
        old = there.get(origin) or next(same, None)
        if old is not None and guest.name in there:
            allowed = f"the name of no domain once {guest.name} exists; remove {old.name}, or leave this out"
            self._storage.wrong(guest, "renamed_from", old.name, allowed)
        return there.get(guest.name, old)

    def _absent(self, name: str, domain: Domain | None, guest: Guest | None) -> Step:
        step = Step(name, guest, noted=name in self._removing)
        root = None if domain is None else domain.root
        disks = self._storage.removable(name, root, guest)
        with_storage = guest is not None and guest.run["remove_storage"]
        if with_storage:
            began = (path for path in self._removing.get(name, []) if self.files.exists(path))
            disks = list(dict.fromkeys([*disks, *began]))
        if root is not None and not with_storage:
            self._storage.keep_snapshots(name, root, guest)
        step.rests = self._storage.leftovers(name, guest)
        if with_storage:
            step.remove = disks
        if domain is not None:
            step.undefine = True
            step.keep_nvram = not with_storage
            step.running = domain.power != "stopped"
            step.power = "stop" if step.running else None
            whose = "its disk" if len(disks) == 1 else "its disks"
            note = "" if not disks else f"with {whose}" if with_storage else f"{whose} stay: {', '.join(disks)}"
            step.changes.append(Change("delete", "guest", name, note=note.replace("its disk stay:", "its disk stays:")))
        elif with_storage and disks:
            step.changes += [Change("delete", "disk", disk) for disk in disks]
        else:
            # What others may have left there is not worth a change
            step.rests = []
        return step

    def _create(self, guest: Guest) -> Step:
        step = Step(guest.name, guest, noted=guest.name in self._removing)
        values = guest.values(ours=True)
        self._storage.formats(values, None)
        step.define = serialise(new_domain(guest.name, values))
        shown: Shown = {key: (None, values[key] or None) for key in _SHOWN_ON_CREATE if key in values}
        note = ""
        path = values.get("disk_path")
        bootable = values.get("kernel") or "image" in guest.given or values["disks"]
        known = guest.says("image", "disk_gib", "disk_path", "disks", "kernel")
        if path is None and not bootable and known:
            allowed = "an image, or disk_gib for an empty disk, or a kernel: there is nothing to boot"
            self._storage.wrong(guest, "image", None, allowed)
        disk = None if path is None else inspect_disk(path)
        if disk is not None:
            note = f"on the disk that is there: {path}"
            if has_disk(guest.image) and guest.image is not None and disk.backing != guest.image.path:
                step.recreate["image"] = (disk.backing, guest.image.path)
        self._storage.root(step, guest, values, None, shown)
        self._storage.more(step, guest, values, None, shown)
        if guest.seed is not None and values.get("seed_path"):
            step.seed = (values["seed_path"], guest.seed)
            shown["seed"] = (None, digest(guest.seed))
        if values["autostart"]:
            step.autostart = True
        shown["state"] = (None, guest.state if guest.state in ("running", "paused") else "stopped")
        step.power = "start" if guest.state == "running" else "pause" if guest.state == "paused" else None
        step.changes.append(Change("create", "guest", guest.name, brief(shown), note))
        return step

    def _change(self, guest: Guest, domain: Domain) -> Step:
        step = Step(guest.name, guest, running=domain.power != "stopped")
        step.rename = None if domain.name == guest.name else domain.name
        values = guest.values(_mark.get(domain.root, "origin") == "created")
        self._storage.stay(guest, values, domain.root)
        self._storage.follow_snapshots(values, domain.root)
        self._storage.formats(values, domain.root)
        root, live = clone(domain.root), None if domain.live is None else clone(domain.live)
        have_path = _drives.read_disk(domain.root)
        path = values.get("disk_path", have_path)
        disk = None if path is None else inspect_disk(path)
        content = self.files.read(values["seed_path"]) if values.get("seed_path") else None
        view = View(domain.root, domain.autostart, None if disk is None else disk.size, digest(content))

        changed: Shown = {}
        now: Shown = {}
        for row in ROWS:
            if row.name not in values or row.read is None:
                continue
            have, want = row.read(view), values[row.name]
            if not _differs(row, have, want):
                # A row written before may have touched this one: the maximum of the memory follows the memory
                if row.write is not None and _differs(row, row.read(View(root)), want):
                    row.write(root, want)
                if live is not None and row.live is not None:
                    was = row.read(View(live))
                    if ops := row.live(live, want, True):
                        step.live += ops
                        now[row.name] = (was, want)
                continue
            if row.name in ("disk_gib", "seed_content"):
                continue
            # An image is named for the disk that is made from it: another name does not change a disk that exists
            on_image = disk is not None and (disk.backing is not None or has_disk(guest.image))
            kept_disk = row.name == "image" and on_image and path == have_path
            other_disk = row.name == "disk_format" and path != have_path
            if (row.effect == "recreate" and have is not None and not other_disk) or kept_disk:
                step.recreate[row.name] = (have, want)
                continue
            if row.write is not None:
                row.write(root, want)
            if live is not None and row.live is not None:
                step.live += row.live(live, want, False)
            changed[row.name] = (have, want)
        self._pending(step, guest, values, root, live)
        if step.rename is not None and step.running:
            step.pending.append("name")
        later = {name: change for name, change in changed.items() if self._waits(step, BY_NAME[name], change[1])}
        now |= {name: change for name, change in changed.items() if name not in later}
        self._storage.root(step, guest, values, have_path, now)
        self._storage.more(step, guest, values, domain.root, now)
        if "autostart" in now:
            step.autostart = bool(values["autostart"])
        if domain.live is not None:
            self._live_metadata(step, values, root, domain.live, now)
        self._power(step, guest, domain, now)
        if step.renames:
            ensure(root, "name").text = guest.name
            if step.power != "restart":
                now["name"] = (domain.name, guest.name)
        if step.renames or any(BY_NAME[name].write is not None for name in changed):
            step.define = serialise(root)
        self._record(step, guest, values, domain, now, later)
        # With another UUID, that the guest does not get, it would be another instance to cloud-init
        seed_differs = guest.seed is not None and values.get("seed_path") and content != guest.seed
        if seed_differs and "uuid" not in step.recreate:
            step.seed = (values["seed_path"], guest.seed or b"")
            shown = {"seed": (digest(content), digest(guest.seed))}
            step.changes.append(Change("change", "guest", guest.name, shown, "read at the guest's first boot"))
        return step

    def _waits(self, step: Step, row: Option, want: Any) -> bool:
        """Return whether a change waits for the guest's next boot."""
        # A running domain shows the host's own model in place of this mode, so that it is never known to wait
        return row.name in step.pending or (step.running and row.effect == "next_boot" and want == "host-model")

    def _record(
        self, step: Step, guest: Guest, values: Mapping[str, Any], domain: Domain, now: Shown, later: Shown
    ) -> None:
        for changes in (now, later):
            for name in [name for name in changes if _goes_along(guest, name, changes)]:
                del changes[name]
        if now:
            step.changes.append(Change("change", "guest", guest.name, brief(now)))
        if step.power == "restart" and domain.live is not None:
            live = View(domain.live)
            options = {name: (_read(BY_NAME[name], live), values.get(name)) for name in step.pending}
            if "name" in options:
                options["name"] = (domain.name, guest.name)
            if step.moved is not None and "address" in options:
                options["address"] = step.moved
            step.changes.append(Change("change", "guest", guest.name, brief(options), "by a restart"))
            step.pending = []
        elif later:
            step.changes.append(Change("change", "guest", guest.name, brief(later), "at next boot"))

    def _power(self, step: Step, guest: Guest, domain: Domain, now: Shown) -> None:
        if guest.state == "running" and domain.power != "running":
            step.power = "start"
            now["state"] = (domain.power, "running")
        elif guest.state == "stopped" and domain.power != "stopped":
            step.power = "stop"
            now["state"] = (domain.power, "stopped")
        elif guest.state == "paused" and domain.power != "paused":
            step.power = "pause"
            now["state"] = (domain.power, "paused")
        elif guest.state == "running" and step.pending and guest.run["restart"] == "if_needed":
            step.power = "restart"
        if step.power == "stop":
            step.pending = []

    def _pending(
        self, step: Step, guest: Guest, values: Mapping[str, Any], root: Element, live: Element | None
    ) -> None:
        """Find what the guest will be at its next boot and is not now, whoever asked for it and when."""
        if live is None:
            return
        found = [(self._addresses(mac), wanted) for mac, wanted in guest.run["leases"]]
        step.address = found[0][0] if found else None
        step.unproven = guest.name in self._starting
        # A guest that runs keeps the address it has until it asks again, whatever the reservation says now
        moved = ((have, want) for have, want in found if want not in (None, have))
        if "lease" in guest.run["wait_for"] and not step.unproven:
            step.moved = next(moved, None)
        if step.moved is not None:
            step.pending.append("address")
        step.pending += [row.name for row in ROWS if row.name in values and _is_pending(row, live, root)]
        step.pending = [name for name in step.pending if not _goes_along(guest, name, step.pending)]

    def _live_metadata(
        self, step: Step, values: Mapping[str, Any], root: Element, live: Element, now: dict[str, Any]
    ) -> None:
        kinds: tuple[Metadata, ...] = ("title", "description")
        for kind in kinds:
            have, want = live.findtext(kind), root.findtext(kind)
            # Compared with what runs: an interrupted run may have written the definition alone
            if kind in values and have != want:
                step.metadata.append((kind, want))
                now.setdefault(kind, (have, want))
        if _mark.find(root) is None:
            return
        marked = clone(live)
        for name in _MARKED:
            _mark.put(marked, name, _mark.get(root, name))
        targets = _drives.targets_of(root)
        if any(op.option == "disks" for op in step.live):
            _mark.put(marked, "disks", " ".join(targets) or None)
        elif all(_drives.disk_at(live, target) is not None for target in targets):
            # Plugged in already, perhaps by a run that ended before it said so
            left = [target for target in _drives.targets_of(live) if target not in targets]
            _mark.put(marked, "disks", " ".join([*targets, *left]) or None)
        if not _mark.same(marked, live):
            step.metadata.append(("mark", _mark.text(marked)))


def _uuid(domain: Domain) -> str:
    return domain.root.findtext("uuid") or ""


def _goes_along(guest: Guest, name: str, names: Iterable[str]) -> bool:
    """Return whether a maximum that nobody named only follows what was named."""
    follows = {"max_memory_mib": "memory_mib", "max_vcpus": "vcpus"}
    return name in follows and name not in guest.given and follows[name] in names


def _is_pending(row: Option, live: Element, then: Element) -> bool:
    if row.effect != "next_boot" and row.live is None:
        return False
    if row.pending is not None:
        return row.pending(live, then)
    want = _read(row, View(then))
    return want != "host-model" and not row.same(_read(row, View(live)), want)


def _read(row: Option, view: View) -> Any:
    return None if row.read is None else row.read(view)
