# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The options of the modules that can stage what network_guard commits."""

    DOCUMENTATION = r"""
options:
  stage:
    description:
      - With V(true), write the change only into this run's candidate on the host, for M(ursa.kvmnet.network_guard) to
        commit together with everything else that was staged. RV(ignore:changed) and the diff still compare with the
        live system.
      - With V(false), apply it at once.
    type: bool
    default: false
  run_id:
    description:
      - Names the run that the candidate belongs to. A candidate left by another run is discarded.
      - Required with O(stage=true); the roles pass C(lookup('ursa.kvmnet.run_id')).
    type: str
"""
