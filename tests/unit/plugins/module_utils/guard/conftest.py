# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One change on files of the test's own, on a host of which nothing else is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import _apply, _restore, _transaction, _watch
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._transaction import Transaction

TOKEN = "c0ffee00"
# The state of a host that has no network at all
NOTHING: dict[str, Any] = {
    **{name: {} for name in ("links", "addresses", "firewall", "sysctls", "units")},
    **{name: {"4": [], "6": []} for name in ("routes", "rules")},
    "ipsets": "",
}
OLD = {"changed": "old\n", "gone": "precious\n"}
NEW = {"changed": "new\n", "made": "a directory", "made/new": "new\n"}


class Clock:
    """The seconds since the boot."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(name="clock")
def fixture_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let the guard's clock stand still until the test moves it."""
    clock = Clock()
    monkeypatch.setattr(_transaction, "now", clock)
    monkeypatch.setattr(_watch, "now", clock)
    return clock


@pytest.fixture(name="transaction")
def fixture_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Transaction:
    """Give the one change of a host that changes nothing by itself, its files in a directory of the test's own."""
    state = tmp_path / "guard"
    state.mkdir()
    monkeypatch.setattr(_apply, "STATE", state)
    monkeypatch.setattr(_apply, "LOCK", tmp_path / "lock")
    monkeypatch.setattr(_restore, "_PAUSE", 0)
    monkeypatch.setattr(_restore.Restorer, "prune_ipsets", lambda self: None)
    monkeypatch.setattr(_restore, "read_firewall", dict)
    for module in (_transaction, _restore):
        monkeypatch.setattr(module, "KEPT_DIRECTORIES", ())
        monkeypatch.setattr(module, "KEPT_FILES", ())
        monkeypatch.setattr(module, "read_state", lambda units: NOTHING)
    return Transaction()


@pytest.fixture(name="candidate")
def fixture_candidate(tmp_path: Path) -> Path:
    """Change one file, make one in a directory of its own, take one away."""
    live, directory = tmp_path / "etc", tmp_path / "candidate"
    live.mkdir()
    (live / "changed").write_text("old\n")
    (live / "gone").write_text("precious\n")
    entries: dict[str, Any] = {str(live / "gone"): {"state": "absent"}}
    for name in ("changed", "made/new"):
        path = str(live / name)
        entries[path] = {"state": "present", "mode": 0o644}
        _apply.write_file(_apply.content_path(directory, path), b"new\n", 0o644)
    _apply.write_json(directory / "index.json", {"run_id": "run", "entries": entries, "steps": []})
    return directory


def files(tmp_path: Path) -> dict[str, str]:
    """Return what there is of the files that the candidate changes."""
    live = tmp_path / "etc"
    return {
        str(path.relative_to(live)): path.read_text() if path.is_file() else "a directory" for path in live.rglob("*")
    }


def begin(transaction: Transaction, candidate: Path, timeout: float = 30) -> None:
    """Arm the change."""
    transaction.begin(candidate, TOKEN, "192.0.2.100", timeout)
