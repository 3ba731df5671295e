# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records a program's writes as they are about to happen, and ends it all before any one of them.

A write is what the system is asked for, not what our code calls one: each event of Python's audit hooks that changes a
file or starts a program, and each call of libvirt that is not known to only read. So no write can be forgotten here.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

HOME = Path("/var/lib/kvmnet-accidents")
# Of libvirt: what looks, opens and lets go
_READS = re.compile(
    r"vir(ConnectOpen|ConnectClose|EventRegister|RegisterErrorHandler|GetLastError|ResetLastError)|"
    r"vir[A-Za-z]*?(Get|List|Lookup|IsA|IsP|XMLDesc|Free|HasManaged|Num)"
)
_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.chown", "os.link", "os.symlink"}
_CHANGES |= {"os.truncate", "os.utime", "os.setxattr", "subprocess.Popen"}
# Empty before and after
_NO_STATE = (os.devnull, "/run/kvmnet/guests.lock")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Writes:
    """Counts writes, and ends it all before one of them.

    Args:
        limit: the number of the write that never happens; None for none.
        freeze: stand still there instead, until the power goes.
    """

    def __init__(self, limit: int | None, freeze: bool) -> None:
        self._limit = limit
        self._freeze = freeze
        self._log = os.open(HOME / "writes", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self._count = 0
        self._synced: set[str] = set()
        self._written: set[str] = set()
        self._renamed: set[str] = set()
        self._busy = False

    def watch(self, libvirt: Any) -> None:
        """Begin."""
        real_fsync = os.fsync

        def fsync(descriptor: int) -> None:
            real_fsync(descriptor)
            path = os.readlink(f"/proc/self/fd/{descriptor}")
            self._synced.add(path)
            self._renamed = {name for name in self._renamed if os.path.dirname(name) != path}

        real_read = HTTPResponse.read

        def read(response: HTTPResponse, amt: int | None = None) -> bytes:
            self.before("receive")
            return real_read(response, amt)

        os.fsync = fsync
        # What comes is written between one and the next. Nobody else is to see the difference, so the class is changed
        HTTPResponse.read = read  # type: ignore[assignment, method-assign]
        libvirt.libvirtmod = _Library(libvirt.libvirtmod, self.before)
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if self._busy:
            return
        if event == "open":
            path, flags = args[0], args[2]
            if isinstance(path, (str, bytes, os.PathLike)) and flags & _WRITING:
                name = os.fsdecode(path)
                if name not in _NO_STATE:
                    self._synced.discard(name)
                    self._written.add(name)
                    self.before("write", name)
        elif event in _CHANGES:
            words = [str(arg) for arg in args[:2] if isinstance(arg, (str, bytes, os.PathLike))]
            if event == "subprocess.Popen":
                words = [os.path.basename(str(args[1][0])), str(args[1][1]), os.path.basename(str(args[1][-1]))]
            self.before(event.partition(".")[2], *words)
            if event == "os.rename":
                self._ordered(*words)

    def _ordered(self, old: str, new: str) -> None:
        """A name that a power cut leaves must not be that of an empty file."""
        if old in self._written and not new.startswith("/run/") and not new.endswith(".part"):
            if old not in self._synced:
                self._say(f"UNSAFE {old} becomes {new} and was not synced")
            self._renamed.add(new)

    def before(self, *words: str) -> None:
        """Count a write that is about to happen."""
        self._busy = True
        try:
            self._count += 1
            self._say(f"{self._count} {' '.join(words)}")
            if words[0].startswith("virDomainDefine"):
                for name in sorted(self._renamed):
                    self._say(f"UNSAFE {name} is named by a definition, and its directory was not synced")
            if self._count == self._limit:
                if self._freeze:
                    (HOME / "frozen").touch()
                os.kill(os.getpid(), signal.SIGSTOP if self._freeze else signal.SIGKILL)
        finally:
            self._busy = False

    def _say(self, line: str) -> None:
        os.write(self._log, f"{line}\n".encode())


class _Library:
    """The part of libvirt's binding that is C, and does what is done."""

    def __init__(self, real: Any, before: Callable[..., None]) -> None:
        self._real = real
        self._before = before

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if not callable(found) or _READS.match(name):
            return found

        def call(*args: Any) -> Any:
            self._before(name, *(arg for arg in args[1:2] if isinstance(arg, str) and len(arg) < 40))
            return found(*args)

        return call
