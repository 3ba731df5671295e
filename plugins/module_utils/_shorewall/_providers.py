# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Providers: numbers that stay, and what follows from them and from the MAC addresses of their gateways."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._gateways import normalise_mac
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._rows import Row, locate, to_options
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._schema import FILES

# Marks an entry that only stands for a row that stays.
KEPT = "kept"
# Table 250 is Shorewall's balance; 253 to 255 are the kernel's.
LAST_NUMBER = 252
RESERVED_NUMBERS = (250,)
# What the uplink monitor adds to a provider's number, for a table that its connections fall back on and one of probes.
MONITOR_TABLES = (1000, 2000)
# Written by the uplink monitor while an uplink is out.
VERDICT = "/var/lib/kvmnet/uplinks/init"
RESERVED_NAMES = ("local", "main", "default", "balance", "unspec")


def known_providers(rows: Iterable[Row]) -> dict[str, dict[str, Any]]:
    """Return the providers of a file by name."""
    found = (to_options(FILES["providers"], row) for row in rows)
    return {options["name"]: options for options in found if "name" in options}


def assign_numbers(
    entries: list[dict[str, Any]], known: Mapping[str, Mapping[str, Any]], others: Collection[int] = ()
) -> None:
    """Give each provider that has no number one that no other has.

    A number is the provider's mark in every live connection: a provider keeps the one it has on the host, and one that
    just became free is taken last.

    Args:
        entries: the providers.
        known: those on the host.
        others: numbers that the other version of IP has taken.
    """
    used = {int(entry["number"]) for entry in entries if entry.get("number")} | set(others)
    before = {
        name: int(options["number"]) for name, options in known.items() if str(options.get("number", "")).isdigit()
    }
    for entry in entries:
        number = before.get(str(entry.get("name")))
        if not entry.get("number") and number and number not in used:
            entry["number"] = number
            used.add(number)
    possible = [number for number in range(1, LAST_NUMBER + 1) if number not in RESERVED_NUMBERS]
    order = sorted(possible, key=lambda number: (number in before.values(), number))
    free = (number for number in order if number not in used)
    for entry in entries:
        if not entry.get("number"):
            entry["number"] = next(free)
    for entry in entries:
        entry.setdefault("mark", None)
        if entry["mark"] is None:
            entry["mark"] = entry["number"]


def mark_of(entry: Mapping[str, Any]) -> int | None:
    """Return the mark by which a provider's connections are known, or None where it is not a plain number."""
    mark = str(entry.get("mark") or entry.get("number") or "")
    try:
        return int(mark, 0) or None
    except ValueError:
        return None


def orphans(before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]) -> dict[int, str]:
    """Return the marks of live connections that mean nobody now, or somebody else, with what happened to each.

    Without any providers there is one way out, and whatever its mark was, a connection takes that.
    """
    if not after:
        return {}
    owners = {mark: name for name, entry in after.items() if (mark := mark_of(entry)) is not None}
    found = {}
    for name, entry in before.items():
        mark = mark_of(entry)
        owner = None if mark is None else owners.get(mark)
        if mark is not None and owner != name:
            found[mark] = f"{name} is gone" if owner is None else f"it was that of {name}, and is that of {owner}"
    return found


