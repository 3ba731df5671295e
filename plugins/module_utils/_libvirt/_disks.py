# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""A guest's files on the host: its root disk and its seed. A disk is made, grown, removed on request, never shrunk."""

from __future__ import annotations

import errno
import json
import os
import shutil
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_QCOW2 = b"QFI\xfb"
_BACKING_FORMAT = 0xE2792ACA
_HEADER_BYTES = 4096
_REMOVING = ".removing"


class DiskError(Exception):
    """A file of a guest could not be made; the message is for the user."""


@dataclass(frozen=True)
class Disk:
    """What a disk's own header says."""

    path: str
    kind: str
    size: int
    backing: str | None = None
    backing_kind: str | None = None


def inspect(path: str) -> Disk | None:
    """Return what is known of a disk file, or None when there is none.

    Reads the header itself: C(qemu-img info) takes a lock on the disk of a running guest, and a process for each guest.
    """
    try:
        with open(path, "rb") as file:
            header = file.read(_HEADER_BYTES)
            # Of a block device only its end tells
            size = file.seek(0, os.SEEK_END)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise DiskError(f"{path} cannot be read as a disk: {exc.strerror}") from exc
    if header[:4] != _QCOW2 or len(header) < 104:
        return Disk(path, "raw", size)
    version, name_at, name_length, _bits, virtual = struct.unpack(">IQIIQ", header[4:32])
    at = struct.unpack(">I", header[100:104])[0] if version >= 3 else 72
    kind = None
    while at + 8 <= len(header):
        tag, length = struct.unpack(">II", header[at : at + 8])
        if tag == 0:
            break
        if tag == _BACKING_FORMAT:
            kind = os.fsdecode(header[at + 8 : at + 8 + length])
        at += 8 + (length + 7) // 8 * 8
    name = os.fsdecode(header[name_at : name_at + name_length]) if name_at else None
    return Disk(path, "qcow2", virtual, name, kind)


# What qemu-img turns into qcow2, by what stands where in its file
_FOREIGN = {
    "vmdk": (0, b"KDMV"),
    "vdi": (64, b"\x7f\x10\xda\xbe"),
    "vhdx": (0, b"vhdxfile"),
    "vpc": (0, b"conectix"),
}
# A partition table, a file system alone, a CD
_RAW = ((510, b"\x55\xaa"), (1080, b"\x53\xef"), (32769, b"CD001"))


def image_kind(path: str) -> str | None:
    """Return the format of an image by its content; None when it is none: a page of a web server, an archive."""
    with open(path, "rb") as file:
        head = file.read(1 << 16)

    def has(where: int, what: bytes) -> bool:
        return head[where : where + len(what)] == what

    if has(0, _QCOW2):
        return "qcow2"
    found = next((kind for kind, mark in _FOREIGN.items() if has(*mark)), None)
    return found or ("raw" if any(has(*mark) for mark in _RAW) else None)


def chain(path: str | None) -> list[str]:
    """Return a disk's file and those it stands on, the nearest first."""
    found: list[str] = []
    while path is not None and path not in found:
        found.append(path)
        disk = inspect(path)
        path = None if disk is None else disk.backing
        if path is not None and not path.startswith("/"):
            path = os.path.join(os.path.dirname(found[-1]), path)
    return found


