# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What kvmnet_info read on several hosts, as one table for people."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Info = Mapping[str, Any]

HEADINGS = (
    "HOST",
    "FIREWALL",
    "BRIDGE",
    "PORT",
    "GUEST",
    "STATE",
    "LEASE",
    "UPLINK",
    "TRAFFIC",
    "SINCE",
    "LOSS",
    "RTT",
    "SHARE",
)

UPLINK_HEADINGS = ("UPLINK", "TRAFFIC", "SINCE", "LOSS", "RTT", "SHARE", "CONNECTIONS")


def _leases(info: Info) -> dict[str, list[str]]:
    """Return MAC -> leased addresses."""
    found: dict[str, list[str]] = {}
    for lease in info["dnsmasq"]["leases"]:
        found.setdefault(lease["mac"], []).append(lease["address"])
    return found


def _port_cells(info: Info) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield bridge, port, guest, state and lease: for each port, for guests without one, for leases of others."""
    leases = _leases(info)
    guests = info["guests"]["domains"]
    cards = {card["tap"]: (guest, card["mac"]) for guest in guests for card in guest["interfaces"] if card["tap"]}
    ports = info["links"]["ports"]
    for bridge in info["links"]["bridges"]:
        label = " ".join([bridge["name"], *bridge["addresses"]])
        own = [port["name"] for port in ports if port["bridge"] == bridge["name"]]
        for name in own or ["-"]:
            guest, mac = cards.get(name, ({"name": "", "state": ""}, ""))
            yield label, name, guest["name"], guest["state"], ", ".join(leases.pop(mac, []))
            label = ""
    attached = {cards[port["name"]][0]["name"] for port in ports if port["name"] in cards}
    for guest in guests:
        addresses = [address for card in guest["interfaces"] for address in leases.pop(card["mac"], [])]
        if guest["name"] not in attached:
            yield "", "-", guest["name"], guest["state"], ", ".join(addresses)
    for lease in info["dnsmasq"]["leases"]:
        if lease["mac"] in leases:
            yield "", "", f"({lease['name'] or lease['mac']})", "", lease["address"]


def _age(seconds: int | None) -> str:
    """Return how long something lasts, as people say it."""
    if seconds is None:
        return ""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def _figure(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:g} {unit}"


def _traffic(uplink: Info) -> str:
    """Return what becomes of an uplink's traffic, and why when it is not the usual."""
    state, route = uplink["state"], uplink["route"]
    own = (uplink["interface"], uplink["gateway"])
    elsewhere = route is not None and (route["interface"], route["gateway"]) != own
    moved = f"moved to {route['gateway'] or route['interface']}" if elsewhere else ""
    told = {"down": "down", "absent": "absent", "forced": "drill"}.get(state)
    if told or moved:
        return ", ".join(filter(None, (told, moved)))
    return "yes" if uplink["carries_traffic"] else "-"


def _uplink_cells(uplink: Info) -> tuple[str, ...]:
    """Return an uplink, what becomes of its traffic, since when, and how it does."""
    name = [] if uplink["name"] == uplink["interface"] else [uplink["name"]]
    gateway = [f"via {uplink['gateway']}"] if uplink["gateway"] else []
    return (
        " ".join([*name, uplink["interface"], *gateway]),
        _traffic(uplink),
        _age(uplink.get("seconds")),
        _figure(uplink.get("loss_percent"), "%"),
        _figure(uplink.get("rtt_ms"), "ms"),
        _figure(uplink.get("share_percent"), "%"),
    )


def _host_rows(host: str, info: Info) -> Iterator[tuple[str, ...]]:
    firewall = info["shorewall"]["state"]
    uplinks = [_uplink_cells(uplink) for uplink in info["uplinks"]]
    rows = zip_longest(_port_cells(info), uplinks)
    for left, right in [*rows] or [(None, None)]:
        yield (host, firewall, *(left or [""] * 5), *(right or [""] * 6))
        host = firewall = ""


def _notes(host: str, info: Info) -> Iterator[str]:
    """Yield what the table has no room for: why an uplink is out, and that nobody would notice if one were."""
    host = f"{host}: " if host else ""
    for uplink in info["uplinks"]:
        if uplink["state"] in ("down", "absent", "forced") and uplink.get("reason"):
            yield f"{host}uplink {uplink['name']}: {uplink['reason']}"
    yield from (f"{host}{note}" for note in _commit_notes(info.get("guard") or {}))
    state = info.get("monitor", {}).get("state", "not installed")
    if len(info["uplinks"]) > 1 and state != "running":
        yield f"{host}nobody watches the uplinks: the monitor is {state}"


def _commit_notes(guard: Info) -> Iterator[str]:
    """Yield that a change is on its way, or that the last one did not last."""
    if guard.get("state") == "unconfirmed":
        yield f"a commit by {guard['by'] or 'somebody'} is not confirmed yet"
    last = guard.get("last") or {}
    if last.get("outcome") == "undone":
        ago = "" if last["seconds"] is None else f" {_age(last['seconds'])} ago"
        yield f"the last commit, by {last['by'] or 'somebody'}, was undone{ago}: {last['reason']}"
        yield from (f"not as before that commit: {line}" for line in last["left"])


def _complaint(host: str, info: Info) -> str:
    """Return a line for a host whose state is not known."""
    why = str(info.get("msg") or "it was not asked").strip().splitlines()[0]
    return f"{host}: {'unreachable' if info.get('unreachable') else 'unknown'}: {why}"


def _aligned(table: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


def uplinks_table(info: Info) -> str:
    """Return a table of one host's uplinks, with how many connections each one has.

    Args:
        info: the result of kvmnet_info with uplinks.
    """
    rows: list[tuple[str, ...]] = [UPLINK_HEADINGS]
    for uplink in info["uplinks"]:
        name, *more = _uplink_cells(uplink)
        rows.append((name, *more, "" if uplink.get("connections") is None else str(uplink["connections"])))
    return "\n".join([*_aligned(rows), *_notes("", info)])


def status_table(hosts: Mapping[str, Info | None]) -> str:
    """Return one table of all hosts, followed by a line for each host whose state is not known.

    Args:
        hosts: host name -> the result of kvmnet_info there, or what Ansible said when there was none.
    """
    known = {host: info for host, info in hosts.items() if info and "links" in info}
    lines = _aligned([HEADINGS, *(row for host, info in known.items() for row in _host_rows(host, info))])
    lines += [note for host, info in known.items() for note in _notes(host, info)]
    lines += [_complaint(host, info or {}) for host, info in hosts.items() if host not in known]
    return "\n".join(lines)


class FilterModule:
    """Filters of the playbooks status.yml and drill.yml."""

    def filters(self) -> dict[str, Any]:
        return {"status_table": status_table, "uplinks_table": uplinks_table}
