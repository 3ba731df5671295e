# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Zones with the interfaces and hosts that make them up: from the module's list to the rows of three files."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._family import IPV4, Family
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._rows import Row, key_of, locate, read_entry
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._schema import FILES
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._schema_ipv6 import files_of

DEFAULT_LOGFORMAT = "%s %s "
_RESERVED = ("all", "any", "none", "SOURCE", "DEST")
_INCOMPATIBLE = (("required", "optional", "ignore"), ("routefilter", "sfilter", "rpfilter"))


@dataclass
class ZoneRows:
    """The rows of the three files."""

    zones: list[Row] = field(default_factory=list)
    interfaces: list[Row] = field(default_factory=list)
    hosts: list[Row] = field(default_factory=list)


def longest_name(logformat: str) -> int:
    """Return how long a zone's name can be: Shorewall's own formula, from the log prefix's 29 characters."""
    words = iter(("fooxx2barxx", "ACCEPT"))
    prefix = re.sub(r"%\w", lambda _: next(words, ""), logformat)
    return int(5 + (29 - len(prefix)) / 2)


def read_zones(
    entries: Iterable[Mapping[str, Any]], loose: Iterable[Mapping[str, Any]], family: Family = IPV4
) -> tuple[ZoneRows, list[Problem]]:
    """Turn the module's zones, and its interfaces that belong to no single zone, into rows.

    Args:
        entries: the zones that shall be there.
        loose: interfaces whose zones are told apart by hosts.
        family: the firewall.
    """
    rows, problems, files = ZoneRows(), [], files_of(family)
    for index, entry in enumerate(entries):
        origin = str(entry.get("origin") or f"zones[{index}]")
        row, found = read_entry(files["zones"], {**entry, "origin": origin}, index)
        rows.zones.append(row)
        problems += found
        for key, name in (("interfaces", "interfaces"), ("hosts", "hosts")):
            for number, part in enumerate(entry.get(key) or ()):
                texts = {
                    "options": part.get("options"),
                    "zone": entry.get("name"),
                    "origin": part.get("origin") or origin,
                }
                texts |= {"interface": part.get("name")} if key == "interfaces" else {}
                texts |= (
                    {"interface": part.get("interface"), "addresses": part.get("addresses")} if key == "hosts" else {}
                )
                row, found = read_entry(files[name], texts, number)
                getattr(rows, name).append(row)
                variable, place = locate(texts["origin"], "zones", index)
                renamed = {"interface": "name"} if key == "interfaces" else {}
                problems += [
                    Problem(
                        variable,
                        place,
                        f"{key}[{number}].{renamed.get(problem.key or '', problem.key)}",
                        problem.value,
                        problem.allowed,
                    )
                    for problem in found
                    if problem.key != "zone"
                ]
    for index, entry in enumerate(loose):
        row, found = read_entry(files["interfaces"], {**entry, "interface": entry.get("name")}, index)
        rows.interfaces.append(row)
        problems += found
    return rows, problems


def merge(have: ZoneRows, want: ZoneRows, named: set[str], absent: set[str]) -> ZoneRows:
    """Return the rows when what is not listed stays.

    Args:
        have: the rows that are there.
        want: the rows of the listed zones.
        named: the listed zones whose interfaces and hosts are listed too.
        absent: the zones that shall go.
    """
    merged = ZoneRows()
    spec = FILES["zones"]
    wanted = {key_of(spec, row): row for row in want.zones}
    kept = [row for row in have.zones if key_of(spec, row)[0] not in absent]
    merged.zones = [wanted.get(key_of(spec, row), row) for row in kept]
    present = {key_of(spec, row) for row in kept}
    merged.zones += [row for row in want.zones if key_of(spec, row) not in present]
    gone = named | absent
    merged.interfaces = _in_place(have.interfaces, want.interfaces, gone, lambda row: row.get("interface"))
    merged.hosts = _in_place(have.hosts, want.hosts, gone, lambda row: row)
    return merged


