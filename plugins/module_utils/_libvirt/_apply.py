# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""Carries out the steps: files and definitions in parallel, then the guests in their order, each until it is up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._await import Waiter, kvm_hint
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._backend import Backend, BackendError
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._disks import DiskError, Files
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._disks import inspect as inspect_disk
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._guest import Guest, Settings, turn_of
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._nics import ADDRESS_FILTER, ADDRESS_FILTER_XML
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._starter import tiers
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._step import NewDisk, Step
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._wait import Probe

_POLL = 0.2
# A guest that is still booting does not hear the first request
_ASK_AGAIN = 10.0


def start_tiers(guests: Sequence[Guest]) -> list[list[Guest]]:
    """Return the guests in groups: one is started, and waited for, after the other."""
    by_name = {guest.name: guest for guest in guests}
    turns = {name: turn_of(guest) for name, guest in by_name.items()}
    return [[by_name[name] for name in tier] for tier in tiers(turns)]


class Applier:
    """Applies a plan. A guest that fails does not keep the others from being made; all failures are told together.

    Args:
        backend: where domains live.
        files: where disks and seeds are.
        probe: what the host knows about the guests' network.
        settings: what the call says for all guests.
    """

    def __init__(self, backend: Backend, files: Files, probe: Probe, settings: Settings) -> None:
        self._backend = backend
        self._files = files
        self._probe = probe
        self._settings = settings
        self.failures: dict[str, str] = {}
        self.addresses: dict[str, str] = {}

    def apply(self, steps: Sequence[Step]) -> None:
        """Do all of it."""
        self._stop([step for step in steps if step.power in ("stop", "restart") and step.running])
        self._each(self._remove, [s for s in steps if s.undefine or s.remove or s.noted])
        self._filters(steps)
        self._each(self._build, [step for step in steps if step.guest is not None and step.guest.state != "absent"])
        self._start(steps)

    def _each(self, action: Callable[[Step], None], steps: Iterable[Step]) -> None:
        def guarded(step: Step) -> None:
            try:
                action(step)
            except BackendError as exc:
                self.failures[step.name] = f"{exc}{kvm_hint(step.guest) if 'kvm' in str(exc).lower() else ''}"
            except DiskError as exc:
                self.failures[step.name] = str(exc)
            except OSError as exc:
                self.failures[step.name] = f"{exc.filename}: {exc.strerror}"

        todo = [step for step in steps if step.name not in self.failures]
        with ThreadPoolExecutor(self._settings.parallel) as pool:
            list(pool.map(guarded, todo))

    def _remove(self, step: Step) -> None:
        self._files.set_starting(step.name, False)
        # While there is a domain, or a note, the next run still knows what of this is left to do
        if step.undefine and step.remove:
            self._files.set_removing(step.name, step.remove)
        for path in step.rests:
            self._files.remove(path)
        if step.undefine:
            self._backend.undefine(step.name, step.keep_nvram)
        for path in step.remove:
            self._files.remove(path)
        if step.remove or step.noted:
            self._files.set_removing(step.name, [])

    def _build(self, step: Step) -> None:
        made: list[str] = []
        try:
            for disk in step.make:
                self._make(disk)
                made.append(disk.path)
            if step.seed is not None:
                if not self._files.exists(step.seed[0]):
                    made.append(step.seed[0])
                self._files.write_seed(*step.seed)
            if step.stays_up:
                # Before the definition: what an interruption leaves undone is then still seen as different
                self._change_live(step)
            if step.rename is not None and step.renames:
                self._backend.rename(step.rename, step.name)
            if step.define is not None:
                self._backend.define(step.define)
        except (BackendError, DiskError, OSError):
            if not step.stays_up:
                # Nothing half made stays; nobody has written to these yet
                for path in made:
                    self._files.remove(path)
            raise
        if step.stays_up:
            for kind, text in step.metadata:
                self._backend.set_metadata(step.domain, kind, text)
        for old, size in step.grow:
            if step.stays_up:
                self._backend.resize(step.domain, old.path, size)
            else:
                self._files.grow_disk(old, size)
        if step.autostart is not None:
            self._backend.set_autostart(step.name if step.renames else step.domain, step.autostart)

    def _make(self, disk: NewDisk) -> None:
        backing = inspect_disk(disk.image.path) if disk.image is not None and disk.image.path else None
        if disk.image is not None and backing is None:
            raise DiskError(f"image {disk.image.name}: {disk.image.path} is missing")
        self._files.make_disk(disk.path, disk.size, backing, disk.kind)

    def _change_live(self, step: Step) -> None:
        """Change the guest while it runs; what it or libvirt refuses waits for its next boot."""
        for op in step.live:
            if op.option in step.refused:
                continue
            try:
                self._backend.change(step.domain, op)
            except BackendError as exc:
                step.refused[op.option] = str(exc)
                if op.option not in step.pending:
                    step.pending.append(op.option)

    def _filters(self, steps: Iterable[Step]) -> None:
        """Make the network filter that a domain names before one is defined with it."""
        texts = [text for step in steps for text in (step.define, *(op.value for op in step.live))]
        if any(ADDRESS_FILTER in str(text) for text in texts if text is not None):
            self._backend.define_filter(ADDRESS_FILTER_XML)

    def _stop(self, steps: list[Step]) -> None:
        """Stop gracefully, all at once, and wait until it is so."""
        started = time.monotonic()
        waiting = {step.name: step for step in steps}
        asked: dict[str, float] = {}
        while waiting:
            for name, step in list(waiting.items()):
                run = step.guest.run if step.guest is not None else {}
                timeout = run.get("stop_timeout", self._settings.stop_timeout)
                now = time.monotonic()
                try:
                    if self._backend.power(step.domain) == "stopped":
                        del waiting[name]
                    elif name in asked and now - started >= timeout:
                        del waiting[name]
                        self._overdue(step, run.get("on_timeout", self._settings.on_timeout), timeout)
                    elif now - asked.get(name, now - _ASK_AGAIN) >= _ASK_AGAIN:
                        asked[name] = now
                        self._backend.shutdown(step.domain)
                except BackendError as exc:
                    waiting.pop(name, None)
                    self.failures[name] = f"it could not be stopped: {exc}"
            if waiting:
                time.sleep(_POLL)

    def _overdue(self, step: Step, on_timeout: str, timeout: int) -> None:
        if on_timeout == "destroy":
            self._backend.destroy(step.domain)
            return
        hint = "on_timeout: destroy would switch it off"
        self.failures[step.name] = f"it did not stop within {timeout} s after it was asked to; {hint}"

    def _start(self, steps: Sequence[Step]) -> None:
        by_name = {step.name: step for step in steps}
        self._each(self._start_one, [step for step in steps if step.power == "pause"])
        guests = [step.guest for step in steps if step.guest is not None and step.guest.state == "running"]
        for tier in start_tiers(guests):
            before = self._probe.leases()
            todo = []
            for guest in tier:
                step = by_name[guest.name]
                failed = [need for need in guest.run["depends"] if need in self.failures]
                if failed and step.power in ("start", "restart"):
                    self.failures.setdefault(guest.name, f"it was not started: it depends on {', '.join(failed)}")
                elif step.power in ("start", "restart"):
                    todo.append(step)
            self._each(self._start_one, todo)
            delay = max((step.guest.run["start_delay"] for step in todo if step.guest is not None), default=0)
            # One that was only halted goes on with the lease it has
            fresh = {step.name for step in todo if step.power == "restart" or not step.running}
            started = {step.name for step in todo}
            watched = [guest for guest in tier if guest.name in started or by_name[guest.name].unproven]
            waiter = Waiter(self._backend, self._files, self._probe, fresh, before)
            waiter.wait([guest for guest in watched if guest.name not in self.failures])
            self.addresses |= waiter.addresses
            self.failures |= waiter.failures
            time.sleep(delay)

    def _start_one(self, step: Step) -> None:
        for nic in [] if step.guest is None else step.guest.given.get("nics", []):
            made = nic["bridge"] or nic["libvirt_network"]
            if not made and not self._probe.has_tap(nic["tap"]):
                raise BackendError(f"its tap {nic['tap']} is missing on the host, and no guest makes its own")
        if step.power == "pause":
            self._backend.pause(step.name)
            return
        self._files.set_starting(step.name, True)
        self._backend.start(step.name)
