# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""Which file system a path is on, and whether what is written there lasts. Pure but for the reading."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

# Their files are made by the kernel, never put there.
VIRTUAL = frozenset(
    (
        *("autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "efivarfs"),
        *("fusectl", "mqueue", "nsfs", "proc", "pstore", "securityfs", "selinuxfs", "sysfs", "tracefs"),
    )
)
# In memory.
VOLATILE = frozenset(("devtmpfs", "ramfs", "tmpfs"))
REMOTE = frozenset(("afs", "ceph", "cifs", "fuse.sshfs", "glusterfs", "fuse.glusterfs", "nfs", "nfs4", "smb3"))


@dataclass(frozen=True)
class Mount:
    """A file system where it is mounted.

    Args:
        point: where.
        kind: its type.
        writable: whether it takes files.
        upper: the directory that an overlay writes into, or nothing.
    """

    point: str
    kind: str
    writable: bool = True
    upper: str = ""


def _unescaped(word: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), word)


def parse(text: str) -> list[Mount]:
    """Read the kernel's list of mounts (C(mountinfo))."""
    mounts = []
    for line in text.splitlines():
        front, _dash, back = line.partition(" - ")
        point, options = front.split()[4:6]
        kind, _source, more = back.split(" ", 2)
        settings = f"{options},{more}".split(",")
        upper = next((setting[9:] for setting in settings if setting.startswith("upperdir=")), "")
        mounts.append(Mount(_unescaped(point), kind, "ro" not in settings, _unescaped(upper)))
    return mounts


def read() -> list[Mount]:
    """Return the mounts as this process sees them."""
    return parse(Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace"))


def covering(mounts: Iterable[Mount], path: str) -> Mount | None:
    """Return the mount that a path is on: the innermost one, and of several at one place the last."""
    found: Mount | None = None
    for mount in mounts:
        inside = path == mount.point or path.startswith(f"{mount.point.rstrip('/')}/")
        if inside and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    return found


def in_memory(mounts: Iterable[Mount], path: str, there: Callable[[str], bool] = os.path.isdir) -> Mount | None:
    """Return the mount by which a path does not outlive a power cut, or None.

    Args:
        mounts: all mounts.
        path: the path.
        there: whether a directory is seen from here: an overlay says where it was when it was mounted.
    """
    known = list(mounts)
    mount = covering(known, path)
    if mount is None:
        return None
    if mount.kind in VOLATILE:
        return mount
    # What an overlay writes may be in memory, as on systems that are booted from a read-only image.
    below = covering(known, mount.upper) if mount.upper and there(mount.upper) else None
    return mount if below is not None and below.kind in VOLATILE else None


def nearest(path: str) -> str:
    """Return the innermost directory or file on the way to a path that is there, links resolved."""
    place = Path(path)
    while not os.path.lexists(place):
        place = place.parent
    return os.path.realpath(place)
