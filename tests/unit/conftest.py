# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the tests find a real Shorewall: in a host image of the lab, once one was built; else on this machine."""

from __future__ import annotations

import os
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ursa.kvmnet"
ROOTS = [root for root in sorted(CACHE.glob("host-bookworm-*")) if (root / "usr/share/shorewall/version").exists()]

if ROOTS:
    os.environ.setdefault("KVMNET_SHOREWALL_ROOT", str(ROOTS[-1]))
    os.environ.setdefault("KVMNET_SHOREWALL_ROOTS", str(ROOTS[-1]))