def _in_place(have: Iterable[Row], want: list[Row], gone: set[str], name_of: Callable[[Row], Hashable]) -> list[Row]:
    """Return rows with the wanted ones in the place of those that have their name, and the new ones behind them."""
    wanted = {name_of(row): row for row in reversed(want)}
    rows = [wanted.get(name_of(row), row) for row in have if name_of(row) in wanted or row.get("zone") not in gone]
    placed = {id(row) for row in rows}
    return rows + [row for row in want if id(row) not in placed]


def check_zones(rows: ZoneRows, logformat: str, family: Family = IPV4) -> list[Problem]:
    """Return what is wrong with the zones as a whole."""
    problems = []
    longest = longest_name(logformat)
    declared: dict[str, str] = {}
    firewalls = []
    for index, row in enumerate(rows.zones):
        name, _unused, parents = row.get("zone").partition(":")
        kind = row.get("type") or family.name
        variable, place = locate(row.origin, "zones", index)

        def wrong(key: str, value: object, allowed: str, variable: str = variable, place: int | None = place) -> None:
            problems.append(Problem(variable, place, key, value, allowed))

        if name in _RESERVED or name.startswith("all2") or name.endswith("2all"):
            wrong("name", name, f"no name that Shorewall uses itself ({', '.join(_RESERVED)}, all2..., ...2all)")
        if len(name) > longest:
            wrong("name", name, f"at most {longest} characters, with LOGFORMAT {logformat!r}")
        if name in declared:
            wrong("name", name, "one zone of each name")
        if kind == "firewall":
            firewalls.append(name)
            if parents:
                wrong("parents", parents, "nothing, for the firewall zone")
        for parent in filter(None, parents.split(",")):
            if parent not in declared:
                wrong("parents", parent, "zones that stand before this one")
            elif declared[parent] == "firewall":
                wrong("parents", parent, "any zone but the firewall zone")
            elif kind in ("loopback", "local") and declared[parent] != kind:
                wrong("parents", parent, f"a zone of the type {kind}")
        if kind == "bport" and not parents:
            wrong("parents", None, "the zone of its bridge")
        declared[name] = kind
    if len(firewalls) != 1:
        problems.append(Problem("zones", None, "type", firewalls or None, "firewall for exactly one zone"))
    if not any(kind in (family.name, "ip") for kind in declared.values()):
        problems.append(Problem("zones", None, "type", None, f"{family.name} for at least one zone"))
    return problems + _check_interfaces(rows, declared)


def _check_interfaces(rows: ZoneRows, declared: Mapping[str, str]) -> list[Problem]:
    problems = []
    seen: set[str] = set()
    for index, row in enumerate(rows.interfaces):
        variable, place = locate(row.origin, "interfaces", index)
        name, zone = row.get("interface"), row.get("zone")
        if name in seen:
            problems.append(Problem(variable, place, "interface", name, "one entry for each interface"))
        if zone and declared.get(zone) in (None, "firewall"):
            problems.append(Problem(variable, place, "zone", zone, "a declared zone that is not the firewall"))
        if ":" in name and declared.get(zone) != "bport":
            problems.append(
                Problem(variable, place, "interface", name, "no alias; bridge:port only for a zone of the type bport")
            )
        given = {option.partition("=")[0] for option in row.get("options").split(",")}
        for group in _INCOMPATIBLE:
            if len(given & set(group)) > 1:
                problems.append(
                    Problem(variable, place, "options", sorted(given & set(group)), f"one of {', '.join(group)}")
                )
        seen.add(name)
    for index, row in enumerate(rows.hosts):
        variable, place = locate(row.origin, "hosts", index)
        interface = row.get("hosts").partition(":")[0]
        if interface not in seen:
            problems.append(Problem(variable, place, "interface", interface, "an interface that is listed"))
        if declared.get(row.get("zone")) in (None, "firewall"):
            problems.append(
                Problem(variable, place, "zone", row.get("zone"), "a declared zone that is not the firewall")
            )
    return problems
