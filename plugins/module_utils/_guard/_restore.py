# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
#
# Part of the program that is installed on the host, so it imports the standard library only.
"""Put a host's network back as it was before a change, whatever the change did to it."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import _apply, _compare, _exchange, _networkd
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._run import ApplyError, run, run_ipset
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._snapshot import (
    read_firewall,
    read_ipsets,
    read_state,
    read_units,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._traces import owner_of
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._transaction import (
    KEPT_DIRECTORIES,
    KEPT_FILES,
    Transaction,
)

# systemd-networkd goes on for a while after it was told: what it does late is put right in the next pass.
_PASSES = 6
_PAUSE = 0.4
# The kernel's rules are put back as they were saved; a script would set up what it thinks they are.
_NOT_REPEATED = ("shorewall", "ipset", "ipset-prune", "ip", "networkd")
_NETWORKD = "systemd-networkd.service"
# Routes that the kernel makes of addresses say nothing more than those; and what nobody knows by its number.
_OF_ADDRESSES = re.compile(r"^the route '.* proto 2\b")
_NUMBERS = re.compile(r" (?:proto|scope) \d+\b")
# Sets that are filled beside those in use, and are there still if that was killed.
_SCRATCH_SETS = ("kvmnet-new-", "kvmnet-undo")
# Who does not answer by then is not waited for: there is another way.
_NETWORKD_SECONDS = 4


def _past(line: str) -> str:
    """Return a difference as what was found and put right."""
    for now, then in ((" is gone", " was gone"), (" is there still", " was new"), (", is ", ", had become ")):
        line = line.replace(now, then)
    return _NUMBERS.sub("", line)


def _is_own(step: dict[str, Any]) -> bool:
    return bool(step["kind"] == "command" and step["order"] >= _apply.OWN_COMMANDS)


class Restorer:
    """What is done to get back, and what went wrong with it.

    Args:
        transaction: the change that is undone.
    """

    def __init__(self, transaction: Transaction) -> None:
        self.transaction = transaction
        self.before = transaction.snapshot()
        about = transaction.about()
        self.made: list[str] = about.get("made", [])
        self.directories: list[str] = about.get("directories", [])
        self.inverse = _apply.load_index(transaction.undo) or {"entries": {}, "steps": []}
        self.errors: list[str] = []
        # What was not as before, for the report.
        self.found: list[str] = []

    def _try(self, action: Callable[..., Any], *args: Any) -> None:
        try:
            action(*args)
        except (ApplyError, OSError, ValueError, KeyError) as error:
            self.errors.append(str(error))

    def run(self) -> list[str]:
        """Put everything back.

        Returns:
            What is not as it was, in spite of all.
        """
        # Whoever was shut out gets in again within a tenth of a second.
        self._rules()
        self._try(self.look)
        self._try(self.make_room)
        self.errors += _apply.run_steps(self._steps(), first=True, go_on=True)
        self._try(self.files)
        self._try(self.networkd)
        self.errors += _apply.run_steps(self._steps(), first=False, go_on=True)
        own = _apply.run_steps({"entries": {}, "steps": self._own_steps()}, first=False, go_on=True)
        self._try(self.kept)
        left = self.settle()
        self._try(self.prune_ipsets)
        return left + own + self._other_files()

    def run_at_boot(self) -> list[str]:
        """Put the files back before anything reads them: nothing of the change is at work yet."""
        self._try(self.make_room)
        units = self.before.get("units", {})
        new = {step["key"] for step in self.inverse["steps"] if step["kind"] == "unit"} - set(units)
        now: dict[str, dict[str, str]] = {}
        self._try(lambda: now.update(read_units([*units, *new])))
        for name in new & set(now):
            # Its file goes with the others; what calls for it at boot is no file of the change.
            self._try(run, ["systemctl", "disable", name])
        self._try(self.files, False)
        self._try(self.kept)
        self._try(run, ["systemctl", "daemon-reload"])
        # systemd has decided already what this boot starts.
        for name in new & set(now):
            self._try(run, ["systemctl", "--no-block", "stop", name])
        for name, unit in units.items():
            if name in now and now[name]["enabled"] != unit["enabled"]:
                self._try(self._enable, name, unit["enabled"])
                action = "start" if unit["active"] == "active" else "stop"
                self._try(run, ["systemctl", "--no-block", action, name])
        # This early most programs would fail or wait for ever.
        return self.errors + [
            f"the undo of the command '{step['key']}' was not run, since the host went down: {shlex.join(argv)}"
            for step in self._own_steps()
            if (argv := step["args"]["argv"])
        ]

    def _steps(self) -> dict[str, Any]:
        steps = [step for step in self.inverse["steps"] if step["kind"] not in _NOT_REPEATED and not _is_own(step)]
        return {"entries": self.inverse["entries"], "steps": steps}

    def _own_steps(self) -> list[dict[str, Any]]:
        """Return the undo of each of the user's own commands that was begun."""
        begun = self.transaction.commands()
        return [step for step in self.inverse["steps"] if _is_own(step) and step["key"] in begun]

    def _rules(self) -> None:
        """Load the rules that there were, after the address lists that they need."""
        self._try(self.ipsets)
        now: dict[str, str] = {}
        self._try(lambda: now.update(read_firewall()))
        for program, text in self.before["firewall"].items():
            # One version of IP does not wait for the other.
            self._try(self._firewall, program, text, now.get(program, ""))

    def _firewall(self, program: str, before: str, now: str) -> None:
        tables = _compare.same_firewall(before, now)
        if tables:
            self.found += [f"{program}: the table {table} was another one" for table in tables]
            run([f"{program}-restore", "-w", "10"], stdin=_compare.restore_text(before, now))

    def ipsets(self) -> None:
        """Fill the address lists with what they held.

        Raises:
            ApplyError: one could not be filled.
        """
        before = self.before["ipsets"]
        now = read_ipsets() if before else ""
        text = _compare.ipset_text(before, now)
        if text:
            self.found += [f"the address list {name} was another one" for name in _compare.other_ipsets(before, now)]
            run_ipset(["restore"], stdin=text)

    def look(self) -> None:
        """Note what else is not as it was.

        Raises:
            ApplyError: the kernel or systemd does not say.
        """
        lines = _compare.differences(self.before, read_state(self.before["units"]), self.made)
        self.found += [_past(line) for line in lines if not _OF_ADDRESSES.search(line)]

    def prune_ipsets(self) -> None:
        """Take away the address lists that there were not.

        Raises:
            ApplyError: one is in use.
        """
        if shutil.which("ipset") is None:
            return
        before = {line.split()[1] for line in self.before["ipsets"].splitlines() if line.startswith("create ")}
        for name in sorted(set(run(["ipset", "list", "-n"]).split()) - before):
            if name in self._new_ipsets() or name.startswith(_SCRATCH_SETS):
                run_ipset(["destroy", name])

    def _new_ipsets(self) -> set[str]:
        steps = self.inverse["steps"]
        return {str(name) for step in steps for name in step["args"].get("names", ()) if step["kind"] == "ipset-prune"}

    def make_room(self) -> None:
        """Give back what was held in reserve, and what the change left half written."""
        (self.transaction.directory / "spare").unlink(missing_ok=True)
        for path in self.inverse["entries"]:
            Path(path).with_name(f".{Path(path).name}.kvmnet-new").unlink(missing_ok=True)
        for root in _exchange.WHOLE:
            shutil.rmtree(_exchange.next_of(Path(root)), ignore_errors=True)

    def files(self, running: bool = True) -> None:
        """Put the files back that are not as they were.

        Args:
            running: the firewalls may be at work.

        Raises:
            OSError: one could not be written.
        """
        changed = {path: entry for path, entry in self.inverse["entries"].items() if not self._same(path, entry)}
        _apply.install_files(self.transaction.undo, {"entries": changed}, running)
        for directory in self.directories:
            # Whatever somebody else has put there meanwhile stays.
            with contextlib.suppress(OSError):
                Path(directory).rmdir()

    def _other_files(self) -> list[str]:
        entries = self.inverse["entries"]
        return [f"{path} is not as it was" for path, entry in entries.items() if not self._same(path, entry)]

    def _same(self, path: str, entry: dict[str, Any]) -> bool:
        live = Path(path)
        if entry["state"] == "absent":
            return not live.exists()
        if not live.is_file() or live.stat().st_mode & 0o7777 != entry["mode"]:
            return False
        saved = _apply.content_path(self.transaction.undo, path)
        return entry.get("owner") in (None, owner_of(live)) and live.read_bytes() == saved.read_bytes()

    def networkd(self) -> None:
        """Let systemd-networkd read its files again, whoever changed them: else it goes on with the new ones.

        Raises:
            ApplyError: it does not answer.
        """
        if self.before["units"].get(_NETWORKD, {}).get("active") != "active":
            if any(step["kind"] == "networkd" for step in self.inverse["steps"]):
                _networkd.stop_networkd()
            return
        if not any(step["kind"] == "networkd" and step["args"].get("restart") for step in self.inverse["steps"]):
            try:
                run(["networkctl", "reload"], timeout=_NETWORKD_SECONDS)
            except ApplyError as error:
                self.errors.append(str(error))
            else:
                return
        run(["systemctl", "restart", _NETWORKD])

    def kept(self) -> None:
        """Put back what the firewalls noted about themselves.

        Raises:
            OSError: it could not be written.
        """
        for number, directory in enumerate(KEPT_DIRECTORIES):
            saved = self.transaction.directory / f"kept-{number}"
            live = Path(directory)
            if live.is_dir():
                for path in live.iterdir():
                    if path.name != "firewall" and not (saved / path.name).exists():
                        shutil.rmtree(path) if path.is_dir() else path.unlink()
            if saved.is_dir():
                shutil.copytree(saved, live, symlinks=True, dirs_exist_ok=True)
        for number, file in enumerate(KEPT_FILES):
            saved = self.transaction.directory / f"file-{number}"
            if saved.is_file():
                shutil.copy2(saved, file)
            else:
                Path(file).unlink(missing_ok=True)

    def settle(self) -> list[str]:
        """Put links, addresses, routes, rules, settings and units back until they stay, and return what does not."""
        left: list[str] = []
        quiet = False
        for turn in range(_PASSES + 1):
            try:
                now = read_state(self.before["units"])
            except ApplyError as error:
                # A host that is short of something now may not be in a moment.
                left, quiet = [str(error)], False
                time.sleep(_PAUSE)
                continue
            left = _compare.differences(self.before, now, self.made)
            if turn == _PASSES or (not left and quiet):
                break
            quiet = not left
            if left:
                self._pass(now)
            if left and turn == _PASSES // 2:
                # It holds on to what it was told last.
                self._try(self._reconfigure, now)
            time.sleep(_PAUSE)
        return left

    def _pass(self, now: dict[str, Any]) -> None:
        create, change = _compare.link_lines(self.before, now, self.made)
        for line in create:
            # One that fails would take the rest of a batch with it.
            self._try(run, ["ip", *line.split()])
        self._try(self._batch, [], change)
        self._try(self._batch, [], _compare.address_lines(self.before, now))
        self._try(self._sysctls, now)
        for version, lines in _compare.route_lines(self.before, now).items():
            self._try(self._batch, [f"-{version}"], lines)
        for version, lines in _compare.rule_lines(self.before, now).items():
            self._try(self._batch, [f"-{version}"], lines)
        self._units(now)
        self._rules()

    def _reconfigure(self, now: dict[str, Any]) -> None:
        links = [name for name, link in self.before["links"].items() if now["links"].get(name) != link]
        if links and self.before["units"].get(_NETWORKD, {}).get("active") == "active":
            run(["networkctl", "reconfigure", *links])

    def _batch(self, options: list[str], lines: Iterable[str]) -> None:
        text = "".join(f"{line}\n" for line in lines)
        if text:
            # What another pass puts right is no failure; what stays is found by comparing.
            subprocess.run(
                ["ip", *options, "-force", "-batch", "-"], input=text, text=True, capture_output=True, check=False
            )

    def _sysctls(self, now: dict[str, Any]) -> None:
        for path, value in self.before["sysctls"].items():
            if now["sysctls"].get(path, value) != value:
                Path(path).write_text(f"{value}\n", encoding="ascii")

    def _units(self, now: dict[str, Any]) -> None:
        for name, unit in self.before["units"].items():
            have = now["units"].get(name)
            if have is None or have == unit:
                continue
            if have["enabled"] != unit["enabled"]:
                self._try(self._enable, name, unit["enabled"])
            if have["active"] != unit["active"]:
                self._try(run, ["systemctl", "start" if unit["active"] == "active" else "stop", name])
        for name in set(now["units"]) - set(self.before["units"]):
            self._try(run, ["systemctl", "stop", name])

    @staticmethod
    def _enable(name: str, state: str) -> None:
        if state in ("enabled", "disabled"):
            run(["systemctl", "unmask", name])
            run(["systemctl", "enable" if state == "enabled" else "disable", name])
        elif state == "masked":
            run(["systemctl", "mask", name])


