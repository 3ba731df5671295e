# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
#
# Part of the program that is installed on the host, so it imports the standard library only.
"""Two states of a network compared: what differs, in the user's terms, and what makes one of the other. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

State = Mapping[str, Any]

# The chains of a table that nobody has touched.
_EMPTY_TABLES = {
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "raw": ("PREROUTING", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}
# What a set is made with that grows by itself, or differs each time.
_SET_NOISE = re.compile(r" (?:hashsize|initval|bucketsize) \S+")
_SCRATCH = "kvmnet-undo"
_LEASED = re.compile(r" proto (?:16|dhcp)\b")
# The kernel makes one of each address; one that was deleted comes back with nothing but its address.
_OF_ADDRESS = re.compile(r" proto (?:2|kernel)\b")


def split_tables(text: str) -> dict[str, list[str]]:
    """Return the lines of what iptables-save printed by table, without counters, comments, and marks without rules."""
    tables: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("*"):
            lines = tables.setdefault(line[1:].strip(), [])
        elif line and not line.startswith(("#", "COMMIT")) and not line.startswith((":sha-", "-N sha-")):
            lines.append(re.sub(r"\[\d+:\d+\]\s*", "", line).strip())
    return tables


def _plain(table: str, lines: Iterable[str]) -> list[str]:
    untouched = {f":{chain} ACCEPT" for chain in _EMPTY_TABLES.get(table, ())}
    return sorted(line for line in lines if line.startswith(":") and line not in untouched) + [
        line for line in lines if not line.startswith(":")
    ]


def same_firewall(before: str, now: str) -> list[str]:
    """Return the tables in which two outputs of iptables-save differ; an untouched table is as good as none."""
    first, second = split_tables(before), split_tables(now)
    return [
        table
        for table in sorted({*first, *second})
        if _plain(table, first.get(table, ())) != _plain(table, second.get(table, ()))
    ]


def restore_text(before: str, now: str) -> str:
    """Return what iptables-restore is given: what there was, and for tables that there were not, untouched ones."""
    text = before if before.endswith("\n") or not before else f"{before}\n"
    for table in split_tables(now):
        if table not in split_tables(before) and table in _EMPTY_TABLES:
            chains = "".join(f":{chain} ACCEPT [0:0]\n" for chain in _EMPTY_TABLES[table])
            text += f"*{table}\n{chains}COMMIT\n"
    return text


def split_ipsets(text: str) -> dict[str, tuple[str, list[str]]]:
    """Return what C(ipset save) printed by set: what it is made with, and its members."""
    sets: dict[str, tuple[str, list[str]]] = {}
    for line in text.splitlines():
        verb, name, rest = line.split(maxsplit=2)
        if verb == "create":
            sets[name] = (rest, [])
        else:
            sets[name][1].append(rest)
    return sets


def _passes(made: str) -> bool:
    """Whether what a set holds goes by itself after a time, so that it cannot be brought back."""
    return " timeout " in f"{made} "


def other_ipsets(before: str, now: str) -> list[str]:
    """Return the sets of the first output of C(ipset save) that are not the same in the second one."""
    have = split_ipsets(now)
    found = []
    for name, (made, members) in split_ipsets(before).items():
        other, others = have.get(name, ("", []))
        same = _SET_NOISE.sub("", made) == _SET_NOISE.sub("", other) and Counter(members) == Counter(others)
        if name not in have or not (same or _passes(made)):
            found.append(name)
    return found


def ipset_text(before: str, now: str) -> str:
    """Return what C(ipset restore) is given: each set that differs is filled beside the one in use, and swapped."""
    first, have = split_ipsets(before), split_ipsets(now)
    lines = [f"destroy {_SCRATCH}"] if _SCRATCH in have else []
    for name in other_ipsets(before, now):
        made, members = first[name]
        filled = _SCRATCH if name in have else name
        lines += [f"create {filled} {made}", *(f"add {filled} {member}" for member in members)]
        lines += [f"swap {filled} {name}", f"destroy {filled}"] if filled != name else []
    return "".join(f"{line}\n" for line in lines)


def _extra(before: Iterable[str], now: Iterable[str]) -> list[str]:
    return list((Counter(now) - Counter(before)).elements())


def differences(before: State, now: State, made: Collection[str] = ()) -> list[str]:
    """Return what of a network is not as it was; empty when it is.

    Args:
        before: the state to compare with.
        now: the state as it is.
        made: links that the change made; others that came in the meantime are not ours to judge.
    """
    return [
        *_link_differences(before, now, made),
        *_address_differences(before, now),
        *_route_differences(before, now),
        *_rule_differences(before, now),
        *_other_differences(before, now),
    ]


def _link_differences(before: State, now: State, made: Collection[str]) -> Iterator[str]:
    for name, link in before["links"].items():
        other = now["links"].get(name)
        if other is None:
            yield f"the link {name} is gone"
            continue
        for key in ("mac", "mtu", "up", "master"):
            if link[key] != other[key]:
                yield f"{name}: {key} was {link[key]}, is {other[key]}"
        for key, value in link["flags"].items():
            if other["flags"].get(key, value) != value:
                yield f"{name}: {key} was {value}, is {other['flags'][key]}"
    for name in sorted(set(now["links"]) - set(before["links"])):
        if name in made:
            yield f"the link {name} is there still"


def _address_differences(before: State, now: State) -> Iterator[str]:
    for name, addresses in before["addresses"].items():
        have = now["addresses"].get(name, {})
        for address, about in addresses.items():
            if address in have:
                if _is_asked_otherwise(about, have[address]):
                    nodad = about["nodad"], have[address]["nodad"]
                    yield f"{name}: nodad of the address {address} was {nodad[0]}, is {nodad[1]}"
            elif not about["leased"]:
                yield f"{name}: the address {address} is gone"
        for address, about in have.items():
            if address not in addresses and not about["leased"]:
                yield f"{name}: the address {address} is there still"


def _is_asked_otherwise(before: Mapping[str, bool], now: Mapping[str, bool]) -> bool:
    """Whether the kernel asks for duplicates of an address that somebody set, and did not, or the other way round."""
    return before["nodad"] != now["nodad"] and not before["leased"]


def _route_differences(before: State, now: State) -> Iterator[str]:
    for version in before["routes"]:
        first, second = before["routes"][version], now["routes"][version]
        yield from (f"the route '{route}' is gone" for route in _extra(second, first) if not _LEASED.search(route))
        yield from (f"the route '{route}' is there still" for route in _extra(first, second) if _is_set(route))


def _is_set(route: str) -> bool:
    """Whether somebody has set a route, so that it does not go by itself."""
    return not _LEASED.search(route) and not _OF_ADDRESS.search(route)


def _rule_differences(before: State, now: State) -> Iterator[str]:
    for version in before["rules"]:
        first, second = before["rules"][version], now["rules"][version]
        yield from (f"the routing rule '{rule}' is gone" for rule in _extra(second, first))
        yield from (f"the routing rule '{rule}' is there still" for rule in _extra(first, second))


def _other_differences(before: State, now: State) -> Iterator[str]:
    for program, text in before["firewall"].items():
        for table in same_firewall(text, now["firewall"].get(program, "")):
            yield f"{program}: the table {table} is another one"
    yield from (f"the address list {name} is another one" for name in other_ipsets(before["ipsets"], now["ipsets"]))
    for path, value in before["sysctls"].items():
        if now["sysctls"].get(path, value) != value:
            yield f"{path} was {value}, is {now['sysctls'][path]}"
    for name, unit in before["units"].items():
        other = now["units"].get(name)
        for key, value in unit.items():
            if other is None or other[key] != value:
                yield f"{name} was {value}, is {other[key] if other else 'gone'}"
    for name in sorted(set(now["units"]) - set(before["units"])):
        if now["units"][name]["active"] == "active":
            yield f"{name} was not there, is active"


def creation(name: str, link: Mapping[str, Any]) -> str | None:
    """Return the C(ip) line that makes a link again, or None for one that nothing but its driver makes."""
    details = link["details"]
    start = f"link add {name}" + (f" address {link['mac']}" if link["mac"] else "")
    if link["kind"] == "bridge":
        stp, delay = details.get("stp_state", 0), details.get("forward_delay", 1500)
        return f"{start} type bridge forward_delay {delay} stp_state {stp}"
    if link["kind"] == "macvlan" and link["parent"]:
        return f"link add link {link['parent']} {start.removeprefix('link add ')} type macvlan mode {details['mode']}"
    if link["kind"] == "vlan" and link["parent"]:
        return f"link add link {link['parent']} {start.removeprefix('link add ')} type vlan id {details['id']}"
    if link["kind"] == "tun":
        mode = details.get("type", "tap")
        owner = "".join(f" {key} {details[key]}" for key in ("user", "group") if details.get(key) not in (None, ""))
        flags = "".join(f" {flag}" for flag in ("vnet_hdr", "multi_queue") if details.get(flag))
        return f"tuntap add dev {name} mode {mode}{owner}{flags}"
    return None


def link_lines(before: State, now: State, made: Collection[str]) -> tuple[list[str], list[str]]:
    """Return the C(ip) lines that make what is missing, and those that make the rest as it was."""
    create, change = [], []
    for name, link in before["links"].items():
        have = now["links"].get(name)
        if have is None:
            line = creation(name, link)
            if line is not None:
                create.append(line)
            have = {"mac": None, "mtu": None, "up": None, "master": None, "flags": {}}
        if link["master"] != have["master"]:
            change.append(f"link set dev {name} " + (f"master {link['master']}" if link["master"] else "nomaster"))
        if link["mac"] and link["mac"] != have["mac"]:
            change.append(f"link set dev {name} address {link['mac']}")
        if link["mtu"] and link["mtu"] != have["mtu"]:
            change.append(f"link set dev {name} mtu {link['mtu']}")
        if link["up"] != have["up"]:
            change.append(f"link set dev {name} {'up' if link['up'] else 'down'}")
        for key, value in link["flags"].items():
            if have["flags"].get(key) != value:
                change.append(f"link set dev {name} type bridge_slave {key} {'on' if value else 'off'}")
    change += [f"link del dev {name}" for name in sorted(set(now["links"]) - set(before["links"])) if name in made]
    return create, change


def address_lines(before: State, now: State) -> list[str]:
    """Return the C(ip) lines that give each link the addresses that it had; what was missing comes first."""
    add, remove = [], []
    for name, addresses in before["addresses"].items():
        have = now["addresses"].get(name, {})
        for address, about in addresses.items():
            line = f"{address} dev {name}{'' if ':' in address else ' broadcast +'}{' nodad' if about['nodad'] else ''}"
            if address not in have:
                add.append(f"address add {line}")
            elif _is_asked_otherwise(about, have[address]):
                # It makes one that is there such a one, too.
                add.append(f"address replace {line}")
        remove += [
            f"address del {address} dev {name}"
            for address, about in have.items()
            if address not in addresses and not about["leased"]
        ]
    return add + remove


def route_lines(before: State, now: State) -> dict[str, list[str]]:
    """Return the C(ip) lines that bring routes back, next hops before what goes by them, then take away what came."""
    lines = {}
    for version in before["routes"]:
        first, second = before["routes"][version], now["routes"][version]
        missing = sorted(_extra(second, first), key=lambda route: (" via " in route, route.startswith("default")))
        extra = [route for route in _extra(first, second) if _is_set(route)]
        lines[version] = [f"route append {route}" for route in missing] + [f"route del {route}" for route in extra]
    return lines


def rule_lines(before: State, now: State) -> dict[str, list[str]]:
    """Return the C(ip) lines that bring routing rules back, then take away what came."""
    lines = {}
    for version in before["rules"]:
        first, second = before["rules"][version], now["rules"][version]
        lines[version] = [f"rule add pref {rule}" for rule in _extra(second, first)]
        lines[version] += [f"rule del pref {rule}" for rule in _extra(first, second)]
    return lines
