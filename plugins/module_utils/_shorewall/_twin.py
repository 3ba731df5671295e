# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""The host's interfaces once more, for a compiler that is kept away from the real ones.

A params file is a program, and what it asks for most is an address of the host. The compiler itself asks which
interfaces are bridges.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def commands() -> str:
    """Return what C(ip -force -batch) makes the host's interfaces, addresses and routes from."""
    links = json.loads(_ip("-j", "-d", "address", "show") or "[]")
    routes = [line for version in ("-4", "-6") for line in _ip(version, "route", "show").splitlines()]
    return "".join(f"{line}\n" for line in [*describe(links), *(f"route replace {line}" for line in _usable(routes))])


def describe(links: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the commands for the links that have an address, and for bridges, from what C(ip -j -d address) says."""
    for number, link in enumerate(links):
        name, kind = link["ifname"], link.get("linkinfo", {}).get("info_kind")
        addresses = [entry for entry in link.get("addr_info", ()) if "local" in entry]
        if name == "lo":
            yield "link set lo up"
        elif addresses or kind == "bridge":
            mac = link.get("address", "") if link.get("link_type") == "ether" else ""
            about = f"name {name}{f' address {mac}' if mac else ''}"
            # The other end of the pair is nobody's.
            yield (
                f"link add {about} type bridge"
                if kind == "bridge"
                else f"link add {about} type veth peer name kvmnet{number}"
            )
            if kind != "bridge":
                yield f"link set kvmnet{number} up"
            yield f"link set {name} up"
        for entry in addresses:
            yield " ".join(["address replace", *_address(entry), "dev", name])


def _address(entry: Mapping[str, Any]) -> Iterator[str]:
    length = entry["prefixlen"]
    yield from (
        [entry["local"], "peer", f"{entry['address']}/{length}"]
        if "address" in entry
        else [f"{entry['local']}/{length}"]
    )
    if "broadcast" in entry:
        yield from ["broadcast", entry["broadcast"]]
    yield from ["scope", entry["scope"]]
    if entry["family"] == "inet6":
        yield "nodad"


def _usable(routes: Iterable[str]) -> Iterator[str]:
    """Yield the routes without what is said of them, but cannot be asked for."""
    for route in routes:
        # Those of several next hops are shown on several lines.
        if " dev " in route and not route.startswith(("\t", " ")):
            yield " ".join(word for word in route.split() if word not in ("linkdown", "dead", "pervasive", "offload"))


def _ip(*arguments: str) -> str:
    try:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
