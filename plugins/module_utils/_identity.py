# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""What is derived from a guest's name alone, so that it never moves when the list around it changes."""

from __future__ import annotations

import hashlib
import uuid

# IFNAMSIZ is 16 with the closing zero.
INTERFACE_NAME_MAX = 15
_NAMESPACE = uuid.UUID("6b766d6e-6574-5572-8361-000000000001")


def derive_mac(name: str) -> str:
    """Return the guest's MAC: QEMU's locally administered 52:54 and 32 bits of a hash of the name."""
    digest = hashlib.sha256(f"mac:{name}".encode()).digest()
    return ":".join(f"{octet:02x}" for octet in (0x52, 0x54, *digest[:4]))


def derive_uuid(name: str) -> str:
    """Return the guest's UUID, a version 5 UUID of its name."""
    return str(uuid.uuid5(_NAMESPACE, name))


def derive_tap(name: str) -> str:
    """Return the guest's tap: C(tap-NAME), or C(tap-), five characters and five hex digits where that is too long."""
    tap = f"tap-{name}"
    if len(tap) <= INTERFACE_NAME_MAX:
        return tap
    return f"tap-{name[:5]}-{hashlib.sha256(f'tap:{name}'.encode()).hexdigest()[:5]}"
