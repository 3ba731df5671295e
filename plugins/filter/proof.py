# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What kvmnet_info read on a host, compared with the inventory: what has to hold once everything stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible_collections.ursa.kvmnet.plugins.filter.dnsmasq import dnsmasq_hosts, dnsmasq_networks
from ansible_collections.ursa.kvmnet.plugins.filter.firewall import link_of
from ansible_collections.ursa.kvmnet.plugins.filter.guests import cards

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Entry = Mapping[str, Any]
    Entries = list[dict[str, Any]]


def proof_names(records: Entries | None, networks: Entries | None) -> Entries:
    """Return the names to ask for, as C(resolve) of kvmnet_info takes them: each at its own bridge.

    Args:
        records: what the filter C(guest_records) returns.
        networks: C(kvmnet_networks).
    """
    by_name = {network["name"]: network for network in dnsmasq_networks(networks) or []}
    found = []
    firsts: dict[str, Entry] = {}
    for host in dnsmasq_hosts(records, list(by_name.values())) or []:
        network = by_name[host["network"]]
        first = firsts.setdefault(host["name"], host)
        # A further card has its name in a domain of its own, beside the first card's
        named = first is host or (network.get("domain") and first["address"] is not None)
        if host["address"] is not None and named:
            found.append(
                {
                    "server": str(network["address"]).partition("/")[0],
                    "name": ".".join([host["name"], *([network["domain"]] if network.get("domain") else [])]),
                    "address": host["address"],
                }
            )
    return found


def _guests(info: Entry, records: Iterable[Entry], served: set[str]) -> Iterator[str]:
    if info["guests"]["state"] != "running":
        yield f"guests: libvirt is {info['guests']['state']}: {info['guests']['message']}"
        return
    domains = info["guests"]["domains"]
    states = {domain["name"]: domain["state"] for domain in domains}
    # A guest that is renamed while it runs has its old name until its next start
    by_uuid = {domain["options"]["uuid"]: domain["state"] for domain in domains if "options" in domain}
    leases: dict[str, list[str]] = {}
    for lease in info["dnsmasq"]["leases"]:
        leases.setdefault(lease["mac"], []).append(lease["address"])
    for record in records:
        name, wanted = record["name"], record["options"].get("state") or "running"
        if wanted == "absent":
            continue
        state = states.get(name) or by_uuid.get(record["uuid"], "not there")
        if wanted == "running" and state != "running":
            yield f"guest {name}: is {state}, should be running"
        for card in cards([record]) if state == "running" else []:
            if card["network"] in served:
                where = name if card["network"] == record["network"] else f"{name} in {card['network']}"
                yield from _lease(where, leases.get(card["mac"], []), card["address"])


def _lease(guest: str, have: list[str], wanted: str | None) -> Iterator[str]:
    if not have:
        yield f"guest {guest}: has no lease" + (f", should have {wanted}" if wanted else "")
    elif wanted is not None and have != [wanted]:
        yield f"guest {guest}: has {', '.join(have)}, should have exactly {wanted}"


def _names(info: Entry) -> Iterator[str]:
    for answer in info.get("resolved", []):
        name, address, server = answer["name"], answer["address"], answer["server"]
        if answer["addresses"] != [address]:
            found = ", ".join(answer["addresses"]) or answer["error"]
            yield f"name {name}: is {found} at {server}, should be {address}"
        if answer["names"] != [name]:
            found = ", ".join(answer["names"]) or answer["reverse_error"]
            yield f"address {address}: is {found} at {server}, should be {name}"


def _away(info: Entry, uplinks: Entries) -> set[str]:
    """Return the uplinks whose own interface is not there, or leads nowhere now: the others carry the traffic."""
    usable = {link["name"] for link in info.get("links", {}).get("interfaces", []) if link["carrier"]}
    links = [link_of(uplink) for uplink in uplinks]
    if "links" not in info or len(uplinks) < 2:
        return set()
    bridges = {bridge["name"] for bridge in info["links"]["bridges"]}
    return {
        str(uplink["name"])
        for uplink, link in zip(uplinks, links, strict=True)
        if links.count(link) == 1 and link not in usable | bridges
    }


def _out(info: Entry, found: Entry) -> bool:
    """Whether an uplink is out and somebody who watches it knows: then its traffic is taken care of."""
    monitor = info["monitor"]
    # foolsm takes its route away and says nothing more.
    told = found.get("since") is not None or monitor.get("program") == "foolsm"
    return monitor["state"] == "running" and told and found["state"] in ("down", "absent", "forced")


def _uplinks(info: Entry, uplinks: Entries) -> Iterator[str]:
    by_name = {found["name"]: found for found in info["uplinks"]}
    away = _away(info, uplinks)
    for uplink in uplinks:
        if uplink["name"] in away:
            continue
        # With one uplink there are no providers: it is known by its interface.
        found = by_name.get(uplink["name"]) or (by_name.get(uplink["interface"]) if len(uplinks) == 1 else None)
        if found is not None and _out(info, found):
            continue
        if found is None or found["route"] is None:
            yield f"uplink {uplink['name']}: has no default route"
            continue
        gateway = uplink.get("gateway")
        if gateway not in (None, "dhcp") and found["gateway"] != gateway:
            yield f"uplink {uplink['name']}: leads to {found['gateway']}, should lead to {gateway}"
    if uplinks and not any(found["carries_traffic"] for found in info["uplinks"]):
        yield "uplinks: none of them carries traffic"


def proof_warnings(info: Entry) -> list[str]:
    """Return what is not as it should be, and yet no fault of the host: uplinks that are out, a line each.

    Args:
        info: the result of kvmnet_info with uplinks.
    """
    return [
        f"uplink {found['name']}: is {'held by a drill' if found['state'] == 'forced' else found['state']}"
        + (f", {found['reason']}" if found.get("reason") else "")
        for found in info["uplinks"]
        if _out(info, found)
    ]


def proof_problems(
    info: Entry,
    records: Entries | None,
    networks: Entries | None = None,
    uplinks: Entries | None = None,
    watched: Entries | None = None,
) -> list[str]:
    """Return what is not as it has to be, a line each.

    Args:
        info: the result of kvmnet_info with dnsmasq, guests, uplinks, and the answers to C(proof_names).
        records: what the filter C(guest_records) returns; None is not checked, nor are the following.
        networks: C(kvmnet_networks).
        uplinks: C(kvmnet_uplinks).
        watched: C(uplink_monitor_uplinks); with any, somebody has to watch them.
    """
    problems: list[str] = []
    served = {network["name"] for network in dnsmasq_networks(networks) or []}
    if served and info["dnsmasq"]["state"] != "running":
        problems.append(f"dnsmasq: is {info['dnsmasq']['state']}, should be running")
    if records:
        problems += _guests(info, records, served)
        problems += _names(info)
    if uplinks:
        problems += _uplinks(info, uplinks)
    if watched and info["monitor"]["state"] != "running":
        problems.append(f"uplinks: nobody watches them: the monitor is {info['monitor']['state']}")
    return problems


class FilterModule:
    """Filters of the task list prove.yml."""

    def filters(self) -> dict[str, Any]:
        return {"proof_names": proof_names, "proof_problems": proof_problems, "proof_warnings": proof_warnings}
