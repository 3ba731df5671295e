# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proofs of the article's network: packets, not files."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from testinfra.host import Host

# Debian with cloud-init, then the three of the small image
DEBIAN, WEB, UBUNTU, CENTOS = (f"192.168.0.{last}" for last in (1, 2, 3, 4))
GUESTS = {"debian32": DEBIAN, "web": WEB, "ubuntu": UBUNTU, "centos": CENTOS}
TINY = {name: address for name, address in GUESTS.items() if name != "debian32"}
URSA, FIREWALL = "172.20.1.130", "206.124.146.176"
# Nobody in particular, somewhere on the internet
SOMEWHERE = "198.51.100.77"


@pytest.fixture(scope="module")
def ursa(managed: Callable[[str], Host]) -> Host:
    return managed("ursa")


@pytest.fixture(scope="module", autouse=True)
def guests_are_up(ursa: Host, tiny: Any, guest_ssh: Any, eventually: Any) -> None:
    for address in TINY.values():
        assert eventually(lambda address=address: "inet " in tiny(ursa, address).ask("address"))
    assert eventually(lambda: ursa.run(f"nc -z -w 2 {DEBIAN} 22").rc == 0)


@pytest.mark.parametrize(("name", "address"), TINY.items())
def test_a_guest_has_exactly_its_address(ursa: Host, tiny: Any, name: str, address: str) -> None:
    shown = tiny(ursa, address).ask("address")
    assert re.findall(r"inet (\S+) .*scope global", shown) == [f"{address}/24"]
    assert tiny(ursa, address).says()["name"].split(".")[0] == name


def test_debian_takes_a_login_with_the_key_of_the_inventory(guest_ssh: Any) -> None:
    shown = guest_ssh("ursa", DEBIAN, "hostname; ip -4 -o address show scope global; sudo -n true && echo sudo")
    assert shown.splitlines()[0] == "debian32"
    assert re.findall(r"inet (\S+)", shown) == [f"{DEBIAN}/24"]
    assert shown.splitlines()[-1] == "sudo"


@pytest.mark.parametrize(("name", "address"), GUESTS.items())
def test_names_forward_and_reverse(ursa: Host, name: str, address: str) -> None:
    assert ursa.check_output(f"dig +short +time=2 @192.168.0.254 {name}.kvm.example").split() == [address]
    assert ursa.check_output(f"dig +short +time=2 @192.168.0.254 -x {address}").split() == [f"{name}.kvm.example."]


def test_a_guest_resolves_its_neighbours_and_the_world(ursa: Host, tiny: Any) -> None:
    assert CENTOS in tiny(ursa, WEB).ask("resolve", "centos.kvm.example")
    assert re.search(
        r"Address.*\d+\.\d+\.\d+\.\d+", tiny(ursa, WEB).ask("resolve", "www.debian.org").split("\n\n", 1)[-1]
    )


def test_a_guest_leaves_by_comcast(ursa: Host, tiny: Any, station: Any) -> None:
    answer = tiny(ursa, WEB).fetch(f"http://{SOMEWHERE}/")
    assert [answer.get("client")] == station("comcast").addresses("wan")
    assert answer.get("server") == SOMEWHERE


@pytest.mark.parametrize("last", [178, 179, 180])
def test_a_guest_reaches_the_public_addresses_by_avvanta(ursa: Host, tiny: Any, last: int) -> None:
    answer = tiny(ursa, WEB).fetch(f"http://206.124.146.{last}/")
    assert answer.get("client") == FIREWALL
    assert answer.get("server") == f"206.124.146.{last}"


def test_a_guest_reaches_the_server_behind_the_firewall(ursa: Host, tiny: Any) -> None:
    """By its public address, which only the firewall knows: the packet can have come by Avvanta alone."""
    assert tiny(ursa, WEB).fetch("http://206.124.146.177/").get("name") == "server"


@pytest.mark.parametrize("gateway", ["comcast", "avvanta"])
def test_a_published_port_answers_outside_through_both_gateways(station: Any, gateway: str) -> None:
    """An answer by the other gateway would come from another address, and the connection would never open."""
    entrance = station("comcast").addresses("wan")[0] if gateway == "comcast" else FIREWALL
    answer = station("client").fetch(f"http://{entrance}:8080/cgi-bin/index.cgi")
    assert answer.get("name", "").split(".")[0] == "web"
    assert answer.get("client") in station("client").addresses("eth0")


def test_a_guest_reaches_a_guest(ursa: Host, tiny: Any) -> None:
    answer = tiny(ursa, WEB).fetch(f"http://{UBUNTU}/cgi-bin/index.cgi")
    assert answer.get("client") == WEB


class TestFromTheWire:
    """What the network between Ursa and its gateways may and may not."""

    def test_management_reaches_ssh(self, station: Any) -> None:
        assert station("controller").connects(URSA, 22)

    def test_a_stranger_does_not(self, station: Any) -> None:
        (line,) = station("comcast").addresses("wan")
        assert not station("comcast").connects(URSA, 22, source=line)

    @pytest.mark.parametrize("port", [53, 111, 5900, 16509])
    def test_nothing_else_of_the_host_answers(self, station: Any, port: int) -> None:
        assert not station("controller").connects(URSA, port)

    def test_guests_are_out_of_reach(self, station: Any) -> None:
        station("controller").run("ip", "route", "replace", "192.168.0.0/24", "via", URSA)
        try:
            assert not station("controller").connects(WEB, 80)
        finally:
            station("controller").run("ip", "route", "del", "192.168.0.0/24")


def test_the_host_speaks_no_ipv6_to_its_guests(ursa: Host) -> None:
    policy = ursa.check_output("ip6tables -S INPUT")
    assert "-P INPUT DROP" in policy


def test_no_default_route_stands_beside_the_providers(ursa: Host) -> None:
    assert ursa.check_output("ip -4 route show default table main") == ""


def test_the_boot_does_not_wait_for_a_bridge_without_ports(ursa: Host) -> None:
    """Two minutes it would be; a real one is a matter of seconds, also on a slow machine."""
    times = "-p InactiveExitTimestampMonotonic -p ActiveEnterTimestampMonotonic"
    said = ursa.check_output(f"systemctl show {times} systemd-networkd-wait-online.service").splitlines()
    stamps = {key: int(value) for key, value in (line.split("=") for line in said)}
    began, ended = stamps["InactiveExitTimestampMonotonic"], stamps["ActiveEnterTimestampMonotonic"]
    assert 0 < began < ended < began + 60_000_000


def test_check_mode_predicts_nothing_on_the_finished_hosts(site_playbook: Any) -> None:
    assert site_playbook("playbooks/inventories/article", "--check", "--diff") == {"ursa": 0, "firewall": 0}
