# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""Starts the guests of a host in their order when the host boots, in place of libvirt, which knows none.

A program of its own: the module puts this file on the host as it is. It needs nothing but libvirt's Python binding.
"""

from __future__ import annotations

import importlib
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MARK = "{https://github.com/ursa-kvmnet/ursa.kvmnet/guest/1}guest"


@dataclass(frozen=True)
class Turn:
    """When a guest's turn is.

    Args:
        order: guests with a lower number are first.
        delay: seconds that those after it wait.
        depends: the guests that are started before it.
    """

    order: int = 0
    delay: int = 0
    depends: Sequence[str] = ()


def turn_in(root: ET.Element) -> Turn:
    """Return what our mark in a domain's XML says; nothing for a domain that is not ours."""
    mark = root.find(f"metadata/{MARK}")
    found: Mapping[str, str] = {} if mark is None else mark.attrib
    return Turn(
        int(found.get("start_order") or 0), int(found.get("start_delay") or 0), (found.get("depends") or "").split()
    )


def tiers(turns: Mapping[str, Turn]) -> list[list[str]]:
    """Return the guests in groups: one is started after the other."""
    depth: dict[str, int] = {}

    def depth_of(name: str) -> int:
        if name not in depth:
            depth[name] = 0
            needs = [need for need in turns[name].depends if need in turns]
            depth[name] = 1 + max((depth_of(need) for need in needs), default=0)
        return depth[name]

    found: dict[tuple[int, int], list[str]] = {}
    for name, turn in turns.items():
        found.setdefault((turn.order, depth_of(name)), []).append(name)
    return [found[key] for key in sorted(found)]


def say(text: str) -> None:
    """Tell the journal."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def start(connection: Any, error: type[Exception]) -> list[str]:
    """Start what starts with the host and does not run yet; return those that did not start."""
    domains = {domain.name(): domain for domain in connection.listAllDomains() if domain.autostart()}
    turns = {name: turn_in(ET.fromstring(domain.XMLDesc())) for name, domain in sorted(domains.items())}
    failed: list[str] = []
    delay = 0
    for tier in tiers(turns):
        fresh = [name for name in tier if not domains[name].isActive()]
        if fresh:
            time.sleep(delay)
            delay = 0
        for name in fresh:
            needs = [need for need in turns[name].depends if need in failed]
            try:
                if needs:
                    raise error(f"it depends on {', '.join(needs)}")
                domains[name].create()
            except error as exc:
                say(f"{name} is not started: {exc}")
                failed.append(name)
                continue
            say(f"{name} is started")
            delay = max(delay, turns[name].delay)
    return failed


def main() -> int:
    """Start them. Another attempt may help when libvirt is not there yet, and none when a guest does not start."""
    libvirt = importlib.import_module("libvirt")
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    try:
        return 1 if start(libvirt.open("qemu:///system"), libvirt.libvirtError) else 0
    except libvirt.libvirtError as exc:
        say(f"libvirt does not answer: {exc}")
        return 75


if __name__ == "__main__":
    raise SystemExit(main())
