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
_GUARD = "var/lib/kvmnet/guard"
# By it every process of a controller is known, those that left its session too.
_CONTROLLER = "KVMNET_FAULTS_CONTROLLER"


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
        self.controller = f"{os.getpid()}-{name}"
        self._first = 0
        self._old_notes: set[str] = set()

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

    def inside(self, command: str, check: bool = True) -> str:
        """Run a command on the host without its network: as somebody who sits at its console."""
        argv = self._as_root(["nsenter", "--all", "--target", str(self._leader()), "sh", "-s"])
        done = subprocess.run(argv, input=command, capture_output=True, text=True, timeout=60, check=check)
        return done.stdout

    def _leader(self) -> int:
        """Return the first process of the host, or 0 while it is switched off."""
        if self._first and self._is_first(self._first):
            return self._first
        self._first = next((number for number in self._numbers() if self._is_first(number)), 0)
        return self._first

    @staticmethod
    def _is_first(number: int) -> bool:
        try:
            return (
                re.search(r"(?m)^NSpid:.*\s1$", Path(f"/proc/{number}/status").read_text(encoding="ascii")) is not None
            )
        except OSError:
            return False

    def _place(self, path: str) -> Path:
        """Return where a file of the host is seen from outside: as the host sees it, or on its disk."""
        leader = self._leader()
        return (Path(f"/proc/{leader}/root") if leader else self.disk) / path

    def exists(self, path: str) -> bool:
        """Whether the host has a file."""
        if os.geteuid() != 0:
            argv = self._as_root(["sh", "-c", f"ls -d {self._place('')}/{path}"])
            return subprocess.run(argv, capture_output=True, check=False).returncode == 0
        with contextlib.suppress(OSError):
            return next(self._place("").glob(path), None) is not None
        return False

    def has(self, name: str) -> bool:
        """Whether there is such a file in the guard's directory."""
        return self.exists(f"{_GUARD}/{name}")

    @property
    def armed(self) -> bool:
        """Whether a change is on its way."""
        return self.has("armed")

    @property
    def arming(self) -> bool:
        """Whether a change is about to begin; what somebody who was killed has left behind does not count."""
        return bool(self._notes() - self._old_notes)

    def forget(self) -> None:
        """Take what there is now for left behind."""
        self._old_notes = self._notes()

    def _notes(self) -> set[str]:
        names: list[str] = []
        if os.geteuid() != 0:
            argv = self._as_root(["ls", str(self._place(_GUARD))])
            names = subprocess.run(argv, capture_output=True, text=True, check=False).stdout.split()
        else:
            with contextlib.suppress(OSError):
                names = os.listdir(self._place(_GUARD))
        return {name for name in names if name.startswith("arming-")}

    def says(self, state: str) -> bool:
        """Whether the guard's last word is this one."""
        return f'"{state}"' in self._text(f"{_GUARD}/report.json")

    def reports(self, state: str) -> bool:
        """Whether the guard says so of the change that is on its way."""
        return self.armed and self.says(state)

    def _text(self, path: str) -> str:
        if os.geteuid() != 0:
            argv = self._as_root(["cat", str(self._place(path))])
            return subprocess.run(argv, capture_output=True, text=True, check=False).stdout
        with contextlib.suppress(OSError):
            return self._place(path).read_text(encoding="utf-8")
        return ""

    def _numbers(self) -> list[int]:
        argv = self._as_root(["ip", "netns", "pids", self.namespace])
        return [int(word) for word in subprocess.run(argv, capture_output=True, text=True, check=False).stdout.split()]

    def processes(self, pattern: str) -> Iterator[int]:
        """Yield the processes of the host whose command line matches somewhere."""
        for number in self._numbers():
            with contextlib.suppress(OSError):
                line = Path("/proc", str(number), "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if re.search(pattern, line):
                    yield number

    def maps(self, number: int, words: str) -> bool:
        """Whether a process has loaded such a library."""
        argv = self._as_root(["cat", f"/proc/{number}/maps"])
        return words in subprocess.run(argv, capture_output=True, text=True, check=False).stdout

    def kill(self, pattern: str) -> int:
        """Kill processes of the host and return how many there were."""
        found = list(self.processes(pattern))
        if found:
            argv = self._as_root(["kill", "-9", *map(str, found)])
            subprocess.run(argv, check=False, capture_output=True)
        return len(found)

    def power_cycle(self) -> None:
        """Cut the power: nothing but the disk outlives it; then boot."""
        variables = json.dumps({"lab_power": "power_cycled", "lab_power_hosts": [self.name]})
        argv = ["ansible-playbook", str(ROOT / "playbooks/lab_power.yml"), "-e", variables]
        subprocess.run(argv, check=True, capture_output=True, text=True, env=environment(), timeout=300)

    def start_change(
        self, variables: Mapping[str, Any], outside: bool = False, arguments: Sequence[str] = ()
    ) -> subprocess.Popen[str]:
        """Begin a change, from the wire or from outside."""
        defaults = {
            "fault_host": self.name,
            "fault_roles": [],
            "fault_files": [],
            "fault_commands": [],
            "fault_timeout": 10,
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
            env={**environment(), _CONTROLLER: self.controller},
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
        self._done = threading.Event()

    def run(self) -> None:
        """Look until the change is over, or it is known that there is none."""
        last = time.monotonic() + 300
        while self.ended is None and not self._done.is_set() and time.monotonic() < last:
            armed = self.machine.armed
            if self.began is None and armed:
                self.began = time.monotonic()
            if self.made is None and self.machine.reports("applied"):
                self.made = time.monotonic()
            if self.began is not None and not armed:
                self.ended = time.monotonic()
            time.sleep(0.05)

    def end(self) -> None:
        """Have the last look."""
        self.join(0.5)
        self._done.set()
        self.join()

    @property
    def unconfirmed(self) -> float | None:
        """How long the change was there, from its end on, or from its beginning if it was never made."""
        start = self.made or self.began
        return None if start is None or self.ended is None else self.ended - start


def kill_controller(controller: str) -> None:
    """Kill ansible-playbook, its workers and every SSH of it, masters of shared connections as well."""
    mark = f"{_CONTROLLER}={controller}\0".encode()
    for directory in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if directory.name.isdigit() and mark in (directory / "environ").read_bytes():
                os.kill(int(directory.name), signal.SIGKILL)


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
        if gone or came or lines != after[name]:
            found[name] = gone + came or ["another order"]
    return found
