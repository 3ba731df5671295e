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

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt import _devices, _mark
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._xml import add, ensure, set_text, size_mib, text_at

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
    """

    name: str
    spec: Mapping[str, Any] | None = None
    effect: Effect | None = None
    read: Callable[[View], Any] | None = None
    write: Callable[[Element, Any], None] | None = None
    same: Callable[[Any, Any], bool] = _same
    clears: bool = False


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


def _write_memory(root: Element, mib: int) -> None:
    current, most = size_mib(root.find("currentMemory")), size_mib(root.find("memory"))
    if most is None or most == (current or most) or most < mib:
        _write_size(root, "memory", mib)
    _write_size(root, "currentMemory", mib)


def _write_size(root: Element, tag: str, mib: int) -> None:
    element = ensure(root, tag)
    element.attrib.clear()
    element.set("unit", "KiB")
    element.text = str(mib * 1024)


def _read_memory(root: Element) -> int | None:
    current = root.find("currentMemory")
    return size_mib(root.find("memory") if current is None else current)


def _read_vcpus(root: Element) -> int:
    vcpu = root.find("vcpu")
    return 1 if vcpu is None else int(vcpu.get("current") or vcpu.text or 1)


def _write_vcpus(root: Element, count: int) -> None:
    vcpu = ensure(root, "vcpu")
    vcpu.attrib.pop("current", None)
    vcpu.text = str(count)


_CPU_MODES = ("host-passthrough", "host-model", "maximum")


def _read_cpu(root: Element) -> str | None:
    cpu = root.find("cpu")
    if cpu is None:
        return None
    return cpu.get("mode") if cpu.get("mode") in _CPU_MODES else text_at(cpu, "model")


def _write_cpu(root: Element, value: str) -> None:
    cpu = ensure(root, "cpu")
    for attribute in ("match", "check", "migratable"):
        cpu.attrib.pop(attribute, None)
    if value in _CPU_MODES:
        cpu.set("mode", value)
        set_text(cpu, "model", None)
        return
    cpu.set("mode", "custom")
    cpu.set("match", "exact")
    set_text(cpu, "model", None)
    add(cpu, "model", value, fallback="forbid")


def _read_machine(root: Element) -> str | None:
    kind = root.find("os/type")
    return None if kind is None else kind.get("machine")


def _same_machine(have: str | None, want: str) -> bool:
    """libvirt replaces an alias by the newest machine of that family and keeps that."""
    return have == want or (have or "").startswith({"pc": "pc-i440fx-", "q35": "pc-q35-"}.get(want, f"{want}-"))


def _same_nics(have: list[dict[str, Any]], want: list[dict[str, Any]]) -> bool:
    return sorted(have, key=lambda nic: str(nic["mac"])) == sorted(want, key=lambda nic: str(nic["mac"]))


NIC_SPEC: dict[str, Any] = {
    "mac": {"type": "str", "required": True},
    "tap": {"type": "str", "required": True},
    "model": {"type": "str", "default": "virtio"},
    "mtu": {"type": "int"},
}

GIB = 1024**3

# What steers the run and leaves nothing in the domain
_RUN: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "source": {"type": "str"},
    "state": {"type": "str", "choices": ["running", "stopped", "present", "absent"], "default": "running"},
    "address": {"type": "str"},
    "hostname": {"type": "str"},
    "fqdn": {"type": "str"},
    "seed": {"type": "bool"},
    "users": {"type": "list", "elements": "dict"},
    "user_data": {"type": "dict"},
    "network_config": {"type": "dict"},
    "wait_for": {"type": "list", "elements": "str", "choices": ["lease"]},
    "wait_timeout": {"type": "int"},
    "restart": {"type": "str", "choices": ["never", "if_needed"]},
    "stop_timeout": {"type": "int"},
    "on_timeout": {"type": "str", "choices": ["fail", "destroy"]},
    "remove_storage": {"type": "bool", "default": False},
}

# The order is that of the diff, and of the elements in a new domain.
TABLE: tuple[Option, ...] = (
    *(Option(name, spec) for name, spec in _RUN.items()),
    _xml("uuid", {"type": "str"}, "recreate", lambda r: text_at(r, "uuid"), lambda r, v: set_text(r, "uuid", v)),
    _at("title", "title", "live"),
    _at("description", "description", "live"),
    _xml(
        "virt_type",
        {"type": "str", "choices": ["kvm", "qemu"]},
        "next_boot",
        lambda r: r.get("type"),
        lambda r, v: r.set("type", v),
    ),
    _xml("memory_mib", {"type": "int"}, "next_boot", _read_memory, _write_memory),
    _xml(
        "max_memory_mib",
        {"type": "int"},
        "next_boot",
        lambda r: size_mib(r.find("memory")),
        lambda r, v: _write_size(r, "memory", v),
    ),
    _xml("vcpus", {"type": "int"}, "next_boot", _read_vcpus, _write_vcpus),
    _xml("cpu", {"type": "str"}, "next_boot", _read_cpu, _write_cpu),
    _xml(
        "machine",
        {"type": "str"},
        "recreate",
        _read_machine,
        lambda r, v: ensure(r, "os/type").set("machine", v),
        same=_same_machine,
    ),
    _at("kernel", "os/kernel", "next_boot"),
    _at("initrd", "os/initrd", "next_boot"),
    _at("cmdline", "os/cmdline", "next_boot"),
    _xml("disk_path", {"type": "str"}, "next_boot", _devices.read_disk, _devices.write_disk, clears=True),
    Option(
        "disk_gib",
        {"type": "int"},
        "live",
        lambda view: None if view.disk_bytes is None else view.disk_bytes // GIB,
        same=lambda have, want: have is not None and have >= want,
    ),
    _xml("seed_path", None, "next_boot", _devices.read_seed, _devices.write_seed, clears=True),
    Option("seed_content", None, "live", lambda view: view.seed),
    _marked("image", {"type": "str"}),
    _xml(
        "nics",
        {"type": "list", "elements": "dict", "options": NIC_SPEC},
        "next_boot",
        _devices.read_nics,
        _devices.write_nics,
        same=_same_nics,
    ),
    _xml(
        "console_log", {"type": "bool"}, "next_boot", _devices.read_console_log, _devices.write_console_log, clears=True
    ),
    _xml("agent", {"type": "bool"}, "next_boot", _devices.read_agent, _devices.write_agent),
    _xml("rng", {"type": "bool"}, "next_boot", _devices.read_rng, _devices.write_rng),
    Option("autostart", {"type": "bool"}, "live", lambda view: view.autostart),
    _marked("start_order", {"type": "int", "default": 0}),
    _marked("depends", {"type": "list", "elements": "str", "default": []}),
    _marked("network", {"type": "str"}),
    _marked("origin", None),
)

BY_NAME: dict[str, Option] = {option.name: option for option in TABLE}
# What a domain is compared by
ROWS: tuple[Option, ...] = tuple(option for option in TABLE if option.read is not None)


def argument_spec() -> dict[str, Any]:
    """Return the suboptions of C(guests)."""
    return {option.name: dict(option.spec) for option in TABLE if option.spec is not None}
