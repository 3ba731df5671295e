# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One inventory, two versions of IP: what one lets pass, drops or rejects, the other does too."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

SITES = ("old", "new")
OPEN, ANSWERED, REJECTED, DROPPED = "open", "answered", "rejected", "dropped"
EVERYWHERE = [(site, version) for site in SITES for version in (4, 6)]
LISTENING = 8081


@pytest.fixture(scope="module", autouse=True)
def _listeners(packets: Any) -> Iterator[None]:
    units = [f"kvmnet-listener{version}" for version in (4, 6)]
    for host in packets.hosts.values():
        for unit in units:
            listen = f"nc -{unit[-1]} -l -k {LISTENING}"
            host.check_output(f"systemd-run --quiet --collect --unit={unit} {listen}")
    yield
    for host in packets.hosts.values():
        host.check_output(f"systemctl stop {' '.join(units)}")


def everywhere(question: Callable[[str, int], str]) -> dict[tuple[str, int], str]:
    """Ask on both sites and of both versions at once."""
    with ThreadPoolExecutor(len(EVERYWHERE)) as crowd:
        return dict(zip(EVERYWHERE, crowd.map(lambda one: question(*one), EVERYWHERE), strict=True))


@pytest.mark.parametrize(("name", "suite"), [("old", "bookworm"), ("new", "trixie")])
def test_release(packets: Any, name: str, suite: str) -> None:
    assert packets.hosts[name].check_output(". /etc/os-release; echo $VERSION_CODENAME") == suite


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("unit", ["shorewall", "shorewall6"])
def test_both_firewalls_run_and_start_at_boot(packets: Any, site: str, unit: str) -> None:
    service = packets.hosts[site].service(unit)
    assert (service.is_running, service.is_enabled) == (True, True)


@pytest.mark.parametrize("site", SITES)
def test_zones_and_policies_are_the_same(packets: Any, site: str) -> None:
    def rows(path: str) -> list[list[str]]:
        text = packets.hosts[site].check_output(f"cat {path}").replace("ipv6", "ipv4")
        return [line.split() for line in text.splitlines() if line.strip() and line[0] not in "#?"]

    for name in ("zones", "policy"):
        four, six = rows(f"/etc/shorewall/{name}"), rows(f"/etc/shorewall6/{name}")
        assert four == six
        assert len(four) > 3


@pytest.mark.parametrize(
    ("start", "place", "port", "end"),
    [
        ("controller", "host", 22, OPEN),
        ("client", "host", 22, DROPPED),
        ("client", "host", LISTENING, DROPPED),
        ("client", "published", 25, OPEN),
        ("isp", "host", 22, DROPPED),
        ("desk", "gate", 53, OPEN),
        ("desk", "gate", LISTENING, REJECTED),
        ("desk", "gate", 22, REJECTED),
        ("desk", "server", 22, OPEN),
        ("desk", "server", 80, REJECTED),
        ("desk", "somewhere", 80, OPEN),
        ("desk", "hidden", 80, REJECTED),
        ("hidden", "somewhere", 25, OPEN),
        ("hidden", "server", 22, REJECTED),
        ("server", "somewhere", 80, REJECTED),
        ("server", "dmzgate", 22, REJECTED),
        ("host", "somewhere", 80, REJECTED),
        ("host", "server", 22, REJECTED),
    ],
)
def test_connections(packets: Any, start: str, place: str, port: int, end: str) -> None:
    found = everywhere(lambda *where: packets.knock(start, where[0], packets.address(place, *where), port))
    assert found == dict.fromkeys(EVERYWHERE, end)


@pytest.mark.parametrize(
    ("start", "place", "end"),
    [
        ("client", "host", DROPPED),
        ("client", "server", DROPPED),
        ("desk", "gate", ANSWERED),
        ("desk", "server", ANSWERED),
        ("desk", "somewhere", ANSWERED),
        ("server", "dmzgate", DROPPED),
        ("host", "stranger", ANSWERED),
    ],
)
def test_pings(packets: Any, start: str, place: str, end: str) -> None:
    """Echo requests are a matter of rules in IPv6 too, although other ICMPv6 is not."""
    found = everywhere(lambda *where: packets.ping(start, where[0], packets.address(place, *where)))
    assert found == dict.fromkeys(EVERYWHERE, end)


