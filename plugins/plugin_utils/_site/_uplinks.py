# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""What must hold between the uplinks of one host."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from ansible_collections.ursa.kvmnet.plugins.module_utils._identity import INTERFACE_NAME_MAX
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem

from ._read import Host, Row, repeated
from ._uplink_keys import HELPERS


def check_uplinks(host: Host) -> Iterator[Problem]:
    """Yield what is wrong with a host's uplinks, each alone and beside the others."""
    uplinks = host.uplinks or []
    for row, first in repeated(uplinks, "name", str.lower):
        yield row.problem("name", f"a name that {first.place} does not have (upper and lower case are the same here)")
    for row, first in repeated(uplinks, "number"):
        yield row.problem("number", f"a number that {first.place} does not have")
    own = {
        row["address"].ip: row
        for row in (*uplinks, *(host.networks or []))
        if isinstance(row["address"], IPv4Interface)
    }
    for row in uplinks:
        yield from _gateway(row, uplinks, own)
    yield from _same_place(uplinks)
    yield from _share(uplinks)
    yield from _macvlans(host, uplinks)
    yield from _selectors(uplinks)
    yield from _services(host, uplinks)
    for row in uplinks:
        for position, target in enumerate(row["targets"] or []):
            inside = [
                network
                for network in host.networks or []
                if network["address"] and target in network["address"].network
            ]
            if inside:
                yield row.problem(
                    f"targets[{position}]",
                    f"an address beyond the gateway; this one is in {inside[0].place}",
                    str(target),
                )


def is_macvlan(row: Row) -> bool:
    """Whether an uplink has an interface of its own beside others on a card."""
    return bool(row["sharing"] == "macvlan")


def link_of(row: Row) -> str | None:
    """Return the interface that an uplink's traffic crosses, or None where it cannot be told."""
    name = row["name"] if is_macvlan(row) else row["interface"]
    return None if name is None else str(name)


def _siblings(row: Row, uplinks: list[Row]) -> list[Row]:
    """Return the other uplinks that share an uplink's interface, and with it its address."""
    link = link_of(row)
    return [other for other in uplinks if other is not row and link is not None and link_of(other) == link]


def _gateway(row: Row, uplinks: list[Row], own: dict[IPv4Address, Row]) -> Iterator[Problem]:
    siblings = _siblings(row, uplinks)
    gateway = row["gateway"]
    if siblings and row["address"] == "dhcp":
        allowed = f"an address with its prefix length: {row['interface']} is shared, which its lease cannot tell of"
        yield row.problem("address", allowed)
    if siblings and (gateway == "dhcp" or not row.given("gateway")):
        yield row.problem("gateway", f"an address: the uplinks on {row['interface']} are told apart by their gateways")
    elif gateway == "dhcp" and isinstance(row["address"], IPv4Interface):
        yield row.problem("gateway", "an address, because the uplink's own address does not come by DHCP")
    if row.given("gateway") and not is_macvlan(row) and not any(one.given("address") for one in (row, *siblings)):
        where = row["interface"] or "the interface"
        yield row.problem(
            "address", f"an address with its prefix length, or dhcp: no other uplink on {where} has one to share"
        )
    if isinstance(gateway, IPv4Address):
        yield from _link(row, gateway, [one["address"] for one in (row, *siblings) if one.given("address")], own)


def _link(row: Row, gateway: IPv4Address, links: list[object], own: dict[IPv4Address, Row]) -> Iterator[Problem]:
    if gateway in own:
        place = own[gateway].place
        yield row.problem("gateway", f"another machine's address; {gateway} is the host's own ({place}.address)")
        return
    networks = [link.network for link in links if isinstance(link, IPv4Interface)]
    # A link that is wrong itself, or known to its DHCP server only, cannot tell
    if networks and len(networks) == len(links) and not any(on_link(gateway, network) for network in networks):
        allowed = " or ".join(str(network) for network in networks)
        yield row.problem("gateway", f"an address on the link of {link_of(row)}, in {allowed}")


