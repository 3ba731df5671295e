# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""A small ISO 9660 image with Joliet names, the same bytes for the same files.

Written here so that no host needs a tool for it, a hundred seeds cost no process, and a seed is compared byte by byte.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

_SECTOR = 2048
_DESCRIPTORS, _PATHS, _ROOTS, _DATA = 16, 19, 23, 25
_NO_DATE = bytes(7)
_NO_LONG_DATE = b"0" * 16 + b"\0"


def _both32(value: int) -> bytes:
    return struct.pack("<I", value) + struct.pack(">I", value)


def _both16(value: int) -> bytes:
    return struct.pack("<H", value) + struct.pack(">H", value)


def _record(name: bytes, sector: int, size: int, directory: bool) -> bytes:
    body = b"\0" + _both32(sector) + _both32(size) + _NO_DATE + bytes([2 if directory else 0, 0, 0]) + _both16(1)
    body += bytes([len(name)]) + name
    if len(body) % 2 == 0:
        body += b"\0"
    return bytes([len(body) + 1]) + body


def _directory(sector: int, entries: list[tuple[bytes, int, int]]) -> bytes:
    records = [_record(b"\0", sector, _SECTOR, True), _record(b"\1", sector, _SECTOR, True)]
    records += [_record(name, where, size, False) for name, where, size in sorted(entries)]
    return b"".join(records).ljust(_SECTOR, b"\0")


def _descriptor(joliet: bool, label: str, total: int, paths: int, root: int) -> bytes:
    def pad(text: str, length: int) -> bytes:
        raw = text.encode("utf-16-be") if joliet else text.encode("ascii")
        blank = "\0 ".encode("latin-1") if joliet else b" "
        return (raw + blank * length)[:length]

    data = bytes([2 if joliet else 1]) + b"CD001\1\0"
    data += pad("", 32) + pad(label, 32) + bytes(8) + _both32(total)
    data += (b"%/E" if joliet else b"").ljust(32, b"\0")
    data += _both16(1) + _both16(1) + _both16(_SECTOR) + _both32(10)
    data += struct.pack("<II", paths, 0) + struct.pack(">II", paths + 1, 0)
    data += _record(b"\0", root, _SECTOR, True)
    data += pad("", 128) * 4 + pad("", 37)[:37] * 3
    data += _NO_LONG_DATE * 4 + b"\1\0"
    return data.ljust(_SECTOR, b"\0")


def _path_table(root: int, order: str) -> bytes:
    return (struct.pack(f"{order}BBIH", 1, 0, root, 1) + b"\0\0").ljust(_SECTOR, b"\0")


def image(label: str, files: Mapping[str, bytes]) -> bytes:
    """Return the image of one directory of a few files with short names."""
    extents: list[tuple[str, int, bytes]] = []
    sector = _DATA
    for name, content in sorted(files.items()):
        extents.append((name, sector, content))
        sector += max(1, -(-len(content) // _SECTOR))
    plain = [(f"{name.upper()}.;1".encode("ascii"), where, len(content)) for name, where, content in extents]
    joliet = [(name.encode("utf-16-be"), where, len(content)) for name, where, content in extents]
    parts = [
        bytes(_DESCRIPTORS * _SECTOR),
        _descriptor(False, label.upper(), sector, _PATHS, _ROOTS),
        _descriptor(True, label, sector, _PATHS + 2, _ROOTS + 1),
        b"\xffCD001\1".ljust(_SECTOR, b"\0"),
        *(_path_table(_ROOTS + which, order) for which in (0, 1) for order in "<>"),
        _directory(_ROOTS, plain),
        _directory(_ROOTS + 1, joliet),
        *(content.ljust(max(1, -(-len(content) // _SECTOR)) * _SECTOR, b"\0") for _name, _where, content in extents),
    ]
    return b"".join(parts)


def files_of(content: bytes) -> dict[str, bytes]:
    """Return the files of an image that image() made; nothing for any other."""
    files: dict[str, bytes] = {}
    at = (_ROOTS + 1) * _SECTOR
    directory = content[at : at + _SECTOR]
    position = 0
    while position < len(directory) and directory[position]:
        record = directory[position : position + directory[position]]
        where, size = struct.unpack_from("<I", record, 2)[0], struct.unpack_from("<I", record, 10)[0]
        if not record[25] & 2:
            name = record[33 : 33 + record[32]].decode("utf-16-be", errors="replace")
            files[name] = content[where * _SECTOR : where * _SECTOR + size]
        position += directory[position]
    return files if content == image("cidata", files) else {}
