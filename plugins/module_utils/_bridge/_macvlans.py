# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Macvlans: an uplink's own interface on a card or bridge that others use too. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge import _networkd as networkd
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._model import Uplink, own_key
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._state import ORDER_LINK, ORDER_REMAKE
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Change

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._kernel import Link
    from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._model import Wanted
    from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._state import Host, Outcome

ARP_PATH = "/etc/sysctl.d/50-kvmnet-macvlans.conf"
_MARK = "# ursa.kvmnet: written by Ansible, changes made here are lost"
_ORDER_SYSCTL = 34
# networkd makes a macvlan when it configures what it stands on anew, and at no other time.
_MAKE = (
    'for _ in $(seq "$4"); do [ -e "/sys/class/net/$1" ] && exit 0; sleep 0.05; done; '
    '[ -e "/sys/class/net/$1" ] || ip link add link "$2" name "$1" address "$3" type macvlan mode bridge'
)
_UNMAKE = '[ ! -e "/sys/class/net/$1" ] || ip link delete dev "$1"'
_PATIENCE = 100


def _refusals(uplink: Uplink, parent: str, wanted: Wanted, host: Host, out: Outcome) -> None:
    """Refuse what the kernel would refuse, and what it would do but no packet would cross."""
    where = uplink.where
    key = own_key(where, "parent")
    below, link = host.links.get(parent), host.links.get(uplink.interface)
    if below is None and not uplink.optional and parent not in {bridge.name for bridge in wanted.bridges or ()}:
        there = ", ".join(sorted(name for name in host.links if name != "lo"))
        out.problems.append(where.problem(key, parent, f"an interface of this host: {there}"))
    if parent in host.wireless:
        allowed = "a wired interface: a Wi-Fi station has one MAC only, so it cannot carry a macvlan"
        out.problems.append(where.problem(key, parent, allowed))
    if below is not None and below.master in host.links and host.links[str(below.master)].kind == "bridge":
        allowed = f"{below.master}, the bridge that {parent} is a port of: the kernel gives a port no macvlan"
        out.problems.append(where.problem(key, parent, allowed))
    if link is not None and link.kind != "macvlan":
        allowed = f"a name that no other interface has: on this host {uplink.interface} is a {link.shown_kind}"
        out.problems.append(where.problem(own_key(where, "interface"), uplink.interface, allowed))


def _own_gateways(uplinks: list[Uplink], host: Host, out: Outcome) -> None:
    """Refuse a gateway that is the host itself: a macvlan and what it stands on do not see each other."""
    own = {address.partition("/")[0]: name for name, link in host.links.items() for address in link.addresses}
    for uplink in uplinks:
        if uplink.present and uplink.gateway in own and not uplink.bare:
            allowed = f"another machine's address; {own[uplink.gateway]} of this host has this one"
            out.problems.append(uplink.where.problem("gateway", uplink.gateway, allowed))


def with_macvlans(wanted: Wanted, host: Host, out: Outcome) -> Wanted:
    """Return what is wanted, each macvlan known to what it stands on; refuse those that cannot be."""
    uplinks = wanted.uplinks or []
    stacked: dict[str, list[Uplink]] = {}
    for uplink in uplinks:
        if uplink.present and uplink.parent is not None:
            _refusals(uplink, uplink.parent, wanted, host, out)
            stacked.setdefault(uplink.parent, []).append(uplink)
    _own_gateways(uplinks, host, out)
    if not stacked:
        return wanted
    names = {parent: tuple(uplink.interface for uplink in made) for parent, made in stacked.items()}
    bridges = [replace(bridge, macvlans=names.get(bridge.name, ())) for bridge in wanted.bridges or ()]
    carriers = {bridge.name for bridge in bridges if bridge.present}
    changed = []
    for uplink in uplinks:
        found = stacked.get(uplink.interface, []) if uplink.present else []
        if found and not uplink.manage and uplink.interface not in carriers:
            allowed = f"true: {uplink.interface} carries {found[0].interface}, made together with its own address"
            out.problems.append(uplink.where.problem("manage", False, allowed))
        changed.append(replace(uplink, macvlans=names.get(uplink.interface, ())))
    for parent in sorted(set(names) - carriers - {uplink.interface for uplink in uplinks if uplink.present}):
        first = stacked[parent][0]
        bare = Uplink(parent, first.where, manage=True, table=first.table, bare=True, optional=first.optional)
        changed.append(replace(bare, macvlans=names[parent]))
    return replace(wanted, uplinks=changed, bridges=None if wanted.bridges is None else bridges)


