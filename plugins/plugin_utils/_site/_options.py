# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""What the module kvm_guest would say of the options in guests' records, as far as that needs no host."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._guest import Settings, normalise
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._images import Image, read_images
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._problems import check_guests
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._read import Entry, read_entries
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem

from ._read import Host
from ._schema import GUEST_OPTIONS

_NAMES = ("name", *(key.name for key in GUEST_OPTIONS))


def check_options(host: Host) -> Iterator[Problem]:
    """Yield what is wrong with the options of one host's guests: in their lists, and beside each other."""
    guests = host.guests or []
    entries = [{"source": row.place, **{key: row.raw[key] for key in _NAMES if row[key] is not None}} for row in guests]
    images = {
        name: {key: row.raw[key] for key in row.values if row[key] is not None}
        for name, row in (host.images or {}).items()
    }
    known, _told = read_images(images, "/")
    # Whether there is an image of a name is told with the other references
    known = {str(row["image"]): Image(str(row["image"]), sound=False) for row in guests} | known
    rows, problems = read_entries(entries)
    # What the record says wrong, or by a wrong name, is in doubt here too
    doubtful = ({key for key in _NAMES if row.given(key) and row[key] is None} for row in guests)
    read = [
        # What is in a seed is nothing to check
        normalise(Entry({**row.values, "seed": False}, row.position, row.unread | doubts), known, Settings())
        for row, doubts in zip(rows, doubtful, strict=True)
    ]
    for problem in [*problems, *check_guests(read, known, [], None)]:
        yield replace(problem, host=host.name)
