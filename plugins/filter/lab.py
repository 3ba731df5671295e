# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's topology, computed from the inventory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.ursa.kvmnet.plugins.plugin_utils._lab._topology import LabError, build


def lab_topology(hostvars: Mapping[str, Mapping[str, Any]], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Everything the lab consists of, as plain data."""
    try:
        return build(hostvars, settings)
    except LabError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Filters of the lab role."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"lab_topology": lab_topology}
