# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mistakes and accidents that a change of the network must survive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from steps import APPLYING, MARK, UNARMED, UNDOING

UPLINK_4 = {"name": "isp", "interface": "eth0", "address": "192.0.2.20/24", "gateway": "192.0.2.1", "primary": True}
UPLINK = {**UPLINK_4, "address6": "2001:db8:0:1::20/64", "gateway6": "fe80::1"}
LOCAL_4 = {
    "name": "loc",
    "bridge": "br0",
    "ports": ["eth1"],
    "address": "192.168.20.254/24",
    "dhcp_range": ["192.168.20.100", "192.168.20.199"],
    "domain": "loc.example",
}
LOCAL = {**LOCAL_4, "address6": "2001:db8:20:1::1/64"}
MORE = {
    "name": "more",
    "bridge": "br9",
    "address": "192.168.29.254/24",
    "address6": "2001:db8:20:9::1/64",
    "dhcp_range": ["192.168.29.100", "192.168.29.199"],
    "domain": "more.example",
}
MANAGED = {**UPLINK, "manage": True}
FRIENDS = {"name": "friends", "addresses": ["203.0.113.12", "2001:db8:ffff::12"]}
FROM_FRIENDS = {"from": "net:+friends", "to": "fw", "action": "ACCEPT", "proto": "tcp", "port": 8081}
# What is changed rightly while something else goes wrong: a bridge, its zone, DHCP, rules, lists; both versions of IP.
GOOD: dict[str, Any] = {
    "fault_roles": ["host_bridge", "dnsmasq", "shorewall"],
    "kvmnet_networks": [LOCAL, MORE],
    "kvmnet_rules": [
        FROM_FRIENDS,
        {"from": "net:+others", "to": "fw", "action": "ACCEPT", "proto": "tcp", "port": 8443},
    ],
    "kvmnet_address_lists": [
        {**FRIENDS, "addresses": ["203.0.113.0/28", "2001:db8:ffff::/56"]},
        {"name": "others", "addresses": ["203.0.113.77", "2001:db8:ffff::77"]},
    ],
}
_NOBODY = "02:00:00:00:00:"
_ETH0 = "/etc/systemd/network/50-kvmnet-eth0.network"
_SHUT = "; ".join(f"{program} -P INPUT DROP; {program} -F INPUT" for program in ("iptables", "ip6tables"))


def _command(text: str) -> dict[str, Any]:
    return {"argv": ["sh", "-c", text]}


def _wire(*lines: str) -> dict[str, Any]:
    text = "\n".join(["[Match]", "Name=eth0", "", "[Network]", "LinkLocalAddressing=ipv6", *lines, ""])
    return {"fault_files": [{"path": _ETH0, "content": text}], "fault_commands": [_RELOAD]}


