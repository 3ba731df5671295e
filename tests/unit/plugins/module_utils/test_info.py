# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree as ET

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._kernel import parse_links
from ansible_collections.ursa.kvmnet.plugins.module_utils._files._units import UnitState
from ansible_collections.ursa.kvmnet.plugins.module_utils._info import (
    _commits,
    _dns,
    _guests,
    _links,
    _monitor,
    _packages,
    _read,
    _uplinks,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._info._dns import PTR, A, Answer, Question
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._backend import Domain


def test_packages_that_are_gone_are_missing_even_when_their_settings_are_left() -> None:
    text = "dnsmasq\t2.90-4\tinstalled\nold\t1\tconfig-files\n"
    assert _packages.parse(["dnsmasq", "old", "none", "none"], text) == {
        "installed": {"dnsmasq": "2.90-4"},
        "missing": ["old", "none"],
    }


def default(table: str | None, gateway: str, **more: Any) -> dict[str, Any]:
    route = {"dst": "default", "dev": "eth0", "gateway": gateway, "flags": [], **more}
    return route if table is None else {**route, "table": table}


class TestUplinks:
    """The article's host, as Shorewall sets it up."""

    COMCAST: ClassVar = {"name": "comcast", "number": "1", "interface": "eth0", "gateway": "172.20.1.1"}
    AVVANTA: ClassVar = {"name": "avvanta", "number": "2", "interface": "eth0", "gateway": "172.20.1.254"}
    PROVIDERS = (COMCAST, AVVANTA)
    RULES = (
        {"priority": 0, "src": "all", "table": "255"},
        {"priority": 998, "src": "all", "table": "254", "suppress_prefixlen": 0},
        {"priority": 999, "src": "all", "table": "254"},
        {"priority": 1000, "src": "all", "dst": "206.124.146.176", "dstlen": 31, "table": "2"},
        {"priority": 10000, "src": "all", "fwmark": "0x1", "fwmask": "0xff", "table": "1"},
        {"priority": 10001, "src": "all", "fwmark": "0x2", "fwmask": "0xff", "table": "2"},
        {"priority": 20000, "src": "172.20.1.130", "table": "1"},
        {"priority": 32765, "src": "all", "table": "250"},
        {"priority": 32767, "src": "all", "table": "253"},
    )
    ROUTES = (
        {"dst": "172.20.1.0/24", "dev": "eth0", "flags": []},
        default("1", "172.20.1.1"),
        default("2", "172.20.1.254"),
        default("250", "172.20.1.1"),
        default("253", "172.20.1.9"),
    )

    def states(self, routes: tuple[dict[str, Any], ...], rules: Any = RULES) -> dict[str, tuple[str, bool]]:
        found = _uplinks.describe(self.PROVIDERS, rules, routes)
        return {uplink["name"]: (uplink["state"], uplink["carries_traffic"]) for uplink in found}

    def test_the_primary_carries_what_no_rule_sends_elsewhere(self) -> None:
        assert self.states(self.ROUTES) == {"comcast": ("up", True), "avvanta": ("up", False)}

    def test_both_when_they_share(self) -> None:
        hops = [{"gateway": "172.20.1.1", "dev": "eth0"}, {"gateway": "172.20.1.254", "dev": "eth0"}]
        shared = {"dst": "default", "table": "250", "flags": [], "nexthops": hops}
        assert self.states((*self.ROUTES[:3], shared)) == {"comcast": ("up", True), "avvanta": ("up", True)}

    def test_one_that_was_moved_away(self) -> None:
        moved = (default("1", "172.20.1.254"), default("2", "172.20.1.254"), default("250", "172.20.1.254"))
        assert self.states(moved) == {"comcast": ("moved", False), "avvanta": ("up", True)}

    def test_one_whose_table_is_empty(self) -> None:
        assert self.states(self.ROUTES[2:]) == {"comcast": ("down", True), "avvanta": ("up", False)}

    def test_a_default_route_in_main_turns_the_providers_off(self) -> None:
        assert self.states((*self.ROUTES, default(None, "172.20.1.77"))) == {
            "comcast": ("up", False),
            "avvanta": ("up", False),
        }

    def test_without_providers_it_is_the_default_route_of_least_metric(self) -> None:
        routes = (default(None, "10.0.0.1", metric=100), default(None, "10.0.0.2", metric=50), default("9", "10.0.0.3"))
        rules = ({"priority": 32766, "src": "all", "table": "254"},)
        assert [(uplink["name"], uplink["gateway"]) for uplink in _uplinks.describe((), rules, routes)] == [
            ("eth0", "10.0.0.2")
        ]
        assert _uplinks.describe((), rules, ()) == []

    def test_a_route_over_a_dead_link_carries_nothing(self) -> None:
        routes = (default(None, "10.0.0.1", flags=["dead", "linkdown"]),)
        assert _uplinks.defaults_by_table(routes) == {}

    def test_one_with_a_lease_that_was_moved_away(self) -> None:
        leased = {"name": "leased", "number": "4", "interface": "eth2", "gateway": "detect"}
        routes = (default("4", "172.20.1.1"), default("250", "172.20.1.1"))
        (found,) = _uplinks.describe((leased,), self.RULES, routes)
        assert (found["state"], found["interface"], found["gateway"]) == ("moved", "eth2", None)
        assert not found["carries_traffic"]

    def test_a_point_to_point_provider_and_one_with_a_lease(self) -> None:
        ppp = {"name": "ppp", "number": "3", "interface": "ppp0", "gateway": "-"}
        leased = {"name": "leased", "number": "4", "interface": "eth2", "gateway": "detect"}
        routes = (
            {"dst": "default", "dev": "ppp0", "table": "3", "flags": []},
            {"dst": "default", "dev": "eth2", "gateway": "10.9.0.1", "table": "4", "flags": []},
        )
        found = _uplinks.describe((ppp, leased), (), routes)
        assert [(uplink["state"], uplink["gateway"]) for uplink in found] == [("up", None), ("up", "10.9.0.1")]


class TestMonitor:
    """What is measured is shown while it is of now, and never made up."""

    RUNS: ClassVar = UnitState(known=True, active=True, enabled=True, masked=False)
    STANDS: ClassVar = UnitState(known=True, active=False, enabled=True, masked=False)
    NONE: ClassVar = UnitState(known=False, active=False, enabled=False, masked=False)
    STATE: ClassVar = {
        "updated": 1000,
        "uplinks": [
            {"name": "av", "state": "down", "since": 940.5, "reason": "silence", "loss_percent": 100.0, "rtt_ms": None},
        ],
    }

    @pytest.mark.parametrize(
        ("unit", "text", "now", "state"),
        [
            (RUNS, json.dumps(STATE), 1001.0, "running"),
            (RUNS, json.dumps(STATE), 1011.0, "silent"),
            (RUNS, "", 1001.0, "silent"),
            (RUNS, "not JSON", 1001.0, "silent"),
            (RUNS, "[]", 1001.0, "silent"),
            (STANDS, json.dumps(STATE), 1001.0, "stopped"),
            (NONE, "", 1001.0, "not installed"),
        ],
    )
    def test_what_it_said_last_is_not_what_is(self, unit: UnitState, text: str, now: float, state: str) -> None:
        found = _monitor.describe({"kvmnet": unit, "foolsm": self.NONE}, text, now)
        assert found["state"] == state
        assert bool(found["uplinks"]) == (state == "running")

    def test_debians_program_says_nothing_to_others(self) -> None:
        found = _monitor.describe({"kvmnet": self.STANDS, "foolsm": self.RUNS}, json.dumps(self.STATE), 1001.0)
        assert (found["state"], found["program"], found["uplinks"]) == ("running", "foolsm", [])

    def test_connections_by_the_mark_of_their_provider(self) -> None:
        lines = [
            "tcp 6 431999 ESTABLISHED src=192.168.0.1 dst=203.0.113.5 sport=1 dport=80 [ASSURED] mark=1 use=1",
            "udp 17 20 src=192.168.0.1 dst=203.0.113.5 sport=1 dport=53 mark=67108866 use=1",
            "udp 17 20 src=192.168.0.1 dst=192.168.0.254 sport=1 dport=53 mark=0 use=1",
            "icmp 1 29 src=192.168.0.1 dst=203.0.113.5 type=8 code=0 id=15618 mark=2 use=1",
            "tcp 6 7 TIME_WAIT src=192.168.0.1 dst=203.0.113.5 sport=1 dport=80",
            "tcp 6 9 SYN_SENT src=192.168.0.1 dst=203.0.113.6 sport=1 dport=80 [UNREPLIED] mark=2 use=1",
        ]
        assert _monitor.count_connections(lines) == {1: 1, 2: 2}

    def test_marks_as_the_file_has_them(self) -> None:
        rows = [
            {"name": "a", "number": "1", "mark": "0x10"},
            {"name": "b", "number": "2"},
            {"name": "c", "number": "$N"},
        ]
        assert _monitor.marks(rows) == {"a": 16, "b": 2}

    def test_each_uplink_gets_what_is_known_of_it(self) -> None:
        uplinks = [
            {"name": "com", "state": "up", "gateway": "10.1.0.1"},
            {"name": "av", "state": "moved", "gateway": None},
        ]
        monitor = _monitor.describe({"kvmnet": self.RUNS}, json.dumps(self.STATE), 1001.0)
        com, av = _monitor.complete(uplinks, {"com": 1, "av": 2}, monitor, {1: 3, 2: 1, 9: 5}, 1001.0)
        assert (av["state"], av["seconds"], av["reason"], av["loss_percent"]) == ("down", 60, "silence", 100.0)
        assert (com["state"], com["since"], com["seconds"], com["reason"]) == ("up", None, None, None)
        assert [(each["connections"], each["share_percent"]) for each in (com, av)] == [(3, 75.0), (1, 25.0)]

    def test_nothing_is_known_without_monitor_and_conntrack(self) -> None:
        monitor = _monitor.describe({"kvmnet": self.STANDS}, json.dumps(self.STATE), 1001.0)
        (found,) = _monitor.complete(
            [{"name": "av", "state": "moved", "gateway": None}], {"av": 2}, monitor, None, 1001.0
        )
        assert found["state"] == "moved"
        assert {value for key, value in found.items() if key not in ("name", "state")} == {None}
        (found,) = _monitor.complete([{"name": "av", "state": "up", "gateway": None}], {"av": 2}, monitor, {}, 1001.0)
        assert (found["connections"], found["share_percent"]) == (0, None)


def test_bridges_ports_and_the_rest() -> None:
    bridge = {"ifname": "br0", "mtu": 1500, "flags": ["UP"], "address": "52:54:00:00:00:10"}
    addresses = [{"local": "192.168.0.254", "prefixlen": 24, "scope": "global"}]
    slave = {"info_slave_kind": "bridge", "info_slave_data": {"isolated": True, "learning": True, "cost": 2}}
    found = _links.describe(
        parse_links(
            [
                {"ifname": "lo", "flags": ["UP"]},
                {**bridge, "linkinfo": {"info_kind": "bridge"}, "addr_info": addresses},
                {
                    "ifname": "tap-web",
                    "master": "br0",
                    "flags": ["UP", "LOWER_UP"],
                    "linkinfo": {"info_kind": "tun", "info_data": {"type": "tap"}, **slave},
                },
                {"ifname": "eth0", "flags": ["UP"]},
            ]
        ).values()
    )
    assert [bridge["addresses"] for bridge in found["bridges"]] == [["192.168.0.254/24"]]
    (port,) = found["ports"]
    assert (port["name"], port["bridge"], port["type"]) == ("tap-web", "br0", "tap")
    assert (port["isolated"], port["hairpin"], port["cost"]) == (True, False, 2)
    assert "locked" not in port
    assert [link["name"] for link in found["interfaces"]] == ["eth0"]


def test_guests_as_they_run() -> None:
    xml = """<domain><memory unit='MiB'>512</memory><vcpu>2</vcpu><devices><interface type='ethernet'>
      <mac address='52:54:00:00:00:AA'/><target dev='{tap}'/></interface></devices></domain>"""
    domain = Domain("web", ET.fromstring(xml.format(tap="")), ET.fromstring(xml.format(tap="tap-web")), "running", True)
    (found,) = _guests.describe([domain])
    assert (found["name"], found["state"], found["memory_mib"], found["vcpus"]) == ("web", "running", 512, 2)
    assert found["interfaces"] == [{"tap": "tap-web", "mac": "52:54:00:00:00:aa", "type": "ethernet", "bridge": None}]


def test_the_firewall_s_zones_as_the_module_takes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "zones").write_text("fw firewall\nkvm ipv4\n")
    (tmp_path / "interfaces").write_text("?FORMAT 2\nkvm br0 dhcp,routeback\n- eth1 optional\n")
    (tmp_path / "hosts").write_text("kvm eth1:10.0.0.0/24\n")
    (tmp_path / "providers").write_text("comcast 1 1 - eth0 172.20.1.1 primary\n")
    monkeypatch.setattr(_read, "_directory", lambda _family: tmp_path)
    monkeypatch.setattr(_read._compile, "is_installed", lambda _family: False)
    found = _read.shorewall([], [])
    assert found["state"] == "not installed"
    assert found["zones"] == [
        {"name": "fw", "type": "firewall", "interfaces": [], "hosts": []},
        {
            "name": "kvm",
            "type": "ipv4",
            "interfaces": [{"name": "br0", "options": ["dhcp", "routeback"]}],
            "hosts": [{"interface": "eth1", "addresses": ["10.0.0.0/24"]}],
        },
    ]
    assert found["interfaces"] == [{"name": "eth1", "options": ["optional"]}]
    (provider,) = found["providers"]
    assert (provider["name"], str(provider["number"]), provider["interface"]) == ("comcast", "1", "eth0")


