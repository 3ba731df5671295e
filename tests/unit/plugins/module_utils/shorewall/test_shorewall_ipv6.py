# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two firewalls of a host beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall import _host
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._family import FAMILIES, IPV4, IPV6
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._run import InvalidError, stage_config, stage_zones

ZONES = [
    {"name": "fw", "type": "firewall"},
    {"name": "net", "interfaces": [{"name": "eth0", "options": ["tcpflags"]}, {"name": "eth1"}]},
    {"name": "kvm", "interfaces": [{"name": "br0", "options": ["routeback"]}]},
]
POLICY = [{"source": "all", "dest": "all", "policy": "REJECT"}]


@pytest.fixture(name="root")
def fixture_root(tmp_path: Path) -> Path:
    for family in FAMILIES.values():
        template = tmp_path / family.conf_template.lstrip("/")
        template.parent.mkdir(parents=True)
        template.write_text('STARTUP_ENABLED=Yes\nLOGFORMAT="%s %s "\n')
    template = tmp_path / IPV4.conf_template.lstrip("/")
    template.write_text(template.read_text() + "DISABLE_IPV6=No\n")
    return tmp_path


def stage(candidate: Candidate, family: str, zones: list[dict[str, Any]] | None = None, **config: Any) -> None:
    stage_zones(candidate, {"zones": zones or ZONES, "exclusive": True, "family": family}, True)
    stage_config(candidate, {"policy": POLICY, "family": family, **config}, True, lambda *_: None)


def rows(candidate: Candidate, path: str) -> list[list[str]]:
    text = (candidate.read(path) or b"").decode()
    return [line.split() for line in text.splitlines() if not line.startswith("#")]


def wrong(root: Path, family: str = "ipv6", zones: list[dict[str, Any]] | None = None, **config: Any) -> list[str]:
    with pytest.raises(InvalidError) as caught:
        stage(Candidate(None, None, root), family, zones, **config)
    return [str(problem) for problem in caught.value.problems]


class TestFiles:
    def test_each_family_has_its_own(self, root: Path) -> None:
        candidate = Candidate(None, None, root)
        stage(candidate, "ipv6", settings={"STARTUP_ENABLED": "No"})
        assert {path for path in candidate.entries if not path.startswith("/etc/shorewall6/")} == set()
        assert "/etc/shorewall6/shorewall6.conf" in candidate.entries
        assert ("shorewall", "shorewall6") in candidate.steps

    def test_a_zone_is_one_of_its_family_by_default(self, root: Path) -> None:
        candidate = Candidate(None, None, root)
        zones = [ZONES[0], {**ZONES[1], "type": "ipv6"}, ZONES[2]]
        stage(candidate, "ipv6", zones)
        stage(candidate, "ipv4")
        assert rows(candidate, "/etc/shorewall6/zones") == [["fw", "firewall"], ["net", "ipv6"], ["kvm", "ipv6"]]
        assert rows(candidate, "/etc/shorewall/zones") == [["fw", "firewall"], ["net", "ipv4"], ["kvm", "ipv4"]]

    def test_ipv6_comes_first_so_that_ipv4_has_the_last_word_on_it(self) -> None:
        assert IPV6.step[2] < IPV4.step[2]


