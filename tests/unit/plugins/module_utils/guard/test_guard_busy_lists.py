# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Address lists that somebody else looks at while they change."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import _firewall, _run

BUSY = [
    "ipset v7.17: Error in line 514: Kernel error received: Device or resource busy",
    "ipset v7.17: Error in line 6: Set cannot be destroyed: it is in use by a kernel component",
]


@pytest.fixture(name="calls")
def fixture_calls(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """What ipset is given each time; it fails with what C(BUSY) says first."""
    given: list[str | None] = []

    def run(argv: list[str], stdin: str | None = None) -> str:
        given.append(stdin)
        if len(given) <= len(BUSY):
            raise _run.ApplyError(f"{' '.join(argv)} returned 1: {BUSY[len(given) - 1]}")
        return ""

    monkeypatch.setattr(_run, "run", run)
    monkeypatch.setattr(_run, "BUSY_PAUSE", 0)
    return given


def test_lists_that_are_being_looked_at_are_loaded_a_moment_later(tmp_path: Path, calls: list[str | None]) -> None:
    file = tmp_path / "shorewall.ipsets"
    file.write_text("swap kvmnet-new-4 friends\n")
    _firewall.step_ipset(str(file), {"names": ["friends"]})
    assert calls == ["swap kvmnet-new-4 friends\n"] * 3


def test_a_list_that_stays_in_use_is_said_so(calls: list[str | None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_run, "BUSY_TIMEOUT", 0)
    with pytest.raises(_run.ApplyError, match="resource busy"):
        _run.run_ipset(["destroy", "friends"])
    assert len(calls) == 1


def test_other_failures_are_said_at_once(calls: list[str | None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "BUSY", ["ipset v7.17: Syntax error: unknown command"])
    with pytest.raises(_run.ApplyError, match="Syntax error"):
        _run.run_ipset(["restore"], "nonsense\n")
    assert len(calls) == 1
