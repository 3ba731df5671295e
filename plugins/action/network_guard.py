# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of network_guard: start the commit, let go of the host, and believe only a new connection."""

from __future__ import annotations

import secrets
import time
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()

MODULE = "ursa.kvmnet.network_guard"
# The apply compiles nothing, but a slow host runs a big firewall's script for a while.
APPLY_SECONDS = 300
CONNECT_SECONDS = 3
PAUSE = 0.2


class ActionModule(ActionBase):
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        args = {key: value for key, value in self._task.args.items() if key not in ("phase", "peer", "token")}
        variables = task_vars or {}

        checked = self._call({**args, "phase": "check"}, variables)
        if checked.get("failed") or not checked.get("changed"):
            return checked
        token = secrets.token_hex(4)
        # In check mode this call refuses what a run would refuse, and starts nothing.
        started = self._call({**args, "phase": "apply", "token": token, "peer": self._peer()}, variables)
        if started.get("failed") or self._task.check_mode:
            return started
        return self._await_report(args, token, variables, started)

    def _call(self, args: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = self._execute_module(module_name=MODULE, module_args=args, task_vars=variables)
        result.pop("invocation", None)
        return result

    def _peer(self) -> str | None:
        """Return the address that the host sees us at, asked for without sudo, which clears the variable."""
        become = self._connection.become
        self._connection.set_become_plugin(None)
        try:
            answer = self._low_level_execute_command("echo $SSH_CONNECTION", sudoable=False)
        finally:
            self._connection.set_become_plugin(become)
        words = str(answer.get("stdout", "")).split()
        return words[0] if words else None

    def _await_report(
        self, args: dict[str, Any], token: str, variables: dict[str, Any], planned: dict[str, Any]
    ) -> dict[str, Any]:
        """Open new connections until one brings the commit's end, or the host stays away beyond the timeout."""
        timeout = int(args.get("timeout", 30))
        overall = time.monotonic() + APPLY_SECONDS
        unreachable_since = None
        error = ""
        while time.monotonic() < overall:
            time.sleep(PAUSE)
            try:
                # An established connection outlives a firewall that shuts new ones out, so it proves nothing.
                self._connection.reset()
                self._connection.set_option("timeout", CONNECT_SECONDS)
                answer = self._call({**args, "phase": "result", "token": token}, variables)
            except AnsibleConnectionFailure as failure:
                error = str(failure)
                unreachable_since = unreachable_since or time.monotonic()
                if time.monotonic() - unreachable_since > timeout:
                    break
                continue
            unreachable_since = None
            if answer.get("failed"):
                return answer
            report = answer["report"]
            if report["state"] == "applied":
                return {**planned, "seconds": report["seconds"]}
            if report["state"] != "running":
                return {
                    **planned,
                    "changed": False,
                    "failed": True,
                    "msg": f"The commit failed on the host: {report['error']}",
                }
            display.v(f"{self._task.action}: the host is reachable and still applying")
        reason = (
            f"no new connection reached the host for {timeout} s ({error.strip()})"
            if error
            else f"the host was still applying after {APPLY_SECONDS} s"
        )
        return {
            **planned,
            "failed": True,
            "msg": f"The commit could not be confirmed: {reason}. Reach the host by its console; "
            "/var/lib/kvmnet/guard/report.json says how the apply ended.",
        }
