# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge import _settings, _state
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._foreign import Claim
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._kernel import DefaultRoute, Link
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._family import IPV4, IPV6

if TYPE_CHECKING:
    from .conftest import FakeHost

BR0: dict[str, Any] = {"name": "br0", "addresses": ["192.168.0.254/24"]}
ETH0: dict[str, Any] = {
    "interface": "eth0",
    "manage": True,
    "addresses": ["172.20.1.130/24"],
    "gateway": "172.20.1.1",
    "table": 253,
}


def lines(out: _state.Outcome) -> list[str]:
    """Return what would be run by ip."""
    return [line for kind, _key, _order, args in out.steps if kind == "ip" for line in args["lines"]]


def kinds(out: _state.Outcome) -> list[str]:
    return [f"{kind} {key}" for kind, key, _order, _args in sorted(out.steps, key=lambda step: step[2])]


def allowed(out: _state.Outcome) -> list[str]:
    return [str(problem) for problem in out.problems]


def drift(host: FakeHost, name: str, **changes: Any) -> None:
    """Change a link behind our back."""
    host.links[name] = replace(host.links[name], **changes)


class TestBridges:
    def test_is_made_once(self, host: FakeHost) -> None:
        out = host.links_of([BR0])
        assert out.plan.lines()[:2] == ["+ bridge br0: create", "    addresses: [192.168.0.254/24]"]
        host.take(out)
        assert host.links["br0"].addresses == ("192.168.0.254/24",)
        again = host.links_of([BR0])
        assert (again.plan.changed, again.steps) == (False, [])

    @pytest.mark.parametrize(
        ("changes", "option"),
        [
            ({"addresses": ()}, "addresses"),
            ({"mac": "02:00:00:00:00:01"}, "mac"),
            ({"up": False}, "up"),
            ({"info": {"stp_state": 1, "forward_delay": 200}}, "stp"),
        ],
    )
    def test_drift_is_seen_and_repaired_without_networkd(
        self, host: FakeHost, changes: dict[str, Any], option: str
    ) -> None:
        host.take(host.links_of([BR0]))
        drift(host, "br0", **changes)
        out = host.links_of([BR0])
        assert option in out.plan.changes[0].options
        assert kinds(out) == ["ip ip"]
        assert not host.take(out).links_of([BR0]).plan.changed

    def test_one_that_was_deleted_is_made_again_and_its_ports_find_it(self, host: FakeHost) -> None:
        host.take(host.links_of([BR0]))
        host.take(host.ports_of([{"name": "tap-a", "bridge": "br0"}]))
        del host.links["br0"]
        out = host.links_of([BR0])
        # Read again, networkd would tie the ports to the bridge that is gone.
        assert kinds(out) == ["networkd networkd", "networkd networkd anew", "ip ip"]
        host.take(out)
        assert not host.links_of([BR0]).plan.changed

    def test_options_of_a_live_bridge_are_changed_by_ip(self, host: FakeHost) -> None:
        host.take(host.links_of([BR0]))
        entry = {**BR0, "stp": True, "priority": 4096, "mtu": 9000}
        out = host.links_of([entry])
        assert "link set dev br0 type bridge forward_delay 1500 priority 4096" in lines(out)
        assert "link set dev br0 mtu 9000" in lines(out)
        # The delay first, STP then: the kernel refuses STP's delay of 0.
        assert lines(out).index("link set dev br0 type bridge stp_state 1") > 0
        host.take(out)
        back = host.links_of([BR0])
        assert lines(back)[0] == "link set dev br0 type bridge stp_state 0"
        assert "link set dev br0 mtu 1500" in lines(back)

    def test_a_file_that_differs_is_a_change_in_the_users_terms(self, host: FakeHost) -> None:
        host.take(host.links_of([BR0]))
        path = "/etc/systemd/network/50-kvmnet-br0.network"
        host.files[path] = host.files[path].replace("LLMNR=no\n", "")
        out = host.links_of([BR0])
        assert out.plan.changes[0].options == {"Network.LLMNR": (None, "no")}
        assert kinds(out) == ["networkd networkd"]

    def test_one_made_by_hand_is_made_to_last(self, host: FakeHost) -> None:
        host.take(host.links_of([BR0]))
        host.files = {}
        assert host.links_of([BR0]).plan.changes[0].options == {"persistent": (False, True)}

    def test_somebody_elses_address_is_left_alone(self, host: FakeHost) -> None:
        host.take(host.links_of([BR0]))
        drift(host, "br0", addresses=("192.168.0.254/24", "192.168.0.253/24"))
        assert not host.links_of([BR0]).plan.changed

    def test_an_address_of_ours_that_goes_is_named(self, host: FakeHost) -> None:
        host.take(host.links_of([{**BR0, "addresses": ["192.168.0.254/24", "10.0.0.1/24"]}]))
        (change,) = host.links_of([BR0]).plan.changes
        assert change.options == {"addresses": (["192.168.0.254/24", "10.0.0.1/24"], ["192.168.0.254/24"])}

    def test_exclusive_removes_ours_only(self, host: FakeHost) -> None:
        host.take(host.links_of([BR0, {"name": "br1"}]))
        host.links["virbr0"] = Link("virbr0", kind="bridge")
        host.files["/etc/systemd/network/50-kvmnet-mine.network"] = "[Match]\nName=mine\n"
        assert not host.links_of([BR0]).plan.changed
        out = host.links_of([BR0], exclusive=True)
        assert out.plan.lines() == ["- bridge br1: delete"]
        assert kinds(out) == ["networkd networkd", "ip ip"]
        host.take(out)
        assert "br1" not in host.links
        assert "virbr0" in host.links
        assert "/etc/systemd/network/50-kvmnet-mine.network" in host.files
        assert not host.links_of([BR0], exclusive=True).plan.changed

    def test_a_list_that_is_not_given_is_left_alone_even_when_exclusive(self, host: FakeHost) -> None:
        host.take(host.links_of([BR0], [ETH0]))
        assert not host.links_of(None, None, exclusive=True).plan.changed
        assert host.links_of(None, [], exclusive=True).plan.lines() == ["- uplink eth0: delete"]

    def test_absent_removes_and_is_content_with_nothing(self, host: FakeHost) -> None:
        host.take(host.links_of([BR0]))
        gone = [{"name": "br0", "state": "absent"}]
        host.take(host.links_of(gone))
        assert "br0" not in host.links
        assert not host.links_of(gone).plan.changed

    def test_networkd_is_enabled_when_it_is_not(self, host: FakeHost) -> None:
        host.enabled = False
        host.take(host.links_of([BR0]))
        assert host.enabled
        assert not host.links_of([BR0]).plan.changed

    def test_a_name_that_something_else_has_is_refused(self, host: FakeHost) -> None:
        host.links["br0"] = Link("br0", kind="veth")
        assert "here it is a veth" in allowed(host.links_of([BR0]))[0]

    def test_a_bridge_of_ifupdown_is_refused_with_its_line(self, host: FakeHost) -> None:
        host.claims = [Claim("ifupdown", "/etc/network/interfaces", 9, "iface br0 inet static", "br0")]
        assert "/etc/network/interfaces line 9" in allowed(host.links_of([BR0]))[0]