@pytest.mark.parametrize(
    ("start", "place", "says"), [("desk", "server", "gate"), ("server", "gate", "gate"), ("client", "host", "")]
)
def test_datagrams_are_rejected_by_the_firewall_and_by_nobody_else(
    packets: Any, start: str, place: str, says: str
) -> None:
    found = everywhere(lambda *where: packets.send(start, where[0], packets.address(place, *where)))
    assert found == {where: packets.address(says, *where) if says else DROPPED for where in EVERYWHERE}


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize(
    ("start", "leaves"),
    [("desk", ("host", "desk")), ("hidden", ("host", "host"))],
    ids=["public prefix", "unique local prefix"],
)
def test_only_addresses_that_mean_nothing_outside_are_hidden(
    packets: Any, site: str, start: str, leaves: tuple[str, str]
) -> None:
    for version in (4, 6):
        where = packets.address("somewhere", site, version)
        answer = packets.machine(start, site).fetch(f"http://[{where}]/" if version == 6 else f"http://{where}/")
        own = leaves[version == 6]
        expected = self_given(packets, site) if own == "desk" else packets.address(own, site, version)
        assert answer.get("client") == expected


def self_given(packets: Any, site: str) -> str:
    """Return the only global address that a workstation gave itself."""
    shown = json.loads(
        packets.machine("desk", site).run("ip", "-j", "-6", "address", "show", "eth0", "scope", "global").stdout
    )
    (address,) = [entry["local"] for entry in shown[-1]["addr_info"] if "local" in entry]
    return str(address)


@pytest.mark.parametrize("site", SITES)
def test_who_listens_to_the_router_has_an_address_and_a_way_out(packets: Any, site: str) -> None:
    desk = packets.machine("desk", site)
    assert self_given(packets, site).startswith(packets.address("gate", site, 6).removesuffix(":1"))
    (route,) = json.loads(desk.run("ip", "-j", "-6", "route", "show", "default").stdout)
    assert (route["protocol"], route["gateway"]) == ("ra", packets.link_local("desk", site, "br0").partition("%")[0])


@pytest.mark.parametrize("site", SITES)
def test_neighbours_find_each_other_anew(packets: Any, site: str) -> None:
    for machine in (packets.machine("controller", site), packets.machine("server", site)):
        machine.run("ip", "-6", "neigh", "flush", "all")
    packets.hosts[site].check_output("ip -6 neigh flush all")
    assert packets.knock("controller", site, packets.address("host", site, 6), 22) == OPEN
    assert packets.knock("desk", site, packets.address("server", site, 6), 22) == OPEN


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize(("start", "card"), [("isp", "eth0"), ("desk", "br0")])
def test_link_local_addresses_are_no_way_around(packets: Any, site: str, start: str, card: str) -> None:
    """What is rejected is silent here: the kernel knows no way back for a reset to such an address."""
    assert packets.knock(start, site, packets.link_local(start, site, card), 22) == DROPPED


@pytest.mark.parametrize("stranger", ["203.0.113.{}", "2001:db8:ffff::{}"])
def test_a_listed_address_may_more_than_others(packets: Any, stranger: str) -> None:
    version = 6 if ":" in stranger else 4
    for site in SITES:
        host = packets.address("host", site, version)
        found = [packets.knock("client", site, host, LISTENING, stranger.format(number)) for number in (10, 11, 12)]
        assert found == [DROPPED, DROPPED, OPEN]


@pytest.mark.parametrize("site", SITES)
def test_stopped_it_lets_in_those_who_manage_it_and_nobody_else(packets: Any, site: str) -> None:
    host, server = packets.address("host", site, 6), packets.address("server", site, 6)
    packets.hosts[site].check_output("systemctl stop shorewall6")
    try:
        assert packets.knock("controller", site, host, 22) == OPEN
        assert packets.knock("client", site, host, 22) == DROPPED
        assert packets.knock("isp", site, packets.link_local("isp", site, "eth0"), 22) == DROPPED
        assert packets.knock("desk", site, packets.link_local("desk", site, "br0"), 22) == DROPPED
        assert packets.knock("client", site, server, 25) == DROPPED
        assert packets.knock("desk", site, server, 22) == DROPPED
        assert packets.knock("desk", site, packets.address("server", site, 4), 22) == OPEN
    finally:
        packets.hosts[site].check_output("systemctl start shorewall6")
    assert packets.knock("client", site, server, 25) == OPEN
