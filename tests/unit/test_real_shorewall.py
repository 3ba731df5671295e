# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shorewall itself in a throw-away host: commits that fail, and verdicts that do not depend on the compiler's effort.

It needs root and one of the lab's Debian roots, which `make site` and `make molecule` install.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent


@pytest.fixture(name="bench", scope="module")
def fixture_bench() -> Any:
    sys.path.insert(0, str(HERE.parent / "benchmark"))
    bench = importlib.import_module("bench")
    if os.geteuid() != 0 or not bench.cached_roots():
        pytest.skip("needs root, and a Debian root with Shorewall in the lab's cache")
    return bench


@pytest.fixture(name="results", scope="module")
def fixture_results(bench: Any) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(
        bench.run_inside(bench.cached_roots()[0], "tests/unit/real_shorewall.py", {}, 300)
    )
    return found


OLD = {"started": True, "loaded": True, "open": [22], "in files": [22], "policy": "-P INPUT DROP"}


def state(result: dict[str, Any]) -> dict[str, Any]:
    return {name: result[name] for name in OLD}


def test_the_first_commit_starts_it(results: dict[str, dict[str, Any]]) -> None:
    assert results["first"]["said"] == ""
    assert state(results["first"]) == OLD


def test_nothing_is_compiled_when_nothing_changed(results: dict[str, dict[str, Any]]) -> None:
    assert [(results[name]["empty"], results[name]["compiled"]) for name in ("same", "same again")] == [(True, 0)] * 2
    assert results["changed"]["compiled"] == 1


def test_a_refused_configuration_changes_nothing(results: dict[str, dict[str, Any]]) -> None:
    said = results["refused"]["said"]
    assert said.startswith(
        "kvmnet_rules[3]: Shorewall's compiler says: Unknown ACTION (NOSUCH) in the row 'NOSUCH net "
    )
    assert "(/etc/shorewall/rules, line " in said
    assert state(results["refused"]) == OLD


def test_a_script_that_fails_leaves_the_old_firewall_started(results: dict[str, dict[str, Any]]) -> None:
    said = results["fails"]["said"]
    assert 'ERROR: Command "ip -4 route add 203.0.113.0/24 via 192.0.2.77" Failed; everything was put back' in said
    assert state(results["fails"]) == OLD


def test_a_first_start_that_fails_leaves_none(results: dict[str, dict[str, Any]]) -> None:
    assert results["first fails"]["said"].endswith("; everything was put back")
    assert results["first fails"]["policy"] == "-P INPUT ACCEPT"
    assert not results["first fails"]["started"]


def test_what_changed_is_what_is_loaded(results: dict[str, dict[str, Any]]) -> None:
    assert state(results["changed"]) == {**OLD, "open": [2222], "in files": [2222]}


CLOSED = ["-P INPUT DROP", "-P FORWARD DROP"]


def test_a_boot_closes_both_versions_and_admits_who_manages_the_host(results: dict[str, dict[str, Any]]) -> None:
    assert results["closed"]["policies"] == CLOSED * 2
    assert (results["closed"]["started"], results["closed"]["admitted"]) == (False, "1")


def test_a_boot_starts_what_was_committed_and_what_is_started_stays_so(results: dict[str, dict[str, Any]]) -> None:
    found = results["closed, then started"]
    assert (found["started"], found["compiled"], found["policies"]) == (True, False, CLOSED * 2)


def test_a_boot_compiles_what_was_edited_since(results: dict[str, dict[str, Any]]) -> None:
    assert (results["edited"]["started"], results["edited"]["compiled"]) == (True, True)


def test_a_boot_leaves_ipv6_alone_that_is_somebody_elses(results: dict[str, dict[str, Any]]) -> None:
    assert results["IPv6 of others"]["policies"][:2] == CLOSED
    assert "-P INPUT DROP" not in results["IPv6 of others"]["policies"][2:]


def test_a_firewall_that_shall_not_start_stays_closed(results: dict[str, dict[str, Any]]) -> None:
    assert (results["disabled"]["started"], results["disabled"]["policies"][:2]) == (False, CLOSED)


@pytest.fixture(name="lists", scope="module")
def fixture_lists(bench: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bench.run_inside(bench.cached_roots()[0], "tests/unit/real_lists.py", {}, 300))
    return found


