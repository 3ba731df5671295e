# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""What is wrong with an inventory's guests, all of it at once, before anything is written."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt import _nics
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._backend import Domain
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._guest import Guest
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._xml import text_at
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TARGET = re.compile(r"(vd|sd)[a-z]")
_LEAST = {
    **dict.fromkeys(("memory_mib", "max_memory_mib", "vcpus", "max_vcpus", "disk_gib"), 1),
    **dict.fromkeys(("wait_timeout", "stop_timeout", "start_delay"), 0),
}
_ADDRESS = "an address of IPv4 such as 192.0.2.5"
_NIC_RANGES = {
    "queues": (1, 256),
    "mtu": (68, 65535),
    **dict.fromkeys(("inbound_mbit", "outbound_mbit"), (1, 400_000)),
}


def _at(guest: Guest) -> str:
    return guest.variable if guest.index is None else f"{guest.variable}[{guest.index}]"


def _wrong(guest: Guest, key: str, value: object, allowed: str) -> Problem:
    return Problem(guest.variable, guest.index, key, value, allowed)


def _card(guest: Guest, number: int, key: str) -> str:
    """Return where a card's option stands: in an inventory the first one's are the guest's own."""
    if guest.variable == "guests":
        return f"nics[{number}].{key}"
    own = "nic_model" if key == "model" else key
    return own if number == 0 else f"nics[{number - 1}].{own}"


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _check_nic(nic: Mapping[str, Any], known: bool) -> Iterator[tuple[str, object, str]]:
    if not _MAC.fullmatch(nic["mac"]):
        yield "mac", nic["mac"], "a unicast MAC address such as 52:54:00:12:34:56"
    attached = [key for key in ("bridge", "libvirt_network") if nic[key]]
    if len(attached) > 1:
        yield "bridge", nic["bridge"], "bridge or libvirt_network, not both"
    if known and nic["tap"] is None and not attached:
        yield "tap", None, "the name of a tap, or a bridge or libvirt_network that libvirt makes one for"
    for key in ("tap", "bridge"):
        if nic[key] is not None and not 1 <= len(nic[key]) <= 15:
            yield key, nic[key], "1 to 15 characters"
    for key, (least, most) in _NIC_RANGES.items():
        if nic[key] is not None and not least <= nic[key] <= most:
            yield key, nic[key], f"{least} to {most}"
    if nic["address"] is not None and not _is_address(nic["address"]):
        yield "address", nic["address"], _ADDRESS
    if nic["queues"] != 1 and nic["model"] != "virtio":
        yield "queues", nic["queues"], "1, or model: virtio"


def _check_disks(guest: Guest, values: Mapping[str, Any]) -> list[tuple[str, object, str]]:
    found: list[tuple[str, object, str]] = []
    taken = {target for target, key in (("vda", "disk_path"), ("vdz", "seed_path")) if values.get(key)}
    paths = {values.get("disk_path"), values.get("seed_path")} - {None}
    for number, disk in enumerate(values["disks"]):
        target, path = disk["target"], disk["path"]
        key = f"disks[{number}]"
        if target is None:
            continue
        if not _TARGET.fullmatch(target) or target in taken:
            allowed = (
                "vda to vdz or sda to sdz, each once; vda is the root disk's and vdz the seed's where there is one"
            )
            found.append((f"{key}.target", target, allowed))
        if path is not None and not path.startswith("/"):
            found.append((f"{key}.path", path, "an absolute path on the host"))
        if path is not None and path in paths and not disk["readonly"]:
            found.append((f"{key}.path", path, "a file that no other disk of the guest has"))
        if (disk["bus"] == "virtio") != target.startswith("vd"):
            found.append((f"{key}.bus", disk["bus"], "virtio for vd*, scsi or sata for sd*"))
        if disk["device"] == "cdrom" and disk["bus"] == "virtio":
            found.append((f"{key}.device", "cdrom", "disk, or a target sd*"))
        if disk["device"] == "cdrom" and target in guest.run["disk_sizes"]:
            found.append((f"{key}.size_gib", guest.run["disk_sizes"][target], "none: a CD-ROM has no size of its own"))
        taken.add(target)
        paths.add(path)
    for target, size in guest.run["disk_sizes"].items():
        if size < 1:
            found.append((f"{guest.drive(target)}.size_gib", size, "1 or more"))
    return found


