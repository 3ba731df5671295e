# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""The last commit, as a candidate that puts it back."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import _apply
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._traces import fingerprint
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._transaction import KEPT_FILES
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem

_SYS = Path("/sys/class/net")
_LINK_ORDER = 35
# After everything that may need what is in them.
_DIRECTORY_ORDER = 95


def open_previous() -> Candidate | None:
    """Return the candidate that undoes the last commit, or None when there is none."""
    directory = _apply.STATE / "previous"
    index = _apply.load_index(directory)
    if index is None:
        return None
    candidate = Candidate(index["run_id"], directory)
    candidate.load()
    gone = [name for name in _named_links(candidate) if (_SYS / name).exists()]
    if gone:
        # systemd-networkd keeps a link whose file goes.
        candidate.step("ip", "ip", _LINK_ORDER, lines=[f"link delete dev {name}" for name in gone])
    made = [path for path in index.get("directories", ()) if Path(path).is_dir()]
    if made:
        argv = ["rmdir", "--ignore-fail-on-non-empty", *made]
        candidate.step("command", "remove empty directories", _DIRECTORY_ORDER, argv=argv, undo=[])
    return candidate


def _named_links(candidate: Candidate) -> list[str]:
    """Return the links of which the candidate takes away the file that they are made by."""
    names = (
        Path(path).name.removesuffix(".netdev").removeprefix("50-kvmnet-")
        for path, entry in candidate.entries.items()
        if path.startswith("/etc/systemd/network/") and path.endswith(".netdev") and entry["state"] == "absent"
    )
    return sorted(names)


def check_ports(candidate: Candidate) -> list[Problem]:
    """Refuse to take a bridge away, with a commit that is put back, that others have made use of since."""
    problems = []
    for name in _named_links(candidate):
        ports = sorted(port.name for port in (_SYS / name / "brif").glob("*"))
        own = {Path(path).stem.removeprefix("50-kvmnet-") for path in candidate.entries}
        strange = [port for port in ports if port not in own]
        if strange:
            allowed = f"a bridge without other ports, since it goes with that commit: take {', '.join(strange)} out"
            problems.append(Problem("rollback", None, name, f"has the ports {', '.join(strange)}", allowed))
    return problems


def check_unchanged() -> list[Problem]:
    """Refuse to put back a commit over what somebody has changed since, naming each file."""
    index = _apply.load_index(_apply.STATE / "previous") or {}
    allowed = (
        "the file as that commit left it, since putting the commit back would undo this change too, silently: make it "
        "what it was, or describe what you want and commit that instead"
    )
    return [
        Problem("rollback", None, path, "changed since the last commit", allowed)
        for path, left in sorted(index.get("after", {}).items())
        # A firewall that is started writes some itself.
        if path not in KEPT_FILES and fingerprint(Path(path)) != left
    ]
