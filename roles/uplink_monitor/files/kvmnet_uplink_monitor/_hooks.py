# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs of the user's that are told when an uplink's state changes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Sequence

_LIMIT = 10.0
# So many may run at a time: an uplink that flaps must not fill the host with them.
_MOST = 16


class Hooks:
    """Those that run."""

    def __init__(self, say: Callable[[str, int], None]) -> None:
        self._say = say
        self._running: list[tuple[subprocess.Popen[bytes], float, str]] = []

    def call(self, programs: Iterable[str], arguments: Sequence[str], now: float) -> None:
        """Start each program, without waiting for it."""
        for program in programs:
            if len(self._running) >= _MOST:
                self._say(f"{program} is not run: {_MOST} hooks run already", 4)
                continue
            try:
                started = subprocess.Popen(
                    [program, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
                )
            except OSError as error:
                self._say(f"{program}: {error}", 4)
                continue
            self._running.append((started, now + _LIMIT, program))

    def reap(self, now: float) -> None:
        """Take leave of those that ended, and end those that take too long."""
        still = []
        for started, until, program in self._running:
            code = started.poll()
            if code is None and now < until:
                still.append((started, until, program))
            elif code is None:
                started.kill()
                started.wait()
                self._say(f"{program} took longer than {_LIMIT:g} s and was ended", 4)
            elif code:
                self._say(f"{program} failed with return code {code}", 4)
        self._running = still
