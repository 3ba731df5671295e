# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Check a whole site: every host's inventory, and what must hold between them."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem

from ._guests import check_across, check_guests, check_users
from ._ipv6 import check_ipv6
from ._links import check_networks
from ._options import check_options
from ._read import Host
from ._rules import check_address_lists, check_policies, check_rules
from ._schema import VARIABLES
from ._uplinks import check_uplinks

_ORDER = {variable.name: position for position, variable in enumerate(VARIABLES)}
_CHECKS = (
    check_uplinks,
    check_networks,
    check_ipv6,
    check_guests,
    check_users,
    check_policies,
    check_rules,
    check_address_lists,
)


def check_site(hosts: Iterable[Host]) -> list[Problem]:
    """Return every problem of a site, in the order of its hosts and of the vocabulary."""
    site = list(hosts)
    found: list[Problem] = []
    for host in site:
        found += host.problems
        for check in _CHECKS:
            found += check(host)
    found += check_across(site)
    # The last to speak: of a place that was told of already, its words are other ones for the same
    places = {(problem.host, problem.place()) for problem in found}
    told = (problem for host in site for problem in check_options(host))
    found += [problem for problem in told if (problem.host, problem.place()) not in places]
    rank = {host.name: position for position, host in enumerate(site)}
    found.sort(
        key=lambda one: (
            rank.get(one.host or "", -1),
            _ORDER.get(one.variable, -1),
            -1 if one.index is None else one.index,
        )
    )
    # One value can be wrong for one reason by two roads
    return list({str(problem): problem for problem in found}.values())
