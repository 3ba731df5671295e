# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""The guest images that the lab can make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ansible_collections.ursa.kvmnet.plugins.module_utils._lab import _debian, _tiny

GUEST_RECIPES: dict[str, list[object]] = {
    "tiny": _tiny.RECIPE,
    **{name: _debian.recipe(suite) for name, suite in _debian.SUITES.items()},
}


def build_guest_image(name: str, mirror: str, target: Path, execute: Callable[[Sequence[str]], None]) -> None:
    """Put its files into a directory."""
    if name == "tiny":
        _tiny.build(mirror, target, execute)
    else:
        _debian.build(name, mirror, target, execute)
