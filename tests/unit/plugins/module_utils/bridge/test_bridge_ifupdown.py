# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A card that ifupdown configures is taken over."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._foreign import parse_ifupdown
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._ifupdown import (
    Ifupdown,
    Running,
    give_back_argv,
    without,
)

if TYPE_CHECKING:
    from .conftest import FakeHost

PATH = "/etc/network/interfaces"
TEXT = """\
# eth0 is our card
source /etc/network/interfaces.d/*
auto lo eth0   eth1
iface lo inet loopback

allow-hotplug eth0
iface eth0 inet static
\taddress 172.20.1.130/24
    # a comment in it
\tgateway 172.20.1.1
\tdns-nameservers 172.20.1.1 9.9.9.9

\tup echo \\
\t   auto eth1
iface eth0:1 inet static
    address 172.20.1.131/24

iface eth1 inet dhcp"""
WHY = "# ursa.kvmnet: eth0 is configured by systemd-networkd, /etc/systemd/network/50-kvmnet-eth0.network"
TAKEN = f"""\
# eth0 is our card
source /etc/network/interfaces.d/*
{WHY}
#auto lo eth0   eth1
auto lo eth1
iface lo inet loopback

{WHY}
#allow-hotplug eth0
#iface eth0 inet static
#\taddress 172.20.1.130/24
    # a comment in it
#\tgateway 172.20.1.1
#\tdns-nameservers 172.20.1.1 9.9.9.9

#\tup echo \\
#\t   auto eth1
#iface eth0:1 inet static
#    address 172.20.1.131/24

iface eth1 inet dhcp"""
UPLINK: dict[str, Any] = {
    "interface": "eth0",
    "manage": True,
    "addresses": ["172.20.1.130/24"],
    "gateway": "172.20.1.1",
}
PORT: dict[str, Any] = {"name": "eth0", "bridge": "br1", "type": "interface"}


@pytest.fixture(name="old")
def fixture_old(host: FakeHost) -> FakeHost:
    """The host as Debian's installer leaves it."""
    return ifupdown(host, TEXT)


def ifupdown(host: FakeHost, text: str) -> FakeHost:
    host.files = {}
    host.claims = parse_ifupdown(PATH, text)
    routes = (("4", "default via 172.20.1.1 onlink"),)
    host.ifupdown = Ifupdown({PATH: text}, {"eth0": Running(("eth0=eth0",), routes, (("/proc/x", "1"),))})
    return host


def test_all_but_the_interface_is_left_as_it_was_byte_for_byte() -> None:
    assert without(TEXT, "eth0") == TAKEN
    assert without(TAKEN, "eth0") == TAKEN
    assert without(TEXT, "eth2") == TEXT
    assert [claim.interface for claim in parse_ifupdown(PATH, TAKEN)] == ["eth1"]
    assert without("iface eth0 inet dhcp\n", "eth0") == f"{WHY}\n#iface eth0 inet dhcp\n"


def test_a_managed_uplink_is_taken_over_and_says_so(old: FakeHost) -> None:
    out = old.links_of(None, [UPLINK])
    assert out.problems == []
    assert out.taken == ["eth0"]
    said = out.plan.lines()
    assert f"what says otherwise is commented out: {PATH} line 7, {PATH} line 15" in said[0]
    assert "configured by: ifupdown -> systemd-networkd" in said[1]
    assert out.warnings == [f"uplinks[0]: ifupdown no longer runs 'up echo auto eth1' ({PATH} line 13) for eth0"]
    assert "DNS=172.20.1.1\nDNS=9.9.9.9\n" in str(out.files["/etc/systemd/network/50-kvmnet-eth0.network"])


def test_it_is_released_before_networkd_has_it_and_given_back_after_that_let_it_go(old: FakeHost) -> None:
    steps = {key: (order, args) for _kind, key, order, args in old.links_of(None, [UPLINK]).steps}
    (release, first), (back, last) = steps["release eth0"], steps["give eth0 back"]
    assert release < steps["networkd"][0] < back
    assert (first["argv"][-1], first["undo"]) == ("eth0", [])
    assert last["argv"] == []
    assert last["undo"][4:] == [
        *("eth0", "static", "eth0=eth0", "--", "/proc/x=1", "--"),
        "address replace 172.20.1.130/24 broadcast + dev eth0",
        "-4 route replace default via 172.20.1.1 onlink dev eth0",
    ]


