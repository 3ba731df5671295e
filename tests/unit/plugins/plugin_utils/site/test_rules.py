# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Refusals of policies and rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Change = Callable[[dict[str, Any]], object]

RULES: list[tuple[str, Change, str, str]] = [
    ("unknown zone", lambda v: v["kvmnet_rules"][0].update({"from": "nett"}), "rules[0].from", "net is probably meant"),
    (
        "unknown zone, with address",
        lambda v: v["kvmnet_rules"][0].update(to="dmx:10.10.11.1"),
        "rules[0].to",
        "dmz is probably meant",
    ),
    ("bad address", lambda v: v["kvmnet_rules"][0].update(to="dmz:10.10.11"), "rules[0].to", "zone:address"),
    (
        "host bits",
        lambda v: v["kvmnet_rules"][1].update({"from": "loc:10.10.12.7/24"}),
        "rules[1].from",
        "10.10.12.0/24",
    ),
    (
        "bad forwarded port",
        lambda v: v["kvmnet_rules"][0].update(to="dmz:10.10.11.1:http"),
        "rules[0].to",
        "1 to 65535",
    ),
    ("port in from", lambda v: v["kvmnet_rules"][1].update({"from": "loc:10.10.12.7:80"}), "rules[1].from", "key port"),
    ("port in to", lambda v: v["kvmnet_rules"][1].update(to="dmz:10.10.11.1:80"), "rules[1].to", "key port"),
    (
        "bad action",
        lambda v: v["kvmnet_rules"][1].update(action="Accept"),
        "rules[1].action",
        "ACCEPT, DROP, REJECT, DNAT",
    ),
    ("bad protocol", lambda v: v["kvmnet_rules"][1].update(proto="tpc"), "rules[1].proto", "one of tcp"),
    ("bad port", lambda v: v["kvmnet_rules"][1].update(port="ssh"), "rules[1].port", "from 1 to 65535"),
    ("bad port in a list", lambda v: v["kvmnet_rules"][1].update(port=[53, 0]), "rules[1].port[1]", "from 1 to 65535"),
    ("bad log level", lambda v: v["kvmnet_rules"][1].update(log="loud"), "rules[1].log", "one of debug"),
    ("port without protocol", lambda v: v["kvmnet_rules"][1].pop("proto"), "rules[1].proto", "required beside port"),
    ("port of ICMP", lambda v: v["kvmnet_rules"][1].update(proto="icmp"), "rules[1].port", "icmp has none"),
    ("DNAT to a zone", lambda v: v["kvmnet_rules"][0].update(to="dmz"), "rules[0].to", "of one machine"),
    (
        "DNAT to a network",
        lambda v: v["kvmnet_rules"][0].update(to="dmz:10.10.11.0/24"),
        "rules[0].to",
        "of one machine",
    ),
    ("DNAT to the host", lambda v: v["kvmnet_rules"][0].update(to="fw:10.10.11.254"), "rules[0].to", "of one machine"),
    ("DNAT to a port from none", lambda v: v["kvmnet_rules"][0].pop("port"), "rules[0].port", "forwarded to port 80"),
    (
        "original address",
        lambda v: v["kvmnet_rules"][1].update(address="192.0.2.1"),
        "rules[1].address",
        "only for DNAT",
    ),
    (
        "unknown zone in a policy",
        lambda v: v["kvmnet_policies"][0].update(to="internet"),
        "policies[0].to",
        "fw, net, kvm, dmz, loc, all",
    ),
    (
        "address in a policy",
        lambda v: v["kvmnet_policies"][0].update({"from": "loc:10.10.12.7"}),
        "policies[0].from",
        "kvmnet_rules",
    ),
    (
        "DNAT as a policy",
        lambda v: v["kvmnet_policies"][0].update(action="DNAT"),
        "policies[0].action",
        "ACCEPT, DROP, REJECT",
    ),
    (
        "policy twice",
        lambda v: v["kvmnet_policies"].append({"from": "loc", "to": "net", "action": "DROP"}),
        "policies[1].from",
        "policies[0] (from loc to net)",
    ),
    (
        "policy too late",
        lambda v: v["kvmnet_policies"].insert(0, {"from": "all", "to": "net", "action": "DROP"}),
        "policies[1].from",
        "policies[0] (from all to net)",
    ),
]


@pytest.mark.parametrize(("change", "place", "allowed"), [case[1:] for case in RULES], ids=[case[0] for case in RULES])
def test_rules(change: Change, place: str, allowed: str, ursa: dict[str, Any], refused: Callable[..., Any]) -> None:
    change(ursa)
    found = refused(ursa)
    assert [(host, where) for host, where, _allowed in found] == [("h1", f"kvmnet_{place}")]
    assert allowed in found[0][2]


def test_rules_that_are_right(ursa: dict[str, Any], refused: Callable[..., Any]) -> None:
    ursa["kvmnet_networks"][0]["zone"] = "guests"
    ursa["kvmnet_policies"] = [
        {"from": "guests", "to": "all", "action": "ACCEPT"},
        {"from": "all", "to": "all", "action": "REJECT", "log": "info"},
    ]
    ursa["kvmnet_rules"] = [
        {
            "from": "net:192.0.2.0/24",
            "to": "guests:192.168.0.2",
            "action": "ACCEPT",
            "proto": "udp",
            "port": "6000:6010",
        },
        {"from": "net", "to": "dmz:10.10.11.1", "action": "DNAT", "proto": "tcp", "port": 25, "address": "192.0.2.9"},
        {"from": "all", "to": "fw", "action": "ACCEPT", "proto": "icmp"},
        {"from": "loc", "to": "net", "action": "DROP", "proto": "tcp", "port": [25, "137:139"], "log": "notice"},
    ]
    assert refused(ursa) == []
