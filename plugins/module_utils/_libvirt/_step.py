# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""All that happens to one guest, as data: the applier does it, check mode only shows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._backend import Metadata
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._disks import Disk
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._guest import Guest
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._images import Image
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._live import LiveOp
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Change


@dataclass(frozen=True)
class NewDisk:
    """A disk to make.

    Args:
        path: its file.
        kind: its format.
        size: its size in bytes; None for that of its image.
        image: what it stands on.
    """

    path: str
    kind: str
    size: int | None
    image: Image | None = None


@dataclass
class Step:
    """What happens to one guest.

    Args:
        name: the guest's.
        rename: the domain's, where it is to become the guest's.
        moved: the address that it has and the one that it is to have, where a reservation says another one.
        rests: files that go with the domain, before it.
        remove: files that go on request, after it.
        noted: whether an earlier run noted what it was about to remove.
    """

    name: str
    guest: Guest | None = None
    changes: list[Change] = field(default_factory=list)
    make: list[NewDisk] = field(default_factory=list)
    grow: list[tuple[Disk, int]] = field(default_factory=list)
    seed: tuple[str, bytes] | None = None
    live: list[LiveOp] = field(default_factory=list)
    rename: str | None = None
    define: str | None = None
    metadata: list[tuple[Metadata, str | None]] = field(default_factory=list)
    autostart: bool | None = None
    power: Literal["start", "stop", "restart", "pause"] | None = None
    running: bool = False
    unproven: bool = False
    address: str | None = None
    moved: tuple[str | None, str] | None = None
    undefine: bool = False
    keep_nvram: bool = True
    rests: list[str] = field(default_factory=list)
    noted: bool = False
    remove: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    recreate: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    @property
    def domain(self) -> str:
        """The domain's name before this step."""
        return self.rename or self.name

    @property
    def renames(self) -> bool:
        """Whether the domain gets its new name now: one that runs cannot."""
        return self.rename is not None and not self.stays_up

    @property
    def stays_up(self) -> bool:
        """Whether the guest runs before and after, without a restart."""
        return self.running and self.power not in ("stop", "restart")
