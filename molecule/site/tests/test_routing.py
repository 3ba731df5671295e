# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The routing of the article: rules, tables, marks and address translation as its author had them, in the kernel."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from testinfra.host import Host

COMCAST, AVVANTA = "172.20.1.1", "172.20.1.254"
ADDRESS = "172.20.1.130"


@pytest.fixture(scope="module")
def ursa(managed: Callable[[str], Host]) -> Host:
    return managed("ursa")


@pytest.fixture(scope="module")
def gateway_macs(station: Any, managed: Callable[[str], Host]) -> dict[str, str]:
    """The gateways' own answer, not that of what was pinned."""
    router = json.loads(station("comcast").run("ip", "-j", "link", "show", "dev", "lan").stdout)[0]["address"]
    firewall = managed("firewall").check_output("cat /sys/class/net/eth0/address")
    return {COMCAST: str(router), AVVANTA: str(firewall)}


def of_the_monitor(priority: int) -> bool:
    """Whether a rule is not Shorewall's: the standing ones, those of probes, those of shadow tables."""
    return 900 < priority < 999 or 31000 < priority < 32000 or priority == 32700


def test_the_routing_rules(ursa: Host) -> None:
    """Destinations of a provider, then marks, then the default; main only for what is on the wire."""
    lines = ursa.check_output("ip -4 -N rule").splitlines()
    rules = [(int(priority), rule.strip()) for priority, rule in (line.split(":", 1) for line in lines)]
    assert [(priority, rule) for priority, rule in rules if not of_the_monitor(priority)] == [
        (0, "from all lookup 255"),
        (999, "from all lookup 254"),
        (1000, "from all to 206.124.146.176/31 lookup 2"),
        (1000, "from all to 206.124.146.178/31 lookup 2"),
        (1000, "from all to 206.124.146.180 lookup 2"),
        (10000, "from all fwmark 0x1/0xff lookup 1"),
        (10001, "from all fwmark 0x2/0xff lookup 2"),
        (32765, "from all lookup 250"),
        (32767, "from all lookup 253"),
    ]


@pytest.mark.parametrize(("table", "gateway"), [("comcast", COMCAST), ("avvanta", AVVANTA)])
def test_the_table_of_a_provider(ursa: Host, table: str, gateway: str) -> None:
    number = {"comcast": 1, "avvanta": 2}[table]
    routes = [" ".join(line.split()) for line in ursa.check_output(f"ip -4 route show table {table}").splitlines()]
    assert routes == [
        f"default via {gateway} dev eth0 src {ADDRESS} realm {number}",
        f"{gateway} dev eth0 scope link src {ADDRESS} realm {number}",
    ]


def test_the_default_is_comcast_alone(ursa: Host) -> None:
    found = json.loads(ursa.check_output("ip -4 -j route show table 250"))
    assert [(route["dst"], route.get("gateway"), route.get("dev")) for route in found] == [("default", COMCAST, "eth0")]


def test_main_has_the_gateways_and_no_default(ursa: Host) -> None:
    found = {route["dst"]: route for route in json.loads(ursa.check_output("ip -4 -j route show table main"))}
    assert found.keys() == {"172.20.1.0/24", "192.168.0.0/24", COMCAST, AVVANTA}
    assert {found[gateway]["dev"] for gateway in (COMCAST, AVVANTA)} == {"eth0"}


def test_who_came_in_by_a_gateway_is_marked_by_its_mac(ursa: Host, gateway_macs: dict[str, str]) -> None:
    rules = ursa.check_output("iptables -t mangle -S").splitlines()
    assert [rule for rule in rules if rule.startswith("-A PREROUTING")] == [
        "-A PREROUTING -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff",
        "-A PREROUTING -i eth0 -m mark --mark 0x0/0xff -j routemark",
    ]
    assert [rule for rule in rules if rule.startswith("-A routemark")] == [
        f"-A routemark -i eth0 -m mac --mac-source {gateway_macs[COMCAST]} -j MARK --set-xmark 0x1/0xff",
        f"-A routemark -i eth0 -m mac --mac-source {gateway_macs[AVVANTA]} -j MARK --set-xmark 0x2/0xff",
        "-A routemark -m mark ! --mark 0x0/0xff -j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff",
    ]


def test_ftp_and_news_of_the_host_itself_take_avvanta(ursa: Host, managed: Callable[[str], Host]) -> None:
    rules = ursa.check_output("iptables -t mangle -S tcout").splitlines()
    mark = "-j MARK --set-xmark 0x2/0xffffffff"
    assert rules == [
        "-N tcout",
        f"-A tcout -p tcp -m tcp --dport 21 {mark}",
        f"-A tcout -p tcp -m helper --helper ftp {mark}",
        f"-A tcout -p tcp -m tcp --dport 119 {mark}",
    ]
    helped = ursa.check_output("iptables -t raw -S OUTPUT")
    assert "-A OUTPUT -p tcp -m tcp --dport 21 --tcp-flags FIN,SYN,RST,ACK SYN -j CT --helper ftp" in helped
    counter = "iptables -t mangle -v -x -n -L tcout | awk '/dpt:119/ {print $1}'"
    seen = int(ursa.check_output(counter))
    assert ursa.run("nc -n -w 3 198.51.100.77 119 < /dev/null").rc == 0
    assert int(ursa.check_output(counter)) > seen
    assert "198.51.100.77" in managed("firewall").check_output("conntrack -L -p tcp --dport 119 2>/dev/null")


def test_guests_are_hidden_behind_the_one_address(ursa: Host) -> None:
    rules = ursa.check_output("iptables -t nat -S").splitlines()
    assert [rule for rule in rules if "MASQUERADE" in rule or "SNAT" in rule] == [
        "-A POSTROUTING -s 192.168.0.0/24 -o eth0 -j MASQUERADE"
    ]


def test_the_wire_answers_for_its_own_address_only(ursa: Host) -> None:
    assert ursa.check_output("cat /proc/sys/net/ipv4/conf/eth0/arp_ignore") != "0"
    assert {ursa.check_output(f"cat /proc/sys/net/ipv4/conf/{name}/rp_filter") for name in ("all", "eth0")} == {"0"}
