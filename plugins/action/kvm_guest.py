# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of kvm_guest: one call, and more of them only while images are on their way to the host."""

from __future__ import annotations

import re
import secrets
import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()

MODULE = "ursa.kvmnet.kvm_guest"
# Seconds between two calls: a small image is there at once
FIRST_PAUSE = 0.5
PAUSE = 2.0
# Something new is said after so much of an image, or so many seconds
PERCENT = 10
SECONDS = 15.0


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_async = True
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        variables = task_vars or {}
        args = {key: value for key, value in self._task.args.items() if key != "token"}
        if self._task.async_val and not self._connection.has_native_async:
            # Nobody watches that
            return self._call(args, variables, wrap_async=True)
        args["token"] = secrets.token_hex(4)
        said = Said(str(variables.get("inventory_hostname", "")))
        pause = FIRST_PAUSE
        while "awaiting" in (result := self._call(args, variables)):
            said.tell(str(result["awaiting"]))
            time.sleep(pause)
            pause = min(PAUSE, pause * 2)
        return result

    def _call(self, args: dict[str, Any], variables: dict[str, Any], wrap_async: bool = False) -> dict[str, Any]:
        result: dict[str, Any] = self._execute_module(
            module_name=MODULE, module_args=args, task_vars=variables, wrap_async=wrap_async
        )
        return result


class Said:
    """Prints how far a host is, and not the same again.

    Args:
        host: its name in the inventory.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._last = ("", -1, 0.0)

    def tell(self, text: str) -> None:
        """Print it if it is news."""
        found = re.search(r"(\d+) %", text)
        what, tens = text.partition(":")[0], int(found[1]) // PERCENT if found else -1
        old_what, old_tens, when = self._last
        if (what, tens) == (old_what, old_tens) and time.monotonic() - when < SECONDS:
            return
        self._last = (what, tens, time.monotonic())
        display.display(f"{self._host}: {text}")
