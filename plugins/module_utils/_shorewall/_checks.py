# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Checks across rows and files: those that save a run of the compiler, and those that the compiler does not make."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._columns import FileSpec
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._leftovers import SETTINGS
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._providers import RESERVED_NAMES, RESERVED_NUMBERS
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._rows import Row, locate, split_list
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._zones import longest_name

_NETWORK = {
    4: re.compile(r"(?<![\d.])(\d{1,3}(?:\.\d{1,3}){3}/\d{1,2})(?!\d)"),
    6: re.compile(r"(?<![\w:.])([0-9A-Fa-f]*:[0-9A-Fa-f:.]*\]?/\d{1,3})(?!\d)"),
}
_EXAMPLE = {4: "an IPv4 network such as 192.168.0.0/24", 6: "an IPv6 network such as 2001:db8::/64"}
_EVERYONE = {4: "0.0.0.0/0", 6: "::/0"}
_HAS_ADDRESS = {4: r":.*\d+\.\d+\.\d+\.\d+", 6: r":[\[<]?[0-9A-Fa-f]*:"}
# A link-local one is on every link.
_GLOBAL = re.compile(r"[\d.]+|(?!fe80:)[\da-f:]*:[\da-f:]*", re.IGNORECASE)
_WILDCARD_ZONE = re.compile(r"(?:all|any)[+-]*")
# Shorewall documents the bands and does not enforce them: elsewhere a rule of its own can displace one of these.
PRIORITY_BANDS = ((1, 998), (1000, 1999), (11000, 11999), (26000, 26999))


def _place(row: Row, name: str, index: int, key: str, value: object, allowed: str) -> Problem:
    variable, place = locate(row.origin, name, index)
    return Problem(variable, place, key, value, allowed)


def check_networks(files: Mapping[str, list[Row]], version: int = 4) -> Iterator[Problem]:
    """Networks whose host bits are set: Shorewall takes them and matches something else."""
    for name, rows in files.items():
        for index, row in enumerate(rows):
            for column, text in row.values:
                for match in _NETWORK[version].findall(text):
                    found = match.replace("]", "")
                    try:
                        network = ipaddress.ip_network(found, strict=False)
                    except ValueError:
                        yield _place(row, name, index, column, found, _EXAMPLE[version])
                        continue
                    if network != _plain_network(found):
                        yield _place(row, name, index, column, found, f"{network}, without host bits")


def _plain_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None


def zones_in(text: str) -> Iterator[str]:
    """Yield the zones that a SOURCE or DEST column of policy or rules names."""
    if ":" in text:
        text = text.partition(":")[0]
    for part in split_list(text.replace("!", ",")):
        if "$" not in part and not _WILDCARD_ZONE.fullmatch(part) and part not in ("-", "none"):
            yield part.rstrip("+-")


def check_zones_used(name: str, rows: Iterable[Row], zones: Iterable[str]) -> Iterator[Problem]:
    """Zones that are named but not declared."""
    known = list(zones)
    for index, row in enumerate(rows):
        for column in ("source", "dest"):
            # A redirect's destination is a port of the firewall's own.
            if column == "dest" and row.get("action").startswith("REDIRECT"):
                continue
            for zone in zones_in(row.get(column)):
                if zone not in known:
                    yield _place(row, name, index, column, zone, "one of the zones " + ", ".join(known))


def check_references(spec: FileSpec, rows: Iterable[Row], names: Mapping[str, Iterable[str]]) -> Iterator[Problem]:
    """Rows of other files that are named and not there.

    Args:
        spec: the file.
        rows: its rows.
        names: by file, the names that its rows have.
    """
    for column in filter(lambda column: column.refers in names, spec.columns):
        known = list(names[column.refers])
        for index, row in enumerate(rows):
            name = row.get(column.name)
            if name and "$" not in name and name not in known and not (column.refers == "providers" and name.isdigit()):
                yield _place(
                    row, spec.name, index, column.name, name, f"one of the {column.refers} " + ", ".join(known)
                )


def check_interfaces_used(
    name: str, rows: Iterable[Row], interfaces: Iterable[Row], hosts: Iterable[Row]
) -> Iterator[Problem]:
    """Interfaces named for a zone that they do not belong to: the compiler takes them, and nothing ever matches."""
    zone_of = {row.get("interface"): row.get("zone") for row in interfaces}
    shared = {(row.get("zone"), row.get("hosts").partition(":")[0]) for row in hosts}
    for index, row in enumerate(rows):
        for column in ("source", "dest"):
            zone, _unused, rest = row.get(column).partition(":")
            interface = rest.partition(":")[0]
            # Without a zone of its own, parts of it belong to others, and those are hosts.
            owner = zone_of.get(interface, "")
            if not owner or zone in ("all", "any", owner) or (zone, interface) in shared:
                continue
            if re.fullmatch(r"[A-Za-z]\w*", zone):
                yield _place(row, name, index, column, row.get(column), f"an interface of the zone {zone}")


