# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the tests find a real Shorewall: in a host image of the lab, once one was built; else on this machine."""

from __future__ import annotations

import os
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ursa.kvmnet"
INSTALLED = [root for root in sorted(CACHE.glob("host-*-*")) if (root / "usr/share/shorewall/version").exists()]
# One image of each release that the lab has
ROOTS = [root for suite in ("bookworm", "trixie") for root in INSTALLED if root.name.startswith(f"host-{suite}-")]
ROOTS = list({root.name.split("-")[1]: root for root in ROOTS}.values())

if ROOTS:
    os.environ.setdefault("KVMNET_SHOREWALL_ROOT", str(ROOTS[0]))
    os.environ.setdefault("KVMNET_SHOREWALL_ROOTS", ":".join(map(str, ROOTS)))
