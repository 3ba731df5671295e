# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accidents while guests change: the run is killed, or the power of its machine goes; the next run must heal it.

Needs a host of the lab with libvirt; of its guests only those of the table are touched.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import shlex
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import ansible
from changes import CHANGES, PORT, POWER_CUTS, SETTINGS

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
LAB = ROOT / ".lab"
HOME = "/var/lib/kvmnet-accidents"


class Machine:
    """The host, over SSH.

    Args:
        name: its name in the lab.
    """

    def __init__(self, name: str = "barn") -> None:
        self.name = name
        self._writes: dict[str, list[str]] = {}

    def command(self, shell: str) -> list[str]:
        """Return how a line of shell is run there as root."""
        ssh = ["ssh", "-F", str(LAB / "ssh_config"), "-o", "ControlPath=none", self.name]
        return [*ssh, f"sudo sh -c {shlex.quote(shell)}"]

    def shell(self, line: str, stdin: bytes = b"", timeout: float = 120) -> str:
        """Run it."""
        done = subprocess.run(self.command(line), input=stdin, capture_output=True, timeout=timeout, check=False)
        if done.returncode:
            raise RuntimeError(f"{line}: {done.stdout.decode()}{done.stderr.decode()}")
        return done.stdout.decode()

    def equip(self) -> None:
        """Bring there what an accident needs: the module, as a directory to import from, and images to download."""
        package = io.BytesIO()
        with tarfile.open(fileobj=package, mode="w:gz") as tar:
            theirs = Path(ansible.__file__).parent
            for path in [
                theirs / "_vendor/__init__.py",
                theirs / "__init__.py",
                theirs / "release.py",
                *theirs.glob("module_utils/**/*.py"),
            ]:
                tar.add(path, f"lib/ansible/{path.relative_to(theirs)}")
            for path in ROOT.glob("plugins/module_utils/**/*.py"):
                tar.add(path, f"lib/ansible_collections/ursa/kvmnet/{path.relative_to(ROOT)}")
            for name in ("on_host.py", "recorder.py"):
                tar.add(HERE / name, name)
        make = (
            f"mkdir -p {HOME}/www && cd {HOME} && tar xz && cd www && qemu-img create -q -f qcow2 base.qcow2 64M && "
            "qemu-img create -q -f vmdk old.vmdk 64M && sha256sum base.qcow2"
        )
        digest = self.shell(make, package.getvalue()).split()[0]
        images = {
            "base": {"url": f"http://127.0.0.1:{PORT}/base.qcow2", "checksum": f"sha256:{digest}"},
            "old": {"url": f"http://127.0.0.1:{PORT}/old.vmdk"},
        }
        table = {"port": PORT, "settings": SETTINGS, "images": images, "changes": CHANGES}
        self.shell(f"cat >{HOME}/changes.json", json.dumps(table).encode())

    def program(self, *words: str) -> list[str]:
        """Return how the program on the host is run."""
        return self.command(shlex.join(["python3", "-B", f"{HOME}/on_host.py", *words]))

    def clean(self) -> None:
        """Leave nothing there."""
        subprocess.run(self.program("clean"), check=True, timeout=120)
        self.shell(f"rm -r {HOME}")

    def cycle_power(self) -> None:
        """Take the power away and give it back."""
        words = ["-e", "lab_power=power_cycled", "-e", json.dumps({"lab_power_hosts": [self.name]})]
        command = ["ansible-playbook", str(ROOT / "playbooks" / "lab_power.yml"), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)

    def power_cut(self, name: str) -> list[str]:
        """Let the power go before one write, run again once it is back, and return what that did not heal."""
        change, pattern = POWER_CUTS[name]
        if change not in self._writes:
            said = subprocess.run(
                self.program("writes", "--change", change), capture_output=True, text=True, timeout=600, check=False
            )
            if said.returncode:
                return [f"{name}: {said.stdout}{said.stderr}"]
            self._writes[change] = json.loads(said.stdout.splitlines()[-1])
        writes = self._writes[change]
        number = next(index for index, write in enumerate(writes, 1) if re.search(pattern, write))
        self.shell(f"rm -f {HOME}/frozen")
        freeze = self.program("freeze", "--change", change, "--number", str(number))
        with subprocess.Popen(freeze, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as frozen:
            deadline = time.monotonic() + 120
            while not self.shell(f"ls {HOME}").count("frozen"):
                if time.monotonic() > deadline or frozen.poll() is not None:
                    frozen.kill()
                    return [f"{name}: write {number} of {change} never came: {writes[number - 1]}"]
                time.sleep(0.5)
            self.cycle_power()
            frozen.kill()
        healed = subprocess.run(
            self.program("heal", "--change", change), capture_output=True, text=True, timeout=600, check=False
        )
        return [line for line in (healed.stdout + healed.stderr).splitlines() if line]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", action="store_true", help="kill the run before every write of every change")
    parser.add_argument("--step", default="1", help="before each how many-th")
    parser.add_argument("--change", action="append", default=[], choices=list(CHANGES))
    parser.add_argument("--power", action="append", default=[], choices=[*POWER_CUTS, "all"])
    options = parser.parse_args()
    machine = Machine()
    machine.equip()
    try:
        sys.exit(_suffer(machine, options))
    finally:
        machine.clean()


def _suffer(machine: Machine, options: argparse.Namespace) -> int:
    """Let all of it happen, and return the exit code."""
    status = 0
    if options.every:
        words = [word for name in options.change for word in ("--change", name)]
        status = subprocess.run(machine.program("every", "--step", options.step, *words), check=False).returncode
    for name in POWER_CUTS if "all" in options.power else options.power:
        began = time.monotonic()
        wrong = machine.power_cut(name)
        print(f"power cut, {name}: {'healed' if not wrong else 'WRONG'}, {time.monotonic() - began:.0f} s", flush=True)
        print("".join(f"  {line}\n" for line in wrong), end="", flush=True)
        status = status or int(bool(wrong))
    return status


if __name__ == "__main__":
    main()
