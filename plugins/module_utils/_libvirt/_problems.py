# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""What is wrong with an inventory's guests, all of it at once, before anything is written."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt import _nics
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._backend import Domain
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._guest import Guest, place
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._nics import NIC_SPEC
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._options import argument_spec
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._patch import problem_of
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._seed import USER_SPEC
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._xml import text_at
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")
_MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}$")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
_TARGET = re.compile(r"(vd|sd)[a-z]$")
_LEAST = {
    **dict.fromkeys(("memory_mib", "max_memory_mib", "vcpus", "max_vcpus", "disk_gib"), 1),
    **dict.fromkeys(("wait_timeout", "stop_timeout", "start_delay"), 0),
}
_NIC_RANGES = {
    "queues": (1, 256),
    "mtu": (68, 65535),
    **dict.fromkeys(("inbound_mbit", "outbound_mbit"), (1, 400_000)),
}
# What a guest may say in an inventory; the rest is derived from it
_DERIVED = ("source", "nics", "wait_for")
_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "str": ((str, int, float), "a text"),
    "int": ((int,), "a whole number"),
    "bool": ((bool,), "true or false"),
    "list": ((list, tuple), "a list"),
    "dict": ((dict,), "a dictionary"),
}


def _is_int(value: object) -> bool:
    return isinstance(value, str) and value.strip().lstrip("-").isdigit()


def _check_value(spec: Mapping[str, Any], value: Any) -> str | None:
    """Return what would be right, or None."""
    types, words = _TYPES[spec["type"]]
    if spec["type"] == "int" and _is_int(value):
        return None
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        return words
    return _check_members(spec, value)


def _is_awaited(item: object) -> bool:
    if isinstance(item, Mapping):
        port = item.get("port")
        return len(item) == 1 and (isinstance(port, int) or _is_int(port)) and 0 < int(port or 0) < 65536
    return item in ("lease", "agent")


def _check_members(spec: Mapping[str, Any], value: Any) -> str | None:
    if spec["type"] == "list" and spec["elements"] == "raw":
        return None if all(_is_awaited(item) for item in value) else "a list of lease, agent and port: NUMBER"
    choices = spec.get("choices")
    if choices and spec["type"] == "list":
        return None if all(item in choices for item in value) else f"a list of {', '.join(choices)}"
    if choices and value not in choices:
        return f"one of {', '.join(choices)}"
    if spec["type"] == "list" and spec["elements"] == "str" and not all(isinstance(item, str) for item in value):
        return "a list of texts"
    if spec["type"] == "list" and spec["elements"] == "dict" and not all(isinstance(item, Mapping) for item in value):
        return "a list of dictionaries"
    return None


def _known_keys(key: str, spec: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, spec, n=1)
    known = ", ".join(name for name in spec if name not in _DERIVED)
    return f"no such key{f', did you mean {near[0]}?' if near else ';'} Known: {known}"


def _check_entry(
    variable: str, index: int | None, prefix: str, entry: Mapping[str, Any], spec: Mapping[str, Mapping[str, Any]]
) -> list[Problem]:
    problems = []
    for key, value in entry.items():
        if key not in spec:
            problems.append(Problem(variable, index, f"{prefix}{key}", value, _known_keys(str(key), spec)))
        elif value is not None and (allowed := _check_value(spec[key], value)) is not None:
            problems.append(Problem(variable, index, f"{prefix}{key}", value, allowed))
    for key, row in spec.items():
        if row.get("required") and entry.get(key) is None:
            problems.append(Problem(variable, index, f"{prefix}{key}", None, _TYPES[row["type"]][1]))
    return problems


def check_entries(entries: Sequence[Any]) -> list[Problem]:
    """Check keys and types of the entries of C(guests)."""
    spec = argument_spec()
    problems: list[Problem] = []
    for position, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            problems.append(Problem("guests", position, None, entry, "a dictionary"))
            continue
        variable, index = place(entry, position)
        found = _check_entry(variable, index, "", entry, spec)
        problems += found
        wrong = {problem.key for problem in found}
        for key, row in {**spec, "users": {"options": USER_SPEC}}.items():
            value = entry.get(key)
            if "options" not in row or value is None or key in wrong:
                continue
            if isinstance(value, Mapping):
                problems += _check_entry(variable, index, f"{key}.", value, row["options"])
            for number, member in enumerate([] if isinstance(value, Mapping) else value):
                if isinstance(member, Mapping):
                    problems += _check_entry(variable, index, f"{key}[{number}].", member, row["options"])
                    if key == "xml_patch" and (allowed := problem_of(member)) is not None:
                        problems.append(Problem(variable, index, f"{key}[{number}]", member.get("xml"), allowed))
    return problems


def check_users(users: Sequence[Any]) -> list[Problem]:
    """Check the users of all guests."""
    problems: list[Problem] = []
    for index, user in enumerate(users):
        if isinstance(user, Mapping):
            problems += _check_entry("users", index, "", user, USER_SPEC)
        else:
            problems.append(Problem("users", index, None, user, "a dictionary with name and ssh_keys"))
    return problems


def _at(guest: Guest) -> str:
    return guest.variable if guest.index is None else f"{guest.variable}[{guest.index}]"


