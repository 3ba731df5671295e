# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Change, Plan, Problem, compare, report


def test_equal_things_need_no_change() -> None:
    assert compare("bridge", "br0", {"mtu": 1500, "mac": "x"}, {"mtu": 1500}) is None
    assert compare("bridge", "br0", None, None) is None


def test_only_wanted_options_are_compared() -> None:
    change = compare("guest", "web", {"memory_mib": 512, "vcpus": 1}, {"memory_mib": 1024}, note="at next boot")
    assert change == Change("change", "guest", "web", {"memory_mib": (512, 1024)}, "at next boot")
    assert change.lines() == ["~ guest web: change, at next boot", "    memory_mib: 512 -> 1024"]


def test_result_speaks_the_users_terms() -> None:
    plan = Plan([compare("zone", "kvm", None, {"type": "ipv4", "parents": None, "options": ["a", True]}), None])
    plan.add(compare("zone", "old", {"type": "ipv4"}, None))
    result = plan.to_result()
    assert result["changed"]
    assert (
        result["diff"]["prepared"] == "+ zone kvm: create\n    type: ipv4\n    options: [a, true]\n- zone old: delete\n"
    )
    assert result["changes"][0]["options"]["type"] == {"before": None, "after": "ipv4"}


def test_an_empty_plan_changes_nothing() -> None:
    assert Plan().to_result() == {"changed": False, "changes": [], "diff": {"prepared": ""}}


def test_all_problems_are_reported_with_place_value_and_what_is_allowed() -> None:
    result = report(
        [
            Problem("kvmnet_guests", 1, "address", "10.0.0.9", "an address of 192.168.0.0/24", host="ursa"),
            Problem("kvmnet_management", None, None, None, "sources and port"),
        ]
    )
    assert result["msg"].splitlines() == [
        "2 problems, nothing was changed:",
        "- ursa: kvmnet_guests[1].address: '10.0.0.9' is wrong; allowed: an address of 192.168.0.0/24",
        "- kvmnet_management: is missing; allowed: sources and port",
    ]
    assert result["problems"][0]["index"] == 1