def test_a_long_list_is_one_set_of_the_kernel(lists: dict[str, Any]) -> None:
    assert lists["first"]["said"] == ""
    (members,) = lists["sets"]["first"].values()
    assert members == sorted(lists["many"])
    assert lists["first"]["rule set"].count("--match-set") == 2
    assert "198.51.100." not in lists["first"]["rule set"] + lists["first"]["rules file"]
    assert "+ rule net:(199 addresses)->$FW DROP: create" in lists["first"]["plan"]


def test_the_same_addresses_in_another_order_are_no_change(lists: dict[str, Any]) -> None:
    assert (lists["same"]["empty"], lists["same"]["plan"]) == (True, [])


def test_another_address_compiles_and_reloads_nothing(lists: dict[str, Any]) -> None:
    swapped = lists["swapped"]
    assert (swapped["said"], swapped["compiled"], swapped["steps"]) == ("", 0, ["ipset", "ipset-prune"])
    assert list(lists["sets"]["swapped"].values()) == [sorted(lists["more"])]
    for what in ("rule set", "rules file", "script"):
        assert swapped[what] == lists["first"][what]
    assert swapped["plan"] == [
        "~ rule net:(200 addresses)->$FW DROP: change",
        "    source added: - -> [203.0.113.9]",
        "~ rule net:(200 addresses)->kvm REJECT: change",
        "    source added: - -> [203.0.113.9]",
    ]


def test_what_is_read_back_has_the_addresses(lists: dict[str, Any]) -> None:
    rules = lists["adopted"]["configuration"]["rules"]
    assert [rule["source"].count(",") for rule in rules] == [199, 199, 0]
    assert (lists["adopted"]["problems"], lists["adopted"]["notes"]) == ([], [])


def test_going_back_brings_the_addresses_back(lists: dict[str, Any]) -> None:
    assert lists["sets"]["back"] == lists["sets"]["first"]
    assert (lists["back again"]["empty"], lists["back again"]["compiled"]) == (True, 0)


@pytest.mark.parametrize("name", ["mended", "refused", "fails"])
def test_the_kernel_holds_the_list_again_whatever_happened_to_it(lists: dict[str, Any], name: str) -> None:
    assert lists["sets"][name] == lists["sets"]["first"]
    assert bool(lists[name]["said"]) is (name != "mended")


def test_another_list_is_another_set_and_a_short_one_is_none(lists: dict[str, Any]) -> None:
    assert lists["other list"]["said"] == lists["short"]["said"] == ""
    assert sorted(len(members) for members in lists["sets"]["other list"].values()) == [60, 200]
    assert lists["sets"]["short"] == {}
    assert lists["short"]["rule set"].count("-s 198.51.100.") == 6


def test_every_column_that_may_hold_a_set_takes_one(lists: dict[str, Any]) -> None:
    found = lists["everywhere"]
    assert (found["said"], found["loaded"]) == ("", True)
    assert list(lists["sets"]["everywhere"].values()) == [sorted(lists["many"])]
    assert found["match sets"] == 4


def test_the_lists_are_there_when_the_host_starts(lists: dict[str, Any]) -> None:
    assert lists["boot"] == "0"
    assert list(lists["sets"]["boot"].values()) == [sorted(lists["many"])]


def test_ipv6_has_sets_of_its_own(lists: dict[str, Any]) -> None:
    assert (lists["ipv6"]["said"], lists["ipv6"]["compiled"]) == ("", 1)
    assert "+ rule net:(59 addresses)->$FW DROP: create" in lists["ipv6"]["plan"]
    sizes = {name[:8]: len(members) for name, members in lists["sets"]["ipv6"].items()}
    assert sizes == {"kvmnet4_": 199, "kvmnet6_": 59}


@pytest.mark.parametrize(("rules", "zones", "level"), [(1100, 2, "15"), (60, 21, "7")])
def test_less_effort_of_the_compiler_gives_the_same_verdicts(bench: Any, rules: int, zones: int, level: str) -> None:
    site = bench.Site(rules, zones)
    result = bench.run_case(bench.cached_roots()[0], site, 120, True, ("first",))
    assert result["level"] == level
    assert bench.compare_verdicts(site, result, 60) == 4 * 60
    judged = {
        bench.verdict(bench.read(result["rules"]), packet)
        for packet in bench.sample(site.tuples(), site.networks(), 50)
    }
    assert judged >= {"ACCEPT", "DROP"}, "a comparison of nothing but the policy"
