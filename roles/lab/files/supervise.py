# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps one machine of the lab running, as its power supply: makes its namespace, boots it, clears up when it ends.

A machine that reboots gets a fresh namespace with the same cards, as real hardware would. SIGTERM pulls the plug.
Usage: python3 supervise.py SPECIFICATION.json
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

# systemd-nspawn's exit code for "the machine wants to boot again"
REBOOT = 133
# A machine that reboots more often than this is broken
MAX_BOOTS, BOOTS_WINDOW = 5, 60.0


class Supply:
    """The power supply of one machine."""

    def __init__(self, specification: dict[str, Any]) -> None:
        self.spec = specification
        self.child: subprocess.Popen[bytes] | None = None
        self.stopping = False
        self.boots: list[float] = []

    def pull_the_plug(self, _number: int, _frame: FrameType | None) -> None:
        """No machine is asked before a power cut."""
        self.stopping = True
        if self.child is not None and self.child.poll() is None:
            self.child.kill()

    def steps(self, steps: list[dict[str, Any]]) -> None:
        for step in steps:
            done = subprocess.run(
                step["argv"], input=step["stdin"], capture_output=True, text=True, check=False, timeout=60
            )
            if done.returncode and not step["may_fail"]:
                raise RuntimeError(f"{' '.join(step['argv'])}: {done.stderr.strip()}")

    def status(self, state: str) -> None:
        path = Path(self.spec["status"])
        temporary = path.with_name(path.name + ".new")
        child = {"pid": self.child.pid, "start": start_time(self.child.pid)} if self.child is not None else None
        temporary.write_text(json.dumps({"state": state, "boots": len(self.boots), "nspawn": child}), encoding="utf-8")
        temporary.replace(path)

    def inside(self) -> list[int]:
        """Who still lives in the machine's namespace."""
        done = subprocess.run(
            ["ip", "netns", "pids", self.spec["namespace"]], capture_output=True, text=True, check=False
        )
        return [int(word) for word in done.stdout.split()]

    def clear(self) -> None:
        """The end of nspawn is not the end of the machine: that is its last process. Then its network goes as well."""
        deadline = time.monotonic() + 10
        while (inside := self.inside()) and time.monotonic() < deadline:
            for pid in inside:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        self.steps(self.spec["teardown"])

    def boot(self) -> int:
        self.steps(self.spec["setup"])
        self.boots.append(time.monotonic())
        with Path(self.spec["console"]).open("ab") as console:
            console.write(b"\n=== power on ===\n")
            console.flush()
            self.child = subprocess.Popen(
                self.spec["run"],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env={**os.environ, **self.spec["environment"]},
            )
        if self.stopping:
            self.child.kill()
        self.status("running")
        return self.child.wait()

    def serve(self) -> None:
        while True:
            self.clear()
            code = self.boot()
            self.clear()
            recent = [b for b in self.boots if time.monotonic() - b < BOOTS_WINDOW]
            if self.stopping or code != REBOOT or len(recent) > MAX_BOOTS:
                self.child = None
                self.status("off" if self.stopping else f"ended with exit code {code}")
                return
            self.status("rebooting")


def start_time(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return int(text.rpartition(")")[2].split()[19])


def main() -> None:
    supply = Supply(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    signal.signal(signal.SIGTERM, supply.pull_the_plug)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    supply.serve()


if __name__ == "__main__":
    main()
