# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""From the bridges that are wanted and the host as it is to what must happen. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge import _networkd as networkd
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._state import ORDER_REMAKE
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Change, compare

if TYPE_CHECKING:
    from collections.abc import Container

    from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._kernel import Link
    from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._model import Bridge, Uplink
    from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._state import Host, Outcome

# Option -> (the kernel's name for it, how many of its units one of ours is).
_TIMERS = {"forward_delay": 100, "hello_time": 100, "max_age": 100, "ageing_time": 100, "priority": 1}


def file_changes(host: Host, files: dict[str, str]) -> dict[str, tuple[object, object]]:
    """Return in which settings our files differ from the live ones, when the kernel itself is as wanted."""
    options: dict[str, tuple[object, object]] = {}
    for path, text in files.items():
        before = host.files.get(path)
        if before is None:
            options["persistent"] = (False, True)
        elif before != text:
            options.update(networkd.differences(before, text))
    return options


def address_lines(name: str, addresses: tuple[str, ...], link: Link | None) -> list[str]:
    """Return what adds the addresses that are missing; replace never fails on one that networkd has just added."""
    missing = [address for address in addresses if link is None or address not in link.addresses]
    return [
        f"address replace {address} {'nodad' if ':' in address else 'broadcast +'} dev {name}" for address in missing
    ]


def keep_addresses(name: str, addresses: tuple[str, ...], link: Link | None, out: Outcome) -> None:
    """Make of IPv6 addresses that are there such ones as our files make, or they would be others after the next boot.

    This comes before networkd, which takes one that it finds as it is.
    """
    for address in addresses:
        if ":" in address and link is not None and address in link.addresses and address not in link.nodad:
            argv = ["ip", "address", "replace", address, "dev", name]
            out.step("command", f"keep {address} on {name}", ORDER_REMAKE, argv=[*argv, "nodad"], undo=argv)


def old_addresses(host: Host, path: str) -> list[str]:
    """Return the addresses of our live .network."""
    settings = networkd.parse(host.files.get(path, ""))
    return [setting.value for setting in settings if setting.key == "Address"]


def have_addresses(host: Host, path: str, link: Link, wanted: tuple[str, ...]) -> list[str]:
    """Return the addresses that count: wanted ones and ours of before; one that somebody else added is left alone."""
    ours = [*wanted, *(address for address in old_addresses(host, path) if address not in wanted)]
    return [address for address in ours if address in link.addresses]


def mtu_lines(host: Host, name: str, mtu: int | None, path: str) -> list[str]:
    """Return what sets the MTU, or sets it back when it is no longer given."""
    link = host.links.get(name)
    if mtu is None:
        given = any(setting.key == "MTUBytes" for setting in networkd.parse(host.files.get(path, "")))
        mtu = 1500 if given else None
    return [f"link set dev {name} mtu {mtu}"] if mtu is not None and (link is None or link.mtu != mtu) else []


def _want(bridge: Bridge) -> dict[str, object]:
    want: dict[str, object] = {
        "addresses": list(_all_addresses(bridge)),
        "mac": bridge.mac,
        "mtu": bridge.mtu,
        "stp": bridge.stp,
        "forward_delay": bridge.forward_delay,
        "hello_time": bridge.hello_time,
        "max_age": bridge.max_age,
        "ageing_time": bridge.ageing_time,
        "priority": bridge.priority,
        "multicast_snooping": bridge.multicast_snooping,
    }
    return {key: value for key, value in want.items() if value is not None}


def _notable(want: dict[str, object]) -> dict[str, object]:
    """Return what is worth saying of a new bridge."""
    return {key: value for key, value in want.items() if (key, value) not in (("stp", False), ("forward_delay", 0))}


def _all_addresses(bridge: Bridge) -> tuple[str, ...]:
    extra = bridge.uplink.addresses if bridge.uplink else ()
    return tuple(dict.fromkeys(bridge.addresses + extra))


def _have(host: Host, bridge: Bridge, link: Link) -> dict[str, object]:
    have: dict[str, object] = {
        "addresses": have_addresses(host, networkd.network_path(bridge.name), link, _all_addresses(bridge)),
        "mac": link.mac,
        "mtu": link.mtu,
        "stp": bool(link.info.get("stp_state")),
        "multicast_snooping": bool(link.info.get("mcast_snooping")),
        "up": link.up,
    }
    for key, unit in _TIMERS.items():
        value = link.info.get(key)
        have[key] = value // unit if isinstance(value, int) else None
    return have


def _lines(host: Host, bridge: Bridge, changed: Change) -> list[str]:
    """Return what networkd does not do to a bridge that exists: it reads a .netdev only to make one."""
    name = bridge.name
    lines = []
    options = changed.options if changed.action == "change" else {}
    if "mac" in options:
        lines.append(f"link set dev {name} address {bridge.mac}")
    timers = []
    for key, unit in _TIMERS.items():
        wanted = options.get(key, (None, None))[1]
        if isinstance(wanted, int):
            timers.append(f"{key} {wanted * unit}")
    stp = [f"link set dev {name} type bridge stp_state {int(bridge.stp)}"] if "stp" in options else []
    delays = [f"link set dev {name} type bridge {' '.join(timers)}"] if timers else []
    # The kernel refuses a forward delay of 0 while STP is on, whichever comes last.
    lines += delays + stp if bridge.stp else stp + delays
    if "multicast_snooping" in options:
        lines.append(f"link set dev {name} type bridge mcast_snooping {int(bool(bridge.multicast_snooping))}")
    lines += mtu_lines(host, name, bridge.mtu, networkd.network_path(name))
    lines.append(f"link set dev {name} up")
    return lines + address_lines(name, _all_addresses(bridge), host.links.get(name))