class TestUplinks:
    def test_is_taken_over_beside_others(self, host: FakeHost) -> None:
        out = host.links_of(None, [ETH0])
        assert out.plan.lines() == ["~ uplink eth0: change", "    table: 254 -> 253"]
        assert kinds(out) == ["networkd networkd", "command wait for eth0", "ip ip"]
        host.take(out)
        assert host.routes == [DefaultRoute("eth0", "172.20.1.1", 253)]
        again = host.links_of(None, [ETH0])
        assert (again.plan.changed, again.steps) == (False, [])

    def test_keeps_the_name_servers_of_the_file_it_replaces(self, host: FakeHost) -> None:
        host.files["/etc/systemd/network/80-wire-eth0.network"] += "DNS=192.0.2.53 192.0.2.54\nDNS=192.0.2.55\n"
        host.take(host.links_of(None, [ETH0]))
        text = host.files["/etc/systemd/network/50-kvmnet-eth0.network"]
        assert [line for line in text.splitlines() if line.startswith("DNS=")] == [
            "DNS=192.0.2.53",
            "DNS=192.0.2.54",
            "DNS=192.0.2.55",
        ]
        del host.files["/etc/systemd/network/80-wire-eth0.network"]
        assert not host.links_of(None, [ETH0]).plan.changed, "then they are in ours"

    def test_shorewalls_tables_are_filled_again(self, host: FakeHost) -> None:
        host.firewalls = (IPV4, IPV6)
        out = host.links_of(None, [ETH0])
        found = [(key, order, args) for kind, key, order, args in out.steps if kind == "shorewall"]
        assert found == [("shorewall", 60, {"routing": True}), ("shorewall6", 59, {"routing": True})]

    def test_a_default_route_in_main_that_came_back_is_removed(self, host: FakeHost) -> None:
        host.take(host.links_of(None, [ETH0]))
        host.routes.append(DefaultRoute("eth0", "172.20.1.254", 254))
        out = host.links_of(None, [ETH0])
        assert out.plan.lines() == ["~ uplink eth0: change", "    table: 254 -> 253"]
        assert kinds(out) == ["ip ip"]
        assert not host.take(out).links_of(None, [ETH0]).plan.changed

    def test_what_shorewall_does_to_the_table_beside_main_is_its_own_affair(self, host: FakeHost) -> None:
        host.take(host.links_of(None, [ETH0]))
        host.routes = [DefaultRoute("eth0", "172.20.1.254", 1)]
        assert not host.links_of(None, [ETH0]).plan.changed

    def test_an_address_and_the_only_default_route_that_were_lost_come_back(self, host: FakeHost) -> None:
        only = {**ETH0, "table": 254}
        host.take(host.links_of(None, [only]))
        drift(host, "eth0", addresses=())
        host.routes = []
        out = host.links_of(None, [only])
        assert out.plan.changes[0].options == {
            "addresses": ([], ["172.20.1.130/24"]),
            "gateway": (None, "172.20.1.1"),
            "table": (None, 254),
        }
        assert not host.take(out).links_of(None, [only]).plan.changed

    def test_one_that_is_not_managed_is_never_written(self, host: FakeHost) -> None:
        out = host.links_of(None, [{**ETH0, "manage": False, "table": 254}], exclusive=True)
        assert (out.plan.changed, out.files, out.problems, out.warnings) == (False, {}, [], [])

    @pytest.mark.parametrize(
        ("entry", "problem", "warning"),
        [
            ({"addresses": ["172.20.1.9/24"]}, "what eth0 has (172.20.1.130/24)", ""),
            ({"gateway": "172.20.1.254"}, "", "goes by 172.20.1.1, not by 172.20.1.254"),
            ({"interface": "eth7"}, "", "no interface eth7 now; it has eth0, eth1"),
            ({"interface": "eth1"}, "", "eth1 has no address now"),
        ],
    )
    def test_one_that_is_not_managed_is_compared(
        self, host: FakeHost, entry: dict[str, Any], problem: str, warning: str
    ) -> None:
        out = host.links_of(None, [{**ETH0, "manage": False, "table": 254, **entry}])
        assert problem in "".join(allowed(out))
        assert warning in "".join(out.warnings)
        assert bool(out.problems) == bool(problem)

    def test_a_default_route_in_main_beside_others_is_refused_naming_its_line(self, host: FakeHost) -> None:
        uplinks = [{**ETH0, "manage": False, "source": "kvmnet_uplinks[0]"}, {"interface": "eth1", "table": 253}]
        (said,) = allowed(host.links_of(None, uplinks))
        assert said.startswith("kvmnet_uplinks[0].manage: 'false' is wrong")
        assert "/etc/systemd/network/80-wire-eth0.network line 4 says 'Gateway=172.20.1.1'" in said

    def test_so_is_one_of_an_interface_that_is_no_uplink_and_one_that_no_file_explains(self, host: FakeHost) -> None:
        host.claims = [Claim("ifupdown", "/etc/network/interfaces", 3, "gateway 10.0.0.1", "mgmt0", default_route=True)]
        host.routes = [DefaultRoute("eth1", "10.1.0.1", 254), DefaultRoute("mgmt0", "10.0.0.1", 254)]
        found = allowed(host.links_of(None, [ETH0]))
        assert [said.split(":")[0] for said in found] == ["interface", "route"]
        assert "line 3" in found[0]
        assert "default via 10.1.0.1 dev eth1" in found[1]

    def test_so_is_the_one_that_comes_back_when_our_file_goes(self, host: FakeHost) -> None:
        host.take(host.links_of(None, [ETH0]))
        assert len(host.links_of(None, [{**ETH0, "manage": False}], exclusive=True).problems) == 1

    def test_one_uplink_alone_may_have_its_route_in_main(self, host: FakeHost) -> None:
        assert allowed(host.links_of(None, [{**ETH0, "manage": False, "table": 254}])) == []

    def test_a_file_of_networkd_that_wins_over_ours_is_refused(self, host: FakeHost) -> None:
        host.files["/run/systemd/network/10-netplan-eth0.network"] = "[Match]\nName=eth0\n"
        (said,) = allowed(host.links_of(None, [ETH0]))
        assert "/run/systemd/network/10-netplan-eth0.network line 2" in said

    def test_an_interface_that_is_not_there_is_refused_with_those_that_are(self, host: FakeHost) -> None:
        (said,) = allowed(host.links_of(None, [{**ETH0, "interface": "eth9", "table": 254}]))
        assert said.endswith("an interface of this host: eth0, eth1")

    def test_the_only_card_can_be_the_bridges_port_and_the_bridge_the_uplink(self, host: FakeHost) -> None:
        uplink = {**ETH0, "interface": "br0", "table": 254}
        out = host.links_of([{"name": "br0"}], [uplink], exclusive=True)
        host.take(out)
        assert host.links["br0"].addresses == ("172.20.1.130/24",)
        assert DefaultRoute("br0", "172.20.1.1", 254) in host.routes
        assert not host.links_of([{"name": "br0"}], [uplink], exclusive=True).plan.changed

    def test_a_bridge_takes_the_mac_of_the_card_over_with_its_address(self, host: FakeHost) -> None:
        """Neighbours go on sending to the MAC address that they know."""
        host.links["eth0"] = replace(host.links["eth0"], mac="02:00:00:00:00:0e")
        uplink = {**ETH0, "interface": "br0", "table": 254}
        host.take(host.links_of([{"name": "br0"}], [uplink]))
        assert host.links["br0"].mac == "02:00:00:00:00:0e"
        host.links["eth0"] = replace(host.links["eth0"], mac="02:00:00:00:00:0f", addresses=())
        assert not host.links_of([{"name": "br0"}], [uplink]).plan.changed, "it stays when the card is exchanged"
        (given,) = host.links_of([{"name": "br0", "mac": "02:00:00:00:00:11"}], [uplink]).plan.changes
        assert given.options["mac"] == ("02:00:00:00:00:0e", "02:00:00:00:00:11")

    def test_it_takes_the_mac_of_the_card_with_the_lease_over_as_well(self, host: FakeHost) -> None:
        """A server that goes by it would lease another address, or none."""
        card = Link("eth0", up=True, mac="02:00:00:00:00:0e", addresses=("172.20.1.130/24",))
        host.links["eth0"] = card
        uplink = {"interface": "br0", "addresses": ["dhcp"], "gateway": "dhcp", "table": 254, "manage": True}
        host.take(host.links_of([{"name": "br0"}], [uplink]))
        assert host.links["br0"].mac == "02:00:00:00:00:0e"

    def test_a_lease_that_may_be_another_ones_is_left_to_its_card(self, host: FakeHost) -> None:
        card = Link("eth0", up=True, mac="02:00:00:00:00:0e", addresses=("172.20.1.130/24",))
        uplink = {"interface": "br0", "addresses": ["dhcp"], "gateway": "dhcp", "table": 254, "manage": True}
        host.links["eth0"] = card
        host.links["eth1"] = replace(card, name="eth1", mac="02:00:00:00:00:0f")
        host.routes.append(DefaultRoute("eth1", "172.20.2.1", 253))
        assert host.links_of([{"name": "br0"}], [uplink]).plan.changes[0].options["mac"][1].startswith("52:54:")
        other = {"interface": "eth1", "addresses": ["dhcp"], "gateway": "dhcp", "table": 253, "manage": False}
        out = host.links_of([{"name": "br0"}], [{**uplink, "table": 1}, other])
        assert out.plan.changes[0].options["mac"][1] == "02:00:00:00:00:0e"

    @pytest.mark.parametrize("leased", [False, True])
    def test_the_way_out_of_the_card_that_becomes_its_port_goes_with_it(self, host: FakeHost, leased: bool) -> None:
        """So it is no way out beside those of several uplinks."""
        given = {"addresses": ["dhcp"], "gateway": "dhcp"} if leased else {}
        other = {"interface": "eth1", "addresses": ["198.51.100.2/24"], "gateway": "198.51.100.1", "table": 2}
        wanted = [{**ETH0, "interface": "br0", **given}, {**other, "manage": True}]
        assert allowed(host.links_of([{"name": "br0"}], wanted)) == []
        assert len(allowed(host.links_of([], wanted[1:]))) == 1, "it leads out beside the other one"

    def test_so_does_one_that_is_no_uplink(self, host: FakeHost) -> None:
        bridge = {"name": "br1", "addresses": ["172.20.1.130/24"]}
        host.links["eth0"] = replace(host.links["eth0"], mac="02:00:00:00:00:0e")
        host.take(host.links_of([bridge]))
        assert host.links["br1"].mac == "02:00:00:00:00:0e"
        host.links["eth0"] = replace(host.links["eth0"], addresses=())
        assert not host.links_of([bridge]).plan.changed, "the address is the bridge's own now"
        (given,) = host.links_of([{**bridge, "mac": "02:00:00:00:00:11"}]).plan.changes
        assert given.options["mac"] == ("02:00:00:00:00:0e", "02:00:00:00:00:11")

    def test_one_with_the_mac_of_a_card_that_is_gone_gets_its_own(self, host: FakeHost) -> None:
        bridge = {"name": "br1", "addresses": ["172.20.1.130/24"]}
        host.links["eth0"] = replace(host.links["eth0"], mac="02:00:00:00:00:0e")
        host.take(host.links_of([bridge]))
        host.links["eth0"] = replace(host.links["eth0"], mac="02:00:00:00:00:0f", addresses=())
        host.take(host.links_of([bridge]))
        assert host.links["br1"].mac.startswith("52:54:")
        assert not host.links_of([bridge]).plan.changed

    def test_one_whose_address_no_card_has_gets_its_own_mac(self, host: FakeHost) -> None:
        host.links["eth0"] = replace(host.links["eth0"], mac="02:00:00:00:00:0e")
        host.take(host.links_of([BR0]))
        assert host.links["br0"].mac.startswith("52:54:")
        assert not host.links_of([BR0]).plan.changed

    def test_an_address_that_is_taken_over_is_not_asked_after_for_duplicates(self, host: FakeHost) -> None:
        """As after the next boot; networkd leaves it as it finds it."""
        addresses = ["172.20.1.130/24", "2001:db8::130/64", "2001:db8::131/64"]
        found = replace(host.links["eth0"], addresses=tuple(addresses), nodad=(addresses[2],))
        host.links["eth0"] = found
        argv = ["ip", "address", "replace", addresses[1], "dev", "eth0"]
        commands = [step for step in host.links_of(None, [{**ETH0, "addresses": addresses}]).steps if "undo" in step[3]]
        (kept,) = commands
        assert kept[2] < _state.ORDER_NETWORKD
        assert kept[3] == {"argv": [*argv, "nodad"], "undo": argv}

        host.links["br7"] = replace(found, name="br7", kind="bridge")
        bridged = host.links_of([{"name": "br7", "addresses": addresses}])
        (kept,) = (step for step in bridged.steps if "undo" in step[3])
        assert kept[3]["argv"] == ["ip", "address", "replace", addresses[1], "dev", "br7", "nodad"]

    def test_what_is_wrong_by_itself_and_on_this_host_is_said_together(self, host: FakeHost) -> None:
        out = host.links_of([{**BR0, "mtu": 1}], [{**ETH0, "interface": "eth9", "table": 254}])
        assert len(out.problems) == 2


