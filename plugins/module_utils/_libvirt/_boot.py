# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""Keeps the guests' order at the host's boot: a unit that starts them, and word to libvirt not to do so itself."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt import _starter
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._backend import Domain
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._disks import run_tool
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._guest import Guest, turn_of
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Change

UNIT = "kvmnet-guests.service"
_PROGRAM = "/usr/local/lib/kvmnet/start-guests"
_WANTED = f"/etc/systemd/system/multi-user.target.wants/{UNIT}"
_UNIT = f"""\
[Unit]
Description=Guests of this host, in their order
After=libvirtd.service virtqemud.service libvirtd.socket virtqemud.socket

[Service]
Type=exec
ExecStart=/usr/bin/python3 {_PROGRAM}
Restart=on-failure
RestartSec=5
# Of guests that do not start
RestartPreventExitStatus=1

[Install]
WantedBy=multi-user.target
"""
# libvirt starts guests by itself once in each boot, and this is how it knows that it did. The guests stay marked for
# autostart, so that every tool tells the truth about them.
_SETTLED = """\
# The guests of this host start in an order that libvirt does not know: kvmnet-guests.service starts them.
f /run/libvirt/qemu/autostarted 0600 root root -
"""


def has_order(guests: Iterable[Guest], others: Iterable[Domain]) -> bool:
    """Return whether a guest that is listed, or a domain that is not, has an order among the others."""
    turns = [turn_of(guest) for guest in guests] + [_starter.turn_in(domain.root) for domain in others]
    return any(turn.order or turn.delay or turn.depends for turn in turns)


class Boot:
    """The files of this host that start guests in their order.

    Args:
        root: the host's root directory.
        run: runs C(systemctl).
    """

    def __init__(self, root: str = "/", run: Callable[[list[str]], None] = run_tool) -> None:
        self._root = Path(root)
        self._run = run

    def _files(self) -> dict[Path, str]:
        # The unit last: it says that all of it is there
        files = {
            _PROGRAM: inspect.getsource(_starter),
            "/etc/tmpfiles.d/kvmnet-guests.conf": _SETTLED,
            f"/etc/systemd/system/{UNIT}": _UNIT,
        }
        return {self._root / path.lstrip("/"): content for path, content in files.items()}

    def _is_enabled(self) -> bool:
        return os.path.lexists(self._root / _WANTED.lstrip("/"))

    def plan(self, wanted: bool) -> Change | None:
        """Return what is to be done for an order to be kept, or not to be; None when that is so."""
        files = self._files()
        there = [path for path in files if path.exists()]
        if not wanted:
            return Change("delete", "unit", UNIT, note="no guest has an order") if there else None
        same = [path for path in there if path.read_text(encoding="utf-8") == files[path]]
        if len(same) == len(files) and self._is_enabled():
            return None
        return Change("change" if there else "create", "unit", UNIT, note="starts guests in their order")

    def apply(self, wanted: bool) -> None:
        """Make it so, for the next boot of the host: what runs is not touched."""
        if not wanted:
            self._run(["systemctl", "disable", "--quiet", UNIT])
        for path, content in self._files().items():
            if wanted:
                path.parent.mkdir(parents=True, exist_ok=True)
                part = path.with_name(f".{path.name}.part")
                part.write_text(content, encoding="utf-8")
                part.chmod(0o644)
                part.replace(path)
            else:
                with suppress(FileNotFoundError):
                    path.unlink()
        if wanted:
            self._run(["systemctl", "enable", "--quiet", UNIT])
        else:
            self._run(["systemctl", "daemon-reload"])
