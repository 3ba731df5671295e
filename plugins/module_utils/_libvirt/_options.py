# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""The table of a guest's options: each is declared once.

From a row come the argument spec, the comparison with a domain, the patch of its XML, and when that takes effect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from xml.etree.ElementTree import Element

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt import (
    _devices,
    _drives,
    _machine,
    _mark,
    _nics,
    _patch,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._live import Live
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._xml import ensure, set_text, text_at

Effect = Literal["live", "next_boot", "recreate"]


@dataclass(frozen=True)
class View:
    """A domain as its options are read: its XML, and what libvirt and the files know beside it."""

    root: Element
    autostart: bool | None = None
    disk_bytes: int | None = None
    seed: str | None = None


def _same(have: Any, want: Any) -> bool:
    return bool(have == want)


@dataclass(frozen=True)
class Option:
    """One option of a guest.

    Args:
        name: its name.
        spec: its argument spec; None for what follows from other options.
        effect: whether a change can be made live, at the guest's next boot, or never on an existing guest; None for
            options that steer a run and are not part of the guest.
        read: returns its value in a domain.
        write: patches its value into a domain's XML; None for what is not in the XML.
        same: whether the value in the domain is the wanted one.
        clears: whether no value means that the domain must have none, instead of any.
        live: changes a running domain as far as that goes; the rest waits for its next boot.
        pending: whether a running domain's XML lacks what the one for its next boot has; by default whether the values
            differ.
    """

    name: str
    spec: Mapping[str, Any] | None = None
    effect: Effect | None = None
    read: Callable[[View], Any] | None = None
    write: Callable[[Element, Any], None] | None = None
    same: Callable[[Any, Any], bool] = _same
    clears: bool = False
    live: Live | None = None
    pending: Callable[[Element, Element], bool] | None = None


def _xml(
    name: str,
    spec: Mapping[str, Any] | None,
    effect: Effect,
    read: Callable[[Element], Any],
    write: Callable[[Element, Any], None],
    **more: Any,
) -> Option:
    return Option(name, spec, effect, lambda view: read(view.root), write, **more)


def _at(name: str, path: str, effect: Effect) -> Option:
    def write(root: Element, value: str | None) -> None:
        set_text(root, path, value)

    return _xml(name, {"type": "str"}, effect, lambda root: text_at(root, path), write, clears=True)


def _marked(name: str, spec: Mapping[str, Any] | None, effect: Effect = "live") -> Option:
    def write(root: Element, value: Any) -> None:
        text = " ".join(value) if isinstance(value, list) else str(value)
        _mark.put(root, name, None if value in (None, [], 0) else text)

    def read(root: Element) -> Any:
        value = _mark.get(root, name)
        if spec is not None and spec["type"] == "list":
            return (value or "").split()
        return int(value or 0) if spec is not None and spec["type"] == "int" else value

    return _xml(name, spec, effect, read, write, clears=True)


GIB = 1024**3

# What steers the run and leaves nothing in the domain
_RUN: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "source": {"type": "str"},
    "renamed_from": {"type": "str"},
    "state": {"type": "str", "choices": ["running", "stopped", "paused", "present", "absent"], "default": "running"},
    "address": {"type": "str"},
    "hostname": {"type": "str"},
    "fqdn": {"type": "str"},
    "seed": {"type": "bool"},
    "users": {"type": "list", "elements": "dict"},
    "user_data": {"type": "dict"},
    "meta_data": {"type": "dict"},
    "network_config": {"type": "dict"},
    "wait_for": {"type": "list", "elements": "raw"},
    "wait_timeout": {"type": "int"},
    "restart": {"type": "str", "choices": ["never", "if_needed"]},
    "stop_timeout": {"type": "int"},
    "on_timeout": {"type": "str", "choices": ["fail", "destroy"]},
    "remove_storage": {"type": "bool", "default": False},
}

_TOPOLOGY: dict[str, Any] = {
    "sockets": {"type": "int", "default": 1},
    "dies": {"type": "int", "default": 1},
    "cores": {"type": "int", "default": 1},
    "threads": {"type": "int", "default": 1},
}


def _text(*choices: str) -> dict[str, Any]:
    return {"type": "str", "choices": list(choices)} if choices else {"type": "str"}


def _rows(options: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "list", "elements": "dict", "options": dict(options)}


_INT, _BOOL = {"type": "int"}, {"type": "bool"}

