# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What undoes a step depends on how the unit or the firewall stood before it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import _apply, _commit, _firewall, _networkd, _units

Stands = Callable[[str, str], None]


@pytest.fixture(name="stands")
def fixture_stands(monkeypatch: pytest.MonkeyPatch) -> Stands:
    def set_state(enabled: str, active: str) -> None:
        answers = {"is-enabled": enabled, "is-active": active}
        monkeypatch.setattr(_units, "_says", lambda question, _unit: answers[question])

    return set_state


@pytest.mark.parametrize(
    ("action", "enabled", "active", "inverse"),
    [
        ("disable-now", "enabled", "active", "enable-now"),
        ("disable-now", "disabled", "active", "start"),
        ("disable-now", "enabled", "inactive", "enable"),
        ("disable-now", "disabled", "inactive", None),
        ("enable-now", "disabled", "inactive", "disable-now"),
        ("enable-now", "enabled", "inactive", "stop"),
        ("enable-now", "disabled", "active", "disable"),
        ("enable-now", "enabled", "active", None),
        ("enable", "disabled", "active", "disable"),
        ("enable", "enabled", "inactive", None),
        ("disable", "enabled", "inactive", "enable"),
        ("start", "enabled", "inactive", "stop"),
        ("start", "enabled", "active", None),
        ("stop", "enabled", "activating", "start"),
        ("stop", "enabled", "failed", None),
        ("mask", "enabled", "active", "unmask"),
        ("mask", "masked", "inactive", None),
        ("unmask", "masked", "inactive", "mask"),
        ("unmask", "disabled", "inactive", None),
        ("restart", "enabled", "active", "restart"),
        ("restart", "enabled", "inactive", "stop"),
        ("reload", "enabled", "active", "reload"),
        ("signal-HUP", "enabled", "active", "signal-HUP"),
    ],
)
def test_a_unit_goes_back_to_how_it_stood(
    stands: Stands, action: str, enabled: str, active: str, inverse: str | None
) -> None:
    stands(enabled, active)
    assert _units.unit_inverse(action, "u.service") == inverse


@pytest.mark.parametrize(
    ("args", "started", "enabled", "inverse"),
    [
        ({"action": "stop", "boot": "disabled"}, True, "enabled", {"action": "load", "boot": "enabled"}),
        ({"action": "stop", "boot": "disabled"}, False, "enabled", {"action": "stop", "boot": "enabled"}),
        ({"action": "load", "boot": "enabled"}, False, "disabled", {"action": "stop", "boot": "disabled"}),
        ({"action": "load", "boot": "enabled"}, True, "enabled", {"action": "load", "boot": "enabled"}),
    ],
)
def test_a_firewall_goes_back_to_how_it_stood(
    stands: Stands,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    args: dict[str, str],
    started: bool,
    enabled: str,
    inverse: dict[str, str],
) -> None:
    script = tmp_path / "firewall"
    script.write_text("")
    monkeypatch.setattr(_firewall, "firewall_script", lambda _product: script)
    monkeypatch.setattr(_firewall, "firewall_started", lambda _product: started)
    stands(enabled, "active")
    found = _firewall.firewall_inverse("shorewall6", args)
    assert {name: found[name] for name in inverse} == inverse


@pytest.mark.parametrize("closes", [True, False])
def test_ipv6_is_not_opened_for_the_moment_until_ipv4_closes_it(
    stands: Stands, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, closes: bool
) -> None:
    scripts = {name: tmp_path / name / "firewall" for name in ("shorewall", "shorewall6")}
    for script in scripts.values():
        script.parent.mkdir()
        script.write_text("")
    coming = tmp_path / "candidate/files" / str(scripts["shorewall"]).lstrip("/")
    coming.parent.mkdir(parents=True)
    coming.write_text("disable_ipv6() {\n}\n" + ("    disable_ipv6\n" if closes else ""))
    ran: list[list[str]] = []
    monkeypatch.setattr(_firewall, "firewall_script", scripts.__getitem__)
    monkeypatch.setattr(_firewall, "run", ran.append)
    stands("enabled", "active")
    entries = {str(scripts["shorewall"]): {"state": "present"}, str(scripts["shorewall6"]): {"state": "absent"}}
    _firewall.clear_going(tmp_path / "candidate", entries)
    assert ran == [
        ["systemctl", "stop", "shorewall6.service"],
        [str(scripts["shorewall6"]), "stop" if closes else "clear"],
    ]


def test_what_a_run_wants_goes_before_what_a_killed_one_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    killed = [
        {"kind": "shorewall", "key": "shorewall6", "order": 59, "args": {"action": "stop", "boot": "disabled"}},
        {"kind": "shorewall", "key": "shorewall", "order": 60, "args": {"action": "load", "routing": True}},
        {"kind": "unit", "key": "u.service", "order": 50, "args": {"action": "enable-now"}},
    ]
    monkeypatch.setattr(_apply, "unfinished", lambda: killed)
    candidate = Candidate("run", None)
    candidate.step("shorewall", "shorewall6", 59, action="load", boot="enabled", routing=False)
    candidate.step("shorewall", "shorewall", 60, action="load", boot="enabled", routing=False)
    _commit.resume(candidate)
    steps = {key: step["args"] for (_kind, key), step in candidate.steps.items()}
    assert steps == {
        "shorewall6": {"action": "load", "boot": "enabled", "routing": False},
        "shorewall": {"action": "load", "boot": "enabled", "routing": True},
        "u.service": {"action": "enable-now"},
    }


def test_networkd_that_was_idle_takes_what_it_set_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = tmp_path / "eth0" / "promote_secondaries"
    setting.parent.mkdir()
    setting.write_text("0\n")
    ran: list[list[str]] = []
    monkeypatch.setattr(_networkd, "_CONF", tmp_path)
    monkeypatch.setattr(_networkd, "run", ran.append)
    monkeypatch.setattr(_networkd, "networkd_is_active", lambda: False)
    inverse = _networkd.networkd_inverse({"restart": True})
    setting.write_text("1\n")
    _networkd.step_networkd("networkd", inverse)
    assert (ran[0][:2], setting.read_text()) == (["systemctl", "stop"], "0\n")
    # A card that is gone by then has no settings.
    setting.unlink()
    _networkd.step_networkd("networkd", inverse)
    assert not setting.exists()
    monkeypatch.setattr(_networkd, "networkd_is_active", lambda: True)
    assert _networkd.networkd_inverse({"restart": True}) == {"restart": True, "idle": False}
