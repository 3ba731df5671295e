# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One uplink: its probes, its verdict, and what it tells."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ._probe import REFUSED, Echo, Neighbour
from ._providers import Provider
from ._routes import Attached, probe_mark
from ._targets import Rotation
from ._verdict import Probe, Thresholds, Verdict

ARP = "arp"
_FIRST_HOP_EVERY = 1.0
_REMEMBERED = 256


@dataclass
class Drill:
    """A verdict that a person gave, for some time."""

    up: bool
    until: float


class Watch:
    """One uplink as it is now.

    What is probed: the targets, else the first hop: by ping, or by ARP as long as it never answered a ping.
    """

    def __init__(
        self, provider: Provider, targets: tuple[str, ...], thresholds: Thresholds, now: float, down: str | None = None
    ) -> None:
        self.provider = provider
        self.targets = targets
        self.verdict = Verdict(thresholds, now, up=down is None, reason=down or "")
        self.drill: Drill | None = None
        self.attached: Attached | None = None
        self.carrier = False
        self.since = time.time()
        self.refused = False
        self.gateway_heard: float | None = None
        self._rotation = Rotation(targets, now)
        self._flying: dict[int, tuple[str, Probe | None, float]] = {}
        self._sequence = 0
        self._first_hop_asked = float("-inf")
        self._neighbour: Neighbour | None = None
        self._begun = False

    @property
    def name(self) -> str:
        return self.provider.name

    @property
    def present(self) -> bool:
        """Whether the interface has a carrier and an address, and the gateway is known."""
        return self.attached is not None and self.carrier

    @property
    def state(self) -> str:
        if not self.present:
            return "absent"
        if self.drill is not None:
            return "forced"
        return "up" if self.works else "down"

    @property
    def works(self) -> bool:
        """Whether traffic may use it."""
        if not self.present:
            return False
        return self.drill.up if self.drill is not None else self.verdict.up

    @property
    def reason(self) -> str:
        if self.attached is None:
            lacks = "no address, or its gateway is not known" if self.carrier else "no address, or is not there"
            return f"{self.provider.interface} has {lacks}"
        if not self.carrier:
            return f"{self.provider.interface} has no carrier"
        if self.drill is not None:
            return f"drill: held {'up' if self.drill.up else 'down'}"
        if not self._rotation.heard:
            return "nothing to probe: only the carrier is watched"
        if self.refused:
            return "the host's own firewall refuses the probes: only the carrier is watched"
        return (self.verdict.reason or "not judged yet") + self._place()

    def _place(self) -> str:
        """Tell where on the way it breaks."""
        if self.verdict.up:
            return " (the gateway answers ARP, never a ping)" if self._by_arp else ""
        gateway = self.attached.gateway if self.attached else None
        if not self.targets or gateway is None:
            return ""
        answers = self.gateway_heard is not None and time.monotonic() - self.gateway_heard < 2 * _FIRST_HOP_EVERY + 0.5
        return f"; its gateway {gateway} {'answers' if answers else 'is silent too'}"

    @property
    def _by_arp(self) -> bool:
        return self._rotation.answers.get(ARP) is True

    def attach(self, attached: Attached | None, carrier: bool, now: float) -> None:
        """Take note of the interface; one that comes back must show that it works."""
        begun, self._begun = self._begun, True
        if attached != self.attached:
            self._retarget(attached, now)
        elif carrier == self.carrier:
            return
        before = self.present
        self.attached, self.carrier = attached, carrier
        if self.present and not before and begun:
            self.verdict.restart(now, not self._rotation.heard, "the link came, it must show that it works")
        elif self.present and not before:
            # The first look: what was remembered counts, and the time begins to run
            self.verdict.restart(now, self.verdict.up or not self._rotation.heard, self.verdict.reason)

    def _retarget(self, attached: Attached | None, now: float) -> None:
        self._close()
        first_hop = [attached.gateway, ARP] if attached and attached.gateway else []
        self._rotation = Rotation(self.targets or first_hop, now)
        self._flying.clear()
        if attached and not self.targets and attached.gateway:
            try:
                self._neighbour = Neighbour(self.provider.interface)
            except OSError:
                self._rotation.drop(ARP)

    def probe(self, now: float, echo: Echo) -> None:
        """Send what is due."""
        if self.attached is None or not self.carrier:
            return
        chosen, beside = self._rotation.next(now)
        if chosen is not None:
            self._send(chosen, self.verdict.sent(now), now, echo)
        for target in beside:
            self._send(target, None, now, echo)
        gateway = self.attached.gateway
        if self.targets and gateway and now >= self._first_hop_asked + _FIRST_HOP_EVERY:
            self._first_hop_asked = now
            self._send(gateway, None, now, echo)

    def _send(self, target: str, probe: Probe | None, now: float, echo: Echo) -> None:
        attached = self.attached
        if attached is None:
            return
        if target == ARP:
            if self._neighbour is not None and attached.gateway:
                self._flying[-1] = target, probe, now
                self._neighbour.ask(attached.gateway, attached.source, attached.provider.mac)
            return
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._flying[self._sequence] = target, probe, now
        if len(self._flying) > _REMEMBERED:
            del self._flying[next(iter(self._flying))]
        mark = probe_mark(self.provider)
        error = echo.send(self.provider.number & 0xFF, self._sequence, target, attached.source, mark)
        self.refused = error == REFUSED

    def answered(self, sequence: int, source: str, now: float) -> None:
        """An answer to one of the echo requests came."""
        target, probe, _sent = self._flying.pop(sequence, ("", None, 0.0))
        if target != source:
            return
        self._rotation.answered(target, now)
        self.verdict.reason = self.verdict.reason or "answers"
        if self.attached and target == self.attached.gateway:
            self.gateway_heard = now
            if ARP in self._rotation.heard:
                # It answers pings: from now on they decide
                self._rotation.drop(ARP)
                self._close()
        if probe is not None:
            self.verdict.answered(now, probe)

    def poll(self, now: float) -> None:
        """Take the answers to ARP requests."""
        if self._neighbour is None or self.attached is None:
            return
        if self.attached.gateway in self._neighbour.receive():
            self._rotation.answered(ARP, now)
            self.verdict.reason = self.verdict.reason or "answers"
            _target, probe, _sent = self._flying.pop(-1, ("", None, 0.0))
            if probe is not None:
                self.verdict.answered(now, probe)

    @property
    def deadline(self) -> float:
        """When the verdict may change although nothing arrives."""
        return self.verdict.deadline if self.present and self._rotation.heard else float("inf")

    def judge(self, now: float) -> None:
        """Let the verdict follow."""
        if self.drill is not None and now >= self.drill.until:
            self.drill = None
        if self.present and self._rotation.heard and not self.refused:
            self.verdict.tick(now)

    def _close(self) -> None:
        if self._neighbour is not None:
            self._neighbour.close()
            self._neighbour = None

    def close(self) -> None:
        self._close()

    def describe(self, now: float, carries: Callable[[str], bool]) -> dict[str, Any]:
        """Return the uplink as the state file has it."""
        loss, trip = self.verdict.figures(now) if self.present else (None, None)
        return {
            "name": self.name,
            "number": self.provider.number,
            "interface": self.provider.interface,
            "gateway": self.attached.gateway if self.attached else None,
            "state": self.state,
            "since": int(self.since),
            "reason": self.reason,
            "loss_percent": None if loss is None else round(loss * 100, 1),
            "rtt_ms": None if trip is None else round(trip * 1000, 2),
            "hold_s": round(self.verdict.hold, 1),
            "carries": carries(self.name),
            "targets": [{"address": name, "answers": said} for name, said in self._rotation.answers.items()],
        }
