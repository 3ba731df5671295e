# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The article's configuration, staged: what is written, kept, and changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall import _conf, _providers
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._run import InvalidError, stage_config, stage_zones

from .conftest import CONF, CONFIG, changed, install, problems, provider, stage, text


class TestArticle:
    def test_renders_the_article(self, root: Path) -> None:
        candidate, _unused = stage(root)
        assert [line.split() for line in text(candidate, "providers").splitlines()[2:]] == [
            ["comcast", "1", "1", "-", "eth0:172.20.1.130", "172.20.1.1,02:00:00:00:00:01", "track,loose"],
            ["avvanta", "2", "2", "-", "eth0:172.20.1.130", "172.20.1.254,02:00:00:00:00:fe", "track,loose"],
        ]
        assert "MARK(2)         $FW             0.0.0.0/0       tcp             21\n" in text(candidate, "mangle")

    def test_what_is_forwarded_is_marked_before_it_is_routed(self, root: Path) -> None:
        mail = {"provider": "avvanta", "source": "br0", "dest": "0.0.0.0/0", "proto": ["tcp"], "dport": ["25"]}
        candidate, _unused = stage(root, config=changed(mangle=lambda rows: rows.append(mail)))
        assert "MARK(2):P       br0             0.0.0.0/0       tcp             25\n" in text(candidate, "mangle")

    def test_pins_what_is_learned(self, root: Path) -> None:
        candidate, _unused = stage(root)
        assert "SW_ETH0_COMCAST_MAC=02:00:00:00:00:01\nSW_ETH0_AVVANTA_MAC=02:00:00:00:00:fe\n" in text(
            candidate, "init"
        )
        assert text(candidate, "shorewall.conf") == CONF.replace("/var/log/messages", "systemd").replace(
            "ROUTE_FILTER=Yes", "ROUTE_FILTER=No"
        ).replace("Keep", "On")

    def test_changes_nothing_twice(self, root: Path) -> None:
        candidate, staging = stage(root)
        assert staging.plan.changed
        install(root, candidate)
        again, staging = stage(root)
        assert staging.plan.lines() == []
        assert again.entries == {}

    def test_adds_and_removes_what_differs_only(self, root: Path) -> None:
        candidate, _unused = stage(root)
        install(root, candidate)
        rule = {"action": "DNAT", "source": "net", "dest": "kvm:192.168.0.2", "proto": "tcp", "dport": "80"}
        again, staging = stage(root, config=changed(rules=lambda rows: rows.append(rule)))
        assert staging.plan.lines() == ["+ rule net->kvm:192.168.0.2 DNAT tcp 80: create"]
        assert set(again.entries) == {"/etc/shorewall/rules"}
        assert not staging.routing

    def test_leaves_alone_what_is_not_given_and_empties_what_is(self, root: Path) -> None:
        candidate, _unused = stage(root)
        install(root, candidate)
        again = Candidate(None, None, root)
        staging = stage_config(again, {"rtrules": [], "providers": None}, True, lambda *_: None)
        assert staging.plan.lines() == ["- routing rule -->206.124.146.176/31 avvanta 1000: delete"]
        assert set(again.entries) == {"/etc/shorewall/rtrules"}
        assert staging.routing

    def test_an_empty_list_makes_no_file(self, root: Path) -> None:
        candidate = Candidate(None, None, root)
        stage_config(candidate, {"tunnels": []}, True, lambda *_: None)
        assert "/etc/shorewall/tunnels" not in candidate.entries


