# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on the host: kvm_guest itself, stopped before any one of its writes, and the eye that compares the ends.

A write is what the system is asked for, not what our code calls one: each event of Python's audit hooks that changes a
file or starts a program, and each call of libvirt that is not known to only read. So no write can be forgotten here.
"""

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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPResponse
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

HOME = Path("/var/lib/kvmnet-accidents")
STARTING = Path("/run/kvmnet/starting")
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
# What a running domain shows of this very boot
_VOLATILE = re.compile(
    r"<alias name='[^']*'/>|<source path='/dev/pts/\d+'/>|/domain-\d+-[^/]*/| id='\d+'| tty='[^']*'|"
    r" index='\d+'|<label>.*?</label>|"
    r"<imagelabel>.*?</imagelabel>|<backingStore/>|<backingStore type.*?</backingStore>|<privateData>.*?</privateData>"
)


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

        def read(response: HTTPResponse, amount: int | None = None) -> bytes:
            self.before("receive")
            return real_read(response, amount)

        os.fsync = fsync
        # What comes is written between one and the next. Nobody else is to see the difference, so the class is changed
        HTTPResponse.read = read  # type: ignore[method-assign]
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