@pytest.mark.parametrize("there", [True, False])
def test_it_is_given_back_whether_or_not_ifupdown_has_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    network = tmp_path / "network"
    if there:
        network.mkdir()
        (network / "ifstate").write_text("lo=lo\n")
    program = tmp_path / "ip"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    running = Running(state=("eth0=eth0",), routes=(("4", "default via 172.20.1.1"),))
    argv = give_back_argv("eth0", [], ("172.20.1.130/24",), running)
    here = [word.replace("/run/network", str(network)) for word in argv]
    subprocess.run(here, check=True, capture_output=True, timeout=60)
    assert (network / "ifstate").read_text().splitlines() == [*(["lo=lo"] if there else []), "eth0=eth0"]
    assert (network / "ifstate.eth0").read_text() == "eth0\n"
    assert (tmp_path / "asked").read_text().splitlines() == [
        "link set dev eth0 nomaster up",
        "address replace 172.20.1.130/24 broadcast + dev eth0",
        "-4 route replace default via 172.20.1.1 dev eth0",
    ]


def test_an_address_that_is_not_wanted_goes(old: FakeHost) -> None:
    out = old.links_of(None, [{**UPLINK, "addresses": ["172.20.1.140/24"]}])
    (lines,) = [args["lines"] for kind, _key, _order, args in out.steps if kind == "ip"]
    assert "address flush dev eth0 to 172.20.1.130" in lines


def test_an_address_by_dhcp_is_asked_for_anew(host: FakeHost) -> None:
    old = ifupdown(host, "auto eth0\niface eth0 inet dhcp\n")
    (back,) = [
        args["undo"] for _kind, key, _order, args in old.links_of(None, [UPLINK]).steps if key.startswith("give")
    ]
    assert back[5] == "dhcp"
    assert not any("address replace" in word for word in back[6:])


def test_a_port_is_taken_over_and_its_bridge_keeps_the_name_servers(old: FakeHost) -> None:
    bridged = old.links_of([{"name": "br1"}], [{**UPLINK, "interface": "br1"}])
    assert bridged.problems == []
    assert "DNS=9.9.9.9\n" in str(bridged.files["/etc/systemd/network/50-kvmnet-br1.network"])
    out = old.ports_of([PORT], staged={"/etc/systemd/network/50-kvmnet-br1.netdev": "[NetDev]\n"})
    assert (out.problems, out.taken) == ([], ["eth0"])
    (lines,) = [args["lines"] for kind, _key, _order, args in out.steps if kind == "ip"]
    assert "address flush dev eth0 scope global" in lines


@pytest.mark.parametrize("named", ["bridge_ports none", "wpa-ssid home", "bond-master bond0", "vlan-raw-device eth1"])
def test_what_networkd_would_not_do_in_its_place_is_refused_with_its_line(host: FakeHost, named: str) -> None:
    old = ifupdown(host, f"iface eth0 inet static\n address 172.20.1.130/24\n {named}\n")
    (problem,) = old.links_of(None, [UPLINK]).problems
    assert f"{PATH} line 3 says '{named}'" in str(problem)


def test_a_method_of_ifupdowns_own_is_refused_with_its_line(host: FakeHost) -> None:
    (problem,) = ifupdown(host, "iface eth0 inet ppp\n provider isp\n").links_of(None, [UPLINK]).problems
    assert f"{PATH} line 1 says 'iface eth0 inet ppp'" in str(problem)


def test_one_that_is_only_compared_is_left_to_ifupdown(old: FakeHost) -> None:
    out = old.links_of(None, [{**UPLINK, "manage": False}])
    assert (out.problems, out.taken, out.steps) == ([], [], [])


def test_a_bridge_of_its_name_is_refused(host: FakeHost) -> None:
    old = ifupdown(host, "iface br0 inet static\n address 10.0.0.1/24\n")
    (problem,) = old.links_of([{"name": "br0"}]).problems
    assert f"{PATH} line 1" in str(problem)