def make_macvlan(uplink: Uplink, link: Link | None, host: Host, out: Outcome) -> None:
    """Have a macvlan made, by networkd or where that has no reason to, and with the MAC that is wanted."""
    name, parent = uplink.interface, str(uplink.parent)
    if link is not None and link.parent != parent:
        out.step("command", f"remove {name}", ORDER_REMAKE, argv=["ip", "link", "delete", "dev", name])
        out.networkd()
    if link is None or link.parent != parent:
        argv = ["sh", "-c", _MAKE, "make", name, parent, uplink.mac, str(_PATIENCE)]
        undo = ["sh", "-c", _UNMAKE, "unmake", name] if link is None else []
        out.step("command", f"make {name}", ORDER_LINK, argv=argv, undo=undo)
    elif link.mac != uplink.mac:
        out.ip(f"link set dev {name} address {uplink.mac}")
    if link is not None and link.parent == parent and link.info.get("mode") != "bridge":
        out.ip(f"link set dev {name} type macvlan mode bridge")


def plan_no_macvlan(name: str, host: Host, out: Outcome) -> None:
    """Plan the end of a macvlan: networkd forgets it, but deletes no link."""
    removed = out.remove(host, networkd.netdev_path(name), networkd.network_path(name))
    if removed:
        out.networkd()
    link = host.links.get(name)
    if link is not None and link.kind == "macvlan":
        out.ip(f"link delete dev {name}")
    if removed:
        out.plan.add(Change("delete", "macvlan", name))


@dataclass(frozen=True)
class Arp:
    """How the kernel answers for addresses now: sysctl -> value, and our file, if it is there."""

    values: Mapping[str, int]
    text: str | None


def arp_values(parents: list[str], macvlans: list[str]) -> dict[str, int]:
    """Return the sysctls by which interfaces on one wire each speak for their own addresses only.

    The kernel takes the larger of the values for all and for the interface. A macvlan is made after the boot has set
    them, so what must hold for it at once stands for all.
    """
    values = {"net/ipv4/conf/all/arp_announce": 2, "net/ipv4/conf/all/rp_filter": 0}
    for name in [*parents, *macvlans]:
        # Shorewall sets arp_ignore as well, but only when it starts.
        values[f"net/ipv4/conf/{name}/arp_ignore"] = 1
        values[f"net/ipv4/conf/{name}/rp_filter"] = 2
    return values


def plan_arp(uplinks: list[Uplink] | None, have: Arp, out: Outcome) -> None:
    """Plan the sysctls that macvlans need beside what they stand on; without macvlans there are none of ours."""
    if uplinks is None:
        return
    macvlans = [uplink for uplink in uplinks if uplink.present and uplink.parent is not None]
    if not macvlans:
        if have.text is not None:
            out.files[ARP_PATH] = None
            out.plan.add(Change("delete", "sysctl", "macvlans"))
        return
    parents = sorted({str(uplink.parent) for uplink in macvlans})
    wanted = arp_values(parents, [uplink.interface for uplink in macvlans])
    text = "\n".join([_MARK, *(f"-{key} = {value}" for key, value in wanted.items())]) + "\n"
    out.files[ARP_PATH] = text
    options: dict[str, tuple[object, object]] = {
        key.removeprefix("net/ipv4/conf/"): (have.values[key], value)
        for key, value in wanted.items()
        # What is smaller for the interface than for all does not count.
        if key in have.values
        and have.values[key] != value
        and not (key.endswith("/rp_filter") and have.values[key] == 0)
    }
    if have.text == text and not options:
        return
    out.step("sysctl", ARP_PATH, _ORDER_SYSCTL)
    options = options or {"persistent": (False, True)}
    out.plan.add(Change("create" if have.text is None else "change", "sysctl", "macvlans", options))
