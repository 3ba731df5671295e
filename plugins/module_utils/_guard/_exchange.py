# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
#
# Part of the program that is installed on the host, so it imports the standard library only.
"""A directory of files that mean something together only: changed whole, in one instant."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

# Firewalls whose files a power cut must not mix.
WHOLE = ("/etc/shorewall", "/etc/shorewall6")
NEXT = ".{}.kvmnet-next"
PREVIOUS = ".{}.kvmnet-previous"

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
# Overlay file systems without redirect_dir, mount points, and systems that cannot exchange.
_CANNOT = (errno.EXDEV, errno.EBUSY, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)


def next_of(live: Path) -> Path:
    """Return where the directory that takes another's place is made: beside it, on the same file system."""
    return live.with_name(NEXT.format(live.name))


def previous_of(live: Path) -> Path:
    """Return where the directory is kept that was there before the last change."""
    return live.with_name(PREVIOUS.format(live.name))


def _copy(source: str, target: str) -> str:
    # Times, modes and owners as they are: an untouched file stays untouched.
    shutil.copy2(source, target, follow_symlinks=False)
    about = os.lstat(source)
    os.chown(target, about.st_uid, about.st_gid, follow_symlinks=False)
    return target


def build(live: Path, contents: Mapping[str, tuple[bytes, int] | None]) -> Path:
    """Make the complete directory that is to take the place of another.

    Args:
        live: the directory that is there.
        contents: what differs, by path relative to it: content and mode, or None for what goes.
    """
    target = next_of(live)
    shutil.rmtree(target, ignore_errors=True)
    if live.is_dir():
        shutil.copytree(live, target, symlinks=True, copy_function=_copy)
        about = live.stat()
        os.chown(target, about.st_uid, about.st_gid)
    else:
        target.mkdir(parents=True, mode=0o755)
    for name, wanted in contents.items():
        path = target / name
        old = path.lstat() if path.is_file() else None
        path.unlink(missing_ok=True)
        if wanted is not None:
            content, mode = wanted
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            if old is not None:
                os.chown(path, old.st_uid, old.st_gid)
            path.chmod(mode)
    return target


def rename_exchange(one: Path, other: Path) -> None:
    """Let two directories change places, in one instant."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(other))


def _rename_each(new: Path, live: Path, contents: Mapping[str, tuple[bytes, int] | None]) -> None:
    previous = previous_of(live)
    shutil.rmtree(previous, ignore_errors=True)
    shutil.copytree(live, previous, symlinks=True, copy_function=_copy)
    for name, wanted in sorted(contents.items()):
        if wanted is None:
            (live / name).unlink(missing_ok=True)
        else:
            (live / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).rename(live / name)
    shutil.rmtree(new)


def put_in_place(live: Path, contents: Mapping[str, tuple[bytes, int] | None]) -> None:
    """Put the directory made by M(build) in another's place and keep that one beside it.

    On an overlay file system without redirect_dir a lower directory cannot be exchanged (EXDEV). There, each file
    is renamed by itself: a kill between two of them leaves some old and some new. The compiled script, which is put
    in place after them, then does not match them, so the next run compiles and loads them again.
    """
    new = next_of(live)
    if not live.exists():
        new.rename(live)
        return
    try:
        rename_exchange(new, live)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        _rename_each(new, live, contents)
        return
    shutil.rmtree(previous_of(live), ignore_errors=True)
    new.rename(previous_of(live))
