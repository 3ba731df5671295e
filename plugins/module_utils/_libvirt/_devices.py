# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""The devices of a domain that we own: how each is read from its XML and written to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt import _mark
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._xml import add, ensure, remove_all

AGENT_CHANNEL = "org.qemu.guest_agent.0"
ROOT_DISK = "vda"
# Behind every disk a guest may get later. virtio, because Debian's cloud kernel has no driver for a SATA CD-ROM.
SEED_DISK = "vdz"


def _devices(root: Element) -> Element:
    return ensure(root, "devices")


def _attribute(element: Element, path: str, attribute: str) -> str | None:
    found = element.find(path)
    return None if found is None else found.get(attribute)


def _is_our_nic(interface: Element) -> bool:
    return interface.get("type") == "ethernet" and _attribute(interface, "target", "managed") == "no"


def _nic(interface: Element) -> dict[str, Any]:
    mtu = _attribute(interface, "mtu", "size")
    return {
        "mac": (_attribute(interface, "mac", "address") or "").lower(),
        "tap": _attribute(interface, "target", "dev"),
        "model": _attribute(interface, "model", "type"),
        "mtu": None if mtu is None else int(mtu),
    }


def read_nics(root: Element) -> list[dict[str, Any]]:
    """Return our network interfaces: those on a tap that somebody else makes. Any other kind belongs to the user."""
    return [_nic(interface) for interface in root.findall("devices/interface") if _is_our_nic(interface)]


def macs(root: Element) -> list[str]:
    """Return the MAC addresses of all interfaces, ours or not."""
    return [(mac.get("address") or "").lower() for mac in root.findall("devices/interface/mac")]


def write_nics(root: Element, nics: Sequence[Mapping[str, Any]]) -> None:
    """Make our interfaces those listed. One with a listed MAC is taken over, whatever its kind."""
    devices = _devices(root)
    by_mac = {_nic(interface)["mac"]: interface for interface in devices.findall("interface")}
    wanted = {nic["mac"] for nic in nics}
    ours = [interface for interface in devices.findall("interface") if _is_our_nic(interface)]
    remove_all(devices, [interface for interface in ours if _nic(interface)["mac"] not in wanted])
    for nic in nics:
        interface = by_mac.get(nic["mac"])
        if interface is None:
            interface = add(devices, "interface", type="ethernet")
            add(interface, "mac", address=nic["mac"])
        elif not _is_our_nic(interface):
            interface.set("type", "ethernet")
            remove_all(interface, interface.findall("source"))
        target = ensure(interface, "target")
        target.set("dev", nic["tap"])
        target.set("managed", "no")
        ensure(interface, "model").set("type", nic["model"])
        if nic["mtu"] is None:
            remove_all(interface, interface.findall("mtu"))
        else:
            ensure(interface, "mtu").set("size", str(nic["mtu"]))


def _disk_at(root: Element, target: str) -> Element | None:
    for disk in root.findall("devices/disk"):
        if _attribute(disk, "target", "dev") == target:
            return disk
    return None


def _disk_from(root: Element, path: str) -> Element | None:
    for disk in root.findall("devices/disk"):
        if _attribute(disk, "source", "file") == path:
            return disk
    return None


def _file_disk(root: Element, marked_as: str, target: str) -> Element | None:
    """Return one of our disks: the file that the mark names; in a domain that others made, what has its place."""
    path = _mark.get(root, marked_as)
    if path is not None:
        return _disk_from(root, path)
    return None if _mark.get(root, "origin") == "created" else _disk_at(root, target)


def _write_file_disk(root: Element, path: str | None, marked_as: str, target: str, kind: str, readonly: bool) -> None:
    devices = _devices(root)
    disk = _file_disk(root, marked_as, target)
    _mark.put(root, marked_as, path)
    if path is None:
        if disk is not None:
            devices.remove(disk)
        return
    if disk is None:
        disk = add(devices, "disk", type="file", device="disk")
        add(disk, "driver", name="qemu", type=kind)
        add(disk, "source")
        add(disk, "target", dev=target, bus="virtio")
        if readonly:
            add(disk, "readonly")
        elif kind == "qcow2":
            ensure(disk, "driver").set("discard", "unmap")
    ensure(disk, "source").set("file", path)


def read_disk(root: Element) -> str | None:
    """Return the file behind the root disk."""
    disk = _file_disk(root, "disk", ROOT_DISK)
    return None if disk is None else _attribute(disk, "source", "file")


def write_disk(root: Element, path: str | None) -> None:
    """Put a file behind the root disk; None takes the disk out and leaves the file."""
    _write_file_disk(root, path, "disk", ROOT_DISK, "qcow2", readonly=False)


def read_seed(root: Element) -> str | None:
    """Return the cloud-init seed that is attached."""
    disk = _file_disk(root, "seed", SEED_DISK)
    return None if disk is None else _attribute(disk, "source", "file")


def write_seed(root: Element, path: str | None) -> None:
    """Attach a cloud-init seed, or take it out."""
    _write_file_disk(root, path, "seed", SEED_DISK, "raw", readonly=True)


def read_console_log(root: Element) -> str | None:
    """Return the file that gets what the first serial port prints."""
    return _attribute(root, "devices/serial/log", "file")


def write_console_log(root: Element, path: str | None) -> None:
    """Log the first serial port, made where it is missing, to a file that each boot begins anew."""
    serial = root.find("devices/serial")
    if serial is None:
        serial = add(_devices(root), "serial", type="pty")
        add(serial, "target", port="0")
    # libvirt repeats the first serial port as the first console and takes the console's log from there
    twins = [twin for twin in root.findall("devices/console")[:1] if _attribute(twin, "target", "type") == "serial"]
    for port in [serial, *twins]:
        if path is None:
            remove_all(port, port.findall("log"))
        else:
            log = ensure(port, "log")
            log.set("file", path)
            log.set("append", "off")


def _agents(root: Element) -> list[Element]:
    return [c for c in root.findall("devices/channel") if _attribute(c, "target", "name") == AGENT_CHANNEL]


def read_agent(root: Element) -> bool:
    """Return whether there is a channel for the guest agent."""
    return bool(_agents(root))


def write_agent(root: Element, wanted: bool) -> None:
    """Make or remove the guest agent's channel."""
    remove_all(_devices(root), _agents(root))
    if wanted:
        add(add(_devices(root), "channel", type="unix"), "target", type="virtio", name=AGENT_CHANNEL)


def read_rng(root: Element) -> bool:
    """Return whether the guest has a random generator."""
    return root.find("devices/rng") is not None


def write_rng(root: Element, wanted: bool) -> None:
    """Make or remove the random generator."""
    remove_all(_devices(root), root.findall("devices/rng"))
    if wanted:
        add(add(_devices(root), "rng", model="virtio"), "backend", "/dev/urandom", model="random")
