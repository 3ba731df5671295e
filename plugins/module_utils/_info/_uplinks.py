# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Which uplinks there are and which of them carries traffic, from the kernel's own rules and routes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MAIN = "254"
# A rule with one of these decides for some traffic only.
_SELECTORS = ("dst", "fwmark", "iif", "oif", "tos", "ipproto", "sport", "dport", "uidrange", "not", "l3mdev", "tun_id")


@dataclass(frozen=True)
class Hop:
    """Where a default route leads."""

    interface: str
    gateway: str | None


def defaults_by_table(routes: Iterable[Mapping[str, Any]]) -> dict[str, tuple[Hop, ...]]:
    """Return each table's best default route as its next hops.

    Args:
        routes: C(ip -j -N -4 route show table all).
    """
    best: dict[str, tuple[int, tuple[Hop, ...]]] = {}
    for route in routes:
        if route.get("dst") != "default" or route.get("type", "unicast") not in ("unicast", "1"):
            continue
        if "dead" in route.get("flags", ()) or "linkdown" in route.get("flags", ()):
            continue
        hops = tuple(Hop(str(hop.get("dev")), hop.get("gateway")) for hop in route.get("nexthops") or [route])
        table, metric = str(route.get("table", _MAIN)), int(route.get("metric", 0))
        if table not in best or metric < best[table][0]:
            best[table] = metric, hops
    return {table: hops for table, (_metric, hops) in best.items()}


def carrying(rules: Iterable[Mapping[str, Any]], defaults: Mapping[str, tuple[Hop, ...]]) -> tuple[Hop, ...]:
    """Return the next hops of traffic that no rule sends elsewhere.

    Args:
        rules: C(ip -j -N -4 rule).
    """
    for rule in sorted(rules, key=lambda rule: int(rule.get("priority", 0))):
        if rule.get("src", "all") != "all" or any(selector in rule for selector in _SELECTORS):
            continue
        if "suppress_prefixlength" in rule or "suppress_prefixlen" in rule:
            continue
        hops = defaults.get(str(rule.get("table")))
        if hops:
            return hops
    return ()


def _own_hop(provider: Mapping[str, Any], route: Hop | None) -> Hop | None:
    """Return where a provider leads by its configuration, as far as that says it."""
    gateway = str(provider.get("gateway", "-"))
    if gateway in ("-", "none"):
        return Hop(str(provider["interface"]), None)
    if gateway == "detect":
        # Learned from a lease: only the route knows, unless it leads elsewhere now.
        return Hop(str(provider["interface"]), None) if route and route.interface != provider["interface"] else route
    return Hop(str(provider["interface"]), gateway)


def describe(
    providers: Iterable[Mapping[str, Any]], rules: Iterable[Mapping[str, Any]], routes: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the uplinks: Shorewall's providers, or where there are none, where the default route leads.

    Args:
        providers: their name, number, interface and gateway.
        rules: C(ip -j -N -4 rule).
        routes: C(ip -j -N -4 route show table all).
    """
    defaults = defaults_by_table(routes)
    in_use = carrying(rules, defaults)
    uplinks = []
    for provider in providers:
        route = next(iter(defaults.get(str(provider["number"]), ())), None)
        own = _own_hop(provider, route)
        uplinks.append(
            {
                "name": provider["name"],
                "number": int(provider["number"]),
                "interface": str(provider["interface"]) if own is None else own.interface,
                "gateway": None if own is None else own.gateway,
                "route": None if route is None else {"interface": route.interface, "gateway": route.gateway},
                "state": "down" if route is None else "up" if route == own else "moved",
                "carries_traffic": own is not None and own in in_use,
            }
        )
    if uplinks:
        return uplinks
    return [
        {
            "name": hop.interface,
            "number": None,
            "interface": hop.interface,
            "gateway": hop.gateway,
            "route": {"interface": hop.interface, "gateway": hop.gateway},
            "state": "up",
            "carries_traffic": True,
        }
        for hop in in_use
    ]