def _check_guest(guest: Guest, images: Iterable[str], memory_mib: int | None) -> list[Problem]:
    values = {**guest.defaults, **guest.given}
    found: list[tuple[str, object, str]] = []
    if not _NAME.fullmatch(guest.name):
        found.append(("name", guest.name, "letters, digits, '-', '_' and '.', at most 63, the first a letter or digit"))
    for key, least in _LEAST.items():
        value = guest.given.get(key, guest.run.get(key))
        if value is not None and value < least:
            found.append((key, value, f"{least} or more"))
    if memory_mib is not None and values["memory_mib"] > memory_mib:
        found.append(("memory_mib", values["memory_mib"], f"at most {memory_mib}, which this host has"))
    for most, key in (("max_memory_mib", "memory_mib"), ("max_vcpus", "vcpus")):
        if most in guest.given and guest.says(key) and values[most] < values[key]:
            found.append((most, values[most], f"{key} ({values[key]}) or more"))
    topology = guest.given.get("cpu_topology")
    known = guest.says("cpu_topology", "vcpus", "max_vcpus")
    if topology is not None and known and math.prod(topology.values()) != values["max_vcpus"]:
        shown = " x ".join(f"{key} {number}" for key, number in topology.items())
        found.append(("cpu_topology", shown, f"as many processors as max_vcpus, {values['max_vcpus']}"))
    if guest.given.get("secure_boot") and guest.says("firmware") and values.get("firmware") != "uefi":
        found.append(("secure_boot", True, "only beside firmware: uefi"))
    if guest.given.get("console_log") and not values["serial"]:
        found.append(("console_log", True, "only with a serial port"))
    if not _UUID.fullmatch(str(values["uuid"]).lower()):
        found.append(("uuid", values["uuid"], "a UUID such as 6b766d6e-6574-4572-8361-000000000001"))
    if guest.run["address"] is not None and not _is_address(guest.run["address"]):
        found.append(("address", guest.run["address"], _ADDRESS))
    name = guest.given.get("image")
    if name is not None and guest.image is None:
        found.append(("image", name, f"one of {', '.join(sorted(images)) or '(no images are declared)'}"))
    for key in ("disk_path", "kernel", "initrd"):
        if values.get(key) and not str(values[key]).startswith("/"):
            found.append((key, values[key], "an absolute path on the host"))
    for key in ("initrd", "cmdline"):
        if values.get(key) and guest.says("kernel", "image") and not values.get("kernel"):
            found.append((key, values[key], "only beside kernel"))
    for number, nic in enumerate(values["nics"]):
        if nic["mac"] is not None:
            found += [
                (_card(guest, number, key), value, allowed)
                for key, value, allowed in _check_nic(nic, guest.says("nics"))
            ]
    found += _check_disks(guest, values)
    if "agent" in guest.run["wait_for"] and values.get("agent") is False:
        found.append(("wait_for", "agent", "not agent: the guest has no channel for one"))
    no_card = guest.variable == "guests" and guest.says("nics") and not values["nics"]
    if "lease" in guest.run["wait_for"] and no_card:
        found.append(("wait_for", "lease", "not lease: the guest has no network interface"))
    return [_wrong(guest, key, value, allowed) for key, value, allowed in found]


def _check_order(guest: Guest, listed: Mapping[str, Guest]) -> list[Problem]:
    problems = []

    def wrong(value: object, allowed: str) -> None:
        problems.append(Problem(guest.variable, guest.index, "depends", value, allowed))

    def reaches(name: str, seen: set[str]) -> bool:
        needs = listed[name].run["depends"] if name in listed else []
        return guest.name in needs or any(reaches(need, seen | {need}) for need in needs if need not in seen)

    for need in guest.run["depends"]:
        other = listed.get(need)
        if other is None:
            others = sorted(name for name, one in listed.items() if one.says("name") and one is not guest)
            wrong(need, f"one of the guests of this host: {', '.join(others)}")
        elif guest.state == "running" and other.state != "running":
            wrong(need, f"a guest that runs; {need} is {other.state}")
        elif other.run["start_order"] > guest.run["start_order"]:
            wrong(need, f"a guest that starts earlier; its start_order is {other.run['start_order']}")
    if guest.run["depends"] and reaches(guest.name, set()):
        wrong(guest.run["depends"], "guests that do not themselves depend on this one")
    return problems


def check_guests(
    guests: Sequence[Guest], images: Iterable[str], domains: Iterable[Domain], memory_mib: int | None
) -> list[Problem]:
    """Check what guests say against each other and against the domains of the host."""
    problems: list[Problem] = []
    listed = {guest.name: guest for guest in guests}
    taken: dict[tuple[str, str], str] = {}
    renamed = [guest for guest in guests if guest.run["renamed_from"] is not None]
    before = {name for guest in renamed for name in (guest.run["renamed_from"], guest.uuid)}
    for domain in domains:
        if domain.name not in listed and not before & {domain.name, text_at(domain.root, "uuid")}:
            whose = f"the domain {domain.name}"
            taken |= dict.fromkeys(_nics.identities(domain.root), whose)
            taken[("uuid", text_at(domain.root, "uuid") or "")] = whose
    for guest in guests:
        uses = [("name", "name", guest.name)]
        if guest.state != "absent":
            problems += _check_guest(guest, images, memory_mib)
            problems += _check_order(guest, listed)
            uses.append(("uuid", "uuid", guest.uuid))
            cards = enumerate(guest.given.get("nics", []))
            found = ((key, number, nic[key]) for number, nic in cards for key in ("mac", "tap"))
            uses += [(key, _card(guest, number, key), value) for key, number, value in found if value is not None]
        same_name = ("name", guest.name) in taken
        seen: set[tuple[str, str]] = set()
        for kind, key, value in uses:
            other = taken.setdefault((kind, value), _at(guest))
            if (kind, value) in seen:
                problems.append(_wrong(guest, key, value, "one that no other card of the guest has"))
            # Two guests of one name have the same identity too: that is one mistake, not four
            elif other != _at(guest) and (kind == "name" or not same_name):
                problems.append(_wrong(guest, key, value, f"one that {other} does not have"))
            seen.add((kind, value))
    return problems
