# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Macvlans: made, kept, moved, removed, refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge import _macvlans, _model, _networkd, _state
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._foreign import Claim
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._kernel import Link, parse_links

from .test_bridge_links import ETH0, allowed, drift, kinds, lines

if TYPE_CHECKING:
    from .conftest import FakeHost

AVVANTA: dict[str, Any] = {
    "interface": "avvanta",
    "parent": "eth0",
    "addresses": ["172.20.1.131/24"],
    "gateway": "172.20.1.254",
    "table": 253,
    "optional": True,
    "source": "kvmnet_uplinks[1]",
}
BOTH = [ETH0, AVVANTA]


def text(host: FakeHost, name: str, suffix: str = "network") -> str:
    return host.files[f"/etc/systemd/network/50-kvmnet-{name}.{suffix}"]


class TestMaking:
    def test_is_made_once(self, host: FakeHost) -> None:
        out = host.links_of(None, BOTH)
        assert [(change.action, change.kind, change.name) for change in out.plan.changes] == [
            ("change", "uplink", "eth0"),
            ("create", "macvlan", "avvanta"),
        ]
        host.take(out)
        link = host.links["avvanta"]
        assert (link.kind, link.parent, link.addresses) == ("macvlan", "eth0", ("172.20.1.131/24",))
        assert "\nMACVLAN=avvanta\n" in text(host, "eth0")
        assert "Kind=macvlan\nMACAddress=52:54:" in text(host, "avvanta", "netdev")
        assert "Mode=bridge" in text(host, "avvanta", "netdev")
        assert "Gateway=172.20.1.254\nTable=253" in text(host, "avvanta")
        again = host.links_of(None, BOTH)
        assert (again.plan.changed, again.steps) == (False, [])

    def test_its_mac_is_that_of_the_host_and_its_name(self) -> None:
        def mac(machine: str, **changes: Any) -> str:
            (uplink,) = _model.normalise_links(None, [AVVANTA | changes], machine).uplinks or []
            return str(uplink.mac)

        assert mac("one") == mac("one", parent="eth7") != mac("two")
        assert mac("one", interface="other") != mac("one")
        assert mac("one", mac="02-00-00-00-00-0A") == "02:00:00:00:00:0a"

    def test_a_card_without_an_address_of_its_own_only_carries(self, host: FakeHost) -> None:
        out = host.links_of(None, [AVVANTA | {"addresses": ["172.20.1.130/24"]}])
        host.take(out)
        assert "\nAddress=" not in text(host, "eth0")
        assert "Gateway" not in text(host, "eth0")
        assert "MACVLAN=avvanta" in text(host, "eth0")
        assert "ConfigureWithoutCarrier=yes" in text(host, "eth0")
        assert not host.links_of(None, [AVVANTA | {"addresses": ["172.20.1.130/24"]}]).plan.changed
        # Nobody but us leads out of main now
        assert [route for route in host.routes if route.table == 254] == []

    def test_name_servers_go_along_when_the_card_has_no_address_any_more(self, host: FakeHost) -> None:
        host.files["/etc/systemd/network/80-wire-eth0.network"] += "DNS=203.0.113.53\n"
        assert "DNS=203.0.113.53" in text(host.take(host.links_of(None, [AVVANTA])), "avvanta")

    def test_name_servers_stay_where_the_address_stays(self, host: FakeHost) -> None:
        host.files["/etc/systemd/network/80-wire-eth0.network"] += "DNS=203.0.113.53\n"
        host.take(host.links_of(None, BOTH))
        assert ("\nDNS=" in text(host, "eth0"), "\nDNS=" in text(host, "avvanta")) == (True, False)

    def test_on_a_bridge_that_is_made_in_the_same_call(self, host: FakeHost) -> None:
        host.files, host.routes = {}, []
        wire = {"name": "br1"}
        uplinks = [AVVANTA | {"parent": "br1"}]
        host.take(host.links_of([wire], uplinks))
        assert host.links["avvanta"].parent == "br1"
        assert "MACVLAN=avvanta" in text(host, "br1")
        assert not host.links_of([wire], uplinks).plan.changed

    def test_on_a_bridge_that_is_an_uplink_itself(self, host: FakeHost) -> None:
        host.files, host.routes = {}, []
        call = ([{"name": "br1"}], [ETH0 | {"interface": "br1"}, AVVANTA | {"parent": "br1"}])
        host.take(host.links_of(*call))
        assert "MACVLAN=avvanta" in text(host, "br1")
        assert "Address=172.20.1.130/24" in text(host, "br1")
        assert not host.links_of(*call).plan.changed

    def test_of_a_stick_that_is_not_plugged_in(self, host: FakeHost) -> None:
        uplinks = [ETH0, AVVANTA | {"parent": "usb0"}]
        out = host.links_of(None, uplinks)
        assert out.warnings == [
            "kvmnet_uplinks[1]: this host has no interface usb0 now; avvanta is configured when it has"
        ]
        assert out.plan.changes[-1].note == "as soon as there is an interface usb0"
        host.take(out)
        again = host.links_of(None, uplinks)
        assert (again.plan.changed, len(again.warnings)) == (False, 1)
        host.links["usb0"] = Link("usb0", up=True, carrier=True)
        assert [change.name for change in host.links_of(None, uplinks).plan.changes] == ["avvanta"]


