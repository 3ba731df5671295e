# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of a configuration is refused before anything is staged."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall import _zones

from .conftest import ZONES, changed, problems, stage


class TestRefused:
    @pytest.mark.parametrize(
        "name", ["1abc", "a-b", "_ab", "all", "any", "none", "SOURCE", "all2x", "x2all", "elevenchars", "net"]
    )
    def test_zone_names(self, root: Path, name: str) -> None:
        zones = [*ZONES, {"name": name, "origin": "kvmnet_networks[1]"}]
        assert problems(root, zones) == [f"kvmnet_networks[1].name: {name}"]

    @pytest.mark.parametrize("name", ["All", "local", "eth0", "tencharact"])
    def test_zone_names_that_only_look_wrong(self, root: Path, name: str) -> None:
        stage(root, [*ZONES, {"name": name, "origin": "kvmnet_networks[1]"}])

    @pytest.mark.parametrize(
        ("change", "wrong"),
        [
            (lambda zones: zones.pop(0), "zones.type: None"),
            (lambda zones: zones.append({"name": "x", "type": "firewall"}), "zones.type: ['fw', 'x']"),
            (lambda zones: zones.insert(1, {"name": "x", "parents": ["net"], "origin": "a[1]"}), "a[1].parents: net"),
            (lambda zones: zones[2].update(parents=["fw"]), "kvmnet_networks[0].parents: fw"),
            (lambda zones: zones[2]["interfaces"].append({"name": "eth0"}), "kvmnet_networks[0].interface: eth0"),
            (lambda zones: zones[2]["interfaces"].append({"name": "eth1:0"}), "kvmnet_networks[0].interface: eth1:0"),
            (lambda zones: zones[0].update(interfaces=[{"name": "lo"}]), "zones[0].zone: fw"),
            (
                lambda zones: zones[2].update(interfaces=[{"name": "x" * 16}]),
                f"kvmnet_networks[0].interfaces[0].name: {'x' * 16}",
            ),
            (
                lambda zones: zones[2].update(hosts=[{"interface": "br9", "addresses": ["10.0.0.0/8"]}]),
                "kvmnet_networks[0].interface: br9",
            ),
            (
                lambda zones: zones[2]["interfaces"][0].update(options=["optional", "required"]),
                "kvmnet_networks[0].options: ['optional', 'required']",
            ),
        ],
    )
    def test_zones(self, root: Path, change: Callable[[Any], Any], wrong: str) -> None:
        zones = copy.deepcopy(ZONES)
        change(zones)
        assert problems(root, zones) == [wrong]

    @pytest.mark.parametrize(
        ("name", "change", "wrong"),
        [
            ("policy", lambda rows: rows[0].update(dest="dmz"), "policy[0].dest: dmz"),
            ("policy", lambda rows: rows.append(rows[0]), "policy[3].source: fw, net"),
            ("policy", lambda rows: rows[1].update(policy="NONE"), "policy[1].policy: NONE"),
            ("rules", lambda rows: rows[0].update(source="dmz:10.0.0.1"), "rules[0].source: dmz"),
            ("rules", lambda rows: rows[0].update(source="net:br0"), "rules[0].source: net:br0"),
            ("rules", lambda rows: rows[0].update(source="net:10.0.0.1/8"), "rules[0].source: 10.0.0.1/8"),
            ("rules", lambda rows: rows[0].update(action="DNAT", dest="kvm"), "rules[0].dest: kvm"),
            ("rules", lambda rows: rows[0].update(proto=None), "rules[0].proto: None"),
            ("snat", lambda rows: rows[0].update(source="192.168.0.1/24"), "snat[0].source: 192.168.0.1/24"),
            ("providers", lambda rows: [row.update(number=1) for row in rows], "kvmnet_uplinks[1].number: 1"),
            ("providers", lambda rows: rows[1].update(number=250), "kvmnet_uplinks[1].number: 250"),
            ("providers", lambda rows: rows[1].update(mark="1"), "kvmnet_uplinks[1].mark: 1"),
            ("providers", lambda rows: rows[1].update(address=None), "kvmnet_uplinks[1].address: None"),
            ("providers", lambda rows: rows[1].update(gateway_mac=None), "kvmnet_uplinks[1].gateway_mac: None"),
            ("providers", lambda rows: rows[1].update(network="10.0.0.0/8"), "kvmnet_uplinks[1].gateway: 172.20.1.254"),
            ("providers", lambda rows: rows[1].update(options=["optional"]), "kvmnet_uplinks[1].options: optional"),
            (
                "providers",
                lambda rows: rows[1].update(options=["balance", "fallback"]),
                "kvmnet_uplinks[1].options: ['balance', 'fallback']",
            ),
            ("providers", lambda rows: rows[1].update(gateway="detect"), "kvmnet_uplinks[1].gateway: detect"),
            ("rtrules", lambda rows: rows[0].update(provider="isp"), "rtrules[0].provider: isp"),
            ("rtrules", lambda rows: rows[0].update(dest=None), "rtrules[0].dest: None"),
            ("rtrules", lambda rows: rows[0].update(priority="5000"), "rtrules[0].priority: 5000"),
            ("rtrules", lambda rows: rows.append(rows[0] | {"provider": "comcast"}), "rtrules[1].provider: comcast"),
            ("mangle", lambda rows: rows[0].update(provider="isp"), "mangle[0].provider: isp"),
            ("stoppedrules", lambda rows: rows.clear(), "management.sources[0]: 172.20.1.0/24"),
            ("stoppedrules", lambda rows: rows[0].update(dport="2222"), "management.sources[0]: 172.20.1.0/24"),
            ("settings", lambda given: given.update(NO_SUCH="1"), "settings.NO_SUCH: 1"),
            ("settings", lambda given: given.update(MAPOLDACTIONS="No"), "settings.MAPOLDACTIONS: No"),
            ("settings", lambda given: given.update(ROUTE_FILTER="Yes"), "settings.ROUTE_FILTER: Yes"),
            ("settings", lambda given: given.update(LOGFILE='a"b'), 'settings.LOGFILE: a"b'),
        ],
    )
    def test_everything_else(self, root: Path, name: str, change: Callable[[Any], Any], wrong: str) -> None:
        assert wrong in problems(root, config=changed(**{name: change}))

    def test_everything_at_once(self, root: Path) -> None:
        config = changed(
            policy=lambda rows: rows[0].update(dest="dmz"),
            rules=lambda rows: rows[0].update(proto="t c p", source="lan"),
            rtrules=lambda rows: rows[0].update(priority="soon"),
            settings=lambda given: given.update(NO_SUCH="1"),
        )
        assert problems(root, config=config) == [
            "rules[0].proto: t c p",
            "rtrules[0].priority: soon",
            "policy[0].dest: dmz",
            "rules[0].source: lan",
            "settings.NO_SUCH: 1",
        ]

    @pytest.mark.parametrize("name", ["masq", "routestopped", "tcrules"])
    def test_files_of_older_versions(self, root: Path, name: str) -> None:
        (root / f"etc/shorewall/{name}").write_text("# only a comment\n")
        stage(root)
        (root / f"etc/shorewall/{name}").write_text("eth0 192.168.0.0/24\n")
        assert problems(root) == [f"/etc/shorewall/{name}: {name}"]

    def test_strict_reverse_path_filtering(self, root: Path) -> None:
        (root / "etc/sysctl.d").mkdir()
        file = root / "etc/sysctl.d/10-hardening.conf"
        file.write_text("# x\nnet.ipv4.conf.all.rp_filter = 1\n")
        assert problems(root) == ["/etc/sysctl.d/10-hardening.conf.line 2: net.ipv4.conf.all.rp_filter = 1"]
        file.write_text("net.ipv4.conf.all.rp_filter = 2\nnet.ipv4.conf.br7.rp_filter = 1\n")
        stage(root)


@pytest.mark.parametrize(
    ("logformat", "longest"), [("%s %s ", 10), ("Shorewall:%s:%s:", 5), ("%s:%s:", 10), ("fw %s %s ", 8)]
)
def test_the_log_prefix_decides_how_long_a_zone_name_is(logformat: str, longest: int) -> None:
    assert _zones.longest_name(logformat) == longest
