# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""A domain's drives: the root disk, the cloud-init seed, and more disks and CD-ROMs by their targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt import _mark
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._live import LiveOp
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._xml import (
    add,
    attribute,
    ensure,
    remove_all,
    serialise,
)

ROOT_DISK = "vda"
# Behind every disk a guest may get later. virtio, because Debian's cloud kernel has no driver for a SATA CD-ROM.
SEED_DISK = "vdz"

DISK_SPEC: dict[str, Any] = {
    "target": {"type": "str", "required": True},
    "device": {"type": "str", "choices": ["disk", "cdrom"], "default": "disk"},
    "path": {"type": "str"},
    "size_gib": {"type": "int"},
    "format": {"type": "str", "choices": ["qcow2", "raw"]},
    "bus": {"type": "str", "choices": ["virtio", "scsi", "sata"]},
    "cache": {"type": "str", "choices": ["none", "writeback", "writethrough", "directsync", "unsafe"]},
    "discard": {"type": "str", "choices": ["unmap", "ignore"]},
    "readonly": {"type": "bool", "default": False},
}


def normalise_disk(disk: Mapping[str, Any], default_path: str) -> dict[str, Any]:
    """Return an entry of C(disks) as it is read back from a domain. Its size is the file's affair."""
    given = {key: value for key, value in disk.items() if value is not None}
    cdrom = given.get("device") == "cdrom"
    target = given.get("target")
    bus = "virtio" if str(target).startswith("vd") else "sata" if cdrom else "scsi"
    entry = {
        "target": target,
        "device": given.get("device", "disk"),
        "path": given.get("path", None if cdrom else default_path),
        "bus": given.get("bus", bus),
        "cache": given.get("cache"),
        "discard": None if cdrom else given.get("discard"),
        "readonly": bool(given.get("readonly", False)) or cdrom,
        "format": given.get("format"),
    }
    if entry["format"] is None and (cdrom or str(entry["path"]).startswith("/dev/")):
        entry["format"] = "raw"
    return entry


def disk_at(root: Element, target: str) -> Element | None:
    """Return the drive with a target."""
    for disk in root.findall("devices/disk"):
        if attribute(disk, "target", "dev") == target:
            return disk
    return None


def source_of(disk: Element | None) -> str | None:
    """Return the file or block device behind a drive."""
    if disk is None:
        return None
    return attribute(disk, "source", "file") or attribute(disk, "source", "dev")


def _set_source(disk: Element, path: str | None) -> None:
    remove_all(disk, disk.findall("source"))
    block = str(path).startswith("/dev/")
    disk.set("type", "block" if block else "file")
    if path is not None:
        add(disk, "source", **{"dev" if block else "file": path})


def _disk_from(root: Element, path: str) -> Element | None:
    return next((disk for disk in root.findall("devices/disk") if source_of(disk) == path), None)


def _marked_disk(root: Element, marked_as: str, target: str) -> Element | None:
    """Return one of our disks: the file that the mark names; in a domain that others made, what has its place."""
    path = _mark.get(root, marked_as)
    if path is not None:
        # With a snapshot another file stands in its place
        found = _disk_from(root, path)
        return disk_at(root, target) if found is None else found
    return None if _mark.get(root, "origin") == "created" else disk_at(root, target)


def _write_marked_disk(root: Element, path: str | None, marked_as: str, target: str, readonly: bool) -> None:
    devices = ensure(root, "devices")
    disk = _marked_disk(root, marked_as, target)
    _mark.put(root, marked_as, path)
    if path is None:
        if disk is not None:
            devices.remove(disk)
        return
    if disk is None:
        disk = add(devices, "disk", type="file", device="disk")
        add(disk, "driver", name="qemu", type="raw")
        add(disk, "target", dev=target, bus="virtio")
        if readonly:
            add(disk, "readonly")
        else:
            ensure(disk, "driver").set("discard", "unmap")
    if source_of(disk) != path:
        _set_source(disk, path)


def root_disk(root: Element) -> Element | None:
    """Return the root disk."""
    return _marked_disk(root, "disk", ROOT_DISK)


def read_disk(root: Element) -> str | None:
    """Return the file or block device behind the root disk."""
    return source_of(root_disk(root))


def write_disk(root: Element, path: str | None) -> None:
    """Put a file behind the root disk; None takes the disk out and leaves the file."""
    _write_marked_disk(root, path, "disk", ROOT_DISK, readonly=False)


def read_disk_format(root: Element) -> str | None:
    """Return the format of the root disk."""
    disk = root_disk(root)
    # One that is not declared is raw to libvirt
    return None if disk is None else attribute(disk, "driver", "type") or "raw"


def write_disk_format(root: Element, kind: str | None) -> None:
    """Declare it."""
    disk = root_disk(root)
    if disk is not None and kind is not None:
        ensure(disk, "driver").set("type", kind)


def read_seed(root: Element) -> str | None:
    """Return the cloud-init seed that is attached."""
    return source_of(_marked_disk(root, "seed", SEED_DISK))


def write_seed(root: Element, path: str | None) -> None:
    """Attach a cloud-init seed, or take it out."""
    _write_marked_disk(root, path, "seed", SEED_DISK, readonly=True)


