# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the static check says of rules that Shorewall compiles, and of files of networkd."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import _login
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._admission import (
    Login,
    closes_ipv6,
    lost_way,
    read_rules,
    verdict,
)

LOGIN = Login("192.0.2.100", "192.0.2.20", 22, "eth0")
SCRIPT = """\
    cat >&3 << __EOF__
*filter
:INPUT DROP [0:0]
-A INPUT -i eth0 -j net-fw
-A INPUT -i lo -j ACCEPT
-A INPUT -g reject
__EOF__
    [ -f ${VARDIR}/.dynamic ] && cat ${VARDIR}/.dynamic >&3
    cat >&3 << __EOF__
-A net-fw -m conntrack --ctstate NEW,INVALID,UNTRACKED -j smurfs
-A net-fw -p tcp -j tcpflags
-A net-fw -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
%s
-A net-fw -m addrtype --dst-type BROADCAST -j DROP
-A net-fw -m hashlimit --hashlimit-upto 1/sec --hashlimit-name lograte -j LOG --log-prefix "net-fw DROP "
-A net-fw -j DROP
-A reject -p 6 -j REJECT --reject-with tcp-reset
-A reject -j REJECT
-A smurfs -s 0.0.0.0 -j RETURN
-A smurfs -g smurflog -m addrtype --src-type BROADCAST
-A tcpflags -p tcp --tcp-flags ALL FIN,PSH,URG -g logflags
COMMIT
__EOF__
"""


def decided(rules: str, login: Login = LOGIN) -> tuple[str, str]:
    return verdict(read_rules(SCRIPT % rules), login)


@pytest.mark.parametrize(
    "rule",
    [
        "-A net-fw -s 192.0.2.0/24 -p 6 --dport 22 -j ACCEPT",
        "-A net-fw -s 192.0.2.100 -p 6 -m multiport --dports 80,20:25 -j ACCEPT",
        "-A net-fw ! -s 198.51.100.0/24 -p 6 --dport 22 -j ACCEPT",
        "-A net-fw -d 192.0.2.20 -j ACCEPT",
    ],
)
def test_a_rule_lets_the_controller_in(rule: str) -> None:
    assert decided(rule) == ("ACCEPT", rule)


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "-A net-fw -s 198.51.100.0/24 -p 6 --dport 22 -j ACCEPT",
        "-A net-fw -s 192.0.2.0/24 -p 6 --dport 2222 -j ACCEPT",
        "-A net-fw ! -s 192.0.2.0/24 -p 6 --dport 22 -j ACCEPT",
        "-A net-fw -s 192.0.2.0/24 -p 17 --dport 22 -j ACCEPT",
    ],
)
def test_the_rule_that_shuts_the_controller_out_is_named(rule: str) -> None:
    assert decided(rule) == ("DROP", "-A net-fw -j DROP")


def test_an_earlier_rule_decides() -> None:
    drop = "-A net-fw -s 192.0.2.100 -j DROP"
    assert decided(f"{drop}\n-A net-fw -p 6 --dport 22 -j ACCEPT") == ("DROP", drop)


def test_an_interface_without_a_zone_is_refused_by_the_last_rule() -> None:
    assert decided("", Login("192.0.2.100", "192.0.2.20", 22, "br7"))[0] == "REJECT"
    assert verdict({}, LOGIN)[0] == "DROP"


@pytest.mark.parametrize(
    "match", ["-m set --match-set admins src", "-m hashlimit --hashlimit-upto 3/min -p 6 --dport 22"]
)
def test_what_only_the_kernel_knows_is_not_held_against_the_change(match: str) -> None:
    assert decided(f"-A net-fw {match} -j ACCEPT")[0] == "unknown"
    assert decided(f"-A net-fw {match} -j DROP\n-A net-fw -p 6 --dport 22 -j ACCEPT")[0] == "ACCEPT"


def network(*lines: str) -> str:
    return "\n".join(["[Match]", "Name=eth0", "[Network]", *lines])


