# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Which compiled script of somebody else's was found to say what its configuration says.

Scripts that come from our commits carry the fingerprint of their configuration. One that an administrator compiled
does not, and nothing may be added to it or to the configuration as long as nothing changes. So that it is not compiled
at each run to be compared, the comparison is remembered, on the host and outside of Shorewall's directories.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from pathlib import Path

from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._apply import write_json
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._family import Family

DIRECTORY = "var/lib/kvmnet"

# What differs each time the same configuration is compiled, and our own mark.
_TIMES = re.compile(
    rb"(?m)^# configuration [0-9a-f]{64}\n|^g_sha1sum[12]=\S+$|(?:enerated by Shorewall \S+ - |\"compiled ).*$"
)


def same_program(script: bytes, other: bytes) -> bool:
    """Whether two compiled scripts differ in nothing but when they were compiled, and in our own mark."""
    return _essence(script) == _essence(other)


def recall(root: Path, family: Family, configuration: str, script: bytes) -> bool:
    """Whether this script was compared with what comes from this configuration, and is the same."""
    with contextlib.suppress(OSError, ValueError):
        return bool(json.loads(_path(root, family).read_text(encoding="utf-8")) == _pair(configuration, script))
    return False


def remember(root: Path, family: Family, configuration: str, script: bytes) -> None:
    """Remember that a script says what its configuration says, until either is another."""
    write_json(_path(root, family), _pair(configuration, script))


def _path(root: Path, family: Family) -> Path:
    return root / DIRECTORY / f"{family.product}-verified.json"


def _pair(configuration: str, script: bytes) -> dict[str, str]:
    # Compiled again from the same files, as at each boot, it is the same.
    return {"configuration": configuration, "script": hashlib.sha256(_essence(script)).hexdigest()}


def _essence(script: bytes) -> bytes:
    return _TIMES.sub(b"", script)
