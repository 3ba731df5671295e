# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the static check says of rules that Shorewall compiles, and of files of networkd."""

from __future__ import annotations

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._admission import Login, lost_way, read_rules, verdict

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