class TestRefused:
    def test_a_type_of_the_other_family(self, root: Path) -> None:
        zones = [ZONES[0], {**ZONES[1], "type": "ipv4"}]
        assert any("zones[1].type: 'ipv4' is wrong" in problem for problem in wrong(root, zones=zones))

    @pytest.mark.parametrize("option", ["routefilter", "logmartians", "arp_ignore=1", "proxyarp"])
    def test_options_that_ipv6_does_not_know(self, root: Path, option: str) -> None:
        zones = [ZONES[0], {"name": "net", "interfaces": [{"name": "eth0", "options": [option]}]}]
        assert any(option in problem and "accept_ra" in problem for problem in wrong(root, zones=zones))

    def test_options_that_ipv4_does_not_know(self, root: Path) -> None:
        zones = [ZONES[0], {"name": "net", "interfaces": [{"name": "eth0", "options": ["accept_ra=2"]}]}]
        assert any("accept_ra=2" in problem for problem in wrong(root, "ipv4", zones))

    @pytest.mark.parametrize("source", ["net:[2001:db8::1]/64", "net:[2001:db8::1/64]"])
    def test_host_bits(self, root: Path, source: str) -> None:
        (problem,) = wrong(root, rules=[{"action": "ACCEPT", "source": source, "dest": "$FW"}])
        assert problem.endswith("allowed: 2001:db8::/64, without host bits")

    def test_a_shared_interface(self, root: Path) -> None:
        provider = {"name": "a", "interface": "eth0", "address": "2001:db8::2", "gateway": "2001:db8::1"}
        assert any("cannot share an interface in IPv6" in problem for problem in wrong(root, providers=[provider]))

    def test_a_gateway_of_the_other_family(self, root: Path) -> None:
        provider = {"name": "a", "interface": "eth0", "gateway": "192.0.2.1"}
        assert any("an IPv6 address, detect or none" in problem for problem in wrong(root, providers=[provider]))

    def test_a_gateway_that_is_not_on_the_link(self, root: Path) -> None:
        provider = {"name": "a", "interface": "eth0", "gateway": "2001:db8:9::1", "network": "2001:db8::/64"}
        assert any("an address of 2001:db8::/64" in problem for problem in wrong(root, providers=[provider]))

    def test_a_set_with_the_name_of_one_of_ipv4(self, root: Path) -> None:
        sets = root / "etc/kvmnet/shorewall.ipsets"
        sets.parent.mkdir(parents=True)
        sets.write_text("swap kvmnet-new-4 friends\n")
        given = [{"name": "own", "entries": ["2001:db8::/64"]}, {"name": "friends", "entries": []}]
        (problem,) = wrong(root, ipsets=given)
        assert problem == "ipsets[1].name: 'friends' is wrong; allowed: a name that no set of IPv4 has (friends)"

    def test_who_would_be_locked_out_while_it_is_stopped(self, root: Path) -> None:
        management = {"sources": ["192.0.2.0/24", "2001:db8::/64"], "port": 22}
        rule = {"action": "ACCEPT", "source": "eth0:[2001:db8::]/48", "dest": "$FW", "proto": ["tcp"], "dport": ["22"]}
        stage(Candidate(None, None, root), "ipv6", management=management, stoppedrules=[rule])
        (problem,) = wrong(root, management=management, stoppedrules=[{**rule, "source": "eth0:[2001:db8:1::]/48"}])
        assert problem.startswith("management.sources[1]: '2001:db8::/64'")


class TestProviders:
    FOUR = ({"name": "a", "interface": "eth0", "gateway": "192.0.2.1"}, {"name": "b", "interface": "eth1"})

    def test_have_numbers_that_the_other_family_does_not_have(self, root: Path) -> None:
        candidate = Candidate(None, None, root)
        stage(candidate, "ipv4", providers=[dict(entry) for entry in self.FOUR])
        six = [{"name": f"{entry['name']}_6", "interface": entry["interface"]} for entry in self.FOUR]
        stage(candidate, "ipv6", providers=six)
        found = rows(candidate, "/etc/shorewall6/providers")
        assert [row[:3] for row in found] == [["a_6", "3", "3"], ["b_6", "4", "4"]]

    def test_with_a_number_or_name_of_the_other_family_are_refused(self, root: Path) -> None:
        candidate = Candidate(None, None, root)
        stage(candidate, "ipv4", providers=[dict(entry) for entry in self.FOUR])
        with pytest.raises(InvalidError) as caught:
            stage(candidate, "ipv6", providers=[{"name": "b", "number": 1, "interface": "eth0"}])
        assert [(problem.key, problem.value) for problem in caught.value.problems] == [("number", 1), ("name", "b")]

    @pytest.mark.parametrize("version", [4, 6])
    def test_are_looked_for_in_the_tables_of_their_family(self, version: int, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[list[str]] = []
        monkeypatch.setattr(_host, "_run", lambda argv: asked.append(argv) or "[]")
        provider = {"name": "a", "number": 1, "gateway": "2001:db8::1" if version == 6 else "192.0.2.1"}
        assert _host.lost_routing([provider], version) == "the routing table of a has no default route"
        assert all(f"-{version}" in argv for argv in asked)


class TestClosed:
    def test_what_was_made_for_ipv6_does_not_open_it_again(self, root: Path) -> None:
        enabled = root / IPV6.enabled
        enabled.parent.mkdir(parents=True)
        enabled.write_text("")
        candidate = Candidate(None, None, root)
        stage(candidate, "ipv4", settings={"DISABLE_IPV6": "Yes"})
        assert candidate.steps["shorewall", "shorewall6"]["args"] == {"action": "stop", "boot": "disabled"}
        assert candidate.steps["shorewall", "shorewall6"]["order"] < IPV4.step[2]

    @pytest.mark.parametrize("value", ["No", "Yes"])
    def test_nothing_is_disabled_that_is_not_there_or_is_wanted(self, root: Path, value: str) -> None:
        if value == "No":
            (root / IPV6.enabled).parent.mkdir(parents=True)
            (root / IPV6.enabled).write_text("")
        candidate = Candidate(None, None, root)
        stage(candidate, "ipv4", settings={"DISABLE_IPV6": value})
        assert ("shorewall", "shorewall6") not in candidate.steps
