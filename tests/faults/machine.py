# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's host seen from outside: its state layer by layer, its processes, its power, and changes made to it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LAB = ROOT / ".lab"
HERE = Path(__file__).parent

# Prints everything that a commit can change, layer by layer, by the system's own programs and none of the collection's.
LAYERS = (HERE / "layers.sh").read_text(encoding="utf-8")
_SEPARATOR = "== layer "


@dataclass(frozen=True)
class Outcome:
    """How a playbook ended.

    Args:
        code: ansible-playbook's exit code.
        changed: tasks that changed something.
        failed: tasks that failed.
        unreachable: hosts that were not reached.
        text: what it printed.
        seconds: how long it took.
    """

    code: int
    changed: int
    failed: int
    unreachable: int
    text: str
    seconds: float


class Machine:
    """The host that mistakes are made on.

    Args:
        inventory: the inventory that the lab was built from.
        name: its name there.
    """

    def __init__(self, inventory: Path, name: str = "gate") -> None:
        self.inventory = inventory
        self.name = name
        self.namespace = f"kvmnet-{name}"
        self.disk = LAB / "machines" / name / "upper"

    def _as_root(self, argv: list[str]) -> list[str]:
        return argv if os.geteuid() == 0 else ["sudo", "-n", *argv]

    def shell(self, command: str, timeout: float = 60) -> str:
        """Run a command on the host over a new SSH connection."""
        argv = ["ssh", "-F", str(LAB / "ssh_config"), "-o", "ControlPath=none", self.name]
        done = subprocess.run(
            [*argv, "sudo", "sh", "-s"], input=command, capture_output=True, text=True, timeout=timeout, check=True
        )
        return done.stdout

    def reachable(self) -> bool:
        """Whether a new connection logs in."""
        try:
            return self.shell("echo here", timeout=8).strip() == "here"
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            return False

    def state(self) -> dict[str, list[str]]:
        """Return every layer, as lines."""
        parts = self.shell(LAYERS).split(_SEPARATOR)[1:]
        return {lines[0]: lines[1:] for lines in (part.splitlines() for part in parts)}

    def report(self) -> dict[str, Any]:
        """Return what the guard last said."""
        text = self.shell("cat /var/lib/kvmnet/guard/report.json 2>/dev/null || echo '{}'")
        loaded: dict[str, Any] = json.loads(text)
        return loaded

    @property
    def armed(self) -> bool:
        """Whether a change is on its way; seen on the machine's disk, without asking the machine."""
        return bool(self._on_disk("armed"))

    def reports(self, state: str) -> bool:
        """Whether the guard says so of the change that is on its way; seen in the same way."""
        return self.armed and f'"{state}"' in self._on_disk("report.json")

    def _on_disk(self, name: str) -> str:
        path = self.disk / "var/lib/kvmnet/guard" / name
        if os.geteuid() != 0:
            argv = self._as_root(["cat", str(path)])
            return subprocess.run(argv, capture_output=True, text=True, check=False).stdout
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def processes(self, words: str) -> Iterator[int]:
        """Yield the processes of the host whose command line holds the words."""
        argv = self._as_root(["ip", "netns", "pids", self.namespace])
        for number in subprocess.run(argv, capture_output=True, text=True, check=False).stdout.split():
            with contextlib.suppress(OSError):
                line = Path("/proc", number, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if words in line:
                    yield int(number)

    def kill(self, words: str) -> int:
        """Kill processes of the host and return how many there were."""
        found = list(self.processes(words))
        for number in found:
            subprocess.run(self._as_root(["kill", "-9", str(number)]), check=False, capture_output=True)
        return len(found)

    def power_cycle(self) -> None:
        """Cut the power: nothing but the disk outlives it; then boot."""
        variables = json.dumps({"lab_power": "power_cycled", "lab_power_hosts": [self.name]})
        argv = ["ansible-playbook", str(ROOT / "playbooks/lab_power.yml"), "-e", variables]
        subprocess.run(argv, check=True, capture_output=True, text=True, env=environment(), timeout=120)

    def start_change(
        self, variables: Mapping[str, Any], outside: bool = False, arguments: Sequence[str] = ()
    ) -> subprocess.Popen[str]:
        """Begin a change, from the wire or from outside."""
        defaults = {
            "fault_roles": [],
            "fault_files": [],
            "fault_commands": [],
            "fault_timeout": 6,
            "fault_rollback": False,
            "fault_precheck": False,
        }
        more = {}
        if outside:
            client = f"{' '.join(self._as_root(['ip']))} netns exec kvmnet-client nc %h %p"
            more["ansible_ssh_common_args"] = f'-o ProxyCommand="{client}" -F {LAB}/ssh_config'
        argv = ["ansible-playbook", "-i", str(self.inventory), "-i", str(LAB / "inventory.yml")]
        argv += [str(HERE / "change.yml"), "-e", json.dumps({**defaults, **variables, **more}), *arguments]
        return subprocess.Popen(
            argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(),
            start_new_session=True,
        )

    def change(self, variables: Mapping[str, Any], *arguments: str) -> Outcome:
        """Make a change and wait for its end."""
        started = time.monotonic()
        return finish(self.start_change(variables, arguments=arguments), started)


class Clock(threading.Thread):
    """When a change began, was made, and was over, seen from outside.

    Args:
        machine: the host that is changed.
    """

    def __init__(self, machine: Machine) -> None:
        super().__init__(daemon=True)
        self.machine = machine
        self.began: float | None = None
        self.made: float | None = None
        self.ended: float | None = None

    def run(self) -> None:
        """Look until the change is over."""
        end = time.monotonic() + 300
        while self.ended is None and time.monotonic() < end:
            armed = self.machine.armed
            if self.began is None and armed:
                self.began = time.monotonic()
            if self.made is None and self.machine.reports("applied"):
                self.made = time.monotonic()
            if self.began is not None and not armed:
                self.ended = time.monotonic()
            time.sleep(0.05)

    @property
    def unconfirmed(self) -> float | None:
        """How long the change was there, from its end on, or from its beginning if it was never made."""
        start = self.made or self.began
        return None if start is None or self.ended is None else self.ended - start


def finish(running: subprocess.Popen[str], started: float, timeout: float = 240) -> Outcome:
    """Wait for a playbook."""
    try:
        text, _unused = running.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, signal.SIGKILL)
        text, _unused = running.communicate()
    recap = re.search(r"changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", text)
    changed, unreachable, failed = (int(count) for count in recap.groups()) if recap else (0, 0, 0)
    return Outcome(running.returncode, changed, failed, unreachable, text, time.monotonic() - started)


def environment() -> dict[str, str]:
    """Return what ansible-playbook finds this checkout with."""
    return {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".ansible" / "collections"),
        "ANSIBLE_NOCOLOR": "true",
        "ANSIBLE_FORCE_COLOR": "false",
    }


def differing(before: dict[str, list[str]], after: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return the lines by which each layer differs, by layer."""
    found = {}
    for name, lines in before.items():
        gone = [f"- {line}" for line in lines if line not in after[name]]
        came = [f"+ {line}" for line in after[name] if line not in lines]
        if gone or came or sorted(lines) != sorted(after[name]):
            found[name] = gone + came
    return found
