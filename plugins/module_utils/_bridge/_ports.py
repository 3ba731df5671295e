# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""From the ports that are wanted and the host as it is to what must happen. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge import _networkd as networkd
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._bridges import file_changes, mtu_lines
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._model import MAX_PORTS
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._state import ORDER_REMAKE, Host, Outcome
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Change, compare

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._kernel import Link
    from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._model import Port

# Flags of a port, by one name here, in C(ip -j) and in C(ip link set type bridge_slave).
_FLAGS = ("isolated", "hairpin", "learning", "guard", "root_block", "locked")
_NUMBERS = ("cost", "priority")
# What a tap has from its making.
_MADE = ("user", "group", "multi_queue")


def _want(port: Port) -> dict[str, object]:
    keys = ["bridge", "isolated", "hairpin", "learning", "guard", "root_block", "locked", "cost", "priority", "mtu"]
    if port.type == "tap":
        keys += _MADE
    want = {key: getattr(port, key) for key in keys}
    return {key: value for key, value in want.items() if value is not None}


def _notable(want: dict[str, object]) -> dict[str, object]:
    """Return what is worth saying of a new port: what is not as it always is."""
    usual = {"user": "root", "learning": True, "multi_queue": False}
    return {key: value for key, value in want.items() if value != usual.get(key, False)}


def _have(link: Link) -> dict[str, object]:
    have: dict[str, object] = {"bridge": link.master, "mtu": link.mtu, "up": link.up}
    for key in (*_FLAGS, *_NUMBERS):
        have[key] = link.port.get(key)
    for key in ("user", "group"):
        have[key] = link.info.get(key)
    have["multi_queue"] = bool(link.info.get("multi_queue"))
    return have


def _lines(port: Port, host: Host) -> list[str]:
    """Return what makes a port usable when the commit returns; networkd gets there as well, but later."""
    flags = [f"{key} {'on' if getattr(port, key) else 'off'}" for key in _FLAGS if getattr(port, key) is not None]
    flags += [f"{key} {getattr(port, key)}" for key in _NUMBERS if getattr(port, key) is not None]
    return [
        *mtu_lines(host, port.name, port.mtu, networkd.network_path(port.name)),
        f"link set dev {port.name} master {port.bridge} up",
        f"link set dev {port.name} type bridge_slave {' '.join(flags)}",
        *_without_addresses(host.links.get(port.name)),
    ]


def _without_addresses(link: Link | None) -> list[str]:
    """A networkd that starts with this change leaves addresses that it finds, and answers would go by them."""
    return [f"address flush dev {link.name} scope global"] if link is not None and link.addresses else []


def _check_link(port: Port, host: Host, out: Outcome) -> None:
    """Refuse a name that stands for something else on the host."""
    link = host.links.get(port.name)
    if port.type == "tap":
        if link is not None and not link.tap:
            out.problems.append(
                port.where.problem("name", port.name, f"a name that no other link has; here it is a {link.shown_kind}")
            )
        return
    if link is None or link.kind == "bridge" or link.tap or port.name == "lo":
        cards = [
            name for name, card in sorted(host.links.items()) if card.kind != "bridge" and not card.tap and name != "lo"
        ]
        out.problems.append(port.where.problem("name", port.name, f"an interface of this host: {', '.join(cards)}"))
        return
    master = host.links.get(link.master or "")
    if master is not None and master.kind != "bridge":
        out.problems.append(
            port.where.problem(
                "name", port.name, f"an interface that is no part of {master.name}, a {master.shown_kind}"
            )
        )


def _check(port: Port, host: Host, known: Callable[[str], bool], staged: Callable[[str], str], out: Outcome) -> None:
    if port.bridge == port.name:
        out.problems.append(port.where.problem("name", port.name, "not the bridge itself"))
        return
    if port.bridge and not known(port.bridge):
        out.problems.append(
            port.where.problem("bridge", port.bridge, "a bridge that is on the host, or that this run makes before")
        )
    _check_link(port, host, out)
    owner = networkd.owner(staged(networkd.network_path(port.name)))
    if owner not in (None, "port"):
        out.problems.append(port.where.problem("name", port.name, f"an interface that is no {owner} of ours"))
    out.claimed(host, port.where, "name", port.name, passive=port.type != "tap")


def _check_room(ports: list[Port], gone: Collection[str], host: Host, out: Outcome) -> None:
    """Refuse the port that the kernel would refuse."""
    used: dict[str, set[str]] = {}
    listed = {port.name for port in ports}
    for name, link in host.links.items():
        if link.master and name not in listed and name not in gone:
            used.setdefault(link.master, set()).add(name)
    for port in ports:
        if not port.present:
            continue
        taken = used.setdefault(port.bridge, set())
        if port.name not in taken and len(taken) >= MAX_PORTS:
            out.problems.append(
                port.where.problem(
                    "bridge",
                    port.bridge,
                    f"a bridge with room: this is port {len(taken) + 1} and the kernel takes {MAX_PORTS} in one bridge",
                )
            )
        taken.add(port.name)


