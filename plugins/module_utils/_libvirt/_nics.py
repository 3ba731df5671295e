# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""A domain's network interfaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt import _mark
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
    "tap": {"type": "str"},
    "bridge": {"type": "str"},
    "libvirt_network": {"type": "str"},
    "model": {"type": "str", "default": "virtio"},
    "mtu": {"type": "int"},
    "queues": {"type": "int", "default": 1},
    "link": {"type": "str", "choices": ["up", "down"], "default": "up"},
    "inbound_mbit": {"type": "int"},
    "outbound_mbit": {"type": "int"},
    "anti_spoofing": {"type": "bool", "default": False},
    "address": {"type": "str"},
    "lease": {"type": "bool", "default": False},
}
# Steers the waiting, and is not part of the card
_RUN = "lease"
# What an interface is attached to: the option that names it -> its kind to libvirt, which is its source's attribute too
_SOURCES = {"bridge": "bridge", "libvirt_network": "network"}
# How libvirt, and its test driver, names the taps that it makes
_MADE = ("vnet", "testnet")
# What an entry has words for, or libvirt writes there by itself
_DESCRIBED = {
    *("mac", "source", "target", "model", "mtu", "driver", "link", "bandwidth", "filterref", "address", "alias"),
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
    entry = {key: spec.get("default") for key, spec in NIC_SPEC.items() if key != _RUN}
    entry |= {key: value for key, value in nic.items() if value is not None and key != _RUN}
    entry["mac"] = None if entry["mac"] is None else str(entry["mac"]).lower()
    if not entry["anti_spoofing"]:
        entry["address"] = None
    return entry


def is_ours(interface: Element) -> bool:
    """Return whether an interface is on a tap that somebody else makes. Any other kind belongs to the user."""
    return interface.get("type") == "ethernet" and attribute(interface, "target", "managed") == "no"


def _kind(interface: Element) -> str | None:
    """Return what an interface is attached to: a running guest's network that is a bridge is shown as that."""
    return "network" if attribute(interface, "source", "network") else interface.get("type")


def _source_of(interface: Element) -> dict[str, str | None]:
    kind = _kind(interface)
    return {name: attribute(interface, "source", of) if of == kind else None for name, of in _SOURCES.items()}


def _source(entry: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return the kind of an entry's interface, and the bridge or network that it is attached to."""
    return next(((kind, entry[name]) for name, kind in _SOURCES.items() if entry[name]), ("ethernet", None))


def _attached(interface: Element, entry: Mapping[str, Any]) -> bool:
    """Return whether an interface is attached to what its entry says."""
    kind, source = _source(entry)
    if kind == "ethernet":
        return is_ours(interface)
    return _kind(interface) == kind and attribute(interface, "source", kind) == source


def _mac(interface: Element) -> str:
    return (attribute(interface, "mac", "address") or "").lower()


def _mbit(interface: Element, direction: str) -> float | None:
    rate = attribute(interface, f"bandwidth/{direction}", "average")
    if rate is None:
        return None
    return int(rate) // _MBIT if int(rate) % _MBIT == 0 else int(rate) / _MBIT


def _rates(interface: Element) -> dict[str, float | None]:
    return {f"{direction}_mbit": _mbit(interface, direction) for direction in ("inbound", "outbound")}


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def _tap(interface: Element) -> str | None:
    """Return a tap's name; one that libvirt makes for a run has one for that run."""
    name = attribute(interface, "target", "dev")
    return None if not is_ours(interface) and str(name).startswith(_MADE) else name


def nic(interface: Element) -> dict[str, Any]:
    """Return an interface as an entry of C(nics)."""
    spoofing = attribute(interface, "filterref", "filter") in _OUR_FILTERS
    address = interface.find("filterref/parameter[@name='IP']") if spoofing else None
    return {
        "mac": _mac(interface),
        "tap": _tap(interface),
        **_source_of(interface),
        "model": attribute(interface, "model", "type"),
        "mtu": _number(attribute(interface, "mtu", "size")),
        "queues": _number(attribute(interface, "driver", "queues")) or 1,
        "link": attribute(interface, "link", "state") or "up",
        **_rates(interface),
        "anti_spoofing": spoofing,
        "address": None if address is None else address.get("value"),
    }


def _listed(root: Element) -> list[str]:
    """Return the cards on bridges and networks that C(nics) named when it was last applied, by MAC address."""
    return (_mark.get(root, "nics") or "").split()


def _managed(root: Element) -> list[Element]:
    listed = _listed(root)
    return [i for i in root.findall("devices/interface") if is_ours(i) or _mac(i) in listed]


def read_nics(root: Element) -> list[dict[str, Any]]:
    """Return our network interfaces."""
    return [nic(interface) for interface in _managed(root)]


def describable(root: Element) -> list[dict[str, Any]]:
    """Return the network interfaces of a domain that an entry of C(nics) has all words for, ours or not."""
    found = []
    for interface in root.findall("devices/interface"):
        source = interface.find("source")
        # A port group, or a port of Open vSwitch, is more than a name
        plain = source is None or not set(source.attrib) - {"bridge", "network", "portid"}
        attached = is_ours(interface) or any(_source_of(interface).values())
        if attached and plain and not {child.tag for child in interface} - _DESCRIBED and nic(interface)["model"]:
            found.append(nic(interface))
    return found


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


def _attach(interface: Element, entry: Mapping[str, Any]) -> None:
    kind, source = _source(entry)
    if not _attached(interface, entry):
        interface.set("type", kind)
        remove_all(interface, [found for tag in ("source", "virtualport") for found in interface.findall(tag)])
        if source is not None:
            ensure(interface, "source").set(kind, source)
    target = interface.find("target")
    if kind == "ethernet":
        target = ensure(interface, "target")
        target.set("dev", entry["tap"])
        target.set("managed", "no")
    elif entry["tap"] is not None:
        ensure(interface, "target").set("dev", entry["tap"])
    elif target is not None:
        interface.remove(target)


def _write(interface: Element, entry: Mapping[str, Any]) -> None:
    _attach(interface, entry)
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
    return [interface for interface in _managed(root) if _mac(interface) not in wanted]


def _mark_listed(root: Element, nics: Sequence[Mapping[str, Any]]) -> None:
    listed = " ".join(entry["mac"] for entry in nics if _source(entry)[0] != "ethernet") or None
    if listed != _mark.get(root, "nics"):
        _mark.put(root, "nics", listed)


def write_nics(root: Element, nics: Sequence[Mapping[str, Any]]) -> None:
    """Make our interfaces those listed. One with a listed MAC is taken over, whatever its kind."""
    devices = ensure(root, "devices")
    by_mac = {_mac(interface): interface for interface in devices.findall("interface")}
    remove_all(devices, _unwanted(root, nics))
    for entry in nics:
        interface = by_mac.get(entry["mac"])
        if interface is None:
            devices.append(_new(entry))
        else:
            _write(interface, entry)
    _mark_listed(root, nics)


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
        if there is not None and _attached(there, entry):
            before = serialise(there)
            # Not every kernel can hold a card to a rate: one that refused is not asked again at each run
            _write_changeable(there, {**entry, **_rates(there)} if heal else entry)
            if before != serialise(there):
                ops.append(LiveOp("nics", "update", serialise(there)))
        elif there is None and not heal:
            devices.append(_new(entry))
            ops.append(LiveOp("nics", "attach", serialise(_new(entry))))
    if not heal:
        _mark_listed(root, nics)
    return ops


def pending_nics(live: Element, then: Element) -> bool:
    """Return whether only another boot gives the guest its cards, or takes one away."""
    now = {_mac(interface): nic(interface) for interface in live.findall("devices/interface")}
    wanted = read_nics(then)
    left = {_mac(interface) for interface in _managed(live)} - {entry["mac"] for entry in wanted}
    return bool(left) or any(now.get(entry["mac"]) != entry for entry in wanted)
