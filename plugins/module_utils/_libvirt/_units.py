# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""What is easily written wrongly, and what to say of it: above all amounts, whose unit is in their option's name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from fractions import Fraction

# What neither XML nor the name of a file can hold
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_ENDS = {"_mib": "MiB", "_gib": "GiB", "_mbit": "Mbit/s", "_timeout": "seconds", "_delay": "seconds"}
_BINARY = {"k": Fraction(1, 1024), "m": Fraction(1), "g": Fraction(1024), "t": Fraction(1024**2)}
_DECIMAL = {"k": Fraction(1, 1000), "m": Fraction(1), "g": Fraction(1000), "t": Fraction(1000**2)}
_SECONDS = {"s": Fraction(1), "m": Fraction(60), "h": Fraction(3600)}
# 512M, 10 GiB, 1.5g; 100Mbit/s, 1 Gbps; 30s, 2 min
_AMOUNTS = {
    "MiB": (r"([kmgt])(?:i?b|ib?)?", _BINARY, Fraction(1)),
    "GiB": (r"([kmgt])(?:i?b|ib?)?", _BINARY, Fraction(1024)),
    "Mbit/s": (r"([kmgt])(?:bit|b|bps|bit/s)?", _DECIMAL, Fraction(1)),
    "seconds": (r"([smh])(?:ec|econds?|in|inutes?|ours?)?", _SECONDS, Fraction(1)),
}


def unit_of(option: str) -> str | None:
    """Return the unit in an option's name."""
    return next((unit for end, unit in _ENDS.items() if option.endswith(end)), None)


def amount(option: str, value: object) -> Fraction | None:
    """Return the number that an amount with a unit is in an option's own; None for what is not one."""
    unit = unit_of(option)
    if unit is None or not isinstance(value, str):
        return None
    ending, factors, own = _AMOUNTS[unit]
    found = re.fullmatch(rf"(\d+(?:\.\d+)?)\s*{ending}", value.strip().lower())
    return None if found is None else Fraction(found[1]) * factors[found[2]] / own


def whole(option: str, value: object) -> str:
    """Return what a whole number's option takes, and the number that was meant by an amount with a unit."""
    unit = unit_of(option)
    if unit is None:
        return "a whole number"
    words = f"a whole number of {unit}"
    meant = amount(option, value)
    if meant is None:
        return words
    number = f": {int(meant)}" if meant.denominator == 1 else f", which {float(meant):g} is not"
    return f"{words} without a unit{number}"


def with_unit(key: str, known: Iterable[str]) -> str | None:
    """Return the option that a name is without its unit."""
    names = set(known)
    return next((f"{key}{end}" for end in _ENDS if f"{key}{end}" in names), None)


def meant_key(key: str, known: Iterable[str]) -> str | None:
    """Return the option that a wrong name probably means: one that only lacks its unit, or one that looks like it."""
    names = list(known)
    return with_unit(key, names) or next(iter(difflib.get_close_matches(key, names, n=1)), None)
