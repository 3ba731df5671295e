# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""Downloads that go on while nobody is connected: a call begins one, and later calls ask how far it is."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._disks import why
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._images import Image, ImageError, Library

STATUS = "/run/kvmnet/downloads"
# Nobody asks more often
_TELL_EVERY = 0.5


class Courier:
    """Brings the images of one directory, one download at a time whoever asks.

    Args:
        library: the host's images.
        token: names the task that asks; what became of a download is told to the task that began it.
        status: the directory where it is written down how far downloads are.
    """

    def __init__(self, library: Library, token: str, status: str = STATUS) -> None:
        self._library = library
        self._token = token
        key = hashlib.sha256(str(library.directory).encode()).hexdigest()[:12]
        self._status = Path(status) / f"{key}.json"
        self._told = 0.0

    def fetch(self, images: Sequence[Image], spawn: Callable[[Callable[[], None]], None] | None = None) -> str:
        """Return how far the download of images that are missing is, and begin it unless it is under way."""
        try:
            lock = self._library.lock(wait=False)
        except OSError as exc:
            raise ImageError(f"{self._library.directory}: {why(exc, self._library.directory)}") from exc
        status = self._read()
        if lock is None:
            return str(status.get("text", "a download is under way"))
        try:
            if status.get("token") == self._token:
                self.forget()
                raise ImageError(status.get("error") or "the download ended by itself: was its process killed?")
            begins = f"image {', '.join(image.name for image in images)}: the download begins"
            self._write(text=begins)
            (spawn or _detach)(lambda: self._work(images))
        finally:
            # The process that works has a copy of it, and holds it until its end
            os.close(lock)
        return begins

    def arrived(self) -> list[str]:
        """Return the images that this task's download brought."""
        if self._read().get("token") != self._token:
            return []
        # The last image has its name just before that is written down
        lock = self._library.lock(wait=True)
        found = list(self._read().get("arrived", []))
        if lock is not None:
            os.close(lock)
        return found

    def forget(self) -> None:
        """Throw away what was written down for this task."""
        if self._read().get("token") == self._token:
            self._status.unlink(missing_ok=True)

    def _work(self, images: Sequence[Image]) -> None:
        arrived: list[str] = []

        def say(text: str) -> None:
            # What takes long and tells nothing on its way is said at once
            if "MiB" not in text or time.monotonic() - self._told >= _TELL_EVERY:
                self._told = time.monotonic()
                self._write(text=text, arrived=arrived)

        self._library.say = say
        try:
            for image in images:
                self._library.download(image)
                arrived.append(image.name)
            self._write(text="", arrived=arrived)
        except ImageError as exc:
            self._write(error=str(exc), arrived=arrived)
        except Exception as exc:
            # Nobody else sees how this process ends
            self._write(error=f"{type(exc).__name__}: {exc}", arrived=arrived)

    def _read(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self._status.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return {}
        return found

    def _write(self, **status: Any) -> None:
        self._status.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = self._status.with_suffix(".part")
        part.write_text(json.dumps({"token": self._token, **status}), encoding="utf-8")
        part.rename(self._status)


def _detach(work: Callable[[], None]) -> None:
    """Do something in a process that outlives this one and its connection."""
    first = os.fork()
    if first:
        os.waitpid(first, 0)
        return
    try:
        os.setsid()
        if os.fork() == 0:
            _let_go()
            work()
    finally:
        # Not what the process that this is a copy of would do at its end
        os._exit(0)


def _let_go() -> None:
    """Close the connections of Ansible and of libvirt; a directory is the lock, and stays."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        with suppress(OSError):
            if descriptor > 2 and not os.path.isdir(f"/proc/self/fd/{name}"):
                os.close(descriptor)
