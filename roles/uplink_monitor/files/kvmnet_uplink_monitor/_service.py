# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The service: one loop that probes, judges, and keeps the routes as they must be."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import sys
import time
from typing import Any

from . import _kernel
from ._choice import choose_out
from ._config import Config, InvalidError, read_config
from ._control import Control
from ._fragment import fragment
from ._hooks import Hooks
from ._netlink import Listener
from ._probe import Echo
from ._providers import DETECT, Provider, RefusedError, read_providers
from ._routes import Attached, Snapshot, attach, own_address, plan, sharing
from ._state import Paths, Verdicts, read_text, stamp, write
from ._watch import Drill, Watch

_HOUSEKEEPING = 1.0
# How long the routes must be quiet before they are looked at: Shorewall's reload takes them away and puts them back.
_SETTLE = 0.2
_BETWEEN_LOOKS = 1.0
_LOOK_ANYHOW = 30.0
_NOTICE, _WARNING = 5, 4


def say(text: str, level: int = _NOTICE) -> None:
    """Write a line of the journal."""
    sys.stderr.write(f"<{level}>{text}\n" if "JOURNAL_STREAM" in os.environ else f"{text}\n")
    sys.stderr.flush()


def notify(text: str) -> None:
    """Tell systemd."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
            peer.sendto(text.encode(), "\0" + address[1:] if address.startswith("@") else address)


def next_turn(last: float, interval: float, now: float) -> float:
    """Return when the next probe is due: what was slept through is not made up for, or many would look like silence."""
    return last + interval if last + interval > now else now + interval


class Service:
    """Everything that the loop holds."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.config = Config()
        self.providers: tuple[Provider, ...] = ()
        self.watches: dict[str, Watch] = {}
        remembered = Verdicts.load(paths.verdicts)
        self.out = remembered.out
        self._remembered = dict(remembered.down)
        self._since = dict(remembered.since)
        self._gateways: dict[str, str] = {}
        self._snapshot: Snapshot | None = None
        self._fresh = False
        self._written: dict[str, str] = {}
        self._told: dict[str, tuple[str, str]] = {}
        self._stamps: object = None
        self._warned: set[str] = set()
        self._look_at = 0.0
        self._looked = float("-inf")
        self._running = True
        self._reread = True
        self._echo = Echo()
        self._listener = Listener()
        self._control = Control(paths.socket)
        self._hooks = Hooks(say)
        self._batch = _kernel.Batch()
        self._selector = selectors.DefaultSelector()
        for source in (self._echo.socket, self._listener.socket, self._control.socket):
            self._selector.register(source, selectors.EVENT_READ)

    def run(self) -> None:
        """Work until told to stop."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, self._again)
        next_probe = next_chores = 0.0
        first = True
        while self._running:
            now = time.monotonic()
            if now >= next_chores or self._reread:
                self._chores(now)
                next_chores = now + _HOUSEKEEPING
            if now >= next_probe:
                # Answers that wait come first: a process that slept must not take them for silence
                self._receive(now)
                self._judge(now)
                for watch in self.watches.values():
                    watch.probe(now, self._echo)
                next_probe = next_turn(next_probe, self.config.thresholds.interval, now)
            if first:
                notify("READY=1")
                first = False
            deadlines = [watch.deadline for watch in self.watches.values() if watch.deadline > now]
            until = min(next_probe, next_chores, self._look_at or next_chores, *deadlines)
            for key, _events in self._selector.select(max(until - time.monotonic(), 0.0)):
                if key.fileobj is self._control.socket:
                    self._control.serve(self._command)
            now = time.monotonic()
            self._receive(now)
            if any(watch.deadline <= now for watch in self.watches.values()):
                self._judge(now)
        self._close()

    def _stop(self, *_unused: object) -> None:
        self._running = False

    def _again(self, *_unused: object) -> None:
        self._reread = True

    def _close(self) -> None:
        for watch in self.watches.values():
            watch.close()
        for each in (self._echo, self._listener, self._control, self._batch):
            each.close()

    def _receive(self, now: float) -> None:
        """Take what came, from the network and from the kernel."""
        for answer in self._echo.receive():
            for watch in self.watches.values():
                if watch.provider.number & 0xFF == answer.uplink:
                    watch.answered(answer.sequence, answer.source, now)
        for watch in self.watches.values():
            watch.poll(now)
        news = self._listener.receive()
        ours = {provider.interface for provider in self.providers}
        if news.addresses or news.links & ours:
            self._fresh = False
            self._look_at = now
        elif news.routes:
            self._fresh = False
            self._look_at = self._look_at or max(now + _SETTLE, self._looked + _BETWEEN_LOOKS)
        if self._look_at and now >= self._look_at:
            self._converge(now)

    def _chores(self, now: float) -> None:
        """What is due once a second: exchanged files, hooks that take too long, the state for others."""
        found = stamp(self.paths.settings, self.paths.providers, self.paths.script)
        if self._reread or found != self._stamps:
            self._stamps, self._reread = found, False
            self._load(now)
        elif now - self._looked > _LOOK_ANYHOW:
            self._fresh = False
            self._converge(now)
        self._hooks.reap(now)
        self._batch.prepare()
        self._publish(now)
        notify("WATCHDOG=1")

    def _load(self, now: float) -> None:
        """Read the files; what is wrong is told, and what was known stays."""
        try:
            # A file that is not there is one that is being exchanged: what takes the monitor away is `clear`
            config = read_config(self.paths.settings.read_text(encoding="utf-8"))
            text = self.paths.providers.read_text(encoding="utf-8")
            providers = read_providers(text, read_text(self.paths.script))
        except (InvalidError, RefusedError, OSError, UnicodeError) as error:
            self._warn(f"what was known stays in use: {error}")
            return
        self._warned.clear()
        known = {(watch.provider, watch.targets): watch for watch in self.watches.values()}
        same = config.thresholds == self.config.thresholds
        self.config, self.providers = config, providers
        watches: dict[str, Watch] = {}
        for provider in providers if len(providers) > 1 else ():
            targets = config.targets.get(provider.name, ())
            kept = known.pop((provider, targets), None) if same else None
            old = self.watches.get(provider.name)
            down = self._remembered.pop(provider.name, None)
            if old is not None and not old.verdict.up:
                down = old.verdict.reason
            watches[provider.name] = kept or Watch(provider, targets, config.thresholds, now, down)
        for watch in self.watches.values():
            if watch not in watches.values():
                watch.close()
        self.watches = watches
        for name in sorted(set(config.targets) - set(watches)) if watches else ():
            self._warn(f"{name} has targets, but is no provider of {self.paths.providers}")
        self._fresh = False
        self._converge(now)

    def _warn(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            say(text, _WARNING)

    def _judge(self, now: float) -> None:
        for watch in self.watches.values():
            watch.judge(now)
        self._decide(now)

    def _decide(self, now: float) -> None:
        """Move traffic when the verdicts ask for it."""
        if self._out() != self.out or self._changed():
            self._converge(now)

    def _out(self) -> frozenset[str]:
        watches = self.watches.values()
        present = {watch.name for watch in watches if watch.present}
        return choose_out(self.watches, {watch.name for watch in watches if watch.works}, present, self.out)

    def _changed(self) -> bool:
        return any(self._told.get(name, ("", ""))[0] != watch.state for name, watch in self.watches.items())

    def _converge(self, now: float) -> None:
        """Look, remember the verdict, make routes and rules as they must be, drop the connections of a dead uplink."""
        self._look_at, self._looked = 0.0, now
        snapshot = self._look(now)
        if snapshot is None:
            return
        attached = self._attach(snapshot, now)
        out = self._out()
        gone = out - self.out
        self.out = out
        self._remember(attached, snapshot)
        lines = plan(self.providers, attached, out, snapshot)
        problems = self._batch.apply(lines)
        for problem in problems:
            self._warn(problem)
        if lines:
            # Whether it really is so, the next look says
            self._fresh = False
            self._look_at = now + (_BETWEEN_LOOKS if problems else _SETTLE)
        for provider in self.providers:
            if provider.name in gone:
                try:
                    _kernel.drop_connections(provider.mark, own_address(provider, self.providers))
                except _kernel.FailedError as error:
                    self._warn(f"connections of {provider.name} stay until they time out: {error}")
        self._tell(now)

    def _look(self, now: float) -> Snapshot | None:
        """Return what the kernel holds; it is not asked again while nothing was heard since."""
        if not self._fresh:
            try:
                self._snapshot = _kernel.look()
                self._fresh = True
            except _kernel.FailedError as error:
                self._warn(f"cannot see the routes: {error}")
                self._look_at = now + _BETWEEN_LOOKS
        return self._snapshot

    def _attach(self, snapshot: Snapshot, now: float) -> dict[str, Attached]:
        for provider in self.providers:
            learned = snapshot.learned.get(provider.interface)
            if provider.gateway == DETECT and learned:
                self._gateways[provider.name] = learned
        attached = attach(self.providers, snapshot.links, self._gateways)
        for name, watch in self.watches.items():
            link = snapshot.links.get(watch.provider.interface)
            watch.attach(attached.get(name), link is not None and link.carrier, now)
        return attached

    def _remember(self, attached: dict[str, Attached], snapshot: Snapshot) -> None:
        """Write the verdict to the disk, before the routes follow it."""
        if not self.watches:
            for path in (self.paths.verdicts, self.paths.fragment):
                path.unlink(missing_ok=True)
            return
        down = {name: watch.verdict.reason for name, watch in self.watches.items() if not watch.verdict.up}
        since = {name: self._since.setdefault(name, int(time.time())) for name in down}
        self._since = dict(since)
        lasting = (
            (self.paths.verdicts, Verdicts(down, since, self.out).text()),
            (self.paths.fragment, fragment(self.providers, attached, self.out, snapshot.installed(self.providers))),
        )
        for path, text in lasting:
            if self._written.get(path.name) == text and path.exists():
                continue
            try:
                write(path, text, durable=True)
                self._written[path.name] = text
            except OSError as error:
                self._warn(f"the verdict will not outlive a reload: {error}")

    def _tell(self, now: float) -> None:
        """Journal, hooks, and the state for others, when an uplink's state changed."""
        for name, watch in self.watches.items():
            state, (before, _reason) = watch.state, self._told.get(name, ("", ""))
            if state == before:
                continue
            watch.since = self._since.get(name, time.time()) if not before else time.time()
            self._told[name] = state, watch.reason
            kept = "" if name in self.out or watch.works else "; it stays in use, being the last one"
            say(f"uplink {name} is {state}: {watch.reason}{kept}")
            if before:
                self._hooks.call(self.config.hooks, (name, before, state, watch.reason), now)
        self._publish(now)

    def _carries(self, name: str) -> bool:
        able = [provider for provider in self.providers if provider.name not in self.out]
        return name in {provider.name for provider, _weight in sharing(able)}

    def _publish(self, now: float) -> None:
        uplinks = [watch.describe(now, self._carries) for watch in self.watches.values()]
        text = json.dumps({"updated": int(time.time()), "uplinks": uplinks}) + "\n"
        try:
            write(self.paths.state, text, durable=False)
        except OSError as error:
            self._warn(f"the state cannot be shown: {error}")

    def _command(self, asked: dict[str, Any]) -> str:
        """Hold an uplink up or down; return why not, if so."""
        now = time.monotonic()
        watch = self.watches.get(str(asked.get("name")))
        if watch is None:
            return f"{asked.get('name')} is none of: {', '.join(sorted(self.watches)) or '(there are no uplinks)'}"
        if asked.get("to") == "auto":
            watch.drill = None
        else:
            up = asked.get("to") == "up"
            others = [each.name for each in self.watches.values() if each.works and each is not watch]
            if not up and not others:
                return f"{watch.name} is the last uplink that works"
            watch.drill = Drill(up, now + min(max(float(asked.get("seconds") or 120), 1), 3600))
        self._decide(now)
        return ""


def main(paths: Paths) -> int:
    """Run the service."""
    Service(paths).run()
    return 0
