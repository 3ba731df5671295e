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


def _of(name: str, network: str | None) -> str:
    """Name a card: a guest's own by the guest, a further one by its network too. No guest's name has an underscore."""
    return name if network is None else f"{name}_{network}"


def derive_mac(name: str, network: str | None = None) -> str:
    """Return the MAC of a guest, or of its card in a further network.

    It is QEMU's locally administered 52:54 and 32 bits of a hash of the names.
    """
    digest = hashlib.sha256(f"mac:{_of(name, network)}".encode()).digest()
    return ":".join(f"{octet:02x}" for octet in (0x52, 0x54, *digest[:4]))


def derive_uuid(name: str) -> str:
    """Return the guest's UUID, a version 5 UUID of its name."""
    return str(uuid.uuid5(_NAMESPACE, name))


def derive_tap(name: str, network: str | None = None) -> str:
    """Return the tap of a guest, or of its card in a further network.

    C(tap-NAME) or C(tap-NAME_NETWORK), or C(tap-), five characters and five hex digits where that is too long.
    """
    names = _of(name, network)
    tap = f"tap-{names}"
    # A dot in an interface's name is a path's slash to sysctl, and a network may have one
    if len(tap) <= INTERFACE_NAME_MAX and "." not in (network or ""):
        return tap
    return f"tap-{name[:5]}-{hashlib.sha256(f'tap:{names}'.encode()).hexdigest()[:5]}"