def test_the_way_back_is_kept() -> None:
    assert lost_way(network("Address=192.0.2.20/24"), LOGIN) == ""
    assert lost_way(network("DHCP=ipv4"), LOGIN) == ""
    far = Login("203.0.113.10", "192.0.2.20", 22, "eth0")
    assert lost_way(network("Address=192.0.2.20/24", "Gateway=192.0.2.1"), far) == ""
    assert lost_way(network("Address=192.0.2.77/24"), LOGIN, ["192.0.2.77"]) == ""


def test_a_way_that_is_lost_is_named() -> None:
    assert "192.0.2.20 goes away" in lost_way(network("Address=192.0.2.77/24"), LOGIN)
    assert "no way leads back to 192.0.2.100" in lost_way(network("Address=192.0.2.20/30"), LOGIN)
    assert "192.0.2.20 goes away" in lost_way(network("Bridge=br0"), LOGIN)


# As shorewall6 compiles SSH(ACCEPT) net:<2001:db8:1::/64> $FW, ACCEPT net:[2001:db8:5::77] $FW tcp 2222, and
# DROP net:fe80::/10 $FW tcp 22.
SCRIPT6 = """\
*filter
:INPUT DROP [0:0]
-A INPUT -i eth0 -j net-fw
-A INPUT -i br0 -j br0_in
-A INPUT -p 58 -j AllowICMPs
-A INPUT -d ff00::/8 -j DROP
-A INPUT -g reject
-A AllowICMPs -p 58 --icmpv6-type 1 -j ACCEPT -m comment --comment "Needed ICMP types (RFC4890)"
-A AllowICMPs -s fe80::/10 -p 58 --icmpv6-type 130 -j ACCEPT -m comment --comment "Needed ICMP types (RFC4890)"
-A br0_in -p tcp -j tcpflags
-A br0_in -j ACCEPT
-A net-fw -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A net-fw -s 2001:db8:1::/64 -p 6 --dport 22 -j ACCEPT -m comment --comment "SSH"
-A net-fw -s 2001:db8:5::77 -p 6 --dport 2222 -j ACCEPT
-A net-fw -s fe80::/10 -p 6 --dport 22 -j DROP
-A net-fw -p 58 -j AllowICMPs
-A net-fw -d ff00::/8 -j DROP
-A net-fw -j DROP
-A reject -p 6 -j REJECT --reject-with tcp-reset
-A tcpflags -p tcp --tcp-flags ALL FIN,PSH,URG -g logflags
COMMIT
"""


@pytest.mark.parametrize(
    ("client", "port", "interface", "wanted"),
    [
        ("2001:db8:1::7", 22, "eth0", "ACCEPT"),
        ("2001:db8:2::7", 22, "eth0", "DROP"),
        ("2001:db8:5::77", 2222, "eth0", "ACCEPT"),
        ("2001:db8:5::77", 22, "eth0", "DROP"),
        ("fe80::5%eth0", 22, "eth0", "DROP"),
        ("fe80::5%br0", 22, "br0", "ACCEPT"),
        ("2001:db8:1::7", 22, "eth7", "REJECT"),
    ],
)
def test_a_login_by_ipv6_is_looked_up_in_its_own_firewall(client: str, port: int, interface: str, wanted: str) -> None:
    assert verdict(read_rules(SCRIPT6), Login(client, "2001:db8:1::1", port, interface))[0] == wanted


def test_a_script_that_closes_ipv6_is_known_by_its_call() -> None:
    assert closes_ipv6("define_firewall() {\n    disable_ipv6\n}\n")
    assert not closes_ipv6("disable_ipv6() {\n    local temp\n}\n")


