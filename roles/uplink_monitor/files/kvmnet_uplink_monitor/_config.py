# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration: a JSON file, checked whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import PurePosixPath
from typing import Any

from ._verdict import Thresholds

# key: default, least, most
_NUMBERS = {
    "interval_ms": (100, 50, 10_000),
    "down_after_ms": (1000, 150, 60_000),
    "up_after_ms": (2000, 50, 600_000),
    "window_s": (10, 1, 600),
    "loss_percent": (50, 1, 100),
    "latency_ms": (0, 0, 60_000),
}
# What stands in an uplink for people; the providers file is the authority on it.
_TOLD = ("interface", "gateway", "family")


class InvalidError(ValueError):
    """The configuration is wrong; one problem a line."""


@dataclass(frozen=True)
class Config:
    """What the service is to do."""

    thresholds: Thresholds = field(default_factory=Thresholds)
    targets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hooks: tuple[str, ...] = ()


def _numbers(given: Mapping[str, Any], problems: list[str]) -> dict[str, int]:
    found = {}
    for key, (default, least, most) in _NUMBERS.items():
        value = given.get(key, default)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not least <= value <= most:
            problems.append(f"{key}: {value!r} is wrong; allowed: a whole number from {least} to {most}")
            value = default
        found[key] = value
    for key, factor in (("down_after_ms", 3), ("up_after_ms", 1)):
        if found[key] < factor * found["interval_ms"]:
            problems.append(f"{key}: {found[key]} is wrong; allowed: at least {factor} times interval_ms")
    return found


def _targets(uplink: Mapping[str, Any], where: str, problems: list[str]) -> tuple[str, ...]:
    found = []
    given = uplink.get("targets") or []
    for value in given if isinstance(given, list) else [given]:
        try:
            address = IPv4Address(value)
        except ValueError:
            address = IPv4Address(0)
        if address.is_unspecified or address.is_loopback or address.is_multicast or not isinstance(value, str):
            problems.append(f"{where}.targets: {value!r} is wrong; allowed: IPv4 addresses of hosts")
        else:
            found.append(str(address))
    return tuple(dict.fromkeys(found))


def _uplinks(given: object, problems: list[str]) -> dict[str, tuple[str, ...]]:
    if not isinstance(given, list) or not all(isinstance(uplink, dict) for uplink in given):
        problems.append("uplinks: a list of uplinks is required")
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for index, uplink in enumerate(given):
        where, name = f"uplinks[{index}]", uplink.get("name")
        problems += [f"{where}.{key}: unknown key" for key in sorted(set(uplink) - {"name", "targets", *_TOLD})]
        if not isinstance(name, str) or not name or name in found:
            problems.append(f"{where}.name: {name!r} is wrong; allowed: a provider's name, each once")
            continue
        if uplink.get("family", 4) != 4:
            problems.append(f"{where}.family: {uplink['family']!r} is wrong; allowed: 4")
        found[name] = _targets(uplink, where, problems)
    return found


def read_config(text: str) -> Config:
    """Return the configuration of a file's text.

    Raises:
        InvalidError: with every problem, one a line.
    """
    try:
        given = json.loads(text)
    except ValueError as error:
        raise InvalidError(f"this is not JSON: {error}") from None
    if not isinstance(given, dict):
        raise InvalidError("this is not a JSON object")
    problems = [f"{key}: unknown key" for key in sorted(set(given) - {*_NUMBERS, "hooks", "uplinks"})]
    numbers = _numbers(given, problems)
    hooks = given.get("hooks") or []
    if not isinstance(hooks, list) or not all(isinstance(h, str) and PurePosixPath(h).is_absolute() for h in hooks):
        problems.append(f"hooks: {hooks!r} is wrong; allowed: a list of absolute paths of programs")
    targets = _uplinks(given.get("uplinks"), problems)
    if problems:
        raise InvalidError("\n".join(problems))
    loss = numbers["loss_percent"] / 100
    thresholds = Thresholds(
        interval=numbers["interval_ms"] / 1000,
        down_after=numbers["down_after_ms"] / 1000,
        up_after=numbers["up_after_ms"] / 1000,
        window=float(numbers["window_s"]),
        loss=loss if loss < 1 else 2.0,
        latency=numbers["latency_ms"] / 1000,
    )
    return Config(thresholds, targets, tuple(hooks))
