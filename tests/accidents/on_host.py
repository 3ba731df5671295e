# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on the host: kvm_guest itself, stopped before any one of its writes, and the eye that compares the ends."""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from recorder import HOME, Writes

STARTING = Path("/run/kvmnet/starting")
# What a running domain shows of this very boot
_VOLATILE = re.compile(
    r"<alias name='[^']*'/>|<source path='/dev/pts/\d+'/>|/domain-\d+-[^/]*/| id='\d+'| tty='[^']*'|"
    r" index='\d+'|<label>.*?</label>|"
    r"<imagelabel>.*?</imagelabel>|<backingStore/>|<backingStore type.*?</backingStore>|<privateData>.*?</privateData>"
)


@dataclass
class Run:
    """How one call of the module ended; result is None when it was killed."""

    result: dict[str, Any] | None
    writes: list[str]
    unsafe: list[str]
    text: str = ""

    def good(self) -> Run:
        """Return this, if nothing went wrong."""
        if self.result is None or self.result.get("failed") or self.unsafe:
            said = (self.result or {}).get("msg") if self.result is not None else self.text
            raise SystemExit("\n".join(["a run went wrong:", str(said), *self.unsafe]))
        return self


def call(args: Mapping[str, Any], limit: int | None = None, freeze: bool = False) -> Run:
    """Call the module in a process of its own."""
    out = HOME / "out"
    child = os.fork()
    if child == 0:
        _module(args, limit, freeze, out)
    _pid, status = os.waitpid(child, 0)
    log = (HOME / "writes").read_text(encoding="utf-8").splitlines()
    writes = [line.partition(" ")[2] for line in log if not line.startswith("UNSAFE")]
    unsafe = [line for line in log if line.startswith("UNSAFE")]
    text = out.read_text(encoding="utf-8")
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    return Run(None if killed else json.loads(text.splitlines()[-1]), writes, unsafe, text)


def _module(args: Mapping[str, Any], limit: int | None, freeze: bool, out: Path) -> None:
    try:
        basic = importlib.import_module("ansible.module_utils.basic")
        module = importlib.import_module("ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._module")
        basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": dict(args)}).encode()
        basic._ANSIBLE_PROFILE = "legacy"
        target = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(target, 1)
        os.dup2(target, 2)
        Writes(limit, freeze).watch(importlib.import_module("libvirt"))
        module.main()
    except SystemExit:
        sys.stdout.flush()
    except BaseException:
        print(json.dumps({"failed": True, "msg": traceback.format_exc()}), flush=True)
    os._exit(0)


def virsh(*words: str) -> str:
    """Ask libvirt by other means than ours."""
    return subprocess.run(["virsh", "-q", *words], check=True, capture_output=True, text=True).stdout


def _file(path: Path) -> Any:
    if path.suffix in (".qcow2", ".raw"):
        shown = subprocess.run(
            ["qemu-img", "info", "-U", "--output=json", str(path)], check=True, capture_output=True, text=True
        ).stdout
        info = json.loads(shown)
        return {key: info.get(key) for key in ("format", "virtual-size", "backing-filename", "backing-filename-format")}
    content = path.read_bytes()
    if path.name == "images.json":
        return {name: note["sha256"] for name, note in json.loads(content).items()}
    return hashlib.sha256(content).hexdigest()


def state(storage: Path, names: set[str]) -> dict[str, Any]:
    """Return all that a run can leave behind."""
    found: dict[str, Any] = {}
    for name in sorted(names.intersection(virsh("list", "--all", "--name").split())):
        facts = dict(line.split(":", 1) for line in virsh("dominfo", name).splitlines() if ":" in line)
        running = facts["State"].strip()
        found[f"domain {name}"] = [running, facts["Autostart"].strip(), virsh("dumpxml", "--inactive", name)]
        if running in ("running", "paused"):
            live = _VOLATILE.sub("", virsh("dumpxml", name))
            found[f"running {name}"] = [line.strip() for line in live.splitlines() if line.strip()]
    for path in sorted(storage.rglob("*")) if storage.exists() else []:
        if path.is_file():
            found[f"file {path}"] = [oct(path.stat().st_mode & 0o777), _file(path)]
    found["starting"] = sorted(name for name in names if (STARTING / name).exists())
    return found


def differing(want: Mapping[str, Any], have: Mapping[str, Any]) -> list[str]:
    """Return where two states differ, in words."""
    keys = sorted({key for key in {*want, *have} if want.get(key) != have.get(key)})
    lines = []
    for key in keys:
        one, other = want.get(key), have.get(key)
        if isinstance(one, list) and isinstance(other, list):
            flat = [[line for item in side for line in str(item).splitlines()] for side in (one, other)]
            lines.append(
                f"{key}: {[x for x in flat[0] if x not in flat[1]]} -> {[x for x in flat[1] if x not in flat[0]]}"
            )
        else:
            lines.append(f"{key}: {'there' if one else 'not there'} -> {'there' if other else 'not there'}")
    return lines


