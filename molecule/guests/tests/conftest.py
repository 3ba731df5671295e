# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests of the tests' own, beside those of the article."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

ARTICLE = "playbooks/inventories/article"
HERE = Path(__file__).parent


class Converged:
    """What a run came to, after it was predicted, repeated, and told again what it had made."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.result: dict[str, Any] = answer["result"]
        self.changes: list[dict[str, Any]] = self.result["changes"]
        self.guests: dict[str, dict[str, Any]] = {row["name"]: row["options"] for row in answer["guests"]}
        self.warnings: list[str] = self.result.get("warnings", [])

    def pending(self, name: str) -> list[str]:
        """Return the options that a guest has at its next boot only."""
        return [option for row in self.result["pending_restart"] if row["name"] == name for option in row["options"]]

    def changed(self, note: str) -> dict[str, tuple[Any, Any]]:
        """Return what changed, of the changes with a note: at once, at the next boot, by a restart."""
        found = [change["options"] for change in self.changes if change["note"] == note]
        return {name: (row["before"], row["after"]) for options in found for name, row in options.items()}


@pytest.fixture(scope="module")
def ursa(managed: Callable[[str], Host]) -> Host:
    return managed("ursa")


@pytest.fixture(scope="session")
def converge_raw(ansible: Callable[..., str], tmp_path_factory: Any) -> Callable[..., dict[str, Any]]:
    """Converge guests and return all that was said."""
    answer = tmp_path_factory.mktemp("guests") / "answer.json"

    def run(*entries: dict[str, Any], **more: Any) -> dict[str, Any]:
        variables = json.dumps({"wanted": entries, "answer": str(answer), **more})
        ansible("ansible-playbook", ARTICLE, str(HERE / "converge_guests.yml"), "-e", variables)
        found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        return found

    return run


@pytest.fixture(scope="session")
def converge(converge_raw: Callable[..., dict[str, Any]]) -> Callable[..., Converged]:
    """Converge guests: what happened had been predicted, and nothing is left to do."""

    def run(*entries: dict[str, Any], **more: Any) -> Converged:
        answer = converge_raw(*entries, **more)
        assert answer["failure"].get("msg") is None
        done = answer["result"]
        assert answer["predicted"]["changes"] == done["changes"]
        for later in (answer["again"], answer["described"]):
            assert later["changes"] == []
        assert answer["again"]["pending_restart"] == done["pending_restart"]
        assert answer["again"]["needs_recreate"] == done["needs_recreate"]
        return Converged(answer)

    return run


@pytest.fixture(scope="session")
def refused(converge_raw: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Converge guests that cannot be made so, and return how that failed."""

    def run(*entries: dict[str, Any], **more: Any) -> dict[str, Any]:
        failure: dict[str, Any] = converge_raw(*entries, **more)["failure"]
        assert failure["msg"]
        return failure

    return run


@pytest.fixture(scope="module")
def taps(ursa: Host) -> Iterator[Callable[..., None]]:
    """Make taps on the bridge, and take them away at the end."""
    made: list[str] = []

    def make(*names: str, queues: int = 1) -> None:
        kind = " multi_queue" if queues > 1 else ""
        for name in names:
            ursa.check_output(f"ip tuntap add {name} mode tap{kind} && ip link set {name} master br0 up")
            made.append(name)

    yield make
    for name in made:
        ursa.check_output(f"ip link delete {name}")


@pytest.fixture(scope="module")
def removed(converge_raw: Callable[..., dict[str, Any]]) -> Iterator[Callable[..., None]]:
    """Remove guests and their disks at the end."""
    names: list[str] = []
    yield lambda *more: names.extend(more)
    gone = [{"name": name, "state": "absent", "remove_storage": True, "on_timeout": "destroy"} for name in names]
    converge_raw(*[{**entry, "stop_timeout": 1} for entry in gone])
