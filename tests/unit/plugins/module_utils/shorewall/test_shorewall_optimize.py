# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How hard the compiler works follows from the size, unless a human says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._adopt import describe
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._optimize import (
    choose,
    choose_actions,
    count_rules,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._run import stage_config


@pytest.mark.parametrize(
    ("current", "rules", "zones", "level"),
    [
        ("All", 10, 3, "All"),
        (None, 1000, 20, "All"),
        ("All", 1001, 3, "15"),
        ("15", 20000, 3, "15"),
        ("15", 10, 3, "All"),
        ("31", 20000, 3, "15"),
        ("All", 10, 21, "7"),
        ("All", 20000, 100, "7"),
        ("1", 20000, 3, "1"),
        ("0", 10, 3, "0"),
    ],
)
def test_the_level_follows_from_the_size(current: str | None, rules: int, zones: int, level: str) -> None:
    assert choose(current, rules, zones) == level


def test_a_list_of_addresses_is_a_rule_for_each_pair() -> None:
    assert count_rules([("net", "$FW"), ("net:10.0.0.1,10.0.0.2", "kvm:10.1.0.1,10.1.0.2,10.1.0.3")]) == 7


@pytest.mark.parametrize(
    ("actions", "zones", "shared"),
    [
        ("", 20, False),
        ("", 21, True),
        ("# Broadcast is Debian's\nMine noinline\n", 21, True),
        ("Mine\n Broadcast inline\n", 21, False),
        ("Multicast\n", 21, False),
    ],
)
def test_many_zones_share_what_their_policies_begin_with(actions: str, zones: int, shared: bool) -> None:
    assert bool(choose_actions(actions, zones)) is shared


class TestStaged:
    @pytest.fixture(name="root")
    def fixture_root(self, tmp_path: Path) -> Path:
        config = tmp_path / "etc/shorewall"
        config.mkdir(parents=True)
        (config / "shorewall.conf").write_text("STARTUP_ENABLED=Yes\nOPTIMIZE=All # Debian's\n")
        (config / "zones").write_text("fw firewall\nnet ipv4\nkvm ipv4\n")
        (config / "interfaces").write_text("?FORMAT 2\nnet eth0\nkvm br0\n")
        return tmp_path

    def stage(self, root: Path, count: int, **params: Any) -> tuple[Candidate, Any]:
        addresses = [f"10.0.{index // 250}.{index % 250}" for index in range(count)]
        rules = [{"action": "ACCEPT", "source": f"net:{','.join(addresses)}", "dest": "$FW"}]
        candidate = Candidate(None, None, root)
        return candidate, stage_config(candidate, {"rules": rules, **params}, True, lambda *_: None)

    def test_many_rules_are_compiled_without_comparing_each_with_all(self, root: Path) -> None:
        candidate, staging = self.stage(root, 1500)
        conf = (candidate.read("/etc/shorewall/shorewall.conf") or b"").decode()
        assert conf == "STARTUP_ENABLED=Yes\nOPTIMIZE=15 # Debian's\n"
        assert staging.routing is False, "rules that stay in the same interfaces are no change of the routing"

    def test_a_few_rules_leave_the_settings_alone(self, root: Path) -> None:
        candidate, _unused = self.stage(root, 3)
        assert "/etc/shorewall/shorewall.conf" not in candidate.entries

    def test_the_user_has_the_last_word(self, root: Path) -> None:
        candidate, _unused = self.stage(root, 1500, settings={"OPTIMIZE": "All"})
        assert "/etc/shorewall/shorewall.conf" not in candidate.entries

    def test_the_actions_of_many_zones_come_and_go_and_leave_the_rest(self, root: Path) -> None:
        zones, actions = root / "etc/shorewall/zones", root / "etc/shorewall/actions"
        few = zones.read_text()
        many = few + "".join(f"z{number} ipv4\n" for number in range(20))
        path = "/etc/shorewall/actions"
        for mine in ("", "Mine noinline\n"):
            zones.write_text(many)
            if mine:
                actions.write_text(mine)
            candidate, staging = self.stage(root, 3)
            text = (candidate.read(path) or b"").decode()
            assert text.startswith(mine)
            assert "\nBroadcast noinline,audit\nMulticast noinline,audit\n" in text
            assert staging.routing is False
            actions.write_text(text)
            read_back = describe(Candidate(None, None, root))["configuration"]["files"]
            assert ("actions" in read_back) is bool(mine), "what the module adds by itself is not the user's"
            assert self.stage(root, 3, files={"actions": "Else inline\n"})[0].read(path) == b"Else inline\n"
            assert path not in self.stage(root, 4)[0].entries
            zones.write_text(few)
            assert (self.stage(root, 3)[0].read(path) or b"").decode() == mine
            actions.unlink()
