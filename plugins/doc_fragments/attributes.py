# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The attributes that every module of the collection states."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and predicts what a run would do, without doing it.
  diff_mode:
    description: Returns in diff mode what it did, or would do, in the user's terms.
  idempotent:
    description: When run twice in a row outside check mode with the same arguments, the second run changes nothing.
"""

    # The collection's action group, for module_defaults.
    ACTIONGROUP = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/ursa.kvmnet.all) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - ursa.kvmnet.all
"""
