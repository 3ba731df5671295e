# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""MAC addresses of gateways: given, or learned once and pinned, until somebody says that another one is right."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._rows import locate

LEARN = "learn"

Neighbour = Callable[[str, str], "str | None"]


@dataclass
class Resolved:
    """What came of it: values that are wrong, and gateways that are not what they were."""

    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def normalise_mac(value: str) -> str:
    """Return a MAC address with colons, in lower case."""
    return value.removeprefix("~").replace("-", ":").lower()


def resolve_macs(
    entries: list[dict[str, Any]],
    known: Mapping[str, Mapping[str, Any]],
    neighbour: Neighbour,
    glance: Neighbour,
    repin: bool = False,
) -> Resolved:
    """Replace C(learn) by the MAC address: the pinned one of the same gateway, else the one that answers.

    Args:
        entries: the providers.
        known: those on the host.
        neighbour: asks until there is an answer.
        glance: asks once, which is enough to see whether the pinned one is still right.
        repin: where another one answers, take it.
    """
    found = Resolved()
    for index, entry in enumerate(entries):
        given = [str(mac) for mac in entry.get("gateway_mac") or ()]
        if LEARN in given and not re.fullmatch(r"[\d.]+", str(entry.get("gateway"))):
            # What is wrong with the gateway is reported as such.
            given.remove(LEARN)
        elif LEARN in given:
            mac = _learned(entry, index, known.get(str(entry.get("name")), {}), (neighbour, glance), repin, found)
            given = [str(mac) if item == LEARN else item for item in given if item != LEARN or mac]
        entry["gateway_mac"] = list(dict.fromkeys(normalise_mac(str(mac)) for mac in given))
    return found


def _learned(
    entry: Mapping[str, Any],
    index: int,
    before: Mapping[str, Any],
    ask: tuple[Neighbour, Neighbour],
    repin: bool,
    found: Resolved,
) -> str | None:
    interface, gateway = str(entry.get("interface")), str(entry.get("gateway"))
    variable, place = locate(str(entry.get("origin") or ""), "providers", index)
    same = all(before.get(key) == entry.get(key) for key in ("interface", "gateway"))
    pinned = before.get("gateway_mac") if same else None
    if not pinned:
        mac = ask[0](interface, gateway)
        if mac is None:
            allowed = (
                f"the gateway's MAC address: {gateway} does not answer on {interface}, so it cannot be learned; "
                "set gateway_mac"
            )
            found.problems.append(Problem(variable, place, "gateway_mac", LEARN, allowed))
        return mac
    old, now = normalise_mac(str(pinned)), ask[1](interface, gateway)
    # Who does not answer is silent, not replaced. The further ones of a list are those it may answer with as well.
    if now is None or now in (old, *(normalise_mac(str(mac)) for mac in entry.get("gateway_mac") or ())):
        return str(pinned)
    if repin:
        return now
    where = variable if place is None else f"{variable}[{place}]"
    found.remarks.append(
        f"{where}.gateway_mac: the gateway {gateway} on {interface} answers with {now} now, and {old} is pinned: it "
        "was replaced, or somebody pretends to be it, and what comes in by it is not told apart. If this is right, run "
        "once with shorewall_repin_gateways: true (the option repin_gateways), or set gateway_mac"
    )
    return str(pinned)
