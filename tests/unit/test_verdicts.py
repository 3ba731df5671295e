# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark's judge of packets: what it takes for the same, and what not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .conftest import load_program

SOURCE = Path(__file__).resolve().parents[1] / "benchmark" / "verdicts.py"

RULES = """\
*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -j DNAT --to-destination 10.0.0.1
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:net2kvm - [0:0]
:reject - [0:0]
-A INPUT -i eth0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i eth0 -p tcp -m tcp --dport 22 -j ACCEPT
-A FORWARD -i eth0 -o br0 -j net2kvm
-A FORWARD -j LOG --log-prefix "a b" --log-level 6
-A FORWARD -i br0 -g reject
-A net2kvm ! -s 198.18.0.0/16 -p tcp -m multiport --dports 80,8000:8010 -m comment --comment "x y" -j ACCEPT
-A net2kvm -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -j DROP
-A net2kvm -d 10.0.0.9/32 -j RETURN
-A net2kvm -p udp -m udp --dport 53 -j ACCEPT
-A reject -m addrtype --src-type BROADCAST -j DROP
-A reject -j REJECT --reject-with icmp-port-unreachable
COMMIT
"""


@pytest.fixture(name="judge", scope="module")
def fixture_judge() -> Any:
    return load_program(SOURCE)


@pytest.mark.parametrize(
    ("packet", "verdict"),
    [
        (("192.0.2.1", "192.0.2.2", "tcp", 22, "eth0", ""), "ACCEPT"),
        (("192.0.2.1", "192.0.2.2", "tcp", 23, "eth0", ""), "DROP"),
        (("192.0.2.1", "192.0.2.2", "udp", 22, "eth0", ""), "DROP"),
        (("192.0.2.1", "10.0.0.1", "tcp", 80, "eth0", "br0"), "ACCEPT"),
        (("192.0.2.1", "10.0.0.1", "tcp", 8010, "eth0", "br0"), "ACCEPT"),
        (("192.0.2.1", "10.0.0.1", "tcp", 8011, "eth0", "br0"), "DROP"),
        (("198.18.0.1", "10.0.0.1", "tcp", 80, "eth0", "br0"), "DROP"),
        (("198.18.0.1", "10.0.0.1", "udp", 53, "eth0", "br0"), "ACCEPT"),
        (("198.18.0.1", "10.0.0.9", "udp", 53, "eth0", "br0"), "DROP"),
        (("10.0.0.1", "192.0.2.1", "udp", 53, "br0", "eth0"), "REJECT"),
        (("10.0.0.1", "192.0.2.1", "udp", 53, "", "eth0"), "ACCEPT"),
    ],
)
def test_a_packet_is_judged_as_the_kernel_does(judge: Any, packet: tuple[Any, ...], verdict: str) -> None:
    assert judge.verdict(judge.read(RULES.splitlines()), judge.Packet(*packet)) == verdict


def test_what_it_does_not_know_is_no_verdict(judge: Any) -> None:
    rules = judge.read([*RULES.splitlines()[:-1], "-A INPUT -m set --match-set x src -j ACCEPT", "COMMIT"])
    with pytest.raises(ValueError, match="--match-set"):
        judge.verdict(rules, judge.Packet("192.0.2.1", "192.0.2.2", "tcp", 23, "eth0"))
