# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Refusals of policies and rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Change = Callable[[dict[str, Any]], object]
FRIENDS = [{"name": "friends", "addresses": ["192.0.2.7", "198.51.100.0/28"]}]

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
    ("misspelt verdict", lambda v: v["kvmnet_rules"][1].update(action="REJCET"), "rules[1].action", "REJECT is prob"),
    (
        "misspelt macro",
        lambda v: v["kvmnet_rules"][1].update(action="Pingg(ACCEPT)"),
        "rules[1].action",
        "Ping is probably meant",
    ),
    (
        "macro in capitals",
        lambda v: v["kvmnet_rules"][1].update(action="PING(DROP)"),
        "rules[1].action",
        "Ping is prob",
    ),
    ("macro alone", lambda v: v["kvmnet_rules"][1].update(action="DNS"), "rules[1].action", "as in DNS(ACCEPT)"),
    ("macro to nothing", lambda v: v["kvmnet_rules"][1].update(action="DNS(ALLOW)"), "rules[1].action", "DNS(ACCEPT)"),
    ("verdict of one", lambda v: v["kvmnet_rules"][1].update(action="DROP(net)"), "rules[1].action", "DROP alone"),
    ("no action at all", lambda v: v["kvmnet_rules"][1].update(action="Ping ACCEPT"), "rules[1].action", "Ping(DROP)"),
    ("bad rate", lambda v: v["kvmnet_rules"][1].update(rate="10 per minute"), "rules[1].rate", "such as 10/min"),
    ("rate of none", lambda v: v["kvmnet_rules"][1].update(rate="0/min"), "rules[1].rate", "such as 10/min"),
    (
        "rate of drops",
        lambda v: v["kvmnet_rules"][1].update(action="DROP", rate="1/sec"),
        "rules[1].rate",
        "limit DROP",
    ),
    (
        "rate of a macro's drops",
        lambda v: v["kvmnet_rules"][1].update(action="Ping(DROP)", rate="1/sec"),
        "rules[1].rate",
        "limit DROP",
    ),
    (
        "source port without protocol",
        lambda v: v["kvmnet_rules"].append({"from": "net", "to": "fw", "action": "ACCEPT", "sport": 53}),
        "rules[2].proto",
        "required beside sport",
    ),
    (
        "source port of ICMP",
        lambda v: v["kvmnet_rules"][1].update(sport=53, proto="icmp", port=None),
        "rules[1].sport",
        "icmp has none",
    ),
    (
        "redirect elsewhere",
        lambda v: v["kvmnet_rules"][1].update(action="REDIRECT", to="dmz"),
        "rules[1].to",
        "fw:3128",
    ),
    (
        "redirect to a name",
        lambda v: v["kvmnet_rules"][1].update(action="REDIRECT", to="fw:www"),
        "rules[1].to",
        "1 to 65535",
    ),
    (
        "redirect of everything",
        lambda v: v["kvmnet_rules"][1].update(action="REDIRECT", port=None),
        "rules[1].port",
        "the port that is redirected",
    ),
    (
        "macro to a zone",
        lambda v: v["kvmnet_rules"][0].update(action="HTTP(DNAT)", to="dmz"),
        "rules[0].to",
        "of one machine",
    ),
    ("log to a bad group", lambda v: v["kvmnet_rules"][1].update(log="NFLOG(x)"), "rules[1].log", "NFLOG(group)"),
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
    (
        "policy too late, within a zone",
        lambda v: v["kvmnet_policies"].extend(
            [{"from": "all+", "to": "all+", "action": "DROP"}, {"from": "loc", "to": "loc", "action": "ACCEPT"}]
        ),
        "policies[2].from",
        "policies[1] (from all+ to all+)",
    ),
    ("bad rate of a policy", lambda v: v["kvmnet_policies"][0].update(rate="10"), "policies[0].rate", "such as 10/min"),
    ("list in no list", lambda v: v["kvmnet_rules"][1].update({"from": "net:+x"}), "rules[1].from", "which has none"),
    (
        "misspelt list",
        lambda v: v.update(kvmnet_address_lists=FRIENDS) or v["kvmnet_rules"][1].update({"from": "net:+friendz"}),
        "rules[1].from",
        "friends is probably meant",
    ),
    (
        "DNAT to a list",
        lambda v: v.update(kvmnet_address_lists=FRIENDS) or v["kvmnet_rules"][0].update(to="dmz:+friends"),
        "rules[0].to",
        "of one machine",
    ),
    (
        "list in a policy",
        lambda v: v.update(kvmnet_address_lists=FRIENDS) or v["kvmnet_policies"][0].update({"from": "loc:+friends"}),
        "policies[0].from",
        "after + a name",
    ),
    (
        "wrong one of several addresses",
        lambda v: v["kvmnet_rules"][1].update({"from": "loc:10.10.12.7,10.10.12.999"}),
        "rules[1].from",
        "zone:address,address without blanks",
    ),
    (
        "addresses of both versions",
        lambda v: v["kvmnet_rules"][1].update({"from": "loc:10.10.12.7,[2001:db8::1]"}),
        "rules[1].from",
        "of one version of IP",
    ),
    (
        "port behind several addresses",
        lambda v: v["kvmnet_rules"][1].update({"from": "loc:10.10.12.7,10.10.12.8:80"}),
        "rules[1].from",
        "no port",
    ),
    (
        "DNAT to several addresses",
        lambda v: v["kvmnet_rules"][0].update(to="dmz:10.10.11.1,10.10.11.2"),
        "rules[0].to",
        "of one machine",
    ),
    ("list twice", lambda v: v.update(kvmnet_address_lists=FRIENDS * 2), "address_lists[1].name", "address_lists[0]"),
    (
        "list with the name of another one's IPv6 addresses",
        lambda v: v.update(kvmnet_address_lists=[{**FRIENDS[0], "name": "friends_6"}, *FRIENDS]),
        "address_lists[0].name",
        "another name than friends_6: the IPv6 addresses of friends (kvmnet_address_lists[1]) have it",
    ),
    (
        "everybody in a list",
        lambda v: v.update(kvmnet_address_lists=[{"name": "friends", "addresses": ["192.0.2.1", "0.0.0.0/0"]}]),
        "address_lists[0].addresses[1]",
        "smaller than all",
    ),
    (
        "no address in a list",
        lambda v: v.update(kvmnet_address_lists=[{"name": "friends", "addresses": ["joe"]}]),
        "address_lists[0].addresses[0]",
        "an IPv4 network",
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
        {"from": "all", "to": "all", "action": "REJECT", "log": "info", "rate": "s:10/sec:20"},
        {"from": "loc", "to": "loc", "action": "DROP"},
        {"from": "all+", "to": "all+", "action": "DROP", "log": "NFLOG(2)"},
    ]
    ursa["kvmnet_address_lists"] = FRIENDS
    ursa["kvmnet_rules"] = [
        {"from": "net:+friends", "to": "dmz:+friends", "action": "ACCEPT"},
        {"from": "net:+friends", "to": "dmz:10.10.11.1", "action": "HTTP(DNAT)"},
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
        {"from": "fw", "to": "net", "action": "DNS(ACCEPT)"},
        {"from": "net", "to": "all", "action": "Invalid(DROP)", "proto": "tcp"},
        {"from": "net", "to": "fw", "action": "OurOwnMacro(ACCEPT)"},
        {"from": "net", "to": "dmz:10.10.11.1", "action": "HTTP(DNAT)", "rate": "s:5/min:10", "address": "192.0.2.9"},
        {"from": "net", "to": "dmz:10.10.11.1:22", "action": "SSH(DNAT)", "port": 2222, "proto": "tcp"},
        {"from": "loc", "to": "fw:3128", "action": "REDIRECT", "proto": "tcp", "port": 80, "rate": "100/sec"},
        {"from": "loc", "to": "fw", "action": "NTP(REDIRECT)"},
        {"from": "net", "to": "fw", "action": "LOG", "proto": "udp", "sport": 53, "log": "NFLOG(1)"},
        {"from": "net", "to": "all+", "action": "Razor"},
    ]
    assert refused(ursa) == []