def _has_ports_on_file(host: Host, bridge: str) -> bool:
    return any(
        networkd.owner(text) == "port"
        and any(setting.key == "Bridge" and setting.value == bridge for setting in networkd.parse(text))
        for path, text in host.files.items()
        if path.startswith(f"{networkd.DIRECTORY}/{networkd.PREFIX}")
    )


def with_mac(bridge: Bridge, host: Host) -> Bridge:
    """Return a bridge that takes the MAC address over with the address of a card, for the reason of M(with_uplink)."""
    others = {name: link for name, link in host.links.items() if name != bridge.name and link.mac}
    noted = networkd.parse(host.files.get(networkd.netdev_path(bridge.name), ""))
    macs = [setting.value for setting in noted if (setting.section, setting.key) == ("NetDev", "MACAddress")]
    if bridge.mac_given or macs:
        kept = not bridge.mac_given and any(link.mac in macs and link.kind != "tun" for link in others.values())
        return replace(bridge, mac=macs[0]) if kept else bridge
    holders = (link.mac for _name, link in sorted(others.items()) if {*bridge.addresses} & {*link.addresses})
    return replace(bridge, mac=next(holders, bridge.mac))


def holders(uplink: Uplink, host: Host, others: Container[str]) -> list[Link]:
    """Return the cards that have had an uplink's address so far, and hand it over to a bridge.

    A leased one is not known beforehand: there it is the card with the way out, where there is but one such card.

    Args:
        uplink: the one that is a bridge now.
        host: the host as it is.
        others: the interfaces of all uplinks.
    """
    links = [link for name, link in sorted(host.links.items()) if name not in others]
    if not uplink.dhcp:
        return [link for link in links if {*uplink.addresses} & {*link.addresses}]
    leading = {route.device for route in host.routes}
    found = [link for link in links if link.name in leading]
    return found if len(found) == 1 else []


def with_uplink(bridge: Bridge, uplink: Uplink, host: Host, held: list[Link]) -> Bridge:
    """Return a bridge that is an uplink's interface.

    It takes the MAC address over from the card that has had the uplink's address so far: with another one the
    neighbours, the controller among them, would go on sending to the old one for up to half a minute, and a server
    that goes by it would lease another address.

    Args:
        bridge: the bridge.
        uplink: the uplink.
        host: the host as it is.
        held: what has had the address so far.
    """
    if bridge.mac_given:
        return replace(bridge, uplink=uplink)
    noted = networkd.parse(host.files.get(networkd.netdev_path(bridge.name), ""))
    macs = [setting.value for setting in noted if (setting.section, setting.key) == ("NetDev", "MACAddress")]
    taken = [link.mac for link in held if link.mac]
    return replace(bridge, uplink=uplink, mac=[*macs, *taken, bridge.mac][0])


def plan_bridge(bridge: Bridge, host: Host, out: Outcome) -> bool:
    """Plan one bridge that shall be there and return whether its .network is written."""
    name = bridge.name
    link = host.links.get(name)
    if link is not None and link.kind != "bridge":
        out.problems.append(
            bridge.where.problem("name", name, f"a name that no other link has; here it is a {link.shown_kind}")
        )
        return False
    out.claimed(host, bridge.where, "name", name)
    want = _want(bridge)
    have = None if link is None else _have(host, bridge, link)
    files = {
        networkd.netdev_path(name): networkd.render_bridge_netdev(bridge),
        networkd.network_path(name): networkd.render_bridge_network(bridge),
    }
    rewritten = [out.write(host, path, text) for path, text in files.items()]
    change = compare("bridge", name, have, _notable(want) if have is None else {**want, "up": True})
    if change is not None:
        out.ip(*_lines(host, bridge, change))
    elif any(rewritten):
        change = Change("change", "bridge", name, file_changes(host, files))
        out.ip(*mtu_lines(host, name, bridge.mtu, networkd.network_path(name)))
    out.plan.add(change)
    if any(rewritten):
        keep_addresses(name, _all_addresses(bridge), link, out)
    if any(rewritten) or link is None:
        # A running networkd ties the ports that it knows to the bridge that is gone, and never to one made anew.
        out.networkd([name], restart=link is None and _has_ports_on_file(host, name))
    return rewritten[1]


def plan_no_bridge(name: str, host: Host, out: Outcome) -> None:
    """Plan the end of a bridge: networkd forgets it first, or would make it again, and deletes no link itself."""
    link = host.links.get(name)
    removed = out.remove(host, networkd.netdev_path(name), networkd.network_path(name))
    there = link is not None and link.kind == "bridge"
    if removed:
        out.networkd()
    if there:
        out.ip(f"link delete dev {name}")
    if removed or there:
        out.plan.add(Change("delete", "bridge", name))