def check_rules(rows: Iterable[Row], version: int = 4) -> Iterator[Problem]:
    """Rules that cannot work whatever stands around them."""
    for index, row in enumerate(rows):
        action = row.get("action")
        if (
            re.match(r"DNAT\b", action)
            and not re.search(_HAS_ADDRESS[version], row.get("dest"))
            and "$" not in row.get("dest")
        ):
            yield _place(
                row, "rules", index, "dest", row.get("dest") or None, "zone:address or zone:address:port, for DNAT"
            )
        if (row.get("dport") or row.get("sport")) and not row.get("proto") and not re.match(r"[A-Z]\w*\(", action):
            yield _place(row, "rules", index, "proto", None, "a protocol, since a port is given")


def check_policies(rows: Iterable[Row], firewall: str) -> Iterator[Problem]:
    """Policies that Shorewall refuses for their own sake."""
    seen: set[tuple[str, str]] = set()
    for index, row in enumerate(rows):
        pair = (row.get("source"), row.get("dest"))
        if row.get("policy") == "NONE" and {firewall, "$FW", "all"} & set(pair):
            yield _place(
                row, "policy", index, "policy", "NONE", "another policy: NONE does not go with the firewall zone or all"
            )
        if pair in seen:
            yield _place(row, "policy", index, "source", "->".join(pair), "one policy for each pair of zones")
        seen.add(pair)


def check_providers(
    entries: Iterable[Mapping[str, Any]], interfaces: Iterable[Row], use_default_rt: bool = False
) -> Iterator[Problem]:
    """Providers that Shorewall refuses, or starts without a word although they cannot work."""
    listed = list(entries)
    zoned = {row.get("interface") for row in interfaces if row.get("zone")}
    interface_options = {row.get("interface"): row.get("options").split(",") for row in interfaces}
    seen: dict[str, set[str]] = {"name": set(), "number": set(), "mark": set()}
    for index, entry in enumerate(listed):
        variable, place = locate(str(entry.get("origin") or ""), "providers", index)
        interface, gateway = str(entry.get("interface")), str(entry.get("gateway") or "")

        def wrong(
            key: str, value: object, allowed: str, variable: str = variable, place: int | None = place
        ) -> Problem:
            return Problem(variable, place, key, value, allowed)

        for key, values in seen.items():
            value = str(entry.get(key))
            if value in values:
                yield wrong(key, value, f"a {key} that no other provider has")
            values.add(value)
        if entry.get("name") in RESERVED_NAMES:
            yield wrong("name", entry["name"], f"none of {', '.join(RESERVED_NAMES)}")
        if int(entry.get("number") or 0) in RESERVED_NUMBERS:
            yield wrong("number", entry["number"], "1 to 249, 251 or 252")
        if interface not in zoned:
            yield wrong(
                "interface",
                interface,
                "one of the interfaces that belong to a zone: " + (", ".join(sorted(zoned)) or "none is listed"),
            )
        if use_default_rt and {"routefilter", "routefilter=1", "routefilter=2"} & set(
            interface_options.get(interface, ())
        ):
            allowed = f"an interface without routefilter: replies can take another way; {interface} has it"
            yield wrong("interface", interface, allowed)
        options = [str(option) for option in entry.get("options") or ()]
        names = {option.partition("=")[0] for option in options}
        if "fallback" in names and names & {"balance", "primary"}:
            yield wrong("options", options, "balance or fallback, not both")
        users = [other for other in listed if other.get("interface") == entry.get("interface")]
        if len(users) > 1 and not entry.get("address"):
            yield wrong("address", None, f"the interface's own address, since {len(users)} providers share {interface}")
        if entry.get("address"):
            if not re.fullmatch(r"[\d.]+", gateway):
                yield wrong("gateway", gateway or None, "an IPv4 address, since the interface is shared")
            if not entry.get("gateway_mac"):
                yield wrong(
                    "gateway_mac",
                    None,
                    "the gateway's MAC address or learn: what comes in over a shared interface is told apart by it",
                )
            if "src" in names:
                yield wrong("options", options, "no src on a shared interface")
            if "optional" in names or "optional" in interface_options.get(interface, ()):
                yield wrong("options", "optional", "no optional on a shared interface: Shorewall refuses it")
        network = entry.get("network")
        if network and _GLOBAL.fullmatch(gateway) and not _on_link(gateway, str(network)):
            yield wrong("gateway", gateway, f"an address of {network}, which is what {interface} reaches")


