# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Uplinks: those that are managed are planned, the others compared. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge import _networkd as networkd
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._bridges import (
    address_lines,
    file_changes,
    have_addresses,
    keep_addresses,
    mtu_lines,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._foreign import matches, visible
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._ifupdown import name_servers
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._macvlans import make_macvlan
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._model import TABLE_MAIN, own_key
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._state import ORDER_SETTLE
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Change, Problem, compare

if TYPE_CHECKING:
    from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._foreign import Claim
    from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._kernel import Link
    from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._model import Uplink
    from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._state import Host, Outcome

# networkctl returns before networkd has begun. Its own note on the link becomes newer than the file once it has, and
# says when it is done.
# A link that never gets there (no lease, no carrier) must not undo everything, so the wait just ends. When a change is
# put back that made the file, there is nothing to wait for.
_SETTLE = (
    '[ -e "$2" ] || exit 0; '
    "for _ in $(seq 200); do "
    'state="/run/systemd/netif/links/$(cat "/sys/class/net/$1/ifindex")"; '
    '[ "$state" -nt "$2" ] && grep -qx ADMIN_STATE=configured "$state" && exit 0; '
    "sleep 0.05; done; exit 0"
)


def settle(out: Outcome, interface: str) -> None:
    """Wait until networkd has done with a link whose .network changed, before Shorewall looks at it."""
    argv = ["sh", "-c", _SETTLE, "settle", interface, networkd.network_path(interface)]
    out.step("command", f"wait for {interface}", ORDER_SETTLE, argv=argv)


def reload_firewall(host: Host, out: Outcome) -> None:
    """Have Shorewall fill its providers' tables again: the kernel empties them when the uplink's address goes."""
    for family in host.firewalls:
        out.step(*family.step, routing=True)


def _gateways(host: Host, uplink: Uplink, main_only: bool) -> list[str | None]:
    return [
        route.gateway
        for route in host.routes
        if route.device == uplink.interface and (not main_only or route.table == TABLE_MAIN)
    ]


def _want(uplink: Uplink) -> dict[str, object]:
    want: dict[str, object] = {
        "addresses": [*uplink.addresses, *(["dhcp"] if uplink.dhcp else [])],
        "gateway": "dhcp" if uplink.dhcp_gateway else uplink.gateway,
        "table": uplink.table,
    }
    if uplink.bare:
        want = {"addresses": [], "table": uplink.table}
    if uplink.parent is not None:
        want |= {"mac": uplink.mac, "parent": uplink.parent}
    if uplink.macvlans:
        want["macvlans"] = list(uplink.macvlans)
    if uplink.mtu is not None:
        want["mtu"] = uplink.mtu
    return want


def _have(host: Host, uplink: Uplink, link: Link, same_file: bool) -> dict[str, object]:
    """Return the uplink as it is; the default route outside main is Shorewall's to change, so there the file counts."""
    want = _want(uplink)
    path = networkd.network_path(uplink.interface)
    addresses = have_addresses(host, path, link, uplink.addresses)
    if uplink.dhcp and (same_file or link.dynamic):
        addresses.append("dhcp")
    have: dict[str, object] = {"addresses": addresses, "mtu": link.mtu, "up": link.up}
    have |= {"mac": link.mac, "parent": link.parent, "macvlans": _made_on(host, uplink)}
    in_main = _gateways(host, uplink, main_only=True)
    if uplink.bare:
        return {**have, "table": TABLE_MAIN if in_main else uplink.table}
    if same_file and (uplink.shared_out or uplink.dhcp):
        table = TABLE_MAIN if uplink.shared_out and in_main else uplink.table
        return {**have, "gateway": want["gateway"], "table": table}
    if uplink.dhcp_gateway:
        return {
            **have,
            "gateway": "dhcp" if in_main and link.dynamic else None,
            "table": TABLE_MAIN if in_main else None,
        }
    gateway = uplink.gateway if uplink.gateway in in_main else (in_main[0] if in_main else None)
    return {**have, "gateway": gateway, "table": TABLE_MAIN if in_main else None}


def _made_on(host: Host, uplink: Uplink) -> list[str]:
    """Return the macvlans that our live file has made on an uplink, in its order."""
    settings = networkd.parse(host.files.get(networkd.network_path(uplink.interface), ""))
    return [setting.value for setting in settings if (setting.section, setting.key) == ("Network", "MACVLAN")]


def with_name_servers(uplink: Uplink, host: Host, out: Outcome) -> Uplink:
    """Keep the name servers of the file that ours takes the place of: without them the host resolves nothing."""
    if uplink.dns or uplink.dhcp or uplink.bare:
        return uplink
    name = uplink.interface
    below = networkd.parse(out.files.get(networkd.network_path(uplink.parent or "")) or "")
    if uplink.parent and not any(setting.key in ("Address", "DHCP") for setting in below):
        # What it stands on has no address any more, so nobody is asked from there.
        name = uplink.parent
    elif name not in host.links:
        # A bridge takes the address over from the card that becomes its port.
        name = next((card for card, link in host.links.items() if {*uplink.addresses} & {*link.addresses}), name)
    files = [text for _path, text in visible(host.files) if matches(text, name, host.links.get(name))]
    ours = (host.files.get(networkd.network_path(each)) for each in (uplink.interface, name))
    text = next(filter(None, ours), "") or next(iter(files), "")
    found = [setting.value for setting in networkd.parse(text) if (setting.section, setting.key) == ("Network", "DNS")]
    found += [] if text else name_servers(host.ifupdown, name)
    return replace(uplink, dns=tuple(server for value in found for server in value.split()))


def plan_uplink(uplink: Uplink, host: Host, out: Outcome) -> None:
    """Plan one uplink that is ours."""
    name = uplink.interface
    link = host.links.get(name)
    key = "interface" if uplink.parent is None else own_key(uplink.where, "interface")
    if link is None and uplink.parent is None and not uplink.optional:
        out.problems.append(uplink.where.problem(key, name, f"an interface of this host: {', '.join(_cards(host))}"))
        return
    path = networkd.network_path(name)
    owner = networkd.owner(host.files.get(path, ""))
    if owner not in (None, "uplink" if uplink.parent is None else "macvlan"):
        allowed = f"an interface that is no {owner} of ours, or a bridge that is given as well"
        out.problems.append(uplink.where.problem(key, name, allowed))
        return
    out.claimed(host, uplink.where, key, name, passive=True)
    files = {path: networkd.render_uplink(with_name_servers(uplink, host, out))}
    if uplink.parent is not None:
        files[networkd.netdev_path(name)] = networkd.render_macvlan_netdev(uplink)
    rewritten = sum(out.write(host, where, text) for where, text in files.items()) > 0
    change = _change(uplink, host, link, files, rewritten, out)
    out.plan.add(change)
    if change is None:
        return
    if rewritten:
        keep_addresses(name, uplink.addresses, link, out)
        out.networkd([name] if link is not None and uplink.parent is None else ())
    if link is None and not _will_be(uplink.parent or name, host, out):
        # networkd does the rest once it is plugged in.
        return
    if uplink.parent is not None:
        make_macvlan(uplink, link, host, out)
    if (rewritten or link is None) and not (uplink.dhcp and link is not None and not link.carrier):
        settle(out, name)
    out.ip(
        f"link set dev {name} up",
        *mtu_lines(host, name, uplink.mtu, path),
        *address_lines(name, uplink.addresses, link),
    )
    if name in out.taken and link is not None and not uplink.dhcp:
        # A networkd that starts with this change leaves what it finds.
        others = (address.partition("/")[0] for address in link.addresses if address not in uplink.addresses)
        out.ip(*(f"address flush dev {name} to {address}" for address in others))
    if uplink.shared_out:
        # Flushing nothing is no failure, deleting nothing would be.
        out.ip(f"route flush table main exact default dev {name}")
    elif uplink.gateway:
        out.ip(f"route replace default via {uplink.gateway} dev {name} proto static")
    reload_firewall(host, out)


def _will_be(name: str, host: Host, out: Outcome) -> bool:
    """Whether an interface is there, or is made by this plan."""
    return name in host.links or out.files.get(networkd.netdev_path(name)) is not None


def _change(
    uplink: Uplink, host: Host, link: Link | None, files: dict[str, str], rewritten: bool, out: Outcome
) -> Change | None:
    """Return how the host differs; an interface that is not there is no difference, but is said."""
    name = uplink.interface
    kind = "uplink" if uplink.parent is None else "macvlan"
    if link is not None:
        change = compare(kind, name, _have(host, uplink, link, not rewritten), {**_want(uplink), "up": True})
        if change is None and rewritten:
            change = Change("change", kind, name, file_changes(host, files))
        return change
    below = uplink.parent or name
    if _will_be(below, host, out):
        return compare(kind, name, None, _want(uplink))
    if not uplink.bare:
        out.warnings.append(f"{uplink.where}: this host has no interface {below} now; {name} is configured when it has")
    if not rewritten:
        return None
    new = all(path not in host.files for path in files)
    note = f"as soon as there is an interface {below}"
    options: dict[str, tuple[object, object]] = {} if new else file_changes(host, files)
    if new:
        options = {key: (None, value) for key, value in _want(uplink).items()}
    return Change("create" if new else "change", kind, name, options, note)


def plan_no_uplink(name: str, host: Host, out: Outcome) -> None:
    """Plan the end of our own configuration of an uplink: another file of networkd takes over, or the address goes."""
    if out.remove(host, networkd.network_path(name)):
        out.networkd()
        reload_firewall(host, out)
        out.plan.add(Change("delete", "uplink", name))


def _cards(host: Host) -> list[str]:
    return sorted(name for name, link in host.links.items() if name != "lo" and not link.tap and link.kind != "bridge")


def compare_uplink(uplink: Uplink, host: Host, out: Outcome) -> None:
    """Compare an uplink that is not ours with the host."""
    name = uplink.interface
    link = host.links.get(name)
    if link is None:
        out.warnings.append(f"{uplink.where}: this host has no interface {name} now; it has {', '.join(_cards(host))}")
        return
    missing = [address for address in uplink.addresses if address not in link.addresses]
    if missing and link.addresses:
        out.problems.append(
            uplink.where.problem(
                "address",
                ", ".join(missing),
                f"what {name} has ({', '.join(link.addresses)}), or 'manage: true' to have it configured",
            )
        )
    elif missing or (uplink.dhcp and not link.addresses):
        out.warnings.append(
            f"{uplink.where}: {name} has no address now; {', '.join(missing) or 'one by DHCP'} is expected"
        )
    gateways = _gateways(host, uplink, main_only=False)
    if uplink.gateway and gateways and uplink.gateway not in gateways:
        found = ", ".join(str(gateway) for gateway in dict.fromkeys(gateways))
        out.warnings.append(f"{uplink.where}: the default route of {name} goes by {found}, not by {uplink.gateway}")


def _leading_out(host: Host, ours: set[str], out: Outcome) -> list[tuple[str, Claim]]:
    """Return who puts a default route into main, apart from interfaces that we configure."""
    found = [(claim.interface, claim) for claim in host.claims if claim.default_route and claim.interface not in ours]
    for name in sorted(host.links):
        claim = None if name in ours else out.networkd_claim(host, name)
        if claim is not None and claim.default_route:
            found.append((name, claim))
    return found


def refuse_default_routes(uplinks: list[Uplink], former: set[str], host: Host, out: Outcome) -> None:
    """Refuse a default route in main beside providers: it is looked up before theirs and turns Multi-ISP off.

    Args:
        uplinks: all of them.
        former: cards that are uplinks no longer, because a bridge takes their address and their route over.
        host: the host as it is.
        out: where a problem goes.
    """
    if not any(uplink.present and uplink.shared_out for uplink in uplinks):
        return
    by_name = {uplink.interface: uplink for uplink in uplinks if uplink.present}
    ours = {name for name, uplink in by_name.items() if uplink.manage} | former
    named = set()
    for name, claim in _leading_out(host, ours, out):
        named.add(name)
        allowed = (
            f"no default route in main beside other uplinks ({claim}; remove it, or give its uplink 'manage: true')"
        )
        if name in by_name:
            out.problems.append(by_name[name].where.problem("manage", False, allowed))
        else:
            out.problems.append(Problem("interface", None, None, name, allowed))
    for route in host.routes:
        if route.table == TABLE_MAIN and route.device not in ours | named:
            said = f"default{f' via {route.gateway}' if route.gateway else ''} dev {route.device}"
            allowed = (
                "no default route in main beside other uplinks (no file says where it comes from: remove it by hand)"
            )
            out.problems.append(Problem("route", None, None, said, allowed))
