# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""A domain's network interfaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._live import LiveOp
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._xml import (
    add,
    attribute,
    ensure,
    remove_all,
    serialise,
)

NIC_SPEC: dict[str, Any] = {
    "mac": {"type": "str", "required": True},
    "tap": {"type": "str", "required": True},
    "model": {"type": "str", "default": "virtio"},
    "mtu": {"type": "int"},
    "queues": {"type": "int", "default": 1},
    "link": {"type": "str", "choices": ["up", "down"], "default": "up"},
    "inbound_mbit": {"type": "int"},
    "outbound_mbit": {"type": "int"},
    "anti_spoofing": {"type": "bool", "default": False},
    "address": {"type": "str"},
}

# Of libvirt's own filters that keep a guest to its addresses, one would drop all IPv6 too: hence one of ours
ADDRESS_FILTER = "kvmnet-anti-spoofing"
ADDRESS_FILTER_XML = f"""<filter name='{ADDRESS_FILTER}' chain='root'><filterref filter='no-mac-spoofing'/>
<filterref filter='no-arp-mac-spoofing'/><filterref filter='no-ip-spoofing'/>
<filterref filter='no-arp-ip-spoofing'/></filter>"""
_MAC_FILTER = "no-mac-spoofing"
_OUR_FILTERS = (ADDRESS_FILTER, _MAC_FILTER)
# libvirt counts kilobytes
_MBIT = 125