class TestProviders:
    def test_a_learned_address_stays_pinned(self, root: Path) -> None:
        candidate, _unused = stage(root)
        install(root, candidate)
        again = Candidate(None, None, root)
        stage_config(again, CONFIG, True, lambda *_: pytest.fail("asked the network for a pinned address"))
        assert again.entries == {}

    def test_a_gateway_that_does_not_answer_is_an_error(self, root: Path) -> None:
        config = changed(providers=lambda rows: rows[1].update(gateway="172.20.1.99"))
        with pytest.raises(InvalidError) as caught:
            stage(root, config=config)
        assert [problem.place() for problem in caught.value.problems] == ["kvmnet_uplinks[1].gateway_mac"]
        assert "set gateway_mac" in str(caught.value)

    def test_a_number_stays_when_another_provider_goes(self, root: Path) -> None:
        candidate, _unused = stage(root)
        install(root, candidate)
        config = changed(providers=lambda rows: rows.__setitem__(0, provider("third", "172.20.1.1", 0)))
        again, _unused = stage(root, config=config)
        numbers = {line.split()[0]: line.split()[1] for line in text(again, "providers").splitlines()[2:]}
        assert numbers == {"third": "3", "avvanta": "2"}
        # The connections of the one that went cannot go on
        assert [(key, step["args"]["argv"][-2:]) for (_kind, key), step in again.steps.items() if "drop" in key] == [
            ("drop connections of mark 1", ["ipv4", "1/0xff"])
        ]

    def test_a_number_that_moves_is_named_and_its_connections_are_dropped(self, root: Path) -> None:
        candidate, staging = stage(root)
        assert (staging.remarks, [key for _kind, key in candidate.steps if "drop" in key]) == ([], [])
        install(root, candidate)

        def swap(rows: list[dict[str, Any]]) -> None:
            rows[0]["number"], rows[1]["number"] = 2, 1

        again, staging = stage(root, config=changed(providers=swap))
        assert staging.remarks == [
            "provider comcast: its number, table and mark are 2 now, and were 1",
            "provider avvanta: its number, table and mark are 1 now, and were 2",
        ]
        assert [line for line in staging.plan.lines() if "connections" in line] == [
            "- connections mark 1: delete, it was that of comcast, and is that of avvanta",
            "- connections mark 2: delete, it was that of avvanta, and is that of comcast",
        ]
        orders = [step["order"] for (_kind, key), step in again.steps.items() if "drop" in key]
        assert orders == [66, 66]

    @pytest.mark.parametrize(
        ("line", "refused"), [("1001 mine", True), ("0x7d2 mine", True), ("1003 mine", False), ("# 1001 was", False)]
    )
    def test_a_table_that_the_monitor_needs_is_named_by_nobody_else(self, root: Path, line: str, refused: bool) -> None:
        directory = root / "etc/iproute2/rt_tables.d"
        directory.mkdir(parents=True)
        (directory / "site.conf").write_text(f"# ours\n{line}\n")
        stage(root)
        found = [f"/etc/iproute2/rt_tables.d/site.conf.line 2: {line}"] if refused else []
        if refused:
            assert problems(root, config=CONFIG | {"follow_monitor": True}) == found
        else:
            stage(root, config=CONFIG | {"follow_monitor": True})

    def test_the_last_one_takes_all_connections(self, root: Path) -> None:
        candidate, _unused = stage(root)
        install(root, candidate)
        again, _unused = stage(root, config=CONFIG | {"providers": [], "rtrules": [], "mangle": []})
        assert [key for _kind, key in again.steps if "drop" in key] == []

    def test_a_gateway_with_two_addresses_is_marked_by_both(self, root: Path) -> None:
        config = changed(providers=lambda rows: rows[0].update(gateway_mac=["learn", "02:00:00:00:00:AA"]))
        candidate, _unused = stage(root, config=config)
        assert "172.20.1.1,02:00:00:00:00:01" in text(candidate, "providers")
        assert "MARK(1):P       eth0:~02-00-00-00-00-aa" in text(candidate, "mangle")

    def test_an_init_script_of_ones_own_keeps_its_text(self, root: Path) -> None:
        candidate, _unused = stage(root, config=CONFIG | {"scripts": {"init": "modprobe ifb\n"}})
        assert text(candidate, "init").startswith("modprobe ifb\n# BEGIN ursa.kvmnet")
        install(root, candidate)
        again, staging = stage(root, config=CONFIG | {"providers": [], "rtrules": [], "mangle": []})
        assert text(again, "init") == "modprobe ifb\n"
        assert "~ script init: change" in staging.plan.lines()

    def test_the_monitors_verdict_is_read_beside_the_pins(self, root: Path) -> None:
        line = "[ ! -r /var/lib/kvmnet/uplinks/init ] || . /var/lib/kvmnet/uplinks/init\n"
        pins = "SW_ETH0_COMCAST_MAC=02:00:00:00:00:01\nSW_ETH0_AVVANTA_MAC=02:00:00:00:00:fe\n"
        candidate, _unused = stage(root, config=CONFIG | {"follow_monitor": True})
        assert pins + line in text(candidate, "init")
        candidate, _unused = stage(root, config=CONFIG | {"follow_monitor": True, "pin_gateways": False})
        assert line in text(candidate, "init")
        assert "SW_" not in text(candidate, "init")
        install(root, candidate)
        again, _unused = stage(
            root, config=CONFIG | {"providers": [], "rtrules": [], "mangle": [], "follow_monitor": True}
        )
        assert again.read("/etc/shorewall/init") in (None, b""), "none without providers"

    def test_numbers_that_became_free_are_taken_last(self) -> None:
        entries: list[dict[str, Any]] = [{"name": "new"}, {"name": "fixed", "number": 1}]
        _providers.assign_numbers(entries, {"old": {"number": "2"}})
        assert [entry["number"] for entry in entries] == [3, 1]