def restore(transaction: Transaction, reason: str, at_boot: bool = False) -> None:
    """Undo a change and leave a report; whoever calls it holds the host's lock."""
    token = transaction.armed
    if token is None:
        return
    started = time.monotonic()
    earlier = transaction.last_report()
    if earlier.get("token") == token and earlier.get("state") in ("restoring", "restored"):
        # It was killed at it: why it began is what the user has to know.
        reason = str(earlier["error"])
    # First of all, since on a full disk nobody could leave word.
    (transaction.directory / "spare").unlink(missing_ok=True)
    _leave_word(transaction, token, "restoring", reason)
    restorer = Restorer(transaction)
    try:
        left = restorer.run_at_boot() if at_boot else restorer.run()
    except (ApplyError, OSError) as error:
        left = [str(error)]
    if left and not at_boot:
        left += restorer.errors
    files = sorted(restorer.inverse["entries"])
    # The word first: without the marker nobody comes back to leave it.
    _leave_word(
        transaction,
        token,
        "restored",
        reason,
        restored=files,
        found=list(dict.fromkeys(restorer.found)),
        left=left,
        seconds=round(time.monotonic() - started, 2),
        ended=time.time(),
        peer=transaction.about().get("peer"),
    )
    transaction.close("rolledback")


def _leave_word(transaction: Transaction, token: str, state: str, error: str, **more: Any) -> None:
    """Say how it goes; a host that cannot write that down is put back all the same."""
    with contextlib.suppress(OSError):
        transaction.report(token, state, error, **more)
