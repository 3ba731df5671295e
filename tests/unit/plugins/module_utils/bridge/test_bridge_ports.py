# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge import _networkd
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._foreign import Claim
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._kernel import Link
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._model import MAX_PORTS

if TYPE_CHECKING:
    from .conftest import FakeHost

TAP: dict[str, Any] = {"name": "tap-web", "bridge": "br0"}
CARD: dict[str, Any] = {"name": "eth1", "bridge": "br0", "type": "interface"}


@pytest.fixture(name="bridged")
def fixture_bridged(host: FakeHost) -> FakeHost:
    """The host with a bridge."""
    return host.take(host.links_of([{"name": "br0"}, {"name": "br1"}]))


def kinds(out: Any) -> list[str]:
    return [f"{kind} {key}" for kind, key, _order, _args in sorted(out.steps, key=lambda step: step[2])]


def allowed(out: Any) -> list[str]:
    return [str(problem) for problem in out.problems]


def drift(host: FakeHost, name: str, **changes: Any) -> None:
    host.links[name] = replace(host.links[name], **changes)


def test_a_tap_is_made_once(bridged: FakeHost) -> None:
    out = bridged.ports_of([{**TAP, "isolated": True}])
    assert out.plan.lines() == ["+ tap tap-web: create", "    bridge: br0", "    isolated: true"]
    bridged.take(out)
    tap = bridged.links["tap-web"]
    assert (tap.master, tap.up, tap.port["isolated"], tap.info["user"]) == ("br0", True, True, "root")
    again = bridged.ports_of([{**TAP, "isolated": True}])
    assert (again.plan.changed, again.steps) == (False, [])


def test_two_hundred_taps_are_one_reload_and_one_batch(bridged: FakeHost) -> None:
    out = bridged.ports_of([{"name": f"tap-{number}", "bridge": "br0"} for number in range(200)])
    assert kinds(out) == ["networkd networkd", "ip ip"]
    assert len(out.steps[0][3]["links"]) == 200
    assert len(out.steps[1][3]["lines"]) == 400


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({"master": None, "port": {}}, {"bridge": (None, "br0")}),
        ({"up": False}, {"up": (False, True)}),
        ({"master": "br1"}, {"bridge": ("br1", "br0")}),
    ],
)
def test_drift_is_seen_and_repaired(
    bridged: FakeHost, changes: dict[str, Any], options: dict[str, tuple[object, object]]
) -> None:
    bridged.take(bridged.ports_of([TAP]))
    drift(bridged, "tap-web", **changes)
    out = bridged.ports_of([TAP])
    assert out.plan.changes[0].options == options
    assert kinds(out) == ["ip ip"]
    assert not bridged.take(out).ports_of([TAP]).plan.changed


def test_a_flag_that_somebody_changed_is_set_back(bridged: FakeHost) -> None:
    bridged.take(bridged.ports_of([TAP]))
    drift(bridged, "tap-web", port={**bridged.links["tap-web"].port, "isolated": True})
    out = bridged.ports_of([TAP])
    assert out.plan.changes[0].options == {"isolated": (True, False)}
    assert not bridged.take(out).ports_of([TAP]).plan.changed


def test_a_tap_that_was_deleted_is_made_again(bridged: FakeHost) -> None:
    bridged.take(bridged.ports_of([TAP]))
    del bridged.links["tap-web"]
    out = bridged.ports_of([TAP])
    assert (out.plan.changes[0].action, kinds(out)) == ("create", ["networkd networkd", "ip ip"])
    assert not bridged.take(out).ports_of([TAP]).plan.changed


def test_an_mtu_that_is_no_longer_given_is_set_back(bridged: FakeHost) -> None:
    bridged.take(bridged.ports_of([{**TAP, "mtu": 9000}]))
    assert bridged.links["tap-web"].mtu == 9000
    out = bridged.ports_of([TAP])
    assert out.plan.changes[0].options == {"Link.MTUBytes": ("9000", None)}
    assert bridged.take(out).links["tap-web"].mtu == 1500


class TestMaking:
    def test_a_free_tap_is_made_anew(self, bridged: FakeHost) -> None:
        bridged.take(bridged.ports_of([TAP]))
        more = [{**TAP, "queues": 4, "user": "libvirt-qemu"}]
        out = bridged.ports_of(more)
        assert out.plan.changes[0].note == "the tap is made anew"
        assert kinds(out) == ["command remove tap-web", "networkd networkd", "ip ip"]
        bridged.take(out)
        assert bridged.links["tap-web"].info["multi_queue"] is True
        assert not bridged.ports_of(more).plan.changed

    def test_one_in_use_waits_and_says_so_once(self, bridged: FakeHost) -> None:
        bridged.take(bridged.ports_of([TAP]))
        drift(bridged, "tap-web", carrier=True)
        more = [{**TAP, "queues": 4}]
        out = bridged.ports_of(more)
        assert out.plan.changes[0].note == "multi_queue once nothing uses the tap"
        bridged.take(out)
        waiting = bridged.ports_of(more)
        assert not waiting.plan.changed
        assert "multi_queue of tap-web" in waiting.warnings[0]
        drift(bridged, "tap-web", carrier=False)
        assert not bridged.take(bridged.ports_of(more)).ports_of(more).plan.changed
        assert bridged.links["tap-web"].info["multi_queue"] is True