def normalise_nic(nic: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry of C(nics) as it is read back from a domain."""
    entry = {key: spec.get("default") for key, spec in NIC_SPEC.items()}
    entry |= {key: value for key, value in nic.items() if value is not None}
    entry["mac"] = None if entry["mac"] is None else str(entry["mac"]).lower()
    if not entry["anti_spoofing"]:
        entry["address"] = None
    return entry


def is_ours(interface: Element) -> bool:
    """Return whether an interface is on a tap that somebody else makes. Any other kind belongs to the user."""
    return interface.get("type") == "ethernet" and attribute(interface, "target", "managed") == "no"


def _mac(interface: Element) -> str:
    return (attribute(interface, "mac", "address") or "").lower()


def _mbit(interface: Element, direction: str) -> float | None:
    rate = attribute(interface, f"bandwidth/{direction}", "average")
    if rate is None:
        return None
    return int(rate) // _MBIT if int(rate) % _MBIT == 0 else int(rate) / _MBIT


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def nic(interface: Element) -> dict[str, Any]:
    """Return an interface as an entry of C(nics)."""
    spoofing = attribute(interface, "filterref", "filter") in _OUR_FILTERS
    address = interface.find("filterref/parameter[@name='IP']") if spoofing else None
    return {
        "mac": _mac(interface),
        "tap": attribute(interface, "target", "dev"),
        "model": attribute(interface, "model", "type"),
        "mtu": _number(attribute(interface, "mtu", "size")),
        "queues": _number(attribute(interface, "driver", "queues")) or 1,
        "link": attribute(interface, "link", "state") or "up",
        "inbound_mbit": _mbit(interface, "inbound"),
        "outbound_mbit": _mbit(interface, "outbound"),
        "anti_spoofing": spoofing,
        "address": None if address is None else address.get("value"),
    }


def read_nics(root: Element) -> list[dict[str, Any]]:
    """Return our network interfaces."""
    return [nic(interface) for interface in root.findall("devices/interface") if is_ours(interface)]


def same_nics(have: list[dict[str, Any]], want: list[dict[str, Any]]) -> bool:
    """Their order says nothing: a guest tells them apart by their MACs."""
    return sorted(have, key=lambda entry: str(entry["mac"])) == sorted(want, key=lambda entry: str(entry["mac"]))


def identities(root: Element) -> list[tuple[str, str]]:
    """Return the MAC addresses of all interfaces, ours or not, and the taps that they name: no other guest has them."""
    found = [("mac", _mac(interface)) for interface in root.findall("devices/interface")]
    return found + [("tap", str(t.get("dev"))) for t in root.findall("devices/interface/target") if t.get("dev")]


def _write_changeable(interface: Element, entry: Mapping[str, Any]) -> None:
    """Write what can change while the guest runs."""
    have = nic(interface)
    if entry["link"] != have["link"]:
        ensure(interface, "link").set("state", entry["link"])
    for direction in ("inbound", "outbound"):
        rate = entry[f"{direction}_mbit"]
        if rate == have[f"{direction}_mbit"]:
            continue
        if rate is not None:
            element = ensure(interface, f"bandwidth/{direction}")
            element.attrib.clear()
            element.set("average", str(rate * _MBIT))
        elif (parent := interface.find("bandwidth")) is not None:
            remove_all(parent, parent.findall(direction))
            if len(parent) == 0:
                interface.remove(parent)
    if (entry["anti_spoofing"], entry["address"]) != (have["anti_spoofing"], have["address"]):
        remove_all(interface, interface.findall("filterref"))
        if entry["anti_spoofing"]:
            chosen = add(interface, "filterref", filter=ADDRESS_FILTER if entry["address"] else _MAC_FILTER)
            if entry["address"]:
                add(chosen, "parameter", name="IP", value=entry["address"])


def _write(interface: Element, entry: Mapping[str, Any]) -> None:
    target = ensure(interface, "target")
    target.set("dev", entry["tap"])
    target.set("managed", "no")
    ensure(interface, "model").set("type", entry["model"])
    if entry["mtu"] is None:
        remove_all(interface, interface.findall("mtu"))
    else:
        ensure(interface, "mtu").set("size", str(entry["mtu"]))
    driver = interface.find("driver")
    if entry["queues"] != 1:
        ensure(interface, "driver").set("queues", str(entry["queues"]))
    elif driver is not None:
        driver.attrib.pop("queues", None)
    _write_changeable(interface, entry)


def _new(entry: Mapping[str, Any]) -> Element:
    interface = Element("interface", type="ethernet")
    add(interface, "mac", address=entry["mac"])
    _write(interface, entry)
    return interface


def _unwanted(root: Element, nics: Sequence[Mapping[str, Any]]) -> list[Element]:
    wanted = {entry["mac"] for entry in nics}
    return [i for i in root.findall("devices/interface") if is_ours(i) and _mac(i) not in wanted]


def write_nics(root: Element, nics: Sequence[Mapping[str, Any]]) -> None:
    """Make our interfaces those listed. One with a listed MAC is taken over, whatever its kind."""
    devices = ensure(root, "devices")
    by_mac = {_mac(interface): interface for interface in devices.findall("interface")}
    remove_all(devices, _unwanted(root, nics))
    for entry in nics:
        interface = by_mac.get(entry["mac"])
        if interface is None:
            devices.append(_new(entry))
            continue
        if not is_ours(interface):
            interface.set("type", "ethernet")
            remove_all(interface, interface.findall("source"))
        _write(interface, entry)


def live_nics(root: Element, nics: Sequence[Mapping[str, Any]], heal: bool) -> list[LiveOp]:
    """Plug cards in and out, and change of those that stay what can change."""
    devices = ensure(root, "devices")
    by_mac = {_mac(interface): interface for interface in devices.findall("interface")}
    ops = []
    for interface in [] if heal else _unwanted(root, nics):
        devices.remove(interface)
        ops.append(LiveOp("nics", "detach", serialise(interface)))
    for entry in nics:
        there = by_mac.get(entry["mac"])
        if there is not None and is_ours(there):
            before = serialise(there)
            _write_changeable(there, entry)
            if before != serialise(there):
                ops.append(LiveOp("nics", "update", serialise(there)))
        elif there is None and not heal:
            devices.append(_new(entry))
            ops.append(LiveOp("nics", "attach", serialise(_new(entry))))
    return ops