class Change:
    """One change of some guests.

    Args:
        table: all of them: images, and by name what is before and after.
        name: which.
    """

    def __init__(self, table: Mapping[str, Any], name: str) -> None:
        self.name = name
        self.storage = Path(table["settings"]["storage"])
        self._settings = table["settings"]
        self._images = table["images"]
        self._change = table["changes"][name]
        sides = [side for change in table["changes"].values() for side in change.values() if side]
        # Of the host's guests only these are touched
        self._names = {guest["name"] for side in sides for guest in side["guests"]}

    def _args(self, side: str) -> dict[str, Any]:
        return {**self._settings, "images": self._images, **self._change[side]}

    def reset(self) -> None:
        """Make everything as it is before the change, from nothing."""
        self.clean()
        if self._change["before"] is not None:
            call(self._args("before")).good()

    def clean(self) -> None:
        """Leave nothing of it."""
        self.cut_power()
        for name in self._names.intersection(virsh("list", "--all", "--name").split()):
            virsh("undefine", name)
        shutil.rmtree(self.storage, ignore_errors=True)

    def cut_power(self) -> None:
        """Take away what the power takes: what runs, and what is in memory."""
        for name in self._names.intersection(virsh("list", "--name").split()):
            virsh("destroy", name)
        for name in self._names:
            (STARTING / name).unlink(missing_ok=True)

    def apply(self, limit: int | None = None, freeze: bool = False) -> Run:
        """Make the change, or begin to."""
        return call(self._args("after"), limit, freeze)

    def reference(self, cut: bool) -> tuple[dict[str, Any], list[str]]:
        """Return what an undisturbed change makes, and its writes."""
        self.reset()
        writes = self.apply().good().writes
        if cut:
            self.cut_power()
            self.apply().good()
        self.still()
        return state(self.storage, self._names), writes

    def still(self) -> None:
        """Change nothing, and write nothing."""
        again = self.apply().good()
        if again.writes or again.result is None or again.result["changed"]:
            raise SystemExit(f"{self.name}: a run that changes nothing wrote {again.writes}: {again.text}")

    def heal(self, want: Mapping[str, Any], where: str, booted: bool = False) -> list[str]:
        """Run again, and return what is not as it would be without the accident.

        Args:
            want: how it would be.
            where: the accident.
            booted: whether the host started its guests itself: what they miss waits for their next boot.
        """
        healed = self.apply()
        if healed.result is None or healed.result.get("failed") or healed.unsafe:
            return [f"{where}: {(healed.result or {}).get('msg')} {healed.unsafe}"]
        have = state(self.storage, self._names)
        if booted:
            want, have = ({k: v for k, v in one.items() if not k.startswith("running ")} for one in (want, have))
        wrong = [f"{where}: {line}" for line in differing(want, have)]
        again = self.apply()
        if again.writes or again.result is None or again.result.get("changed") or again.result.get("failed"):
            wrong.append(f"{where}: one run was not enough: {again.writes} {again.text}")
        return wrong

    def every(self, cut: bool, step: int, first: int) -> list[str]:
        """End the change before each of its writes, and return what was not healed."""
        want, writes = self.reference(cut)
        wrong = []
        for number in range(1 + first % step, len(writes) + 1, step):
            self.reset()
            self.apply(number)
            if cut:
                self.cut_power()
            found = self.heal(want, f"{self.name}, {'power cut' if cut else 'killed'} before {writes[number - 1]}")
            if found:
                print("\n".join(found))
            wrong += found
        return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["every", "writes", "freeze", "heal", "clean"])
    parser.add_argument("--change", action="append", help="which change; all by default")
    parser.add_argument("--step", type=int, default=1, help="each how many-th write")
    parser.add_argument("--first", type=int, default=0, help="where to begin with those")
    parser.add_argument("--number", type=int, help="of the write to stand still before")
    parser.add_argument("--cut", choices=["no", "yes", "both"], default="both", help="whether the guests die too")
    options = parser.parse_args()
    table = json.loads((HOME / "changes.json").read_text(encoding="utf-8"))
    names = options.change or list(table["changes"])
    # Once, for all the processes to come
    importlib.import_module("ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._module")
    # A text file in every real run, which its type does not promise
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    server = _serve(int(table["port"]))
    try:
        sys.exit(_do(options, table, names))
    finally:
        os.kill(server, signal.SIGKILL)


def _serve(port: int) -> int:
    """Serve the images, in a process of its own."""
    child = os.fork()
    if child == 0:
        os.chdir(HOME / "www")
        handler = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_args: None})
        ThreadingHTTPServer(("127.0.0.1", port), handler).serve_forever()
    deadline = time.monotonic() + 30
    while socket.socket().connect_ex(("127.0.0.1", port)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return child


def _do(options: argparse.Namespace, table: Mapping[str, Any], names: list[str]) -> int:
    if options.what == "every":
        wrong, began = [], time.monotonic()
        for name in names:
            for cut in {"no": [False], "yes": [True], "both": [False, True]}[options.cut]:
                found = Change(table, name).every(cut, options.step, options.first)
                print(
                    f"{name}, {'power cut' if cut else 'killed'}: {len(found)} wrong, {time.monotonic() - began:.0f} s",
                    flush=True,
                )
                wrong += found
        return 1 if wrong else 0
    change = Change(table, names[0])
    expected = HOME / f"want-{names[0]}.json"
    if options.what == "writes":
        want, writes = change.reference(cut=True)
        expected.write_text(json.dumps(want), encoding="utf-8")
        print(json.dumps(writes))
    elif options.what == "freeze":
        change.reset()
        change.apply(options.number, freeze=True)
    elif options.what == "clean":
        change.clean()
    else:
        print("\n".join(change.heal(json.loads(expected.read_text(encoding="utf-8")), names[0], booted=True)))
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(HOME / "lib"))
    main()
