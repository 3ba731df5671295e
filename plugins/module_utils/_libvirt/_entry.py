# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""A domain as an entry of C(guests): what kvm_guest would be told to make it, or to change nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt import _drives, _mark, _nics, _seed
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._backend import Domain
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._disks import inspect
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._options import GIB, TABLE, View, brief
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._xml import attribute

# Ours are smaller by far; whatever else is at that path need not be read whole
_SEED_SIZE = 1 << 22


def _more_disks(root: Element) -> list[dict[str, Any]]:
    """Return the drives of a domain that we did not make."""
    skip = {_drives.ROOT_DISK, _drives.SEED_DISK}
    # What stands on the network, or has a place that an entry has no word for, is left alone
    local = [disk for disk in root.findall("devices/disk") if disk.get("type") in ("file", "block")]
    named = [disk for disk in local if attribute(disk, "target", "bus") in ("virtio", "scsi", "sata")]
    return [_drives.drive(disk) for disk in named if attribute(disk, "target", "dev") not in skip]


def _seed_options(root: Element) -> dict[str, Any]:
    """Return whether there is a seed that we made, and what is in it."""
    path = _drives.read_seed(root) if _mark.get(root, "seed") else None
    if path is None:
        # A disk that is made from an image has one unless the entry says no
        return {"seed": False} if _mark.get(root, "image") and _drives.read_disk(root) else {}
    try:
        with open(path, "rb") as file:
            return {"seed": True} | _seed.options_of(file.read(_SEED_SIZE))
    except OSError:
        return {"seed": True}


def entry_of(domain: Domain) -> dict[str, Any]:
    """Return the entry that describes a domain as it is at its next boot."""
    root = domain.root
    path = _drives.read_disk(root)
    disk = None if path is None else inspect(path)
    view = View(root, domain.autostart, None if disk is None else disk.size)
    entry: dict[str, Any] = {"name": domain.name, "state": domain.power}
    ours = _mark.get(root, "origin") == "created"
    for row in TABLE:
        if row.spec is None or row.read is None:
            continue
        value = row.read(view)
        if row.name == "disks" and not ours:
            value = _more_disks(root)
        if row.name == "nics" and not ours:
            value = _nics.describable(root)
        if row.name == "console_log":
            value = value is not None if ours else None
        if value not in (None, [], ""):
            entry[row.name] = brief({row.name: (None, value)})[row.name][1]
    if disk is not None and disk.size % GIB:
        del entry["disk_gib"]
    # An image is a name of the caller's; of the rest nothing differs
    return entry | (_seed_options(root) if ours else {})


def problems_of(entry: Mapping[str, Any], root: Element) -> list[str]:
    """Return what of a domain an entry has no words for, so that it is left alone."""
    found = [f"network interface {mac}" for mac in _foreign_macs(entry, root)]
    targets = {"vda", "vdz", *(disk["target"] for disk in entry.get("disks", []))}
    drives = [attribute(disk, "target", "dev") for disk in root.findall("devices/disk")]
    return found + [f"disk {target}" for target in drives if target not in targets]


def _foreign_macs(entry: Mapping[str, Any], root: Element) -> list[str]:
    ours = {nic["mac"] for nic in entry.get("nics", [])}
    found = [(mac.get("address") or "").lower() for mac in root.findall("devices/interface/mac")]
    return [mac for mac in found if mac not in ours]
