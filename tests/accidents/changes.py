# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The changes that accidents happen to. Together they hold every kind of step that kvm_guest makes."""

from __future__ import annotations

from typing import Any

PORT = 8099
STORAGE = "/var/lib/libvirt/images/accidents"
SETTINGS: dict[str, Any] = {
    "storage": STORAGE,
    "virt_type": "qemu",
    # Nothing in these guests hears a request, and nothing in them is lost
    "stop_timeout": 0,
    "on_timeout": "destroy",
    # So that the n-th write is the same one each time
    "parallel": 1,
    "users": [{"name": "admin", "ssh_keys": ["ssh-ed25519 AAAA nobody"]}],
}
_KERNEL = "/srv/kvmnet/images/tiny-vmlinuz"


def _guest(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "memory_mib": 64, "wait_for": [], "nics": [], **more}


def _disk(target: str, size: int, kind: str = "qcow2") -> dict[str, Any]:
    return {"target": target, "size_gib": size, "format": kind}


_CAT = _guest("cat", image="base", max_memory_mib=96, disks=[_disk("vdb", 1), _disk("vdc", 1, "raw")])
_DOG = _guest("dog", image="old", state="stopped", disk_gib=1)
_MOUSE = _guest("mouse", kernel=_KERNEL, state="paused", image=None)
_GUESTS = [_CAT, _DOG, _MOUSE]

# Live, at the next boot, by a restart, while stopped; a disk that is new, and disks that grow
_CHANGED = [
    {
        **_CAT,
        "title": "Cat",
        "memory_mib": 80,
        "autostart": False,
        "graphics": "vnc",
        "disk_gib": 1,
        "disks": [_disk("vdb", 2), _disk("vdc", 1, "raw"), _disk("vdd", 1)],
    },
    {**_DOG, "disk_gib": 2, "vcpus": 2, "user_data": {"runcmd": ["true"]}, "state": "running"},
    {**_MOUSE, "state": "running", "disk_gib": 1},
]
_RESTARTED = [{**_CAT, "memory_mib": 128, "max_memory_mib": 128, "restart": "if_needed", "disk_gib": 2}, _DOG, _MOUSE]
_RENAMED = [
    {**_CAT, "name": "kitten", "renamed_from": "cat", "restart": "if_needed"},
    {**_DOG, "name": "wolf", "renamed_from": "dog", "description": "Another name"},
    {**_MOUSE, "state": "stopped"},
]
_GONE = [{"name": "cat", "state": "absent", "remove_storage": True}, {"name": "mouse", "state": "absent"}]
_GONE += [{"name": "dog", "state": "absent"}]
# A record of another guest in the place of one that went, on an image that another one leaves
_OTHER = [{**_CAT, "remove_storage": True, "state": "absent"}, _guest("owl", image="base", state="present")]


def _change(before: list[dict[str, Any]] | None, after: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    kept = [{key: value for key, value in entry.items() if value is not None} for entry in after]
    first = None if before is None else [{k: v for k, v in entry.items() if v is not None} for entry in before]
    return {"before": None if first is None else {"guests": first}, "after": {"guests": kept, **more}}


CHANGES: dict[str, Any] = {
    "made": _change(None, _GUESTS),
    "changed": _change(_GUESTS, _CHANGED),
    "restarted": _change(_GUESTS, _RESTARTED),
    "renamed": _change(_GUESTS, _RENAMED),
    "removed": _change(_GUESTS, _GONE, prune_images=True),
    "exchanged": _change(_GUESTS, _OTHER),
}
# name -> the write before which the power of the whole machine goes: which change, and what the write says
POWER_CUTS: dict[str, tuple[str, str]] = {
    "an image half downloaded": ("made", r"receive"),
    "an image half converted": ("made", r"Popen qemu-img convert"),
    "a disk made, not defined": ("made", r"virDomainDefineXML"),
    "defined, not started": ("made", r"virDomainCreate"),
    "changed live, not in its definition": ("changed", r"virDomainDefineXML"),
    "stopped for a restart": ("restarted", r"virDomainDefineXML"),
    "about to start again": ("restarted", r"virDomainCreate"),
    "renamed, not defined": ("renamed", r"virDomainDefineXML"),
    "undefined, its files still there": ("removed", r"remove .*/cat\.qcow2"),
}