def renumbered(before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a line for each provider that has another number than before."""
    return [
        f"provider {name}: its number, table and mark are {entry['number']} now, and were {before[name]['number']}"
        for name, entry in after.items()
        if str(before.get(name, entry).get("number")) != str(entry.get("number"))
    ]


def check_tables(entries: Iterable[Mapping[str, Any]], texts: Mapping[str, str]) -> list[Problem]:
    """Refuse names of routing tables that the uplink monitor fills for a provider.

    Args:
        entries: the providers, with their numbers.
        texts: iproute2's lists of names, by path.
    """
    needed = {int(entry["number"]) + base: str(entry.get("name")) for entry in entries for base in MONITOR_TABLES}
    problems = []
    for path, text in texts.items():
        for place, line in enumerate(text.splitlines(), 1):
            words = line.split("#")[0].split()
            number = int(words[0], 0) if words and re.fullmatch(r"\d+|0x[\da-fA-F]+", words[0]) else 0
            if number in needed:
                allowed = (
                    f"another number: the uplink monitor uses table {number} for the provider {needed[number]} "
                    "(or another number for that)"
                )
                problems.append(Problem(path, None, f"line {place}", line.strip(), allowed))
    return problems


def check_disjoint(entries: Iterable[Mapping[str, Any]], others: Mapping[str, Mapping[str, Any]]) -> list[Problem]:
    """Refuse numbers and names that a provider of the other version of IP has: a table has one number and one name."""
    numbers = {int(entry["number"]): name for name, entry in others.items()}
    problems = []
    for index, entry in enumerate(entries):
        variable, place = locate(str(entry.get("origin") or ""), "providers", index)
        number, name = int(entry["number"]), str(entry.get("name"))
        if number in numbers:
            taken = f"a number that no provider of the other version of IP has; {numbers[number]} has this one"
            problems.append(Problem(variable, place, "number", number, taken))
        if name in others:
            allowed = "a name that no provider of the other version of IP has"
            problems.append(Problem(variable, place, "name", name, allowed))
    return problems


def kept_providers(known: Mapping[str, Mapping[str, Any]], named: Iterable[str]) -> list[dict[str, Any]]:
    """Return the providers of a file that are not named, in the form of the module's entries."""
    listed = set(named)
    return [
        {**options, "gateway_mac": [options["gateway_mac"]] if options.get("gateway_mac") else [], KEPT: True}
        for name, options in known.items()
        if name not in listed
    ]


def split_macs(entries: list[dict[str, Any]], known: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the providers with their first gateway MAC each: the one that a row has place for.

    One that stands on the host already is spelt as it is there.
    """
    rows = []
    for entry in entries:
        mac = (entry.get("gateway_mac") or [None])[0]
        pinned = str(known.get(str(entry.get("name")), {}).get("gateway_mac") or "")
        rows.append({**entry, "gateway_mac": pinned if mac and normalise_mac(pinned) == mac else mac})
    return rows


def further_mac_rules(entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the mangle rules for gateways that send with more than one MAC address, as a VRRP pair does.

    Shorewall's own rule knows the first one only; these mark what arrives from the others and keep the mark.
    """
    rules = []
    for entry in entries:
        for mac in (entry.get("gateway_mac") or [])[1:]:
            source = f"{entry['interface']}:~{mac.replace(':', '-')}"
            match = {"source": source, "dest": "0.0.0.0/0", "origin": entry.get("origin")}
            rules.append({**match, "action": f"MARK({entry['mark']}):P", "test": "0/0xff"})
            rules.append({**match, "action": "SAVE(0xff):P", "test": f"{entry['mark']}/0xff"})
    return rules


def init_block(entries: Iterable[Mapping[str, Any]], rest: str = "") -> str:
    """Return the lines of the C(init) script that pin the gateways of shared interfaces.

    Without them Shorewall's own restore, try and safe-* end in the stopped state. What the rest of the script says
    already is not said again.
    """
    there = {
        (found[1], normalise_mac(found[2])) for found in re.finditer(r"(?m)^\s*(SW_\w+_MAC)=[\"']?([\w:~-]+)", rest)
    }
    lines = []
    for entry in entries:
        if entry.get("address") and entry.get("gateway_mac"):
            parts = [re.sub(r"\W", "_", str(entry[key])).upper() for key in ("interface", "name")]
            name = f"SW_{parts[0]}_{parts[1]}_MAC"
            if (name, entry["gateway_mac"][0]) not in there:
                lines.append(f"{name}={entry['gateway_mac'][0]}\n")
    return "".join(lines)


def verdict_block(entries: Collection[Mapping[str, Any]]) -> str:
    """Return the lines of the C(init) script by which the uplink monitor's verdict holds while routing is set up.

    They read what is there at that moment: another verdict needs no other script.
    """
    return f"[ ! -r {VERDICT} ] || . {VERDICT}\n" if entries else ""


def fill_marks(
    rules: Iterable[Mapping[str, Any]], providers: Mapping[str, Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], list[Problem]]:
    """Replace a mangle rule's provider by the action that marks for it."""
    filled, problems = [], []
    for index, rule in enumerate(rules):
        entry = dict(rule)
        name = entry.pop("provider", None)
        if name is not None and not entry.get("action"):
            if name in providers:
                # What is forwarded must have its mark before it is routed, whatever MARK_IN_FORWARD_CHAIN says.
                chain = "" if str(entry.get("source") or "").partition(":")[0] in ("$FW", "fw") else ":P"
                entry["action"] = f"MARK({providers[name].get('mark') or providers[name].get('number')}){chain}"
            else:
                variable, place = locate(str(rule.get("origin") or ""), "mangle", index)
                problems.append(
                    Problem(
                        variable,
                        place,
                        "provider",
                        name,
                        "one of " + (", ".join(providers) or "the providers, of which there is none"),
                    )
                )
                entry["action"] = "MARK(0)"
        filled.append(entry)
    return filled, problems