def on_link(address: IPv4Address, network: IPv4Network) -> bool:
    """Whether a host on a network can have an address."""
    if address not in network:
        return False
    return network.prefixlen > 30 or address not in (network.network_address, network.broadcast_address)


def _same_place(uplinks: list[Row]) -> Iterator[Problem]:
    addressed = [row for row in uplinks if isinstance(row["address"], IPv4Interface)]
    for row, first in repeated(addressed, "address", lambda value: value.ip):
        shared = not is_macvlan(row) and link_of(row) == link_of(first)
        share = f", or none to share that of {first.place}" if shared else ""
        yield row.problem("address", f"an address that {first.place} does not have{share}")
    by_interface: dict[str, list[Row]] = defaultdict(list)
    for row in uplinks:
        if row["interface"] is not None:
            by_interface[row["interface"]].append(row)
    for interface, rows in by_interface.items():
        for row, first in repeated(rows, "gateway"):
            if row["gateway"] != "dhcp":
                yield row.problem("gateway", f"a gateway that {first.place}, on {interface} as well, does not have")
        seen: dict[str, Row] = {}
        for row in rows:
            for mac in dict.fromkeys(row["gateway_mac"] or []):
                if mac != "learn" and seen.setdefault(mac, row) is not row:
                    yield row.problem(
                        "gateway_mac",
                        f"MAC addresses that {seen[mac].place}, on {interface} as well, does not have",
                        mac,
                    )


def _share(uplinks: list[Row]) -> Iterator[Problem]:
    for row in uplinks:
        if row["primary"] and row["fallback"]:
            yield row.problem("fallback", "false: an uplink is primary or fallback, not both")
        if row["weight"] and row["fallback"]:
            yield row.problem("weight", "no weight: a fallback carries all or nothing")
    carrying = [row for row in uplinks if row["primary"] or row["weight"] or _unreadable(row, "primary")]
    if len(uplinks) > 1 and not carrying:
        yield uplinks[0].problem(
            "primary",
            "true on at least one of several uplinks, or a weight: else nothing carries ordinary traffic",
            uplinks[0].raw.get("primary"),
        )
    elif len(uplinks) == 1 and uplinks[0]["fallback"]:
        yield uplinks[0].problem("fallback", "false on the only uplink: there is nothing to fall back from")


def _unreadable(row: Row, key: str) -> bool:
    return row.given(key) and row[key] is None


def _macvlans(host: Host, uplinks: list[Row]) -> Iterator[Problem]:
    uses = _uses(host, uplinks)
    ports = {port: row["bridge"] for row in host.networks or [] for port in row["ports"] or []}
    made = {row["name"]: row for row in uplinks if is_macvlan(row) and row["name"] is not None}
    for row in uplinks:
        if not is_macvlan(row):
            if row.given("mac"):
                yield row.problem("mac", "no mac without sharing: macvlan: the interface has one already")
            if _carries(row, uplinks) and row["manage"] is not True and not _unreadable(row, "manage"):
                allowed = f"true: {row['interface']} carries macvlans, which are made together with its own address"
                yield row.problem("manage", allowed, row.raw.get("manage"))
            continue
        yield from _macvlan(row, uses)
        parent = row["interface"]
        if parent in ports:
            allowed = f"{ports[parent]}, the bridge that {parent} is a port of: a port cannot carry a macvlan"
            yield row.problem("interface", allowed)
        elif made.get(parent, row) is not row:
            yield row.problem(
                "interface", f"a network card or a bridge; {parent} is the macvlan of {made[parent].place}"
            )
    for row, first in repeated([row for row in uplinks if is_macvlan(row)], "mac"):
        yield row.problem("mac", f"a MAC address that {first.place} does not have")