def test_an_address_of_ipv6_may_come_by_itself() -> None:
    own = Login("fe80::5%eth0", "fe80::1%eth0", 22, "eth0")
    assert lost_way(network("Address=192.0.2.77/24"), own) == ""
    assert "goes away" in lost_way(network("Address=192.0.2.20/24", "LinkLocalAddressing=no"), own)
    routed = Login("2001:db8:1::7", "2001:db8:1::1", 22, "eth0")
    assert lost_way(network("Address=192.0.2.20/24"), routed) == ""
    assert "goes away" in lost_way(network("Address=192.0.2.20/24", "IPv6AcceptRA=no"), routed)
    assert lost_way(network("Address=2001:db8:1::1/64", "IPv6AcceptRA=no"), routed) == ""


class Host:
    """What the kernel says of addresses and of the way back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, back: str = "eth0") -> None:
        links = [
            {"ifname": "eth0", "addr_info": [{"local": "192.0.2.20"}, {"local": "fe80::1"}]},
            {"ifname": "br0", "addr_info": [{"local": "192.168.0.254"}, {"local": "fe80::1"}]},
        ]
        self.asked: list[list[str]] = []

        def ask(argv: list[str], **_unused: Any) -> subprocess.CompletedProcess[str]:
            self.asked.append(argv)
            return subprocess.CompletedProcess(argv, 0, json.dumps([{"dev": back}]), "")

        monkeypatch.setattr(_login._run, "run", lambda argv: json.dumps(links))
        monkeypatch.setattr(subprocess, "run", ask)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("192.0.2.100 50000 192.0.2.20 22", Login("192.0.2.100", "192.0.2.20", 22, "eth0")),
        # By a jump host: it is that one's address that the host sees. And SSH at another port.
        ("192.168.0.9 50000 192.168.0.254 2222", Login("192.168.0.9", "192.168.0.254", 2222, "br0")),
        ("fe80::5%br0 50000 fe80::1%br0 22", Login("fe80::5%br0", "fe80::1%br0", 22, "br0")),
        ("192.0.2.100 50000 198.51.100.1 22", None),
        ("", None),
    ],
)
def test_how_the_controller_came_in_is_read(monkeypatch: pytest.MonkeyPatch, said: str, wanted: Login | None) -> None:
    Host(monkeypatch)
    assert _login.read_login(said) == wanted


def staged(tmp_path: Path, script: str, product: str = "shorewall") -> Candidate:
    candidate = Candidate("run", None, host_root=tmp_path)
    candidate.put(f"/var/lib/{product}/firewall", script, 0o700)
    return candidate


def test_an_address_of_another_interface_is_reached_by_the_one_that_leads_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # The address is br0's, which has no zone; what comes in by eth0 is let in.
    login = Login("192.0.2.100", "192.168.0.254", 22, "br0")
    candidate = staged(tmp_path, SCRIPT % "-A net-fw -s 192.0.2.0/24 -p 6 --dport 22 -j ACCEPT")
    host = Host(monkeypatch, back="eth0")
    assert _login.check_login(candidate, login, None) == []
    assert host.asked == [["ip", "-4", "-j", "route", "get", "192.0.2.100", "from", "192.168.0.254"]]
    Host(monkeypatch, back="br0")
    assert [problem.place() for problem in _login.check_login(candidate, login, None)] == [
        "/var/lib/shorewall/firewall"
    ]


def test_a_login_at_another_port_is_held_against_the_rule_for_that_port(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Host(monkeypatch)
    candidate = staged(tmp_path, SCRIPT % "-A net-fw -s 192.0.2.0/24 -p 6 --dport 22 -j ACCEPT")
    assert _login.check_login(candidate, LOGIN, None) == []
    refused = _login.check_login(candidate, Login("192.0.2.100", "192.0.2.20", 2222, "eth0"), None)
    assert "port 2222 by eth0" in str(refused[0])
    assert "'-A net-fw -j DROP' would DROP it" in str(refused[0])


def test_a_login_by_ipv6_is_not_shut_out_by_the_firewall_of_ipv4(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Host(monkeypatch)
    login = Login("2001:db8:2::7", "2001:db8:1::1", 22, "eth0")
    assert _login.check_login(staged(tmp_path, SCRIPT % ""), login, None) == []
    closing = staged(tmp_path, "    disable_ipv6\n" + SCRIPT % "")
    assert "let nothing in by IPv6" in str(_login.check_login(closing, login, None)[0])
    refused = _login.check_login(staged(tmp_path, SCRIPT6, "shorewall6"), login, None)
    assert [problem.place() for problem in refused] == ["/var/lib/shorewall6/firewall"]


FAR = Login("203.0.113.10", "192.0.2.20", 22, "eth0")


@pytest.mark.parametrize(
    "lines",
    [
        ["[Route]", "Destination=0.0.0.0/0", "Scope=link"],
        ["[Route]", "Gateway=192.0.2.1", "Table=253"],
        ["[Route]", "Gateway=198.51.100.1", "GatewayOnLink=yes"],
        ["[Route]", "Destination=203.0.113.0/24", "Gateway=192.0.2.9"],
        ["Gateway=192.0.2.1", "Gateway=fe80::1"],
        ["[Route]", "Gateway=_dhcp4"],
    ],
)
def test_every_way_back_counts(lines: list[str]) -> None:
    assert lost_way(network("Address=192.0.2.20/24", *lines), FAR) == ""


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "it is in none of its networks, and no route to it has a gateway"),
        (["[Route]", "Destination=198.51.100.0/24", "Gateway=192.0.2.1"], "no route to it has a gateway"),
        (["Gateway=198.51.100.1"], "line 5 says 'Gateway=198.51.100.1', which is in none of its networks"),
        (["[Route]", "Gateway=fe80::1"], "no route to it has a gateway"),
    ],
)
def test_a_way_back_from_outside_that_is_lost_is_named_with_its_line(lines: list[str], said: str) -> None:
    assert lost_way(network("Address=192.0.2.20/24", *lines), FAR).endswith(said)


class TestMoved:
    """The card that the host is managed by moves into a bridge, and back out of it."""

    @pytest.fixture(autouse=True)
    def _host(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        Host(monkeypatch, back="br1")
        monkeypatch.setattr(_login, "_SYS", tmp_path / "sys")

    def test_what_follows_the_bridge_counts_for_its_port(self, tmp_path: Path) -> None:
        candidate = Candidate("run", None, host_root=tmp_path)
        candidate.put("/etc/systemd/network/50-kvmnet-eth0.network", network("Bridge=br1"))
        candidate.put("/etc/systemd/network/50-kvmnet-br1.network", network("Address=192.0.2.20/24"))
        assert _login.check_login(candidate, LOGIN, None) == []
        (problem,) = _login.check_login(candidate, FAR, None)
        assert problem.place() == "/etc/systemd/network/50-kvmnet-br1.network"

    def test_the_firewall_is_asked_for_the_card_that_a_bridge_gives_its_address_back_to(self, tmp_path: Path) -> None:
        path = tmp_path / "etc/systemd/network/50-kvmnet-br1.network"
        path.parent.mkdir(parents=True)
        path.write_text("[Match]\nName=br1\n", encoding="ascii")
        (tmp_path / "sys/br1/brif/eth0").mkdir(parents=True)
        candidate = staged(tmp_path, SCRIPT % "-A net-fw -s 192.0.2.0/24 -p 6 --dport 22 -j ACCEPT")
        candidate.remove("/etc/systemd/network/50-kvmnet-br1.network")
        by_bridge = Login("192.0.2.100", "192.0.2.20", 22, "br1")
        assert _login.check_login(candidate, by_bridge, None) == []
        (tmp_path / "sys/br1/brif/eth1").mkdir()
        candidate.put("/etc/systemd/network/50-kvmnet-eth1.network", network("Address=192.0.2.20/24"))
        (problem,) = _login.check_login(candidate, by_bridge, None)
        assert "port 22 by eth1" in str(problem)
