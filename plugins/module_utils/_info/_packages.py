# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Which packages are installed, by one call of dpkg-query."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_FORMAT = "${Package}\\t${Version}\\t${db:Status-Status}\\n"


def parse(names: Iterable[str], text: str) -> dict[str, Any]:
    """Read the answer of dpkg-query.

    Returns:
        C(installed): name -> version, and C(missing): the others, in the order asked for.
    """
    rows = [line.split("\t") for line in text.splitlines() if line.count("\t") == 2]
    installed = {name: version for name, version, status in rows if status == "installed"}
    asked = list(dict.fromkeys(names))
    return {
        "installed": {name: installed[name] for name in asked if name in installed},
        "missing": [name for name in asked if name not in installed],
    }


def read(names: list[str]) -> dict[str, Any]:
    """Ask the host."""
    if not names:
        return parse([], "")
    # It returns 1 when one of the names is unknown, and tells about the others all the same.
    argv = ["dpkg-query", "--show", f"--showformat={_FORMAT}", "--", *names]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return parse(names, done.stdout)