class TestInterfaces:
    def test_joins_and_leaves(self, bridged: FakeHost) -> None:
        out = bridged.ports_of([CARD])
        assert out.plan.lines() == ["+ port eth1: create", "    bridge: br0"]
        bridged.take(out)
        assert bridged.links["eth1"].master == "br0"
        assert not bridged.ports_of([CARD]).plan.changed
        out = bridged.ports_of([{**CARD, "state": "absent"}])
        assert out.plan.lines() == ["- port eth1: delete"]
        bridged.take(out)
        assert bridged.links["eth1"].master is None
        assert not bridged.ports_of([{**CARD, "state": "absent"}]).plan.changed

    @pytest.mark.parametrize(
        ("entry", "reason"),
        [
            ({"name": "eth7"}, "an interface of this host: bond0, eth0, eth1"),
            ({"name": "vnet0"}, "an interface of this host: bond0, eth0, eth1"),
            ({"name": "br0"}, "not the bridge itself"),
            ({"name": "eth1", "type": "tap"}, "here it is a network card"),
            ({"bridge": "br7"}, "a bridge that is on the host"),
            ({"name": "bond-slave"}, "no part of bond0"),
        ],
    )
    def test_what_cannot_be_a_port_is_refused(self, bridged: FakeHost, entry: dict[str, Any], reason: str) -> None:
        bridged.links["bond0"] = Link("bond0", kind="bond")
        bridged.links["vnet0"] = Link("vnet0", kind="tun", info={"type": "tap"})
        if entry.get("name") == "bond-slave":
            bridged.links["bond-slave"] = Link("bond-slave", master="bond0")
        (said,) = allowed(bridged.ports_of([{**CARD, **entry}]))
        assert reason in said

    def test_an_uplink_of_ours_is_refused_even_when_only_staged(self, bridged: FakeHost) -> None:
        uplink = {"interface": "eth1", "manage": True, "addresses": ["10.0.0.2/24"], "gateway": "10.0.0.1"}
        staged = bridged.links_of(None, [uplink]).files
        (said,) = allowed(bridged.ports_of([CARD], staged={path: str(text) for path, text in staged.items()}))
        assert "no uplink of ours" in said

    def test_one_of_network_manager_is_refused_with_its_line(self, bridged: FakeHost) -> None:
        bridged.claims = [Claim("NetworkManager", "/etc/NetworkManager/eth1", 12, "method=auto", "eth1")]
        (said,) = allowed(bridged.ports_of([CARD]))
        assert "/etc/NetworkManager/eth1 line 12" in said


class TestExclusive:
    def test_removes_ours_of_the_types_it_is_about(self, bridged: FakeHost) -> None:
        bridged.take(bridged.ports_of([TAP, CARD]))
        bridged.links["vnet0"] = Link("vnet0", kind="tun", info={"type": "tap"}, master="br0")
        assert bridged.ports_of([], ["interface"]).plan.lines() == ["- port eth1: delete"]
        out = bridged.ports_of([], ["tap", "interface"])
        assert out.plan.lines() == ["- port eth1: delete", "- tap tap-web: delete"]
        bridged.take(out)
        assert {"tap-web", "eth1", "vnet0", "br0"} & set(bridged.links) == {"eth1", "vnet0", "br0"}
        assert _networkd.own_links(bridged.files, "bridge") == ["br0", "br1"]
        assert not bridged.ports_of([], ["tap", "interface"]).plan.changed

    def test_a_file_left_behind_goes_as_well(self, bridged: FakeHost) -> None:
        bridged.take(bridged.ports_of([TAP]))
        del bridged.links["tap-web"]
        out = bridged.ports_of([], ["tap"])
        assert (out.plan.lines(), kinds(out)) == (["- tap tap-web: delete"], ["networkd networkd"])


class TestRoom:
    def test_the_1024th_port_is_refused(self, bridged: FakeHost) -> None:
        ports = [{"name": f"tap-{number}", "bridge": "br0"} for number in range(MAX_PORTS + 2)]
        found = allowed(bridged.ports_of(ports))
        assert [said.split(":")[0] for said in found] == ["ports[1023].bridge", "ports[1024].bridge"]
        assert "port 1024" in found[0]

    def test_ports_of_others_take_room_and_those_that_go_make_it(self, bridged: FakeHost) -> None:
        for number in range(MAX_PORTS):
            bridged.links[f"vnet{number}"] = Link(f"vnet{number}", kind="tun", info={"type": "tap"}, master="br0")
        assert len(bridged.ports_of([TAP]).problems) == 1
        assert bridged.ports_of([TAP, {"name": "vnet7", "state": "absent"}]).problems == []
        assert bridged.ports_of([{**TAP, "bridge": "br1"}]).problems == []
