# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of network_guard: how often it asks, what it believes, and what it says."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure

from ansible_collections.ursa.kvmnet.plugins.action import network_guard
from ansible_collections.ursa.kvmnet.plugins.action.network_guard import ActionModule

CHANGED = {"changed": True, "changes": [{"name": "/etc/mine"}]}


class Connection:
    """One by SSH, with a master."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {"host": "192.0.2.20", "ssh_common_args": "-F mine", "timeout": 10}
        self.become = None
        self.resets = 0

    def get_option(self, name: str) -> Any:
        return self.options[name]

    def set_option(self, name: str, value: Any) -> None:
        self.options[name] = value

    def set_become_plugin(self, plugin: object) -> None:
        self.become = plugin

    def reset(self) -> None:
        self.resets += 1


class Task:
    """The task in the play."""

    def __init__(self, args: dict[str, Any], check_mode: bool) -> None:
        self.args, self.check_mode = args, check_mode
        self.action = "ursa.kvmnet.network_guard"
        self.async_val = False


class Controller(ActionModule):
    """The action with a host that says what a test wants.

    Args:
        answers: phase -> what the host says each time, the last thing for ever.
        check_mode: it only predicts.
        args: the task's.
    """

    def __init__(self, answers: dict[str, list[Any]], check_mode: bool = False, **args: Any) -> None:
        self._task = Task({"run_id": "run", **args}, check_mode)
        self._connection = Connection()
        self.answers = answers
        self.asked: list[tuple[str, str, int]] = []

    def _call(self, args: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        options = self._connection.options
        kind = "new" if "ControlPath=none" in options["ssh_common_args"] else "old"
        self.asked.append((args["phase"] + (" of none" if args.get("token") == "" else ""), kind, options["timeout"]))
        answers = self.answers[self.asked[-1][0]]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)

    def _login(self) -> str:
        return "192.0.2.100 50000 192.0.2.20 22"

    def go(self) -> dict[str, Any]:
        # The base class only looks at what it is connected to.
        return self._commit({})

    @property
    def phases(self) -> list[str]:
        return [phase for phase, _kind, _timeout in self.asked]


@pytest.fixture(autouse=True)
def fixture_no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_guard, "PAUSE", 0)


def report(state: str, **more: Any) -> dict[str, Any]:
    return {"changed": False, "report": {"state": state, "error": None, "seconds": 0.7, **more}}


GOOD: dict[str, list[Any]] = {
    "check": [CHANGED],
    "result of none": [report("unknown")],
    "apply": [CHANGED],
    "result": [report("running"), report("applied")],
    "confirm": [report("confirmed")],
}


def good(**changes: list[Any]) -> dict[str, list[Any]]:
    return {phase: list(answers) for phase, answers in {**GOOD, **changes}.items()}


def test_nothing_to_commit_is_one_call() -> None:
    controller = Controller({"check": [{"changed": False}]})
    assert controller.go() == {"changed": False}
    assert controller.asked == [("check", "old", 10)]


def test_a_change_is_confirmed_by_a_connection_that_was_opened_after_it() -> None:
    controller = Controller(good())
    result = controller.go()
    assert (result["changed"], result["seconds"], result["changes"]) == (True, 0.7, CHANGED["changes"])
    assert [(phase, kind) for phase, kind, _timeout in controller.asked] == [
        ("check", "old"),
        ("result of none", "new"),
        ("apply", "old"),
        *(("result", "new"), ("result", "new"), ("confirm", "new")),
    ]
    # As it was before; and its master was let go of once, when the change was on its way.
    assert controller._connection.options["ssh_common_args"] == "-F mine"
    assert controller._connection.resets == 1


def test_check_mode_asks_the_same_and_begins_nothing() -> None:
    controller = Controller(good(), check_mode=True)
    assert controller.go() == CHANGED
    assert controller.phases == ["check", "result of none", "apply"]
    assert controller._connection.resets == 0


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_host_that_takes_no_new_connection_is_not_touched(check_mode: bool) -> None:
    failure = AnsibleConnectionFailure("kex_exchange_identification: Connection closed")
    controller = Controller(good(**{"result of none": [failure]}), check_mode=check_mode)
    result = controller.go()
    assert (result["failed"], result["changed"]) == (True, False)
    assert "the connection in use works, but a new one does not" in result["msg"]
    assert "kex_exchange_identification" in result["msg"]
    assert controller.phases == ["check", *["result of none"] * network_guard.TRIES]
    assert controller._connection.options["ssh_common_args"] == "-F mine"


def test_one_connection_that_fails_is_no_reason() -> None:
    controller = Controller(good(**{"result of none": [AnsibleConnectionFailure("busy"), report("unknown")]}))
    assert controller.go()["changed"] is True


def test_a_timeout_in_which_nobody_could_confirm_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # It is slow each time: 5.0, 4.1 and 6.0 s.
    clock = iter([0.0, 5.0, 5.0, 9.1, 9.1, 15.1])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    controller = Controller(good(), timeout=8)
    result = controller.go()
    assert (result["failed"], result["changed"]) == (True, False)
    assert result["msg"] == (
        "1 problem, nothing was changed:\n- timeout: 8 is wrong; allowed: at least 13 seconds: one new connection to "
        "this host takes 4.1 s just now, and confirming takes two"
    )
    assert "apply" not in controller.phases


def test_a_host_that_is_slow_once_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 5.0, 5.0, 6.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    controller = Controller(good(), check_mode=True, timeout=8)
    assert controller.go() == CHANGED
    assert controller.phases == ["check", "result of none", "result of none", "apply"]


def test_the_failed_task_says_what_failed_and_what_was_put_right() -> None:
    undone = report(
        "restored",
        error="no new connection confirmed the change within 30 s",
        restored=["/etc/mine"],
        found=["eth0: the address 192.0.2.20/24 was gone"],
        left=[],
    )
    result = Controller(good(result=[AnsibleConnectionFailure("timed out"), undone])).go()
    assert (result["failed"], result["changed"]) == (True, False)
    assert result["msg"].splitlines() == [
        "The commit was undone by the host: no new connection confirmed the change within 30 s.",
        "Everything is as it was before (1 file, put back in 0.7 s).",
        "What it put right:",
        "- eth0: the address 192.0.2.20/24 was gone",
        "- the file /etc/mine",
    ]


def test_a_long_report_is_cut_and_what_is_left_is_not() -> None:
    undone = report("restored", error="a step failed", restored=[f"/etc/{n}" for n in range(30)], left=["br9 is gone"])
    lines = Controller(good(result=[undone])).go()["msg"].splitlines()
    assert lines[1:3] == ["Not everything is as it was before:", "- br9 is gone"]
    assert lines[-1] == "- and 10 more, in /var/lib/kvmnet/guard/report.json"


KILLED = {"failed": True, "msg": "MODULE FAILURE", "module_stdout": "", "module_stderr": "Killed", "rc": 137}


@pytest.mark.parametrize("end", [KILLED, AnsibleConnectionFailure("timed out")], ids=["killed", "cut off"])
def test_the_host_is_asked_what_became_of_a_start_that_had_no_end(end: Any) -> None:
    """It may have begun, and may be confirmed as any other; until then nothing is said of it."""
    answers = [report("unknown"), report("running"), report("applied")]
    assert Controller(good(apply=[end], result=answers)).go()["changed"] is True
    undone = report("restored", error="the change was never begun", restored=[], left=[])
    result = Controller(good(apply=[end], result=[undone])).go()
    assert (result["failed"], result["changed"]) == (True, False)
    assert result["msg"].startswith("The commit was undone by the host: the change was never begun.")


def test_a_change_that_never_began_is_a_failure_that_changed_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_guard, "BEGIN_SECONDS", 0.01)
    result = Controller(good(apply=[KILLED], result=[report("unknown", error="the host has no report")])).go()
    assert (result["failed"], result["changed"]) == (True, False)
    assert result["msg"] == "The commit was never begun, and nothing was changed: the host has no report. Run again."


def test_a_refusal_is_believed_at_once() -> None:
    controller = Controller(good(apply=[{"failed": True, "msg": "1 problem, nothing was changed"}]))
    assert controller.go()["msg"] == "1 problem, nothing was changed"
    assert controller.phases[-1] == "apply"