# Commands are run when there is anything to commit.
_ANY = {"fault_files": [{"path": "/etc/sysctl.d/60-mine.conf", "content": "# mine\n"}]}
_RELOAD = _command("networkctl reload; networkctl reconfigure eth0; sleep 1")
_LOCKED = {**GOOD, "fault_commands": [_command(f"touch /{MARK}; sleep 0.5; {_SHUT}")]}
_OPEN = {**GOOD, "fault_commands": [_command(f"touch /{MARK}; sleep 0.5")]}
_UNCONFIRMED = "The commit was undone by the host: no new connection confirmed"


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong with a change.

    Args:
        name: what it is called.
        variables: what the change is given.
        outside: the controller stands outside, behind the gateway.
        accident: what happens besides, by its name in M(accidents).
        step: the step of the change at which it happens, by its name in M(steps).
        expect: what the failed task says.
        refused: it is noticed before anything is touched.
        lasts: the change itself is right, so that it may last as well: whole.
    """

    name: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    outside: bool = False
    accident: str = ""
    step: str = ""
    expect: str = _UNCONFIRMED
    refused: bool = False
    lasts: bool = False


def _shut(name: str, **variables: Any) -> Fault:
    """Return a change that does not shut anybody out by itself, and a firewall that does."""
    return Fault(name, {**_ANY, "fault_commands": [_command(_SHUT)], **variables})


def _by_hand(name: str, text: str) -> Fault:
    return Fault(name, {**_ANY, "fault_commands": [_command(text)]})


_MISTAKES = [
    _shut("DROP-all policy"),
    _by_hand(
        "new connections alone shut out", "iptables -I INPUT -p tcp --dport 22 -m conntrack --ctstate NEW -j DROP"
    ),
    Fault(
        "missing SSH rule",
        {
            "fault_roles": ["shorewall"],
            "shorewall_management": None,
            "kvmnet_policies": [{"from": "net", "to": "all", "action": "DROP"}],
        },
    ),
    Fault("wrong bridge port", _wire("Bridge=br0")),
    Fault(
        "wrong address",
        {"fault_roles": ["host_bridge"], "kvmnet_uplinks": [{**MANAGED, "address": "192.0.2.77/24"}]},
    ),
    Fault("wrong prefix", _wire("Address=192.0.2.20/30")),
    Fault("wrong gateway", _wire("Address=192.0.2.20/24", "Gateway=192.0.2.100"), outside=True),
    Fault("default route lost", _wire("Address=192.0.2.20/24"), outside=True),
    Fault(
        "dnsmasq syntax error",
        {
            **GOOD,
            "fault_files": [{"path": "/etc/dnsmasq.d/kvmnet/99-mine.conf", "content": "no-such-option=1\n"}],
            "fault_commands": [_command("dnsmasq --test --no-daemon --conf-file=/etc/dnsmasq.d/kvmnet/99-mine.conf")],
        },
        expect="The commit was undone by the host: command ",
    ),
    Fault(
        "Shorewall compile error",
        {**GOOD, "shorewall_rules": [{"action": "NOSUCH", "source": "net", "dest": "$FW"}]},
        expect="NOSUCH",
        refused=True,
    ),
    Fault(
        "Shorewall run-time error",
        {**GOOD, "shorewall_scripts": {"start": "run_ip route add 203.0.113.0/24 via 192.0.2.277\n"}},
        expect="The commit was undone by the host: shorewall ",
    ),
    Fault(
        "providers with dead gateways",
        {
            "fault_roles": ["host_bridge", "shorewall"],
            # With one that lives, a reply takes the way that its connection came by.
            "kvmnet_uplinks": [
                {**UPLINK_4, "manage": True, "primary": False, "gateway": "192.0.2.99", "gateway_mac": f"{_NOBODY}98"},
                {
                    "name": "dead",
                    "interface": "eth0",
                    "gateway": "192.0.2.100",
                    "gateway_mac": f"{_NOBODY}99",
                    "primary": True,
                },
            ],
        },
        outside=True,
    ),
    Fault(
        "networkctl fails",
        {**GOOD, "fault_commands": [_command("no-such-program")]},
        accident="networkctl fails from the beginning",
        expect="The commit was undone by the host: networkd ",
    ),
    Fault("disk full while writing", GOOD, accident="disk full from the beginning", expect="No space left on device"),
    _by_hand("links deleted", "ip link del br0; ip addr flush dev eth0; ip rule flush"),
    _by_hand("routes flushed", "ip route flush table main"),
    _by_hand("interface down", "ip link set eth0 down"),
    _by_hand("SSH stopped", "systemctl stop ssh.socket; systemctl stop ssh"),
    _shut("IPv6 address gone", fault_roles=["host_bridge"], kvmnet_uplinks=[{**UPLINK_4, "manage": True}]),
    _shut(
        "IPv6 given up",
        fault_roles=["host_bridge", "dnsmasq", "shorewall"],
        kvmnet_uplinks=[{**UPLINK_4, "manage": True}],
        kvmnet_networks=[LOCAL_4],
        kvmnet_address_lists=[{**FRIENDS, "addresses": ["203.0.113.12"]}],
    ),
    _by_hand(
        "IPv6 flushed",
        f"ip -6 route flush table main; ip -6 address flush scope global; ip6tables -F; ipset flush; {_SHUT}",
    ),
    _by_hand("IPv6 switched off", f"sysctl -q net.ipv6.conf.all.disable_ipv6=1; {_SHUT}"),
    _shut(
        "list emptied",
        fault_roles=["shorewall"],
        kvmnet_address_lists=[{**FRIENDS, "addresses": []}],
    ),
    _shut(
        "list changed",
        fault_roles=["shorewall"],
        kvmnet_address_lists=[{**FRIENDS, "addresses": ["203.0.113.99", "2001:db8:ffff::99"]}],
    ),
]


def _at(name: str, accident: str, steps: tuple[str, ...], changed: Mapping[str, Any] | None = None) -> list[Fault]:
    """Return an accident at each of these steps; before the change is armed, it never comes to be."""
    variables = _LOCKED if changed is None else changed
    return [
        Fault(name, variables, accident=accident, step=step, expect="" if step in UNARMED else "was undone by the host")
        for step in steps
    ]


# The clock, and a second fault while the host already puts things back, or just before.
_SECOND = [
    *_at("clock 7 h forward", "clock jumps forward", ("begun", "applied", "restoring")),
    *_at("clock 7 h back", "clock jumps back", ("begun", "applied", "restoring")),
    *_at("rollback killed three times", "killed three times", ("restoring",)),
    *_at("networkctl fails in the rollback", "networkctl fails", ("applied",)),
    *_at("networkctl hangs in the rollback", "networkctl hangs", ("applied",)),
    *_at(
        "disk full in the rollback",
        "disk full",
        ("applied",),
        {**_LOCKED, "kvmnet_uplinks": [{**MANAGED, "address": "192.0.2.77/24"}]},
    ),
]
# The change is right and about to be confirmed, so that either end is a good one.
_RIGHT = [
    *(
        Fault(name, GOOD, accident=name, step="confirming", expect="was undone by the host", lasts=True)
        for name in ("module killed", "watcher killed", "all of ours killed", "controller killed", "power cut")
    ),
    *(
        Fault(f"{name}, change right", GOOD, accident=name, step="applied", expect="was undone by the host", lasts=True)
        for name in ("all of ours killed", "controller killed", "power cut")
    ),
]
_ACCIDENTS = [
    *_at("applier killed", "applier killed", APPLYING[:-1]),
    *_at("watcher killed", "watcher killed", (*UNARMED, *APPLYING, *UNDOING)),
    *_at("module killed", "module killed", (*UNARMED, "armed")),
    *_at("all of ours killed", "all of ours killed", (*UNARMED, *APPLYING, *UNDOING)),
    # It could have been confirmed, and nobody is there to do so.
    *_at("controller killed", "controller killed", (*UNARMED, *APPLYING[:-1]), _OPEN),
    *_at("controller killed", "controller killed", ("applied", "restoring")),
    *_at("power cut", "power cut", (*UNARMED, *APPLYING, *UNDOING)),
    *_at("watcher stopped by an admin", "watcher stopped", (*APPLYING, *UNDOING)),
]

FAULTS = [*_SECOND, *_RIGHT, *_MISTAKES, *_ACCIDENTS]
