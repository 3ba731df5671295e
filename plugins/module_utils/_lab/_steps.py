# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""The commands that make and remove a node of the lab, as data: pure. The module and the supervisor run them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

PREFIX = "kvmnet-"
WIRES = PREFIX + "wires"
# Part of every fingerprint: raise it when the same topology is to be built differently
RECIPE = 2

Step = dict[str, Any]


def namespace(name: str) -> str:
    """The network namespace of a node."""
    return PREFIX + name


def fingerprint(spec: Any) -> str:
    """Changes when a node has to be made anew."""
    text = json.dumps([RECIPE, spec], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def port_name(node: str, card: str) -> str:
    """The wire's end of a card's cable."""
    return "p" + hashlib.sha256(f"{node}/{card}".encode()).hexdigest()[:10]


def step(argv: Sequence[str], stdin: Sequence[str] = (), may_fail: bool = False) -> Step:
    """One command."""
    return {"argv": list(argv), "stdin": "".join(line + "\n" for line in stdin), "may_fail": may_fail}


def make_wires(wires: Sequence[Mapping[str, Any]], with_namespace: bool) -> list[Step]:
    """The bridges that stand for cables, in a namespace of their own."""
    steps = []
    if with_namespace:
        steps.append(step(["ip", "netns", "add", WIRES]))
        # Frames on a cable are nobody's to filter
        switches = ["iptables", "ip6tables", "arptables"]
        script = "for f; do p=/proc/sys/net/bridge/bridge-nf-call-$f; [ ! -e $p ] || echo 0 > $p; done"
        steps.append(step(["ip", "netns", "exec", WIRES, "sh", "-c", script, "sh", *switches]))
    lines = []
    for wire in wires:
        lines.append(f"link add {wire['name']} type bridge stp_state 0 forward_delay 0 mcast_snooping 0")
        lines.append(f'link set {wire["name"]} alias "{wire["label"]}" up')
    if lines:
        steps.append(step(["ip", "-n", WIRES, "-batch", "-"], lines))
    return steps


def remove_wires(names: Sequence[str]) -> list[Step]:
    """Only the bridges: their cables went with the nodes."""
    return [step(["ip", "-n", WIRES, "link", "del", name], may_fail=True) for name in names]


def make_node(node: Mapping[str, Any]) -> list[Step]:
    """A namespace with its cards plugged in. Nothing ever stands in the machine's own namespace, not for an instant."""
    name = namespace(str(node["name"]))
    cables = [f"netns add {name}"]
    plugs = []
    for nic in node["nics"]:
        port = port_name(node["name"], nic["name"])
        cables.append(
            f"link add {port} netns {WIRES} type veth peer name {nic['name']} address {nic['mac']} netns {name}"
        )
        # A name for whoever wants to pull the plug: ip -n kvmnet-wires link set HOST-CARD down
        plugs.append(f"link property add dev {port} altname {node['name']}-{nic['name']}")
        plugs.append(f"link set {port} master {nic['wire']} {'up' if nic.get('plugged', True) else 'down'}")
    steps = [step(["ip", "-batch", "-"], cables)]
    if plugs:
        steps.append(step(["ip", "-n", WIRES, "-batch", "-"], plugs))
    return steps


def make_station(node: Mapping[str, Any]) -> list[Step]:
    """A node that is configured from outside, because nothing boots in it."""
    name = namespace(str(node["name"]))
    filters = ["all", "default", *(nic["name"] for nic in node["nics"])]
    settings = {f"net.ipv4.conf.{card}.rp_filter": "0" for card in filters} | dict(node["sysctls"])
    lines = ["link set lo up"]
    for nic in node["nics"]:
        lines += [_address(address, nic["name"]) for address in nic["addresses"]]
        lines.append(f"link set {nic['name']} up")
    lines += [_route(route) for route in node["routes"]]
    steps = make_node(node)
    steps.append(step(["ip", "netns", "exec", name, "sysctl", "-qw", *(f"{k}={v}" for k, v in settings.items())]))
    steps.append(step(["ip", "-n", name, "-batch", "-"], lines))
    if node["nft"]:
        steps.append(step(["ip", "netns", "exec", name, "nft", "-f", "-"], node["nft"].splitlines()))
    return steps


def _address(address: str, card: str) -> str:
    """An IPv6 address is used at once, not only after the second that the kernel listens whether anybody has it."""
    return f"addr add {address} dev {card}{' nodad' if ':' in address else ''}"


def _route(route: str) -> str:
    """Everything in main, so that a more specific route wins even over "all addresses are mine"."""
    return f"route add {route} table main"


def remove_node(node: Mapping[str, Any]) -> list[Step]:
    """Cables first: the kernel takes its time with a namespace, and the same names are wanted again at once."""
    steps = [
        step(["ip", "-n", WIRES, "link", "del", port_name(node["name"], card)], may_fail=True) for card in node["cards"]
    ]
    return [*steps, step(["ip", "netns", "del", namespace(str(node["name"]))], may_fail=True)]
