# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""A guest as the inventory wants it: one normalised record, with everything that follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._identity import derive_uuid
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt import _seed
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._drives import normalise_disk
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._images import Image
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._nics import normalise_nic
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._options import BY_NAME, ROWS
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._patch import normalise_patch
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._read import Entry, place
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._starter import Turn

CONSOLE_DIRECTORY = "/var/log/libvirt/qemu"


def console_log(name: str) -> str:
    """Return the file that gets what a guest prints on its first serial port."""
    return f"{CONSOLE_DIRECTORY}/{name}-console.log"


@dataclass(frozen=True)
class Settings:
    """What the module's call says for all guests.

    Args:
        storage: the directory of disks and seeds.
        virt_type: the default of guests that do not say.
        machine: the default machine of this host's architecture; None leaves it to libvirt.
        cpu: virt_type -> default CPU.
        users: who may log in to guests that do not say.
        restart: whether a guest is restarted for what cannot change live.
        stop_timeout: seconds for a graceful stop.
        on_timeout: what happens then.
        wait_timeout: seconds until a guest must be up.
        parallel: how many guests are handled at once.
        prune_images: whether images that nothing needs any more are removed.
    """

    storage: str = "/var/lib/libvirt/images/kvmnet"
    virt_type: str = "kvm"
    machine: str | None = "q35"
    cpu: Mapping[str, str] = field(default_factory=lambda: {"kvm": "host-passthrough", "qemu": "qemu64"})
    users: Sequence[Mapping[str, Any]] = ()
    restart: str = "never"
    stop_timeout: int = 60
    on_timeout: str = "fail"
    wait_timeout: int = 120
    parallel: int = 8
    prune_images: bool = False


@dataclass(frozen=True)
class Guest:
    """One guest.

    Args:
        name: its name.
        variable: the list it stands in, for messages.
        index: its place there.
        state: what it shall be.
        given: option -> value, as far as its record names them.
        defaults: option -> value for the rest, in a domain that we made.
        image: what its disk starts from.
        seed: its cloud-init seed.
        run: what steers the run.
        unread: the options that its record says something wrong about.
    """

    name: str
    variable: str
    index: int | None
    state: str
    given: Mapping[str, Any]
    defaults: Mapping[str, Any]
    image: Image | None
    seed: bytes | None
    run: Mapping[str, Any]
    unread: frozenset[str] = frozenset()

    def says(self, *options: str) -> bool:
        """Return whether its record leaves no doubt about some options: what is wrong in it says neither yes nor no."""
        return self.unread.isdisjoint(options)

    def drive(self, target: str) -> str:
        """Return where one of its disks stands in its record."""
        return f"disks[{self.run['disk_places'].get(target, target)}]"

    def sketch(self) -> Guest:
        """Return what of it can be planned although something in its record is wrong."""
        given = {key: value for key, value in self.given.items() if key != "nics"}
        if "disks" in given:
            given["disks"] = [disk for disk in given["disks"] if disk["target"] is not None]
        return replace(self, given=given)

    @property
    def uuid(self) -> str:
        """Its UUID, given or derived."""
        return str({**self.defaults, **self.given}["uuid"]).lower()

    def values(self, ours: bool) -> dict[str, Any]:
        """Return the wanted options: all of them in a domain we made, in an adopted one those that the record names."""
        wanted = {**self.defaults, **self.given} if ours else {**self.given, "origin": "adopted"}
        found = {row.name: wanted[row.name] for row in ROWS if row.name in wanted}
        # Disks get their formats and places filled in
        return found | {"disks": [dict(disk) for disk in found["disks"]]} if "disks" in found else found


def turn_of(guest: Guest) -> Turn:
    """Return when it is started."""
    return Turn(guest.run["start_order"], guest.run["start_delay"], guest.run["depends"])


def _spell(given: dict[str, Any], name: str, settings: Settings) -> dict[str, int]:
    """Bring nested options into the one spelling they are read back in; return target -> GiB of the disks."""
    if "nics" in given:
        given["nics"] = [normalise_nic(nic) for nic in given["nics"]]
    if "xml_patch" in given:
        given["xml_patch"] = [normalise_patch(patch) for patch in given["xml_patch"]]
    if "cpu_topology" in given:
        arranged = {"sockets": 1, "dies": 1, "cores": 1, "threads": 1}
        given["cpu_topology"] = arranged | {key: n for key, n in given["cpu_topology"].items() if n is not None}
    if "console_log" in given:
        given["console_log"] = console_log(name) if given["console_log"] else None
    sizes = {}
    if "disks" in given:
        for disk in given["disks"]:
            if disk.get("size_gib") is not None:
                sizes[disk["target"]] = disk["size_gib"]
        given["disks"] = [
            normalise_disk(disk, f"{settings.storage}/{name}-{disk.get('target')}.{disk.get('format') or 'qcow2'}")
            for disk in given["disks"]
        ]
    return sizes


