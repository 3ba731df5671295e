# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Lists of addresses in a column, such as C(net:192.0.2.1,198.51.100.0/24), in a form that compares."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

# From here on a list is a set of the kernel. Another address in it then costs a thirtieth of what compiling does; to a
# packet, a set costs what some dozens of rules do. A shorter list is better read in its row.
LONG = 32
_SHOWN = 3

# The columns where Shorewall takes a set in the place of a list. Not those of stoppedrules: who manages the host gets
# in even when no set could be loaded.
PLACES = {
    "rules": ("source", "dest"),
    "mangle": ("source", "dest"),
    "conntrack": ("source", "dest"),
    "accounting": ("source", "dest"),
    "snat": ("source",),
}
_BRACKETED = re.compile(r"\[(?P<inner>[^\[\]/]+)(?:/(?P<inside>\d+))?\](?:/(?P<outside>\d+))?")


def read_address(text: str, version: int) -> Any:
    """Return an address or a network, or None for what a set cannot hold."""
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        return None
    # The kernel's sets have no place for a network of all addresses.
    return network if network.version == version and network.prefixlen else None


def member(network: Any) -> str:
    """Return a network as a set's member."""
    return str(network[0]) if network.prefixlen == network.max_prefixlen else str(network)


def in_order(networks: Iterable[Any]) -> tuple[str, ...]:
    """Return networks as the members of a set, each once."""
    return tuple(member(one) for one in sorted(set(networks), key=lambda one: (int(one[0]), one.prefixlen)))


@lru_cache(maxsize=64)
def take_apart(text: str) -> tuple[str, tuple[str, ...], int] | None:
    """Return what stands before a list, its addresses in order, and the version of IP.

    Returns:
        None for what is no list of plain addresses: an exclusion, a range, a set, a MAC address, a variable.
    """
    start = min((place for place in (text.find("["), text.find("<")) if place >= 0), default=-1)
    if start < 0:
        head, colon, rest = text.rpartition(":")
        found = [read_address(part, 4) for part in rest.split(",")]
        return None if None in found else (head + colon, in_order(found), 4)
    head, rest = text[:start], text[start:]
    if head and not head.endswith(":"):
        return None
    if rest.startswith("<") and rest.endswith(">"):
        plain = rest[1:-1].split(",")
    else:
        plain = []
        for part in rest.split(","):
            match = _BRACKETED.fullmatch(part)
            if match is None or (match["inside"] and match["outside"]):
                return None
            length = match["inside"] or match["outside"]
            plain.append(match["inner"] + (f"/{length}" if length else ""))
    found = [read_address(part, 6) for part in plain]
    return None if None in found else (head, in_order(found), 6)


def put_together(head: str, members: Iterable[str], version: int) -> str:
    """Return a list in the form that compares."""
    if version == 4:
        return head + ",".join(members)
    halves = (one.partition("/") for one in members)
    return head + ",".join(f"[{address}]{slash}{length}" for address, slash, length in halves)


def is_long(text: str) -> bool:
    """Whether a column can hold a list that is worth a set."""
    return text.count(",") >= LONG - 1


def normalise(text: str) -> str:
    """Return a column's text with a long list in order and each of its addresses once."""
    found = take_apart(text) if is_long(text) else None
    return put_together(*found) if found else text


def brief(text: str) -> str:
    """Return a column's text in a form that can be read, however long its list is."""
    found = take_apart(text) if is_long(text) else None
    return f"{found[0]}({len(found[1])} addresses)" if found else text


def mask(text: str) -> str:
    """Return a column's text without its addresses."""
    found = take_apart(text) if "." in text or "[" in text or "<" in text else None
    return f"{found[0]}(addresses)" if found else text


def show(addresses: Iterable[str]) -> list[str]:
    """Return addresses as a plan names them: all of them, as long as a human would read that."""
    listed = list(addresses)
    return listed if len(listed) <= LONG else [*listed[:_SHOWN], f"and {len(listed) - _SHOWN} more"]