class TestDrift:
    @pytest.mark.parametrize(
        ("changes", "option"),
        [({"mac": "02:00:00:00:00:01"}, "mac"), ({"addresses": ()}, "addresses"), ({"up": False}, "up")],
    )
    def test_is_repaired_without_networkd(self, host: FakeHost, changes: dict[str, Any], option: str) -> None:
        host.take(host.links_of(None, BOTH))
        drift(host, "avvanta", **changes)
        out = host.links_of(None, BOTH)
        assert option in out.plan.changes[0].options
        assert "networkd networkd" not in kinds(out)
        assert not host.take(out).links_of(None, BOTH).plan.changed

    def test_one_that_was_deleted_is_made_again_without_touching_the_card(self, host: FakeHost) -> None:
        host.take(host.links_of(None, BOTH))
        del host.links["avvanta"]
        out = host.links_of(None, BOTH)
        assert [(change.action, change.name) for change in out.plan.changes] == [("create", "avvanta")]
        assert "command make avvanta" in kinds(out)
        assert "networkd networkd" not in kinds(out)
        assert not host.take(out).links_of(None, BOTH).plan.changed

    def test_one_on_another_card_is_made_anew(self, host: FakeHost) -> None:
        host.take(host.links_of(None, BOTH))
        moved = [ETH0, AVVANTA | {"parent": "eth1"}]
        out = host.links_of(None, moved)
        assert "command remove avvanta" in kinds(out)
        assert kinds(out).index("command remove avvanta") < kinds(out).index("command make avvanta")
        host.take(out)
        assert host.links["avvanta"].parent == "eth1"
        assert "MACVLAN" not in text(host, "eth0")
        assert not host.links_of(None, moved).plan.changed

    def test_another_mode_is_set_back(self, host: FakeHost) -> None:
        host.take(host.links_of(None, BOTH))
        drift(host, "avvanta", info={"mode": "private"}, up=False)
        assert "link set dev avvanta type macvlan mode bridge" in lines(host.links_of(None, BOTH))


class TestRemoving:
    @pytest.mark.parametrize("exclusive", [False, True])
    def test_goes_with_every_trace(self, host: FakeHost, exclusive: bool) -> None:
        host.take(host.links_of(None, BOTH))
        gone = [ETH0] if exclusive else [ETH0, {"interface": "avvanta", "state": "absent"}]
        out = host.links_of(None, gone, exclusive=exclusive)
        assert ("delete", "macvlan", "avvanta") in [(c.action, c.kind, c.name) for c in out.plan.changes]
        host.take(out)
        assert "avvanta" not in host.links
        assert [path for path in host.files if "avvanta" in path] == []
        assert "MACVLAN" not in text(host, "eth0")
        assert not host.links_of(None, gone, exclusive=exclusive).plan.changed

    def test_a_card_that_carried_it_only_is_given_back(self, host: FakeHost) -> None:
        host.take(host.links_of(None, [AVVANTA]))
        host.take(host.links_of(None, [], exclusive=True))
        assert sorted(host.files) == ["/etc/systemd/network/80-wire-eth0.network"]

    def test_one_of_somebody_else_stays(self, host: FakeHost) -> None:
        host.links["theirs"] = Link("theirs", kind="macvlan", parent="eth0")
        host.take(host.links_of(None, [ETH0], exclusive=True))
        assert "theirs" in host.links