def _leases(entry: Mapping[str, Any]) -> list[tuple[str, str | None]]:
    """Return the cards that can be waited for, each with the address that it is to have: the first, and who says so."""
    nics = [nic for nic in entry.get("nics", []) if nic.get("mac")]
    found = [(str(nic["mac"]).lower(), nic.get("address")) for nic in nics[1:] if nic.get("lease")]
    return [(str(nic["mac"]).lower(), entry.get("address")) for nic in nics[:1]] + found


def normalise(row: Entry, images: Mapping[str, Image], settings: Settings) -> Guest:
    """Return the guest that an entry describes."""
    entry = row.values
    variable, index = place(entry, row.position)
    # One whose name is wrong is still checked for the rest
    name = entry.get("name") or f"({variable}[{index}])"
    image = images.get(entry.get("image", ""))
    given = {key: value for key, value in entry.items() if key in BY_NAME and BY_NAME[key].read is not None}
    sizes = _spell(given, name, settings)
    for key in ("kernel", "initrd", "cmdline"):
        value = getattr(image, key) if image else None
        if value is not None:
            given.setdefault(key, value)

    virt_type = given.get("virt_type", settings.virt_type)
    has_disk = bool((image and image.path) or given.get("disk_gib") or given.get("disk_path"))
    defaults: dict[str, Any] = {row.name: None for row in ROWS if row.clears}
    defaults |= {
        "uuid": derive_uuid(entry.get("renamed_from") or name),
        "virt_type": virt_type,
        "memory_mib": 1024,
        "max_memory_mib": given.get("memory_mib", 1024),
        "vcpus": 1,
        "max_vcpus": given.get("vcpus", 1),
        "boot_order": ["disk"],
        "disk_path": f"{settings.storage}/{name}.qcow2" if has_disk else None,
        "disks": [],
        "nics": [],
        "serial": True,
        "console_log": console_log(name) if given.get("serial", True) else None,
        "graphics": "none",
        "agent": True,
        "rng": True,
        "watchdog": "none",
        "xml_patch": [],
        "autostart": entry.get("state") != "stopped",
        "start_order": 0,
        "start_delay": 0,
        "depends": [],
        "origin": "created",
    }
    if settings.machine:
        # Of a machine whose firmware this host's architecture leaves open
        defaults |= {"machine": settings.machine, "firmware": "bios", "secure_boot": False}
    if virt_type in settings.cpu:
        defaults["cpu"] = settings.cpu[virt_type]

    content = None
    if entry.get("seed", bool(image and image.path)):
        content = _seed.seed(
            given.get("uuid", defaults["uuid"]),
            entry.get("hostname") or name,
            entry.get("fqdn"),
            entry.get("users", settings.users),
            entry.get("user_data"),
            entry.get("network_config"),
            entry.get("meta_data"),
        )
        target = given if entry.get("seed") else defaults
        target["seed_path"] = f"{settings.storage}/{name}-seed.iso"
        target["seed_content"] = _seed.digest(content)
    run = {
        "wait_for": entry.get("wait_for", []),
        "wait_timeout": entry.get("wait_timeout", settings.wait_timeout),
        "address": entry.get("address"),
        "leases": _leases(entry),
        "restart": entry.get("restart", settings.restart),
        "stop_timeout": entry.get("stop_timeout", settings.stop_timeout),
        "on_timeout": entry.get("on_timeout", settings.on_timeout),
        "remove_storage": entry.get("remove_storage", False),
        "depends": entry.get("depends", []),
        "start_order": entry.get("start_order", 0),
        "start_delay": entry.get("start_delay", 0),
        "renamed_from": entry.get("renamed_from"),
        "disk_sizes": sizes,
        "disk_places": {disk.get("target"): number for number, disk in enumerate(entry.get("disks", []))},
        "disk_paths": {disk["target"] for disk in entry.get("disks", []) if disk.get("path")},
    }
    state = entry.get("state", "running")
    unread = row.unread if image is None or image.sound else row.unread | {"image"}
    return Guest(name, variable, index, state, given, defaults, image, content, run, unread)
