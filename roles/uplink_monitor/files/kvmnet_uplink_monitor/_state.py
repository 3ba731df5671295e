# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files: the verdict that outlives a boot, and the state that others read."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Paths:
    """Where everything is."""

    settings: Path
    providers: Path
    script: Path
    verdicts: Path
    fragment: Path
    state: Path
    socket: Path

    @staticmethod
    def below(root: Path, config: Path | None = None) -> Paths:
        """Return the places in a file system that begins at C(root)."""
        return Paths(
            settings=config or root / "etc/kvmnet/uplink_monitor.json",
            providers=root / "etc/shorewall/providers",
            script=root / "var/lib/shorewall/firewall",
            verdicts=root / "var/lib/kvmnet/uplinks/down.json",
            fragment=root / "var/lib/kvmnet/uplinks/init",
            state=root / "run/kvmnet/uplinks.json",
            socket=root / "run/kvmnet/uplink_monitor.sock",
        )


@dataclass(frozen=True)
class Verdicts:
    """What is remembered: who is down and why, and whose traffic was moved."""

    down: dict[str, str] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)
    out: frozenset[str] = frozenset()

    @staticmethod
    def load(path: Path) -> Verdicts:
        """Return what a file remembers; of a damaged one, nothing."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            given = json.loads(path.read_text(encoding="utf-8"))
            down = {str(name): str(each["reason"]) for name, each in given["down"].items()}
            since = {str(name): float(each["since"]) for name, each in given["down"].items()}
            return Verdicts(down, since, frozenset(str(name) for name in given["out"]))
        return Verdicts()

    def text(self) -> str:
        down = {name: {"reason": self.down[name], "since": self.since.get(name, 0.0)} for name in sorted(self.down)}
        return json.dumps({"down": down, "out": sorted(self.out)}, indent=1) + "\n"


def write(path: Path, text: str, *, durable: bool, mode: int = 0o644) -> None:
    """Put a file in place, whole or not at all; C(durable) survives a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.new")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with open(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        if durable:
            os.fsync(stream.fileno())
    scratch.replace(path)
    if durable:
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def stamp(*paths: Path) -> tuple[tuple[int, int, int] | None, ...]:
    """Return what tells whether files were exchanged."""
    found: list[tuple[int, int, int] | None] = []
    for path in paths:
        try:
            status = path.stat()
            found.append((status.st_ino, status.st_mtime_ns, status.st_size))
        except OSError:
            found.append(None)
    return tuple(found)


def read_text(path: Path) -> str:
    """Return a file's text, nothing when it is not there."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def table(state: dict[str, Any]) -> str:
    """Return the state as a person reads it."""
    head = ("NAME", "STATE", "INTERFACE", "GATEWAY", "LOSS", "RTT", "REASON")
    rows = [head]
    for each in state.get("uplinks", ()):
        loss, trip = each.get("loss_percent"), each.get("rtt_ms")
        rows.append(
            (
                str(each["name"]),
                str(each["state"]) + ("" if each.get("carries") else " (no traffic)"),
                str(each["interface"]),
                str(each.get("gateway") or "-"),
                "-" if loss is None else f"{loss:g} %",
                "-" if trip is None else f"{trip:g} ms",
                str(each["reason"]),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(head) - 1)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)
