# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way to hold an uplink up or down: a socket that only root can use."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

_LIMIT = 4096


class Control:
    """The service's end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        before = os.umask(0o177)
        try:
            self.socket.bind(str(path))
        finally:
            os.umask(before)
        self.socket.listen(4)

    def serve(self, answer: Callable[[dict[str, Any]], str]) -> None:
        """Answer those who wait; an empty answer is a yes."""
        while True:
            try:
                peer, _address = self.socket.accept()
            except OSError:
                return
            with peer, contextlib.suppress(OSError, ValueError):
                # Who connects and says nothing must not hold up the probes
                peer.settimeout(0.05)
                asked = json.loads(peer.recv(_LIMIT))
                said = answer(asked) if isinstance(asked, dict) else "this is not understood"
                peer.send(json.dumps({"error": said}).encode())

    def close(self) -> None:
        self.socket.close()
        self._path.unlink(missing_ok=True)


def ask(path: Path, question: dict[str, Any]) -> str:
    """Ask the running service; return what it refused, nothing when it did as asked.

    Raises:
        OSError: it does not run.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
        peer.settimeout(5)
        peer.connect(str(path))
        peer.send(json.dumps(question).encode())
        answer = json.loads(peer.recv(_LIMIT) or b'{"error": "no answer"}')
    return str(answer["error"])