class TestMergedZones:
    def test_keeps_what_is_not_listed(self, root: Path) -> None:
        candidate, _unused = stage(root)
        install(root, candidate)
        again = Candidate(None, None, root)
        params = {"zones": [{"name": "dmz", "interfaces": [{"name": "eth2"}]}], "exclusive": False}
        assert stage_zones(again, params, True).plan.lines() == [
            "+ zone dmz: create", "    type: ipv4", "+ interface eth2: create", "    zone: dmz",
        ]  # fmt: skip

    def test_takes_an_absent_zone_and_its_interfaces_away(self, root: Path) -> None:
        candidate, _unused = stage(root)
        install(root, candidate)
        again = Candidate(None, None, root)
        plan = stage_zones(again, {"zones": [{"name": "kvm", "state": "absent"}], "exclusive": False}, True).plan
        assert plan.lines() == ["- zone kvm: delete", "- interface br0: delete"]

    def test_leaves_the_interfaces_of_a_zone_that_does_not_list_them(self, root: Path) -> None:
        candidate, _unused = stage(root)
        install(root, candidate)
        again = Candidate(None, None, root)
        plan = stage_zones(again, {"zones": [{"name": "kvm", "options": ["mss=1400"]}], "exclusive": False}, True).plan
        assert plan.lines() == ["~ zone kvm: change", "    options: - -> [mss=1400]"]


class TestAssignments:
    def test_keeps_everything_else(self) -> None:
        assert _conf.edit(CONF, {"ROUTE_FILTER": "No"}) == CONF.replace("ROUTE_FILTER=Yes", "ROUTE_FILTER=No")

    def test_leaves_the_spelling_of_an_equal_value(self) -> None:
        assert _conf.edit(CONF, {"LOGFORMAT": "%s %s ", "LOGFILE": "/var/log/messages"}) == CONF

    def test_adds_what_is_new(self) -> None:
        assert _conf.edit("A=1", {"B": "x y"}) == 'A=1\nB="x y"\n'

    def test_sets_the_assignment_that_counts(self) -> None:
        assert _conf.edit("A=1\nA=2\n", {"A": "3"}) == "A=1\nA=3\n"

    def test_reads_booleans_as_words(self) -> None:
        assert [_conf.to_text(value) for value in (True, False, None, 7)] == ["Yes", "No", "", "7"]


def test_a_closed_boot_comes_and_goes_and_leaves_other_peoples_files(root: Path) -> None:
    candidate, _unused = stage(root, config={**CONFIG, "closed_boot": True})
    install(root, candidate)
    unit = root / "etc/systemd/system/kvmnet-closed.service"
    drop_in = root / "etc/systemd/system/shorewall.service.d/50-kvmnet.conf"
    assert "Before=network-pre.target" in unit.read_text()
    assert drop_in.read_text().splitlines()[-2:] == [
        "ExecStart=",
        "ExecStart=/bin/sh /usr/local/lib/kvmnet/firewall start shorewall",
    ]
    again, _unused = stage(root, config={**CONFIG, "closed_boot": True})
    assert again.empty
    untouched, _unused = stage(root)
    assert untouched.empty
    drop_in.write_text("[Service]\n")
    gone, _unused = stage(root, config={**CONFIG, "closed_boot": False})
    assert {path for path, entry in gone.entries.items() if entry["state"] == "absent"} == {
        "/etc/systemd/system/kvmnet-closed.service",
        "/etc/systemd/system/sysinit.target.d/50-kvmnet-closed.conf",
        "/usr/local/lib/kvmnet/firewall",
    }
