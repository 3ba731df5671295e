# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
#
# Part of the program that is installed on the host, so it imports the standard library only.
"""Shorewall's compiled scripts: run one, and believe only what the kernel holds then."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._run import ApplyError, run

# The program that knows what the kernel holds, for each of Shorewall's two.
FIREWALLS = {"shorewall": "iptables", "shorewall6": "ip6tables"}


def firewall_script(product: str) -> Path:
    """Return where the compiled script of one of Shorewall's programs is."""
    return Path("/var/lib", product, "firewall")


def firewall_started(product: str = "shorewall") -> bool:
    """Whether Shorewall says that it is started."""
    return (
        shutil.which(product) is not None
        and subprocess.run([product, "status"], capture_output=True, check=False).returncode == 0
    )


def has_chain(name: str, program: str = "iptables") -> bool:
    """Whether the kernel's filter table has a chain."""
    argv = [program, "-w", "10", "-n", "-L", name]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def rules_mark(script: bytes) -> str:
    """Return the name of the empty chain by which the rules of a compiled script can be told from others."""
    found = re.search(rb"(?m)^g_sha1sum1=(sha-lh-[0-9a-f]+)$", script)
    return found[1].decode() if found else ""


def clear_going(entries: Mapping[str, Mapping[str, Any]]) -> None:
    """Clear the firewalls whose compiled script is about to go: nothing else knows what they set up.

    Raises:
        ApplyError: a script failed.
    """
    for product in FIREWALLS:
        script = firewall_script(product)
        if entries.get(str(script), {}).get("state") == "absent" and script.is_file():
            run([str(script), "clear"])


def step_shorewall(key: str, args: dict[str, Any]) -> None:
    """Make the kernel hold the rules of the compiled script that is in place.

    Raises:
        ApplyError: it does not; the text has what the script said.
    """
    script = firewall_script(key)
    if not script.is_file():
        # There was none before the change that is being undone: cleared while its script was there.
        return
    started = firewall_started(key)
    if not started:
        run([str(script), "start"])
    elif args.get("routing", True):
        run([str(script), "reload"])
    else:
        # Setting up unchanged routing anew would cost packets.
        run([str(script), "-n", "reload"])
    # Its exit code says nothing of what is loaded.
    mark = rules_mark(script.read_bytes())
    if not firewall_started(key) or (mark and not has_chain(mark, FIREWALLS[key])):
        raise ApplyError("Shorewall's compiled script ran, but its rules are not loaded")
    if args.get("enable"):
        run(["systemctl", "enable", f"{key}.service"])
        # The rules are loaded, so this only tells systemd, which would first wait for the whole network.
        run(["systemctl", "start", "--no-block", f"{key}.service"])


def _named(path: str) -> set[str]:
    text = Path(path).read_text(encoding="utf-8") if Path(path).is_file() else ""
    return set(re.findall(r"(?m)^swap \S+ (\S+)$", text))


def step_ipset(key: str, args: dict[str, Any]) -> None:
    """Load a file of address lists; each list is the old one or the new one at any instant.

    Raises:
        ApplyError: a list could not be loaded.
    """
    if _named(key):
        run(["ipset", "restore"], stdin=Path(key).read_text(encoding="utf-8"))


def step_ipset_prune(key: str, args: dict[str, Any]) -> None:
    """Drop the address lists that no longer stand in the file, once no rule uses them any more.

    Raises:
        ApplyError: a list is in use.
    """
    there = set(run(["ipset", "list", "-n"]).split())
    for name in sorted(there & set(args["names"]) - _named(key)):
        run(["ipset", "destroy", name])