class TestRefusals:
    def refused(self, host: FakeHost, *uplinks: dict[str, Any], bridges: Any = None) -> list[str]:
        out = host.links_of(bridges, list(uplinks))
        return allowed(out)

    def test_wireless(self, host: FakeHost) -> None:
        host.wireless = frozenset({"eth0"})
        (said,) = self.refused(host, *BOTH)
        assert said.startswith("kvmnet_uplinks[1].interface: 'eth0'")
        assert "a Wi-Fi station has one MAC only" in said

    def test_a_port_of_a_bridge(self, host: FakeHost) -> None:
        host.links["br1"] = Link("br1", kind="bridge")
        drift(host, "eth0", master="br1")
        said = self.refused(host, AVVANTA)
        assert any(
            line.startswith("kvmnet_uplinks[1].interface: 'eth0'") and "br1, the bridge" in line for line in said
        )

    def test_a_name_that_is_taken(self, host: FakeHost) -> None:
        host.links["avvanta"] = Link("avvanta", kind="dummy")
        (said,) = self.refused(host, *BOTH)
        assert said.startswith("kvmnet_uplinks[1].name: 'avvanta'")
        assert "a dummy" in said

    def test_no_such_card(self, host: FakeHost) -> None:
        said = self.refused(host, AVVANTA | {"parent": "eth9", "optional": False})
        assert any("kvmnet_uplinks[1].interface: 'eth9'" in line and "eth0, eth1" in line for line in said)

    def test_a_gateway_that_is_the_host(self, host: FakeHost) -> None:
        host.links["eth1"] = replace(host.links["eth1"], addresses=("172.20.1.254/24",))
        (said,) = self.refused(host, *BOTH)
        assert said.startswith("kvmnet_uplinks[1].gateway: '172.20.1.254'")
        assert "eth1 of this host" in said

    def test_a_card_that_is_not_ours(self, host: FakeHost) -> None:
        said = self.refused(host, ETH0 | {"manage": False}, AVVANTA)
        assert any(line.startswith("uplinks[0].manage") and "eth0 carries avvanta" in line for line in said)

    def test_a_card_that_somebody_else_configures(self, host: FakeHost) -> None:
        host.claims = [Claim("NetworkManager", "/etc/NetworkManager/x", 3, "method=auto", "eth0")]
        said = self.refused(host, AVVANTA)
        assert any("NetworkManager: /etc/NetworkManager/x line 3" in line for line in said)

    @pytest.mark.parametrize(
        ("changes", "place"),
        [
            ({"interface": "a" * 16}, "kvmnet_uplinks[1].name"),
            ({"parent": "a b"}, "kvmnet_uplinks[1].interface"),
            ({"parent": "avvanta"}, "kvmnet_uplinks[1].interface"),
            ({"mac": "01:00:00:00:00:01"}, "kvmnet_uplinks[1].mac"),
            ({"addresses": []}, "kvmnet_uplinks[1].address"),
            ({"parent": None, "mac": "02:00:00:00:00:01"}, "kvmnet_uplinks[1].mac"),
        ],
    )
    def test_values(self, changes: dict[str, Any], place: str) -> None:
        wanted = _model.normalise_links(None, [AVVANTA | changes], "machine")
        assert place in [problem.place() for problem in wanted.problems]


class TestArp:
    def plan(self, uplinks: list[dict[str, Any]] | None, values: dict[str, int], text: str | None) -> _state.Outcome:
        out = _state.Outcome()
        wanted = _model.normalise_links(None, uplinks, "machine")
        _macvlans.plan_arp(wanted.uplinks, _macvlans.Arp(values, text), out)
        return out

    def test_each_interface_answers_for_its_own_addresses(self) -> None:
        out = self.plan(BOTH, {"net/ipv4/conf/all/arp_announce": 0}, None)
        text = out.files[_macvlans.ARP_PATH] or ""
        assert "-net/ipv4/conf/all/arp_announce = 2\n" in text
        assert "-net/ipv4/conf/avvanta/arp_ignore = 1\n" in text
        assert out.plan.changes[0].options == {"all/arp_announce": (0, 2)}
        assert self.plan(BOTH, {"net/ipv4/conf/all/arp_announce": 2}, text).plan.changed is False

    def test_strict_filtering_is_turned_off(self) -> None:
        text = self.plan(BOTH, {}, None).files[_macvlans.ARP_PATH]
        out = self.plan(BOTH, {"net/ipv4/conf/all/rp_filter": 1, "net/ipv4/conf/eth0/rp_filter": 0}, text)
        assert out.plan.changes[0].options == {"all/rp_filter": (1, 0)}
        assert [kind for kind, _key, _order, _args in out.steps] == ["sysctl"]

    def test_goes_with_the_last_one(self) -> None:
        assert self.plan([ETH0], {}, "old").files == {_macvlans.ARP_PATH: None}
        assert self.plan([ETH0], {}, None).files == {}
        assert self.plan(None, {}, "old").files == {}


def test_the_kernel_says_what_a_macvlan_stands_on() -> None:
    said = {"ifname": "isp2", "link": "eth0", "linkinfo": {"info_kind": "macvlan", "info_data": {"mode": "bridge"}}}
    link = parse_links([said])["isp2"]
    assert (link.kind, link.parent, link.info["mode"]) == ("macvlan", "eth0", "bridge")


def test_a_file_of_ours_says_what_it_is() -> None:
    assert _networkd.owner("# ursa.kvmnet macvlan: written by Ansible") == "macvlan"
