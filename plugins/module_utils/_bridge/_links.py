# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""The bridge module's whole plan: bridges, uplinks and what goes with them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge import _networkd as networkd
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._bridges import (
    holders,
    plan_bridge,
    plan_no_bridge,
    with_mac,
    with_uplink,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._macvlans import plan_no_macvlan, with_macvlans
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._state import Host, Outcome
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._uplinks import (
    compare_uplink,
    plan_no_uplink,
    plan_uplink,
    refuse_default_routes,
    reload_firewall,
    settle,
    with_name_servers,
)

if TYPE_CHECKING:
    from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._model import Uplink, Wanted


def _plan_bridges(wanted: Wanted, host: Host, exclusive: bool, out: Outcome) -> tuple[set[str], set[str]]:
    """Plan the bridges; return the names of those that carry a managed uplink, and of cards that hand theirs over."""
    if wanted.bridges is None:
        return set(), set()
    uplinks = {uplink.interface: uplink for uplink in wanted.uplinks or () if uplink.present and uplink.manage}
    others = {uplink.interface for uplink in wanted.uplinks or ()}
    carriers: set[str] = set()
    former: set[str] = set()
    for bridge in wanted.bridges:
        if not bridge.present:
            plan_no_bridge(bridge.name, host, out)
        elif bridge.name in uplinks:
            carriers.add(bridge.name)
            uplink = with_name_servers(uplinks[bridge.name], host, out)
            held = holders(uplink, host, others)
            former.update(link.name for link in held)
            if plan_bridge(with_uplink(bridge, uplink, host, held), host, out):
                settle(out, bridge.name)
                reload_firewall(host, out)
        else:
            plan_bridge(with_mac(bridge, host), host, out)
    if exclusive:
        listed = {bridge.name for bridge in wanted.bridges}
        for name in networkd.own_links(host.files, "bridge"):
            if name not in listed:
                plan_no_bridge(name, host, out)
    return carriers, former


def _plan_uplinks(uplinks: list[Uplink], carriers: set[str], host: Host, exclusive: bool, out: Outcome) -> None:
    for uplink in sorted(uplinks, key=lambda uplink: uplink.parent is not None):
        if not uplink.present:
            _plan_absent(uplink.interface, host, out)
        elif uplink.manage and uplink.interface not in carriers:
            plan_uplink(uplink, host, out)
        elif not uplink.manage:
            compare_uplink(uplink, host, out)
    if exclusive:
        kept = {
            uplink.interface
            for uplink in uplinks
            if not uplink.present or (uplink.manage and uplink.interface not in carriers)
        }
        for name in networkd.own_links(host.files, "uplink"):
            if name in carriers:
                # The bridge has written the same path.
                continue
            if name not in kept:
                plan_no_uplink(name, host, out)
        listed = {uplink.interface for uplink in uplinks}
        for name in networkd.own_links(host.files, "macvlan"):
            if name not in listed:
                plan_no_macvlan(name, host, out)
                reload_firewall(host, out)


def _plan_absent(name: str, host: Host, out: Outcome) -> None:
    if name in networkd.own_links(host.files, "macvlan"):
        plan_no_macvlan(name, host, out)
        reload_firewall(host, out)
    else:
        plan_no_uplink(name, host, out)


def plan_links(wanted: Wanted, host: Host, exclusive: bool) -> Outcome:
    """Plan what the bridge module was asked for.

    Args:
        wanted: the normalised options; its problems are taken over.
        host: the host as it is.
        exclusive: also remove what is ours and not listed, from each list that is managed.
    """
    # What is wrong by itself is reported together with what is wrong on this host.
    out = Outcome(problems=list(wanted.problems))
    wanted = with_macvlans(wanted, host, out)
    carriers, former = _plan_bridges(wanted, host, exclusive, out)
    if wanted.uplinks is not None:
        _plan_uplinks(wanted.uplinks, carriers, host, exclusive, out)
        refuse_default_routes(wanted.uplinks, former, host, out)
    if any(content is not None for content in out.files.values()):
        out.enable_networkd(host)
    return out
