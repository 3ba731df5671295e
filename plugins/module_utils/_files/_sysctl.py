# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Kernel settings: a file in sysctl.d is only half of one."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

DIRECTORY = "/etc/sysctl.d"


def is_sysctl(path: str) -> bool:
    """Whether the file is one of sysctl.d."""
    pure = PurePosixPath(path)
    return str(pure.parent) == DIRECTORY and pure.suffix == ".conf"


def parse(text: str) -> dict[str, str]:
    """Read C(key = value) lines; keys come back as paths below /proc/sys."""
    found = {}
    for line in text.splitlines():
        key, equals, value = line.strip().lstrip("-").partition("=")
        key = key.strip()
        if not equals or not key or key[0] in "#;":
            continue
        # The first separator decides: with a slash, dots belong to names such as eth0.100.
        dot, slash = key.find("."), key.find("/")
        if slash < 0 or 0 <= dot < slash:
            key = key.translate(str.maketrans("./", "/."))
        found[key] = " ".join(value.split())
    return found


def drifted(wanted: dict[str, str], proc_sys: Path) -> dict[str, tuple[str, str]]:
    """Return the settings that the kernel has and holds otherwise: key -> (value now, value wanted)."""
    found = {}
    for key, value in wanted.items():
        try:
            now = " ".join((proc_sys / key).read_text(encoding="utf-8").split())
        except OSError:
            # The module that brings it is not loaded: the boot sets it.
            continue
        if now != value:
            found[key.translate(str.maketrans("./", "/."))] = (now, value)
    return found