def _on_link(address: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def check_next_hops(rows: Iterable[Row], providers: Iterable[Mapping[str, Any]]) -> Iterator[Problem]:
    """Routes by a gateway that the provider's interface does not reach: the compiler takes them, the start fails."""
    known = {str(entry.get("name")): entry for entry in providers}
    for index, row in enumerate(rows):
        entry, gateway = known.get(row.get("provider"), {}), row.get("gateway")
        network, interface = str(entry.get("network") or ""), str(entry.get("interface"))
        if not network or not _GLOBAL.fullmatch(gateway) or row.get("device") not in ("", interface):
            continue
        if not _on_link(gateway, network):
            yield _place(
                row, "routes", index, "gateway", gateway, f"an address of {network}, which is what {interface} reaches"
            )


def check_log_format(wanted: Mapping[str, str], zones: Iterable[str]) -> Iterator[Problem]:
    """A log prefix that leaves too little room for the zones that are there."""
    longest = longest_name(wanted["LOGFORMAT"]) if wanted.get("LOGFORMAT") else 0
    names = [zone for zone in zones if longest and len(zone) > longest]
    if names:
        allowed = f"a prefix that leaves room for {', '.join(names)}; this one does for {max(longest, 0)} characters"
        yield Problem("settings", None, "LOGFORMAT", wanted["LOGFORMAT"], allowed)


def check_rtrules(rows: Iterable[Row], providers: Iterable[Mapping[str, Any]]) -> Iterator[Problem]:
    """Routing rules that name nothing, or stand where another one displaces them."""
    names = [str(entry.get("name")) for entry in providers]
    known = {*names, *(str(entry.get("number")) for entry in providers), "main", "254"}
    seen: dict[tuple[str, str], str] = {}
    for index, row in enumerate(rows):
        if not row.get("source") and not row.get("dest"):
            yield _place(row, "rtrules", index, "dest", None, "a source or a destination")
        if row.get("provider") not in known:
            yield _place(
                row,
                "rtrules",
                index,
                "provider",
                row.get("provider"),
                "main or one of " + (", ".join(names) or "the providers, of which there is none"),
            )
        digits = row.get("priority").rstrip("!")
        priority = int(digits) if digits.isdigit() else 0
        if not any(low <= priority <= high for low, high in PRIORITY_BANDS):
            bands = ", ".join(f"{low} to {high}" for low, high in PRIORITY_BANDS)
            yield _place(row, "rtrules", index, "priority", priority, f"a number in one of the bands {bands}")
        match = (row.get("source"), row.get("dest"))
        if seen.setdefault(match, row.get("provider")) != row.get("provider"):
            yield _place(
                row,
                "rtrules",
                index,
                "provider",
                row.get("provider"),
                f"{seen[match]}: an earlier rule sends the same traffic there",
            )


def check_stopped(rows: Iterable[Row], sources: Iterable[str], port: int, version: int = 4) -> Iterator[Problem]:
    """Stopped rules that would lock out those who manage the host when the firewall is stopped."""
    admitted: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
    for row in rows:
        protocols, ports = row.get("proto").split(","), row.get("dport").split(",")
        if row.get("action") != "ACCEPT" or row.get("dest") not in ("", "$FW"):
            continue
        if not {"", "tcp", "6", "all"} & set(protocols) or (ports != [""] and str(port) not in ports):
            continue
        source = row.get("source")
        host = source.partition(":")[2] if ":" in source and not source.startswith("[") else source
        for text in split_list(host) or [_EVERYONE[version]]:
            try:
                admitted.append(ipaddress.ip_network(text.replace("[", "").replace("]", ""), strict=False))
            except ValueError:
                # An interface without an address admits everyone on it.
                admitted.append(ipaddress.ip_network(_EVERYONE[version]))
    for index, source in enumerate(sources):
        try:
            network = ipaddress.ip_network(source, strict=False)
        except ValueError:
            yield Problem("management", None, f"sources[{index}]", source, f"an IPv{version} address or network")
            continue
        # Those who come by the other version of IP are the other firewall's affair.
        if network.version == version and not any(
            int(network.network_address) >= int(other.network_address)
            and int(network.broadcast_address) <= int(other.broadcast_address)
            for other in admitted
            if other.version == version
        ):
            yield Problem(
                "management", None, f"sources[{index}]", source, f"a network that a stopped rule admits to port {port}"
            )


def check_settings(wanted: Mapping[str, str], known: Iterable[str], has_providers: bool) -> Iterator[Problem]:
    """Settings that Shorewall only warns about, and those that do not go with providers."""
    names = set(known)
    for name, value in wanted.items():
        if names and name not in names:
            now = f"; {name} was replaced by {SETTINGS[name]}" if name in SETTINGS else ""
            yield Problem("settings", None, name, value, f"a setting that this version's shorewall.conf has{now}")
        if has_providers and name == "ROUTE_FILTER" and value not in ("No", "off", ""):
            yield Problem(
                "settings",
                None,
                name,
                value,
                "No, since there are providers: reverse path filtering drops replies that take another way",
            )


def firewall_zone(zones: Iterable[Row]) -> str:
    """Return the name of the firewall zone."""
    return next((row.get("zone") for row in zones if row.get("type") == "firewall"), "fw")


def zone_names(zones: Iterable[Row]) -> list[str]:
    """Return the declared zones."""
    return [row.get("zone").partition(":")[0] for row in zones]
