# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run says, and a run that may not write."""

from __future__ import annotations


def options_of(outcome):
    return {name: values for change in outcome.plan().changes for name, values in change.options.items()}


def unchanged(host, *guests, **more):
    """Run again on a hypervisor that refuses every write, and return what is said."""
    host.backend.read_only = True
    try:
        outcome = host.converge(*guests, **more)
    finally:
        host.backend.read_only = False
    assert outcome.plan().lines() == []
    assert outcome.problems == []
    return outcome
