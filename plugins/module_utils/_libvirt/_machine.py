# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""Memory, processors, firmware and boot order in a domain's XML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._live import LiveOp
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._xml import (
    add,
    attribute,
    ensure,
    remove_all,
    set_text,
    size_mib,
    text_at,
)

_CPU_MODES = ("host-passthrough", "host-model", "maximum")
_BOOT = {"disk": "hd", "cdrom": "cdrom", "network": "network"}
_BOOT_NAMES = {device: name for name, device in _BOOT.items()}
_FEATURES = ("enrolled-keys", "secure-boot")


def _write_size(root: Element, tag: str, mib: int) -> None:
    element = ensure(root, tag)
    element.attrib.clear()
    element.set("unit", "KiB")
    element.text = str(mib * 1024)


def read_memory(root: Element) -> int | None:
    """Return the memory that the guest has."""
    current = root.find("currentMemory")
    return size_mib(root.find("memory") if current is None else current)


def write_memory(root: Element, mib: int) -> None:
    """Set it; the maximum goes along if it was the same, or is too small."""
    current, most = size_mib(root.find("currentMemory")), read_max_memory(root)
    if most is None or most == (current or most) or most < mib:
        write_max_memory(root, mib)
    _write_size(root, "currentMemory", mib)


def live_memory(root: Element, mib: int, heal: bool) -> list[LiveOp]:
    """Ask the guest's balloon; a guest without a driver for it does not hear that."""
    most = read_max_memory(root)
    if heal or most is None or mib > most:
        return []
    _write_size(root, "currentMemory", mib)
    return [LiveOp("memory_mib", "memory", mib)]


def pending_memory(live: Element, then: Element) -> bool:
    """Return whether only another boot gives the guest its memory. How far the balloon is says nothing."""
    return (read_max_memory(live) or 0) < (read_memory(then) or 0)


def read_max_memory(root: Element) -> int | None:
    """Return the memory that the balloon can reach."""
    return size_mib(root.find("memory"))


def write_max_memory(root: Element, mib: int) -> None:
    """Set it."""
    _write_size(root, "memory", mib)


def read_vcpus(root: Element) -> int:
    """Return the processors that the guest has."""
    vcpu = root.find("vcpu")
    return 1 if vcpu is None else int(vcpu.get("current") or vcpu.text or 1)


def read_max_vcpus(root: Element) -> int:
    """Return the processors that it can get while it runs."""
    return int(root.findtext("vcpu") or 1)


def _set_vcpus(root: Element, count: int, most: int) -> None:
    vcpu = ensure(root, "vcpu")
    vcpu.text = str(most)
    vcpu.attrib.pop("current", None)
    if count < most:
        vcpu.set("current", str(count))
    # Which of them are there, as the last change while it ran left it
    remove_all(root, root.findall("vcpus"))


def write_vcpus(root: Element, count: int) -> None:
    """Set them; the maximum is never less."""
    _set_vcpus(root, count, max(count, read_max_vcpus(root)))


def write_max_vcpus(root: Element, most: int) -> None:
    """Set it; the processors are never more."""
    _set_vcpus(root, min(read_vcpus(root), most), most)


def live_vcpus(root: Element, count: int, heal: bool) -> list[LiveOp]:
    """Plug processors in, or ask the guest to let go of some."""
    if heal or count > read_max_vcpus(root):
        return []
    # An emulated processor that is taken out corrupts the memory of QEMU 7.2, which ends the guest some calls later
    if root.get("type") == "qemu" and count < read_vcpus(root):
        return []
    _set_vcpus(root, count, read_max_vcpus(root))
    return [LiveOp("vcpus", "vcpus", count)]


def read_cpu(root: Element) -> str | None:
    """Return the CPU's mode, or its model."""
    cpu = root.find("cpu")
    if cpu is None:
        return None
    return cpu.get("mode") if cpu.get("mode") in _CPU_MODES else text_at(cpu, "model")


def write_cpu(root: Element, value: str) -> None:
    """Set it."""
    cpu = ensure(root, "cpu")
    for name in ("match", "check", "migratable"):
        cpu.attrib.pop(name, None)
    if value in _CPU_MODES:
        cpu.set("mode", value)
        set_text(cpu, "model", None)
        return
    cpu.set("mode", "custom")
    cpu.set("match", "exact")
    set_text(cpu, "model", None)
    add(cpu, "model", value, fallback="forbid")


def read_topology(root: Element) -> dict[str, int] | None:
    """Return how the processors are arranged."""
    found = root.find("cpu/topology")
    if found is None:
        return None
    return {key: int(found.get(key) or 1) for key in ("sockets", "dies", "cores", "threads")}


def write_topology(root: Element, value: Mapping[str, int] | None) -> None:
    """Arrange them, or leave it to QEMU."""
    cpu = ensure(root, "cpu")
    remove_all(cpu, cpu.findall("topology"))
    if value is not None:
        add(cpu, "topology", **{key: str(value[key]) for key in ("sockets", "dies", "cores", "threads")})


def read_machine(root: Element) -> str | None:
    """Return the machine type."""
    return attribute(root, "os/type", "machine")


def same_machine(have: str | None, want: str) -> bool:
    """libvirt replaces an alias by the newest machine of that family and keeps that."""
    return have == want or (have or "").startswith({"pc": "pc-i440fx-", "q35": "pc-q35-"}.get(want, f"{want}-"))


def read_firmware(root: Element) -> str:
    """Return what boots the guest."""
    pflash = attribute(root, "os/loader", "type") == "pflash"
    return "uefi" if pflash or attribute(root, "os", "firmware") == "efi" else "bios"


def write_firmware(root: Element, value: str) -> None:
    """Set it; libvirt chooses the file."""
    system = ensure(root, "os")
    system.attrib.pop("firmware", None)
    for tag in ("firmware", "loader", "nvram"):
        remove_all(system, system.findall(tag))
    if value == "uefi":
        system.set("firmware", "efi")


def read_secure_boot(root: Element) -> bool:
    """Return whether only signed code boots."""
    for feature in root.findall("os/firmware/feature"):
        if feature.get("name") == "secure-boot":
            return feature.get("enabled") == "yes"
    return attribute(root, "os/loader", "secure") == "yes"


def write_secure_boot(root: Element, value: bool) -> None:
    """Say so explicitly: asked for any UEFI, libvirt takes one with secure boot where the host has it."""
    if read_firmware(root) == "uefi":
        system = ensure(root, "os")
        remove_all(system, system.findall("firmware"))
        chosen = add(system, "firmware")
        for name in _FEATURES:
            add(chosen, "feature", enabled="yes" if value else "no", name=name)


def read_boot_order(root: Element) -> list[str]:
    """Return what the firmware tries, in its order."""
    devices = [boot.get("dev") or "" for boot in root.findall("os/boot")]
    return [_BOOT_NAMES.get(device, device) for device in devices]


def write_boot_order(root: Element, value: Sequence[str]) -> None:
    """Set it, in place of an order that single devices have."""
    system = ensure(root, "os")
    remove_all(system, system.findall("boot"))
    for device in root.iterfind("devices/*"):
        remove_all(device, device.findall("boot"))
    for name in value:
        add(system, "boot", dev=_BOOT[name])
