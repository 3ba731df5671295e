# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mistakes and accidents that a change of the network must survive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

UPLINK = {"name": "isp", "interface": "eth0", "address": "192.0.2.20/24", "gateway": "192.0.2.1", "primary": True}
LOCAL = {
    "name": "loc",
    "bridge": "br0",
    "ports": ["eth1"],
    "address": "192.168.20.254/24",
    "dhcp_range": ["192.168.20.100", "192.168.20.199"],
    "domain": "loc.example",
}
MORE = {
    "name": "more",
    "bridge": "br9",
    "address": "192.168.29.254/24",
    "dhcp_range": ["192.168.29.100", "192.168.29.199"],
    "domain": "more.example",
}
MANAGED = {**UPLINK, "manage": True}
# What is changed rightly while something else goes wrong: a bridge, its zone, DHCP, a rule.
GOOD: dict[str, Any] = {
    "fault_roles": ["host_bridge", "dnsmasq", "shorewall"],
    "kvmnet_networks": [LOCAL, MORE],
    "kvmnet_rules": [{"from": "net", "to": "fw", "action": "ACCEPT", "proto": "tcp", "port": 8443}],
}
_NETWORK = "/etc/systemd/network/50-kvmnet-eth0.network"
_MANGLE = "iptables -P INPUT DROP; iptables -F INPUT"


def _command(text: str) -> dict[str, Any]:
    return {"argv": ["sh", "-c", text]}


def _wire(*lines: str) -> dict[str, Any]:
    text = "\n".join(["[Match]", "Name=eth0", "", "[Network]", "LinkLocalAddressing=no", *lines, ""])
    return {"fault_files": [{"path": _NETWORK, "content": text}], "fault_commands": [_RELOAD]}


# Commands are run when there is anything to commit.
_ANY = {"fault_files": [{"path": "/etc/sysctl.d/60-mine.conf", "content": "# mine\n"}]}
_RELOAD = _command("networkctl reload; networkctl reconfigure eth0; sleep 1")


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong with a change.

    Args:
        name: what it is called.
        variables: what the change is given.
        outside: the controller stands outside, behind the gateway.
        event: what happens besides: the processes to kill, C(controller), or C(power).
        step: how long after arming it happens, in seconds.
        expect: what the failed task says; empty where the controller is no longer there to say anything.
        refused: it is noticed before anything is touched.
    """

    name: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    outside: bool = False
    event: str = ""
    step: float = 0.0
    expect: str = "The commit was undone by the host: no new connection confirmed"
    refused: bool = False


_MISTAKES = [
    Fault("DROP-all policy", {**_ANY, "fault_commands": [_command(_MANGLE)]}),
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
        "provider with a dead gateway",
        {
            "fault_roles": ["host_bridge", "shorewall"],
            "kvmnet_uplinks": [
                {**MANAGED, "primary": False},
                {
                    "name": "dead",
                    "interface": "eth0",
                    "gateway": "192.0.2.100",
                    "gateway_mac": "02:00:00:00:00:99",
                    "primary": True,
                },
            ],
        },
        outside=True,
    ),
    Fault(
        "networkctl fails",
        {**GOOD, "fault_commands": [_command("no-such-program")]},
        event="break networkctl",
        expect="The commit was undone by the host: networkd ",
    ),
    Fault("disk full while writing", GOOD, event="fill the disk", expect="No space left on device"),
    Fault(
        "links deleted",
        {**_ANY, "fault_commands": [_command("ip link del br0; ip addr flush dev eth0; ip rule flush")]},
    ),
    Fault("interface down", {**_ANY, "fault_commands": [_command("ip link set eth0 down")]}),
    Fault("SSH stopped", {**_ANY, "fault_commands": [_command("systemctl stop ssh.socket; systemctl stop ssh")]}),
]
_STEPS = (0.0, 0.2, 0.5, 0.7, 0.9, 1.1, 1.4, 1.8, 2.3)
_LOCKED = {**GOOD, "fault_commands": [_command(_MANGLE)]}
_ACCIDENTS = [
    *(Fault("applier killed", _LOCKED, event="guard.pyz apply", step=step, expect="undone") for step in _STEPS),
    *(Fault("watcher killed", _LOCKED, event="guard.pyz watch", step=step, expect="undone") for step in _STEPS),
    *(Fault("all of ours killed", _LOCKED, event="guard.pyz", step=step, expect="undone") for step in _STEPS),
    *(Fault("controller killed", _LOCKED, event="controller", step=step, expect="") for step in _STEPS),
    *(Fault("power cut", _LOCKED, event="power", step=step, expect="undone") for step in _STEPS),
    Fault(
        "watcher stopped by an admin",
        {**_ANY, "fault_commands": [_command("systemctl stop kvmnet-guard")]},
        expect="undone",
    ),
    Fault("rollback killed", _LOCKED, event="rollback", expect="undone"),
]

FAULTS = [*_MISTAKES, *_ACCIDENTS]