def _made_anew(port: Port, link: Link, change: Change, rewritten: bool, out: Outcome) -> Change | None:
    """Deal with what a tap has from its making: it is made anew, unless somebody holds it open."""
    differing = [key for key in change.options if key in _MADE]
    if not differing:
        return change
    if not link.carrier:
        out.step("command", f"remove {port.name}", ORDER_REMAKE, argv=["ip", "link", "delete", "dev", port.name])
        out.networkd([port.name])
        return Change(change.action, change.kind, change.name, change.options, "the tap is made anew")
    if rewritten:
        return Change(
            change.action, change.kind, change.name, change.options, f"{', '.join(differing)} once nothing uses the tap"
        )
    out.warnings.append(f"{port.where}: {', '.join(differing)} of {port.name} will follow once nothing uses the tap")
    rest = {key: value for key, value in change.options.items() if key not in _MADE}
    return Change(change.action, change.kind, change.name, rest) if rest else None


def _plan_port(port: Port, host: Host, out: Outcome) -> None:
    link = host.links.get(port.name)
    files = {networkd.network_path(port.name): networkd.render_port_network(port)}
    if port.type == "tap":
        files[networkd.netdev_path(port.name)] = networkd.render_tap_netdev(port)
    rewritten = [out.write(host, path, text) for path, text in files.items()]
    if port.type != "tap" and out.remove(host, networkd.netdev_path(port.name)):
        rewritten.append(True)
    want = _want(port)
    have = None if link is None or (port.type != "tap" and link.master is None) else _have(link)
    if link is not None and not link.port and have is not None:
        # The kernel knows flags of ports only.
        have.update({key: want.get(key) for key in (*_FLAGS, *_NUMBERS)})
    kind = "tap" if port.type == "tap" else "port"
    change = compare(kind, port.name, have, _notable(want) if have is None else {**want, "up": True})
    if change is not None and change.action == "change" and link is not None:
        change = _made_anew(port, link, change, any(rewritten), out)
    if change is not None:
        out.ip(*_lines(port, host))
    elif any(rewritten):
        change = Change("change", kind, port.name, file_changes(host, files))
        out.ip(*mtu_lines(host, port.name, port.mtu, networkd.network_path(port.name)))
    out.plan.add(change)
    if any(rewritten) or link is None:
        out.networkd([port.name])


def _plan_no_port(name: str, host: Host, out: Outcome) -> None:
    """Plan the end of a port: networkd deletes no link, nor does it take one out of its bridge."""
    link = host.links.get(name)
    netdev = networkd.netdev_path(name)
    ours = networkd.owner(host.files.get(netdev, "")) == "port"
    removed = out.remove(host, networkd.network_path(name), netdev)
    if removed:
        out.networkd()
    tap = link is not None and link.tap
    in_bridge = link is not None and link.master in host.links and host.links[link.master].kind == "bridge"
    if tap:
        out.ip(f"link delete dev {name}")
    elif in_bridge:
        out.ip(f"link set dev {name} nomaster")
    if removed or tap or in_bridge:
        out.plan.add(Change("delete", "tap" if tap or ours else "port", name))


def _unlisted(listed: Collection[str], host: Host, types: Collection[str]) -> list[str]:
    """Return our ports that are not listed, of the types that exclusive is about."""
    found = []
    for name in networkd.own_links(host.files, "port"):
        kind = "tap" if networkd.netdev_path(name) in host.files else "interface"
        if name not in listed and kind in types:
            found.append(name)
    return found


def plan_ports(
    ports: list[Port],
    host: Host,
    exclusive: Collection[str],
    known: Callable[[str], bool],
    staged: Callable[[str], str],
    out: Outcome,
) -> Outcome:
    """Plan what the bridge_port module was asked for.

    Args:
        ports: the normalised option.
        host: the host as it is.
        exclusive: the types of port of which those that are ours and not listed are removed.
        known: whether a bridge is there, or will be once this run is committed.
        staged: the text of a file as this run leaves it, empty for none.
        out: holds the problems found so far.
    """
    absent = [port.name for port in ports if not port.present]
    gone = absent + _unlisted({port.name for port in ports}, host, exclusive)
    for port in ports:
        if port.present:
            _check(port, host, known, staged, out)
    _check_room(ports, gone, host, out)
    if out.problems:
        return out
    for name in gone:
        _plan_no_port(name, host, out)
    for port in ports:
        if port.present:
            _plan_port(port, host, out)
    if any(content is not None for content in out.files.values()):
        out.enable_networkd(host)
    return out
