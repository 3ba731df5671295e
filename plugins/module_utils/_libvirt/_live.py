# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""What can be done to a domain while it runs, as data: the planner plans it, the backend does it.

What libvirt 9.0 does and refuses was measured with QEMU 7.2: a card's link, bandwidth and filter and a CD-ROM's medium
change, cards, disks and random generators come and go, processors and memory follow up to the maximum; nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal
from xml.etree.ElementTree import Element

Kind = Literal["memory", "vcpus", "attach", "detach", "update"]


@dataclass(frozen=True)
class LiveOp:
    """One change of a running domain.

    Args:
        option: the option that asks for it.
        kind: what is done.
        value: MiB, a number, or a device's XML.
    """

    option: str
    kind: Kind
    value: Any


# Returns what brings a running domain to a value, and makes the same changes in its XML, which it is given to change:
# what differs afterwards cannot change live. With heal only what no guest has a say in, and libvirt never refuses.
Live = Callable[[Element, Any, bool], list[LiveOp]]
