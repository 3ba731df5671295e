# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""Plans the disks of a guest: made, grown, never shrunk, removed on request."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt import _drives, _mark
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._backend import NVRAM, Domain
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._disks import Disk, Files, chain
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._disks import inspect as inspect_disk
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._guest import Guest, console_log
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._images import Image
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._options import GIB
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._step import NewDisk, Step
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem

Shown = dict[str, tuple[Any, Any]]


def has_disk(image: Image | None) -> bool:
    """Return whether an image has a disk."""
    return image is not None and image.path is not None


class Storage:
    """Plans disks.

    Args:
        files: where they are; only read here.

    C(taken) are the names of the host's domains.
    """

    def __init__(self, files: Files) -> None:
        self.files = files
        self.problems: list[Problem] = []
        self.taken: set[str] = set()

    def wrong(self, guest: Guest, key: str, value: object, allowed: str) -> None:
        """Note what is wrong with a guest's record."""
        self.problems.append(self._problem(guest, key, value, allowed))

    def _problem(self, guest: Guest, key: str, value: object, allowed: str) -> Problem:
        return Problem(guest.variable, guest.index, key, value, allowed)

    def formats(self, values: dict[str, Any], root: Element | None) -> None:
        """Fill in the formats that the record leaves open.

        A drive keeps the format that it is declared with: a guest can write another format's header into a raw disk.
        """
        path = values.get("disk_path")
        if path is not None and "disk_format" not in values:
            have = None if root is None else _drives.root_disk(root)
            values["disk_format"] = self._format(path, have)
        if "disks" in values:
            for entry in values["disks"]:
                have = None if root is None else _drives.disk_at(root, entry["target"])
                if entry["format"] is None:
                    entry["format"] = self._format(entry["path"], have)
                if entry["discard"] is None and entry["device"] == "disk":
                    entry["discard"] = "unmap" if have is None else _drives.drive(have)["discard"]

    def stay(self, guest: Guest, values: dict[str, Any], root: Element) -> None:
        """Leave files where they are unless the record names another place: a name or a directory may have changed."""
        for key, path in (("disk_path", _drives.read_disk(root)), ("seed_path", _drives.read_seed(root))):
            if values.get(key) is not None and path is not None and (key == "seed_path" or key not in guest.given):
                values[key] = path
        named = guest.run["disk_paths"]
        for entry in values.get("disks", []):
            path = _drives.source_of(_drives.disk_at(root, entry["target"]))
            if path is not None and entry["device"] == "disk" and entry["target"] not in named:
                entry["path"] = path

    def follow_snapshots(self, values: dict[str, Any], root: Element) -> None:
        """Leave a drive on the file that a snapshot put on top of the one it is named by."""
        path, have = values.get("disk_path"), _drives.read_disk(root)
        if path is not None and have not in (None, path) and path in chain(have):
            values["disk_path"] = have
        for entry in values.get("disks", []):
            have = _drives.source_of(_drives.disk_at(root, entry["target"]))
            if entry["device"] == "disk" and have not in (None, entry["path"]) and entry["path"] in chain(have):
                entry["path"] = have

    def _snapshots(self, name: str, root: Element, guest: Guest | None) -> list[tuple[str, str]]:
        """Return the files that snapshots put in the place of a guest's disks, each with the disk."""
        pairs = [(self.disk_of(name, root, guest), _drives.read_disk(root))]
        pairs += [
            (f"{self.files.storage}/{name}-{target}.{kind}", _drives.source_of(_drives.disk_at(root, target)))
            for target in _drives.targets_of(root)
            for kind in ("qcow2", "raw")
        ]
        return [(have, disk) for disk, have in pairs if have not in (None, disk) and disk in chain(have) and have]

    def keep_snapshots(self, name: str, root: Element, guest: Guest | None) -> None:
        """Refuse to leave a disk behind on top of which a snapshot stands: the next guest on it would destroy that."""
        for have, disk in self._snapshots(name, root, guest):
            allowed = (
                f"remove_storage, or no snapshot: {name} has written to {have} since, which stands on {disk}. "
                f"virsh blockcommit {name} {have} --active --pivot puts the two together"
            )
            where = Problem("guests", None, "state", "absent", f"{name}: {allowed}")
            self.problems.append(where if guest is None else self._problem(guest, "state", "absent", allowed))

    def spare_dependants(self, steps: Sequence[Step], domains: Mapping[str, Domain]) -> None:
        """Refuse to remove what others need: a guest they depend on, a file that their disks stand on."""
        leaving = {step.name: step.guest for step in steps if step.undefine or (step.guest and step.remove)}
        removed = {path: step for step in steps for path in step.remove if step.guest is not None}
        staying = {name: domain for name, domain in domains.items() if name not in leaving}
        listed = {step.name for step in steps}
        for name, domain in staying.items():
            needs = [] if name in listed else (_mark.get(domain.root, "depends") or "").split()
            for need in needs:
                gone = leaving.get(need)
                if gone is not None:
                    self.wrong(gone, "state", "absent", f"a guest that nothing depends on; {name} depends on it")
            for disk in domain.root.findall("devices/disk") if removed else []:
                for path in chain(_drives.source_of(disk)):
                    if path in removed and (owner := removed[path].guest) is not None:
                        allowed = f"false: {path} is under a disk of {name}"
                        self.wrong(owner, "remove_storage", True, allowed)

    def _format(self, path: str, have: Element | None) -> str:
        if have is not None and _drives.source_of(have) == path:
            return str(_drives.drive(have)["format"])
        disk = inspect_disk(path)
        return "qcow2" if disk is None else disk.kind

    def root(self, step: Step, guest: Guest, values: Mapping[str, Any], have_path: str | None, shown: Shown) -> None:
        """Plan the root disk; what happens to it at once goes to shown."""
        path = values.get("disk_path", have_path)
        disk = None if path is None else inspect_disk(path)
        if disk is not None:
            self._grow(step, guest, disk, "disk_gib", guest.given.get("disk_gib"), shown)
        elif values.get("disk_path") is None:
            return
        elif path == have_path:
            allowed = "the file of the guest's disk, which is missing: put it back, or make the guest absent first"
            self.wrong(guest, "disk_path", path, allowed)
        else:
            self._make_root(step, guest, path, values["disk_format"])

    def _make_root(self, step: Step, guest: Guest, path: str, kind: str) -> None:
        size = guest.given.get("disk_gib")
        if path.startswith("/dev/"):
            self.wrong(guest, "disk_path", path, "a block device that exists")
            return
        if has_disk(guest.image) and kind != "qcow2":
            self.wrong(guest, "disk_format", kind, "qcow2: the disk stands on an image")
        step.make.append(NewDisk(path, kind, _bytes(size), guest.image if has_disk(guest.image) else None))
        image = inspect_disk(guest.image.path) if guest.image and guest.image.path else None
        if image is not None and size is not None and size * GIB < image.size:
            allowed = f"{-(-image.size // GIB)} or more: image {guest.given.get('image')} is larger"
            self.wrong(guest, "disk_gib", size, allowed)
        if not has_disk(guest.image) and size is None and guest.says("image", "disk_gib"):
            self.wrong(guest, "disk_gib", None, "the new disk's size in GiB, or an image for it")

    def more(self, step: Step, guest: Guest, values: Mapping[str, Any], root: Element | None, shown: Shown) -> None:
        """Plan the other disks."""
        for entry in values.get("disks", []):
            key, size = guest.drive(entry["target"]), guest.run["disk_sizes"].get(entry["target"])
            path = entry["path"]
            disk = None if path is None else inspect_disk(path)
            if path is None:
                continue
            if disk is not None:
                if size is not None and (entry["readonly"] or path.startswith("/dev/")):
                    self.wrong(guest, f"{key}.size_gib", size, "only for a disk image that the guest can write")
                    continue
                self._grow(step, guest, disk, f"{key}.size_gib", size, shown, f"disks[{entry['target']}].size_gib")
            elif entry["readonly"] or path.startswith("/dev/"):
                self.wrong(guest, f"{key}.path", path, "a file or block device that exists on the host")
            elif root is not None and _drives.source_of(_drives.disk_at(root, entry["target"])) == path:
                self.wrong(guest, f"{key}.path", path, "the file of the guest's disk, which is missing: put it back")
            elif size is None and not guest.says("disks"):
                continue
            elif size is None:
                self.wrong(guest, f"{key}.size_gib", None, "the new disk's size in GiB, or the path of one that exists")
            else:
                step.make.append(NewDisk(path, entry["format"], _bytes(size)))

    def _grow(
        self, step: Step, guest: Guest, disk: Disk, key: str, wanted: int | None, shown: Shown, name: str = "disk_gib"
    ) -> None:
        if wanted is None or disk.size == wanted * GIB:
            return
        if disk.size > wanted * GIB:
            self.wrong(guest, key, wanted, f"{-(-disk.size // GIB)} or more: a disk is never shrunk")
            return
        if disk.path.startswith("/dev/"):
            self.wrong(guest, key, wanted, "no size: the block device has its own")
            return
        step.grow.append((disk, wanted * GIB))
        shown[name] = (disk.size // GIB, wanted)

    def disk_of(self, name: str, root: Element | None, guest: Guest | None) -> str:
        """Return a guest's root disk, whether or not its domain or its record are there."""
        if guest is not None and guest.given.get("disk_path"):
            return str(guest.given["disk_path"])
        return str((root is not None and _mark.get(root, "disk")) or self.files.disk_path(name))

    def removable(self, name: str, root: Element | None, guest: Guest | None) -> list[str]:
        """Return the disks of a guest that go with it on request: what was made for it, or what its record names."""
        entries = [] if root is None else _drives.read_disks(root)
        places = [f"{self.files.storage}/{one}-" for one in self._names(name, guest)]
        made = [d for d in entries if str(d["path"]).startswith(tuple(f"{place}{d['target']}." for place in places))]
        named = [] if guest is None else guest.given.get("disks", [])
        paths = [self.disk_of(name, root, guest)]
        if guest is not None and "disk_path" not in guest.given:
            paths += [self.files.disk_path(one) for one in self._names(name, guest)]
        if root is not None:
            paths += [path for have, disk in self._snapshots(name, root, guest) for path in _until(have, disk)]
        at = [] if guest is None else [d for d in named if d["target"] not in guest.run["disk_paths"]]
        ends = (os.path.basename(d["path"]).rpartition("-")[2] for d in at)
        named = [*named, *({**d, "path": f"{place}{end}"} for d, end in zip(at, ends, strict=True) for place in places)]
        paths += [entry["path"] for entry in (*made, *named) if entry["device"] == "disk" and not entry["readonly"]]
        found = dict.fromkeys(path for path in paths if path and not path.startswith("/dev/"))
        return [path for path in found if self.files.exists(path)]

    def _names(self, name: str, guest: Guest | None) -> list[str]:
        """Return the names that a guest's files may have: its own, and the one that it was made under."""
        origin = None if guest is None else guest.run["renamed_from"]
        return list(dict.fromkeys(one for one in (name, origin) if one and (one == name or one not in self.taken)))

    def leftovers(self, name: str, guest: Guest | None) -> list[str]:
        """Return the files of a guest that go with it in any case."""
        names = self._names(name, guest)
        paths = [path for one in names for path in (self.files.seed_path(one), console_log(one))]
        if guest is not None and guest.run["remove_storage"]:
            # Of a guest with UEFI that was removed before, or has a BIOS now
            paths += [NVRAM.format(one) for one in names]
        return [path for path in paths if self.files.exists(path)]


def _until(path: str, last: str) -> list[str]:
    """Return the files from a snapshot's down to the disk it was made of."""
    files = chain(path)
    return files[: files.index(last) + 1]


def _bytes(gib: int | None) -> int | None:
    return None if gib is None else gib * GIB