def targets_of(root: Element) -> list[str]:
    """Return the targets of the drives that C(disks) named when it was last applied."""
    return (_mark.get(root, "disks") or "").split()


def drive(disk: Element) -> dict[str, Any]:
    """Return a drive as an entry of C(disks)."""
    kind = disk.get("device") or "disk"
    # A drive of which nothing else is said is raw to libvirt
    return {
        "target": attribute(disk, "target", "dev"),
        "device": kind,
        "path": source_of(disk),
        "bus": attribute(disk, "target", "bus"),
        "cache": attribute(disk, "driver", "cache"),
        "discard": attribute(disk, "driver", "discard"),
        "readonly": disk.find("readonly") is not None,
        "format": attribute(disk, "driver", "type") or "raw",
    }


def read_disks(root: Element) -> list[dict[str, Any]]:
    """Return the drives that are ours, by target."""
    found = [disk_at(root, target) for target in targets_of(root)]
    return [drive(disk) for disk in found if disk is not None]


def same_disks(have: list[dict[str, Any]], want: list[dict[str, Any]]) -> bool:
    """Their order says nothing: they have targets."""
    return sorted(have, key=lambda entry: str(entry["target"])) == sorted(want, key=lambda entry: str(entry["target"]))


def _write(disk: Element, entry: Mapping[str, Any]) -> None:
    disk.set("device", entry["device"])
    driver = ensure(disk, "driver")
    driver.set("name", "qemu")
    driver.set("type", entry["format"])
    for key in ("cache", "discard"):
        if entry[key] is None:
            driver.attrib.pop(key, None)
        else:
            driver.set(key, entry[key])
    if source_of(disk) != entry["path"]:
        _set_source(disk, entry["path"])
    target = ensure(disk, "target")
    if target.get("bus") != entry["bus"]:
        # An address on another bus
        remove_all(disk, disk.findall("address"))
    target.set("dev", entry["target"])
    target.set("bus", entry["bus"])
    if not entry["readonly"]:
        remove_all(disk, disk.findall("readonly"))
    elif disk.find("readonly") is None:
        add(disk, "readonly")


def _new(entry: Mapping[str, Any]) -> Element:
    disk = Element("disk", type="file", device="disk")
    _write(disk, entry)
    return disk


def _needs_controller(devices: Element, disks: Sequence[Mapping[str, Any]]) -> bool:
    there = any(controller.get("type") == "scsi" for controller in devices.findall("controller"))
    return not there and any(entry["bus"] == "scsi" for entry in disks)


def _controller() -> Element:
    """Return a SCSI controller: the one that libvirt adds by itself is a card of 1995 that few kernels still know."""
    return Element("controller", type="scsi", index="0", model="virtio-scsi")


def write_disks(root: Element, disks: Sequence[Mapping[str, Any]]) -> None:
    """Make our drives those listed, and leave the files of the others."""
    devices = ensure(root, "devices")
    wanted = [entry["target"] for entry in disks]
    gone = [disk_at(root, target) for target in targets_of(root) if target not in wanted]
    remove_all(devices, [disk for disk in gone if disk is not None])
    for entry in disks:
        disk = disk_at(root, entry["target"])
        if disk is None:
            devices.append(_new(entry))
        else:
            _write(disk, entry)
    if _needs_controller(devices, disks):
        devices.append(_controller())
    _mark.put(root, "disks", " ".join(wanted) or None)


def live_disks(root: Element, disks: Sequence[Mapping[str, Any]], heal: bool) -> list[LiveOp]:
    """Plug drives in and out, and change the medium of a CD-ROM."""
    devices = ensure(root, "devices")
    wanted = [entry["target"] for entry in disks]
    known = targets_of(root)
    _mark.put(root, "disks", " ".join(wanted) or None)
    if heal:
        return []
    ops = []
    if _needs_controller(devices, disks):
        devices.append(_controller())
        ops.append(LiveOp("disks", "attach", serialise(_controller())))
    for target in known:
        disk = disk_at(root, target)
        if target not in wanted and disk is not None and disk.get("device") != "cdrom":
            devices.remove(disk)
            ops.append(LiveOp("disks", "detach", serialise(disk)))
    for entry in disks:
        disk = disk_at(root, entry["target"])
        # Nothing but virtio and SCSI has room for more while it runs, and a SCSI controller may be missing
        if disk is None and entry["device"] == "disk" and entry["bus"] != "sata":
            devices.append(_new(entry))
            ops.append(LiveOp("disks", "attach", serialise(_new(entry))))
        elif disk is not None and disk.get("device") == "cdrom" and source_of(disk) != entry["path"]:
            _set_source(disk, entry["path"])
            ops.append(LiveOp("disks", "update", serialise(disk)))
    return ops


def pending_disks(live: Element, then: Element) -> bool:
    """Return whether only another boot gives the guest its drives, or takes one away."""
    wanted = targets_of(then)
    for target in wanted:
        one, other = disk_at(live, target), disk_at(then, target)
        if (one is None) != (other is None) or (one is not None and other is not None and drive(one) != drive(other)):
            return True
    ours = [_mark.get(live, "disk"), _mark.get(live, "seed")]
    left = [disk for disk in live.findall("devices/disk") if source_of(disk) not in ours]
    return any(disk_at(then, attribute(disk, "target", "dev") or "") is None for disk in left)