# The order is that of the diff, and of the elements in a new domain.
TABLE: tuple[Option, ...] = (
    *(Option(name, spec) for name, spec in _RUN.items()),
    _xml("uuid", _text(), "recreate", lambda r: text_at(r, "uuid"), lambda r, v: set_text(r, "uuid", v)),
    _at("title", "title", "live"),
    _at("description", "description", "live"),
    _xml("virt_type", _text("kvm", "qemu"), "next_boot", lambda r: r.get("type"), lambda r, v: r.set("type", v)),
    _xml(
        "memory_mib",
        _INT,
        "live",
        _machine.read_memory,
        _machine.write_memory,
        live=_machine.live_memory,
        pending=_machine.pending_memory,
    ),
    _xml("max_memory_mib", _INT, "next_boot", _machine.read_max_memory, _machine.write_max_memory),
    _xml("vcpus", _INT, "live", _machine.read_vcpus, _machine.write_vcpus, live=_machine.live_vcpus),
    _xml("max_vcpus", _INT, "next_boot", _machine.read_max_vcpus, _machine.write_max_vcpus),
    _xml("cpu", _text(), "next_boot", _machine.read_cpu, _machine.write_cpu),
    _xml(
        "cpu_topology",
        {"type": "dict", "options": _TOPOLOGY},
        "next_boot",
        _machine.read_topology,
        _machine.write_topology,
        clears=True,
    ),
    _xml(
        "machine",
        _text(),
        "recreate",
        _machine.read_machine,
        lambda r, v: ensure(r, "os/type").set("machine", v),
        same=_machine.same_machine,
    ),
    _xml("firmware", _text("bios", "uefi"), "recreate", _machine.read_firmware, _machine.write_firmware),
    _xml("secure_boot", _BOOL, "recreate", _machine.read_secure_boot, _machine.write_secure_boot),
    _at("kernel", "os/kernel", "next_boot"),
    _at("initrd", "os/initrd", "next_boot"),
    _at("cmdline", "os/cmdline", "next_boot"),
    _xml(
        "boot_order",
        {"type": "list", "elements": "str", "choices": ["disk", "cdrom", "network"]},
        "next_boot",
        _machine.read_boot_order,
        _machine.write_boot_order,
    ),
    _xml("disk_path", _text(), "next_boot", _drives.read_disk, _drives.write_disk, clears=True),
    _xml("disk_format", _text("qcow2", "raw"), "recreate", _drives.read_disk_format, _drives.write_disk_format),
    Option(
        "disk_gib",
        _INT,
        "live",
        lambda view: None if view.disk_bytes is None else view.disk_bytes // GIB,
        same=lambda have, want: have is not None and have >= want,
    ),
    _xml("seed_path", None, "next_boot", _drives.read_seed, _drives.write_seed, clears=True),
    Option("seed_content", None, "live", lambda view: view.seed),
    _xml(
        "disks",
        _rows(_drives.DISK_SPEC),
        "live",
        _drives.read_disks,
        _drives.write_disks,
        same=_drives.same_disks,
        live=_drives.live_disks,
        pending=_drives.pending_disks,
    ),
    _marked("image", _text()),
    _xml(
        "nics",
        _rows(_nics.NIC_SPEC),
        "live",
        _nics.read_nics,
        _nics.write_nics,
        same=_nics.same_nics,
        live=_nics.live_nics,
        pending=_nics.pending_nics,
    ),
    _xml("serial", _BOOL, "next_boot", _devices.read_serial, _devices.write_serial),
    _xml("console_log", _BOOL, "next_boot", _devices.read_console_log, _devices.write_console_log, clears=True),
    _xml("graphics", _text("none", "vnc", "spice"), "next_boot", _devices.read_graphics, _devices.write_graphics),
    _xml("agent", _BOOL, "next_boot", _devices.read_agent, _devices.write_agent),
    _xml("rng", _BOOL, "live", _devices.read_rng, _devices.write_rng, live=_devices.live_rng),
    _xml(
        "watchdog",
        _text("none", "reset", "shutdown", "poweroff", "pause", "dump", "inject-nmi"),
        "next_boot",
        _devices.read_watchdog,
        _devices.write_watchdog,
    ),
    _xml(
        "xml_patch",
        _rows(_patch.PATCH_SPEC),
        "next_boot",
        _patch.read_patches,
        _patch.write_patches,
        pending=_patch.pending_patches,
    ),
    Option("autostart", _BOOL, "live", lambda view: view.autostart),
    _marked("start_order", {"type": "int", "default": 0}),
    _marked("start_delay", {"type": "int", "default": 0}),
    _marked("depends", {"type": "list", "elements": "str", "default": []}),
    _marked("network", _text()),
    _marked("origin", None),
)

BY_NAME: dict[str, Option] = {option.name: option for option in TABLE}
# What a domain is compared by
ROWS: tuple[Option, ...] = tuple(option for option in TABLE if option.read is not None)


def argument_spec() -> dict[str, Any]:
    """Return the suboptions of C(guests)."""
    return {option.name: dict(option.spec) for option in TABLE if option.spec is not None}


def _brief(spec: Mapping[str, Any], value: Any) -> Any:
    if not isinstance(value, list):
        return value
    usual = {key: row.get("default") for key, row in spec.items()}
    return [{key: item for key, item in entry.items() if item not in (None, usual.get(key))} for entry in value]


def brief(options: Mapping[str, tuple[Any, Any]]) -> dict[str, tuple[Any, Any]]:
    """Return changes as a plan shows them: of a card or a disk what is not as usual."""
    shown = {}
    for name, (before, after) in options.items():
        row = BY_NAME.get(name)
        spec = row.spec.get("options") if row is not None and row.spec is not None else None
        shown[name] = (before, after) if spec is None else (_brief(spec, before), _brief(spec, after))
    return shown