def _carries(row: Row, uplinks: list[Row]) -> bool:
    """Whether this is the uplink that gives the card of some macvlan its own address."""
    parents = {other["interface"] for other in uplinks if is_macvlan(other)}
    own = [other for other in uplinks if not is_macvlan(other) and other["interface"] == row["interface"]]
    return row["interface"] in parents and row is next((one for one in own if one.given("address")), own[0])


def _macvlan(row: Row, uses: dict[str, str]) -> Iterator[Problem]:
    name = row["name"]
    if name is not None:
        if len(name) > INTERFACE_NAME_MAX or name in ("all", "lo"):
            allowed = f"at most {INTERFACE_NAME_MAX} characters, not all or lo: its macvlan gets this name"
            yield row.problem("name", allowed)
        elif name in uses:
            yield row.problem("name", f"a name that no interface has: its macvlan gets it; this one is {uses[name]}")
    if not row.given("address"):
        allowed = "an address with its prefix length, or dhcp: a macvlan has an address of its own"
        yield row.problem("address", allowed)
    if row.given("manage") and row["manage"] is False:
        yield row.problem("manage", "true, or nothing: a macvlan is made here")
    if row["mac"] is not None and int(row["mac"][:2], 16) & 1:
        yield row.problem("mac", "a unicast MAC address: the first byte is even")


def _uses(host: Host, uplinks: list[Row]) -> dict[str, str]:
    """Return the interfaces that the inventory names, each with where it does."""
    found: dict[str, str] = {}
    made = {row["name"]: row for row in uplinks if is_macvlan(row)}
    for row, keys in (
        # What stands on a macvlan is refused itself
        *((row, ("interface",)) for row in uplinks if made.get(row["interface"], row) is row),
        *((row, ("bridge", "interface")) for row in host.networks or []),
        *((card, ("tap",)) for guest in host.guests or [] for card in (guest, *filter(None, guest["nics"] or []))),
    ):
        for key in keys:
            if row[key] is not None:
                found.setdefault(str(row[key]), f"{row.place}.{key}")
    for row in host.networks or []:
        for port in row["ports"] or []:
            found.setdefault(port, f"{row.place}.ports")
    return found


def _selectors(uplinks: list[Row]) -> Iterator[Problem]:
    """What leads to one uplink must not lead to another as well."""
    for key in ("destinations", "sources"):
        seen: dict[object, Row] = {}
        for row in uplinks:
            for position, network in enumerate(row[key] or []):
                if network in seen:
                    yield row.problem(
                        f"{key}[{position}]", f"what {seen[network].place}.{key} does not have", str(network)
                    )
                seen.setdefault(network, row)


def _services(host: Host, uplinks: list[Row]) -> Iterator[Problem]:
    """Each service is there, and takes one uplink."""
    networks = [network["name"] for network in host.networks or [] if network["name"] is not None]
    seen: list[tuple[str, str, int, int, Row]] = []
    for row in uplinks:
        for position, service in enumerate(row["services"] or []):
            place = f"services[{position}]"
            proto, ports, helper = service["proto"], service["port"], service["helper"]
            for name in service["from"] or []:
                if name not in networks:
                    allowed = f"a network of this host: {', '.join(networks) or 'there is none'}"
                    yield row.problem(f"{place}.from", allowed, name)
            if helper is not None and proto is not None and proto != HELPERS[helper]:
                yield row.problem(f"{place}.helper", f"one for {proto}; {helper} is for {HELPERS[helper]}", helper)
            if proto is None or ports is None:
                continue
            for source in service["from"] or [""]:
                same = [other for other in seen if other[:2] == (source, proto)]
                taken = next((other[4] for other in same if ports[0] <= other[3] and other[2] <= ports[1]), None)
                if taken is not None:
                    asked = f"{proto} from {source}" if source else proto
                    allowed = f"ports that {taken.place}.services does not have for {asked}"
                    yield row.problem(f"{place}.port", allowed, service.raw["port"])
                seen.append((source, proto, *ports, row))
