# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""How hard Shorewall's compiler is to work on a configuration of a certain size.

OPTIMIZE is a sum of steps that change the form of the rules and never a verdict. Two of them compare everything with
everything: 16 each rule of a chain with all others, 8 each chain with all others, and there is a chain for each pair
of zones. With 20 000 rules step 16 takes minutes and the rest of the compiler three seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# All that the compiler has, Debian's default.
ALL = "All"
WITHOUT_RULES = "15"
WITHOUT_CHAINS = "7"
# Where the step costs about as much as the rest of the compiler.
MANY_RULES = 1000
MANY_ZONES = 20
# What DROP and REJECT begin with by default is read anew for each pair of zones, which with 100 zones is three quarters
# of the compiler's work; unless it is a chain of its own, to which all pairs go.
BLOCK = "actions of many zones"
SHARED = "Broadcast noinline,audit\nMulticast noinline,audit\n"
_THEIRS = re.compile(r"(?m)^\s*(?:Broadcast|Multicast)\b")


def count_rules(columns: Iterable[tuple[str, str]]) -> int:
    """Return how many rules the kernel will hold for rows, given by source and destination: one for each pair."""
    return sum((source.count(",") + 1) * (dest.count(",") + 1) for source, dest in columns)


def choose(current: str | None, rules: int, zones: int) -> str:
    """Return the OPTIMIZE that a configuration is compiled with.

    Args:
        current: what is set; a value that is none of ours was chosen by a human and stays.
        rules: from M(count_rules).
        zones: how many zones there are.
    """
    if current not in (None, "", "31", ALL, ALL.lower(), ALL.upper(), WITHOUT_RULES, WITHOUT_CHAINS):
        return str(current)
    if zones > MANY_ZONES:
        return WITHOUT_CHAINS
    return WITHOUT_RULES if rules > MANY_RULES else ALL


def choose_actions(actions: str, zones: int) -> str:
    """Return what the block of the file C(actions) says.

    Args:
        actions: the rest of the file; actions that a human defined there stay what they are.
        zones: how many zones there are.
    """
    return SHARED if zones > MANY_ZONES and not _THEIRS.search(actions) else ""
