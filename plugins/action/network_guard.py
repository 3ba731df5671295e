# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of network_guard: start the commit, let go of the host, and believe only a new connection."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()

MODULE = "ursa.kvmnet.network_guard"
# As long as the host gives a change to be applied, and then itself to put everything back.
APPLY_SECONDS = 120
RESTORE_SECONDS = 30
# So long a change may take to begin, once it is on its way to.
BEGIN_SECONDS = 20
CONNECT_SECONDS = 3
PAUSE = 0.2
# A host may be too busy for one more connection, for the moment.
TRIES = 3
REPORT = "/var/lib/kvmnet/guard/report.json"
# Lines of it that the failed task shows.
SHOWN = 20
# An established connection outlives a firewall that shuts new ones out, so it proves nothing.
FRESH = "-o ControlMaster=no -o ControlPath=none"


class ActionModule(ActionBase):
    _requires_connection = True
    # Where the host is reached before the change.
    _host: Any = None

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        return self._commit(task_vars or {})

    def _commit(self, variables: dict[str, Any]) -> dict[str, Any]:
        args = {key: value for key, value in self._task.args.items() if key not in ("phase", "login", "token")}
        checked = self._call({**args, "phase": "check"}, variables)
        if checked.get("failed") or not checked.get("changed"):
            return checked
        doubtful = self._doubt(args, variables)
        if doubtful:
            return {**checked, "changed": False, "failed": True, "msg": doubtful}
        token = secrets.token_hex(4)
        # In check mode this call refuses what a run would refuse, and starts nothing.
        login = self._login()
        try:
            started = self._call({**args, "phase": "apply", "token": token, "login": login}, variables)
        except AnsibleConnectionFailure as failure:
            if self._task.check_mode:
                raise
            # It may have begun; whether it has, the host says.
            display.v(f"{self._task.action}: the connection was lost while the commit was started: {failure}")
            started = checked
        if started.get("failed") and "module_stdout" in started and not self._task.check_mode:
            # It did not end by itself, so it may have begun as well.
            display.v(f"{self._task.action}: what started the commit was killed: {started.get('msg')}")
            started = checked
        if started.get("failed") or self._task.check_mode:
            return started
        with self._new_connections(args.get("connect")):
            report = self._await_report(args, token, variables)
        result = self._conclude(started, report)
        return result if result.get("failed") or not args.get("connect") else {**result, "host": args["connect"]}

    def _call(self, args: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = self._execute_module(module_name=MODULE, module_args=args, task_vars=variables)
        result.pop("invocation", None)
        return result

    def _doubt(self, args: dict[str, Any], variables: dict[str, Any]) -> str:
        """Return why no new connection could confirm the change, tried out before anything is touched, or nothing."""
        failure, times = "", []
        timeout = int(args.get("timeout", 30))
        with self._new_connections(None, keep=True):
            for _turn in range(TRIES):
                started = time.monotonic()
                try:
                    self._call({**args, "phase": "result", "token": ""}, variables)
                except AnsibleConnectionFailure as error:
                    failure = str(error).strip()
                    time.sleep(PAUSE)
                    continue
                times.append(time.monotonic() - started)
                # One finds that the change is applied, the next confirms it.
                if timeout >= 2 * times[-1]:
                    return ""
        if not times:
            return (
                "Nothing was changed: the connection in use works, but a new one does not, and only a new one can "
                f"confirm a change: {failure}"
            )
        return (
            f"1 problem, nothing was changed:\n- timeout: {timeout} is wrong; allowed: at least "
            f"{math.ceil(3 * min(times))} seconds: one new connection to this host takes {min(times):.1f} s just now, "
            "and confirming takes two"
        )

    def _login(self) -> str:
        """Return how the host sees this connection, asked for without sudo, which clears the variable."""
        become = self._connection.become
        self._connection.set_become_plugin(None)
        try:
            answer = self._low_level_execute_command("echo $SSH_CONNECTION", sudoable=False)
        finally:
            self._connection.set_become_plugin(become)
        return str(answer.get("stdout", "")).strip()

    @contextmanager
    def _new_connections(self, host: str | None, keep: bool = False) -> Iterator[None]:
        """Let every call be a connection of its own, given up soon when nobody answers.

        Args:
            host: the address at which the host is reached then, if it is another one; its key stays the same.
            keep: the connection in use goes on afterwards.
        """
        if not keep:
            self._connection.reset()
        self._host = self._option("host")
        wanted: dict[str, Any] = {"ssh_common_args": FRESH, "timeout": CONNECT_SECONDS}
        if host is not None:
            wanted |= {"host": host, "ssh_common_args": f"{FRESH} -o HostKeyAlias={self._host}"}
        before = {name: self._option(name) for name in wanted}
        for name, value in wanted.items():
            if before[name] is not None or name == "ssh_common_args":
                self._set(name, f"{before[name] or ''} {value}".strip() if name == "ssh_common_args" else value)
        try:
            yield
        finally:
            for name, value in before.items():
                self._set(name, value)

    def _option(self, name: str) -> Any:
        try:
            return self._connection.get_option(name)
        except KeyError:
            # Not a connection by SSH.
            return None

    def _set(self, name: str, value: Any) -> None:
        with suppress(KeyError):
            self._connection.set_option(name, value)

    def _await_report(self, args: dict[str, Any], token: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Ask over new connections until the change is confirmed, or the host has put everything back."""
        patience = APPLY_SECONDS + int(args.get("timeout", 30)) + RESTORE_SECONDS
        end = time.monotonic() + patience
        error, phase = "it never answered", "result"
        unknown: float | None = None
        # A host that has undone a change of its address is at the old one.
        hosts = [self._option("host"), self._host] if args.get("connect") else [self._option("host")]
        turn = 0
        while time.monotonic() < end:
            time.sleep(PAUSE)
            try:
                host = hosts[turn % len(hosts)]
                self._set("host", host)
                answer = self._call(
                    {**args, "phase": phase if host == hosts[0] else "result", "token": token}, variables
                )
            except AnsibleConnectionFailure as failure:
                error = str(failure).strip()
                display.v(f"{self._task.action}: no new connection yet: {error}")
                turn += 1
                continue
            if answer.get("failed"):
                error = str(answer.get("msg"))
                continue
            report: dict[str, Any] = answer["report"]
            if report["state"] == "unknown":
                # What was cut off while it began may be about to go on.
                unknown = unknown or time.monotonic() + BEGIN_SECONDS
                if time.monotonic() > unknown:
                    return {**report, "state": "never begun"}
                continue
            if report["state"] not in ("running", "applied", "restoring"):
                return report
            if report["state"] == "applied":
                # Only a connection that is opened from now on proves that new ones are let in.
                phase, turn = "confirm", 0
            display.v(f"{self._task.action}: the host is reachable, its state is {report['state']}")
        return {"state": "unknown", "error": f"nothing was heard of the host for {patience} s ({error})"}

    @staticmethod
    def _conclude(planned: dict[str, Any], report: dict[str, Any]) -> dict[str, Any]:
        """Return the task's result; a change that did not last is a failure, never an unreachable host."""
        if report["state"] == "confirmed":
            return {**planned, "seconds": report["seconds"]}
        failed = {**planned, "changed": False, "failed": True, "report": report}
        if report["state"] == "never begun":
            text = f"The commit was never begun, and nothing was changed: {report['error']}. Run again."
            return {**failed, "msg": text}
        if report["state"] != "restored":
            text = (
                f"The commit could not be confirmed: {report['error']}. Reach the host by its console: "
                f"{REPORT} says how it ended."
            )
            return {**failed, "changed": True, "msg": text}
        lines = [f"The commit was undone by the host: {report['error']}."]
        if report["left"]:
            lines += ["Not everything is as it was before:", *(f"- {line}" for line in report["left"])]
        else:
            count = len(report["restored"])
            files = "1 file" if count == 1 else f"{count} files"
            lines.append(f"Everything is as it was before ({files}, put back in {report['seconds']} s).")
        right = [*report.get("found", ()), *(f"the file {path}" for path in report["restored"])]
        if right:
            lines += ["What it put right:", *(f"- {line}" for line in right[:SHOWN])]
        if len(right) > SHOWN:
            lines.append(f"- and {len(right) - SHOWN} more, in {REPORT}")
        return {**failed, "msg": "\n".join(lines)}