class TestSettings:
    def netfilter(self, out: _state.Outcome, **changes: Any) -> str:
        have = {"values": dict.fromkeys(_settings.NF_CALLS, 0), "module": False, "files": {}, **changes}
        return _settings.plan_netfilter(False, _settings.Netfilter(**have), out)

    def test_is_set_and_lasts(self) -> None:
        out = _state.Outcome()
        assert self.netfilter(out, values=dict.fromkeys(_settings.NF_CALLS, 1)) == "available"
        assert out.plan.changes[0].options["bridge-nf-call-iptables"] == (1, 0)
        assert kinds(out) == ["sysctl /etc/sysctl.d/50-kvmnet-bridge.conf"]
        again = _state.Outcome()
        files = {path: str(text) for path, text in out.files.items()}
        self.netfilter(again, files=files)
        assert (again.plan.changed, again.steps) == (False, [])

    def test_a_module_is_loaded_now_and_before_the_sysctls_at_boot(self) -> None:
        out = _state.Outcome()
        assert self.netfilter(out, values={}, module=True) == "loadable"
        assert "br_netfilter\n" in str(out.files[_settings.MODULES_PATH])
        assert kinds(out)[0] == "command load br_netfilter"

    def test_a_kernel_without_it_is_said_to_have_none(self) -> None:
        out = _state.Outcome()
        assert self.netfilter(out, values={}) == "absent"
        assert list(out.files) == [_settings.SYSCTL_PATH]
        assert out.steps == []
        assert all(line.startswith(("#", "-")) for line in str(out.files[_settings.SYSCTL_PATH]).splitlines())

    def test_networkd_starts_anew_for_its_own_configuration_and_only_then(self, host: FakeHost) -> None:
        out = _state.Outcome()
        _settings.plan_foreign(None, host, out)
        assert kinds(out.close()) == ["networkd networkd", "networkd networkd anew"]
        again = _state.Outcome()
        _settings.plan_foreign(str(out.files[_settings.FOREIGN_PATH]), host, again)
        assert (again.plan.changed, again.close().steps) == (False, [])