def run_tool(command: list[str]) -> None:
    """Run a program and turn its failure into one line."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise DiskError(f"{command[0]} is not installed") from None
    if done.returncode:
        raise DiskError(" ".join(done.stderr.split()) or f"{command[0]} failed with {done.returncode}")


def why(exc: OSError, path: str | os.PathLike[str], needed: int | None = None) -> str:
    """Return in words why a file could not be written.

    Args:
        exc: what the system says.
        path: the file.
        needed: the bytes that it would take.
    """
    reason = exc.strerror or str(exc)
    if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
        return reason
    return reason + _left(path) + ("" if needed is None else f", {-(-needed >> 10)} KiB are needed")


def _left(path: str | os.PathLike[str]) -> str:
    directory = os.path.dirname(path)
    try:
        return f"; {directory} has {shutil.disk_usage(directory).free >> 10} KiB left"
    except OSError:
        return ""


@contextmanager
def _cleaned(part: str, needed: int | None = None) -> Iterator[None]:
    """Leave no half of a file behind, and tell why there is no whole."""
    try:
        yield
    except OSError as exc:
        _unlink(part)
        raise DiskError(f"{part.removesuffix('.part')}: {why(exc, part, needed)}") from exc
    except DiskError as exc:
        _unlink(part)
        full = os.strerror(errno.ENOSPC) in str(exc)
        raise DiskError(f"{exc}{_left(part) if full else ''}") from exc


def _unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def put_in_place(part: str, path: str) -> None:
    """Give a whole file its name, so that a power cut leaves all of it or nothing, whatever is written after it."""
    _sync(part)
    os.replace(part, path)
    _sync(os.path.dirname(path))


def _put(part: str, path: str, content: bytes, size: int | None = None) -> None:
    """Put a file in place, closed to others."""
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(content)
        file.flush()
        if size is not None:
            os.ftruncate(descriptor, size)
    put_in_place(part, path)


class Files:
    """The files of the guests.

    Args:
        storage: the directory of disks and seeds.
        run: runs C(qemu-img).
        starting: the directory that names the guests which were started and not yet seen up.
    """

    def __init__(
        self, storage: str, run: Callable[[list[str]], None] = run_tool, starting: str = "/run/kvmnet/starting"
    ) -> None:
        self.storage = storage
        self._starting = Path(starting)
        self._run = run
        self._blank: dict[tuple[int | None, str | None], bytes] = {}
        self._lock = threading.Lock()

    def disk_path(self, guest: str) -> str:
        """Return where a guest's root disk is unless its record names another file."""
        return f"{self.storage}/{guest}.qcow2"

    def seed_path(self, guest: str) -> str:
        """Return where a guest's seed is."""
        return f"{self.storage}/{guest}-seed.iso"

    def disks(self) -> list[str]:
        """Return the disk images in the directory, whoever they belong to."""
        try:
            return sorted(entry.path for entry in os.scandir(self.storage) if entry.name.endswith((".qcow2", ".raw")))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def prepare(self) -> None:
        """Make the directory; a guest's process passes through it and cannot list it."""
        try:
            Path(self.storage).mkdir(parents=True, exist_ok=True, mode=0o711)
        except OSError as exc:
            raise DiskError(f"{self.storage}: {exc.strerror}") from exc

    def read(self, path: str) -> bytes | None:
        """Return a small file's content, or None."""
        try:
            return Path(path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def make_disk(self, path: str, size: int | None, backing: Disk | None, kind: str = "qcow2") -> None:
        """Make a disk, on top of an image if one is given; under its name it exists whole or not at all.

        Two new disks of one size on one image have the same bytes, 200 kB or so: C(qemu-img) makes the first of them.
        """
        part = f"{path}.part"
        key = (size, None if backing is None else backing.path)
        if kind == "raw":
            with _cleaned(part):
                _put(part, path, b"", size or 0)
            return
        with _cleaned(part), self._lock:
            if key not in self._blank:
                self._run(self._create_command(part, size, backing))
                self._blank[key] = Path(part).read_bytes()
        with _cleaned(part, len(self._blank[key])):
            _put(part, path, self._blank[key])

    def _create_command(self, path: str, size: int | None, backing: Disk | None) -> list[str]:
        command = ["qemu-img", "create", "-q", "-f", "qcow2"]
        if backing is not None:
            # Declared, because libvirt does not guess: a guest could write another header into a raw disk
            command += ["-b", backing.path, "-F", backing.kind]
        return [*command, path, *([] if size is None else [str(size)])]

    def grow_disk(self, disk: Disk, size: int) -> None:
        """Grow the disk of a guest that is not running."""
        self._run(["qemu-img", "resize", "-q", "-f", disk.kind, disk.path, str(size)])

    def write_seed(self, path: str, content: bytes) -> None:
        """Replace a seed. A running guest keeps the old one until it starts again."""
        part = f"{path}.part"
        with _cleaned(part, len(content)):
            _put(part, path, content)

    def remove(self, path: str) -> None:
        """Remove a file that may be gone already."""
        _unlink(path)

    def removing(self) -> dict[str, list[str]]:
        """Return guest -> the disks that a run was about to remove, and perhaps did not: its domain is gone."""
        notes = Path(self.storage).glob(f".*{_REMOVING}")
        return {note.name.removeprefix(".").removesuffix(_REMOVING): json.loads(note.read_bytes()) for note in notes}

    def set_removing(self, guest: str, paths: Sequence[str]) -> None:
        """Note which disks go with a guest, or with none that they are gone."""
        note = f"{self.storage}/.{guest}{_REMOVING}"
        if paths:
            self.write_seed(note, json.dumps(list(paths)).encode())
        else:
            self.remove(note)

    def starting(self) -> set[str]:
        """Return the guests that a run started and did not see up, perhaps because it was interrupted."""
        try:
            return {entry.name for entry in self._starting.iterdir()}
        except (FileNotFoundError, NotADirectoryError):
            return set()

    def set_starting(self, guest: str, value: bool) -> None:
        """Note that a guest is about to start, or is up. The next boot of the host forgets it."""
        if value:
            self._starting.mkdir(parents=True, exist_ok=True)
            (self._starting / guest).touch()
        else:
            (self._starting / guest).unlink(missing_ok=True)

    def exists(self, path: str) -> bool:
        """Return whether a file exists."""
        return os.path.lexists(path)