def _wrong(guest: Guest, key: str, value: object, allowed: str) -> Problem:
    """Return a problem in the words of where the guest comes from: an inventory has no list of interfaces."""
    in_list = guest.variable == "guests" and key in NIC_SPEC
    return Problem(guest.variable, guest.index, f"nics.{key}" if in_list else key, value, allowed)


def _check_nic(nic: Mapping[str, Any]) -> list[tuple[str, object, str]]:
    found: list[tuple[str, object, str]] = []
    if not _MAC.match(nic["mac"]):
        found.append(("mac", nic["mac"], "a unicast MAC address such as 52:54:00:12:34:56"))
    if not 1 <= len(nic["tap"]) <= 15:
        found.append(("tap", nic["tap"], "1 to 15 characters"))
    for key, least, most in (
        ("queues", 1, 256),
        ("mtu", 68, 65535),
        ("inbound_mbit", 1, None),
        ("outbound_mbit", 1, None),
    ):
        value = nic[key]
        if value is not None and (value < least or (most is not None and value > most)):
            found.append((f"nics.{key}", value, f"{least} or more" if most is None else f"{least} to {most}"))
    if nic["queues"] != 1 and nic["model"] != "virtio":
        found.append(("nics.queues", nic["queues"], "1, or model: virtio"))
    return found


def _check_disks(guest: Guest, values: Mapping[str, Any]) -> list[tuple[str, object, str]]:
    found: list[tuple[str, object, str]] = []
    taken = {target for target, key in (("vda", "disk_path"), ("vdz", "seed_path")) if values.get(key)}
    paths = {values.get("disk_path"), values.get("seed_path")} - {None}
    for number, disk in enumerate(values["disks"]):
        target, path = disk["target"], disk["path"]
        key = f"disks[{number}]"
        if not _TARGET.match(target) or target in taken:
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
            found.append((f"disks[{target}].size_gib", size, "1 or more"))
    return found


def _check_guest(guest: Guest, images: Iterable[str], memory_mib: int | None) -> list[Problem]:
    values = {**guest.defaults, **guest.given}
    found: list[tuple[str, object, str]] = []
    if not _NAME.match(guest.name):
        found.append(("name", guest.name, "letters, digits, '-', '_' and '.', at most 63, the first a letter or digit"))
    for key, least in _LEAST.items():
        value = guest.given.get(key, guest.run.get(key))
        if value is not None and value < least:
            found.append((key, value, f"{least} or more"))
    if memory_mib is not None and values["memory_mib"] > memory_mib:
        found.append(("memory_mib", values["memory_mib"], f"at most {memory_mib}, which this host has"))
    for most, key in (("max_memory_mib", "memory_mib"), ("max_vcpus", "vcpus")):
        if most in guest.given and values[most] < values[key]:
            found.append((most, values[most], f"{key} ({values[key]}) or more"))
    topology = guest.given.get("cpu_topology")
    if topology is not None and math.prod(topology.values()) != values["max_vcpus"]:
        shown = " x ".join(f"{key} {number}" for key, number in topology.items())
        found.append(("cpu_topology", shown, f"as many processors as max_vcpus, {values['max_vcpus']}"))
    if guest.given.get("secure_boot") and values.get("firmware") != "uefi":
        found.append(("secure_boot", True, "only beside firmware: uefi"))
    if guest.given.get("console_log") and not values["serial"]:
        found.append(("console_log", True, "only with a serial port"))
    if not _UUID.match(str(values["uuid"]).lower()):
        found.append(("uuid", values["uuid"], "a UUID such as 6b766d6e-6574-4572-8361-000000000001"))
    name = guest.given.get("image")
    if name is not None and guest.image is None:
        found.append(("image", name, f"one of {', '.join(sorted(images)) or '(no images are declared)'}"))
    for key in ("disk_path", "kernel", "initrd"):
        if values.get(key) and not str(values[key]).startswith("/"):
            found.append((key, values[key], "an absolute path on the host"))
    for key in ("initrd", "cmdline"):
        if values.get(key) and not values.get("kernel"):
            found.append((key, values[key], "only beside kernel"))
    found += [problem for nic in values["nics"] for problem in _check_nic(nic)]
    found += _check_disks(guest, values)
    if "agent" in guest.run["wait_for"] and values.get("agent") is False:
        found.append(("wait_for", "agent", "not agent: the guest has no channel for one"))
    if "lease" in guest.run["wait_for"] and guest.variable == "guests" and not values["nics"]:
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
            wrong(need, f"one of the guests of this host: {', '.join(sorted(set(listed) - {guest.name}))}")
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
            taken |= {("mac", mac): f"the domain {domain.name}" for mac in _nics.macs(domain.root)}
            taken[("uuid", text_at(domain.root, "uuid") or "")] = f"the domain {domain.name}"
    for guest in guests:
        uses = [("name", guest.name)]
        if guest.state != "absent":
            problems += _check_guest(guest, images, memory_mib)
            problems += _check_order(guest, listed)
            uses.append(("uuid", guest.uuid))
            uses += [(key, nic[key]) for nic in guest.given.get("nics", []) for key in ("mac", "tap")]
        same_name = ("name", guest.name) in taken
        for key, value in uses:
            other = taken.setdefault((key, value), _at(guest))
            # Two guests of one name have the same identity too: that is one mistake, not four
            if other != _at(guest) and (key == "name" or not same_name):
                problems.append(_wrong(guest, key, value, f"one that {other} does not have"))
    return problems