def reply(query: bytes, values: list[bytes], kind: int, code: int = 0) -> bytes:
    """Answer a query, with names compressed as real servers do."""
    rows = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(value)) + value for value in values)
    return query[:2] + struct.pack("!HHHHH", 0x8580 | code, 1, len(values), 0, 0) + query[12:] + rows


class TestDns:
    QUESTION = Question("web.kvm.example", A)

    def test_a_question_and_its_answer(self) -> None:
        query = _dns.encode(self.QUESTION, 7)
        assert query[12:] == b"\x03web\x03kvm\x07example\x00\x00\x01\x00\x01"
        assert _dns.decode(reply(query, [b"\xc0\xa8\x00\x02"], A)) == (7, Answer(("192.168.0.2",)))

    def test_an_address_and_its_name(self) -> None:
        query = _dns.encode(Question(_dns.reverse_name("192.168.0.2"), PTR), 1)
        # The name ends with a pointer into the question: to its "in-addr.arpa", 24 octets from the start.
        packet = reply(query, [b"\x03web\xc0\x18"], PTR)
        assert _dns.decode(packet)[1].values == ("web.in-addr.arpa",)

    @pytest.mark.parametrize(("code", "said"), [(3, "no such name"), (5, "refused"), (9, "error 9")])
    def test_why_there_is_none(self, code: int, said: str) -> None:
        assert _dns.decode(reply(_dns.encode(self.QUESTION, 1), [], A, code))[1] == Answer((), said)

    def test_a_name_without_such_a_record(self) -> None:
        assert _dns.decode(reply(_dns.encode(self.QUESTION, 1), [], A))[1].error == "no such record"

    @pytest.mark.parametrize("cut", [0, 5, 11, 20, 40])
    def test_a_packet_that_is_cut_off(self, cut: int) -> None:
        packet = reply(_dns.encode(self.QUESTION, 1), [b"\xc0\xa8\x00\x02"], A)
        with pytest.raises(ValueError, match="cut off"):
            _dns.decode(packet[:cut])

    def test_a_name_that_points_to_itself_ends(self) -> None:
        packet = struct.pack("!HHHHHH", 1, 0x8180, 1, 0, 0, 0) + b"\xc0\x0c\x00\x01\x00\x01"
        with pytest.raises(ValueError, match="without an end"):
            _dns.decode(packet)

    @pytest.fixture
    def port(self) -> Iterator[int]:
        """A server that drops the first packet and answers the others."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 0))

            def serve() -> None:
                server.recvfrom(512)
                while True:
                    query, client = server.recvfrom(512)
                    if len(query) < 12:
                        return
                    server.sendto(reply(query, [b"\x0a\x00\x00\x01"], A), client)

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            port = server.getsockname()[1]
            yield port
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
                end.sendto(b"", ("127.0.0.1", port))
            thread.join(5)

    def test_many_at_once_and_what_was_lost_again(self, port: int) -> None:
        questions = [Question(f"g{number}.example", A) for number in range(120)]
        answers = _dns.ask("127.0.0.1", [*questions, questions[0]], timeout=0.4, port=port)
        assert answers == dict.fromkeys(questions, Answer(("10.0.0.1",)))

    def test_no_server(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            silent = _dns.ask("127.0.0.1", [self.QUESTION], timeout=0.1, port=taken.getsockname()[1])
        assert silent[self.QUESTION].error == "no answer within 0.1 s"


class TestCommits:
    """What network_guard's last commit came to."""

    REPORT: ClassVar = {
        "token": "c0ffee00",
        "state": "restored",
        "error": "too late",
        "peer": "192.0.2.9",
        "ended": 50.7,
    }

    def test_none_was_ever_made(self) -> None:
        assert _commits.describe(None, {}, {}, 100.0) == {"state": "idle", "commit": None, "by": None, "last": None}

    def test_one_that_is_not_confirmed_yet_is_not_the_last(self) -> None:
        found = _commits.describe("c0ffee00", {"peer": "192.0.2.9"}, {**self.REPORT, "state": "applied"}, 100.0)
        assert found == {"state": "unconfirmed", "commit": "c0ffee00", "by": "192.0.2.9", "last": None}

    def test_one_that_was_undone_says_why(self) -> None:
        report = {**self.REPORT, "found": ["br9: mtu was 1500, had become 1400"], "restored": ["/etc/mine"], "left": []}
        last = _commits.describe(None, {}, report, 100.9)["last"]
        assert (last["outcome"], last["reason"], last["by"]) == ("undone", "too late", "192.0.2.9")
        assert (last["ended"], last["seconds"]) == (50, 50)
        assert (last["found"], last["files"], last["left"]) == (report["found"], ["/etc/mine"], [])

    def test_one_of_an_older_version_has_no_time(self) -> None:
        last = _commits.describe(None, {}, {"token": "c0ffee00", "state": "confirmed", "error": None}, 100.0)["last"]
        assert (last["outcome"], last["ended"], last["seconds"]) == ("confirmed", None, None)
