# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which uplinks carry no traffic: the verdicts, and that there is always one left."""

from __future__ import annotations

from collections.abc import Collection, Iterable


def choose_out(
    names: Iterable[str], works: Collection[str], present: Collection[str], before: Collection[str]
) -> frozenset[str]:
    """Return the uplinks that must not carry traffic.

    When none works, the one that carried traffic to the end goes on doing so: taking the last one away helps nobody.

    Args:
        names: all of them.
        works: those that work.
        present: those that have a carrier and an address.
        before: the result of the last time.
    """
    everyone = frozenset(names)
    if works:
        return everyone - frozenset(works)
    kept = frozenset(present) - frozenset(before) or frozenset(present)
    return everyone - kept if kept else frozenset(before) & everyone
