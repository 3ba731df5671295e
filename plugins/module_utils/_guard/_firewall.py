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

from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._run import ApplyError, run, run_ipset
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._units import is_active, is_enabled

# The program that knows what the kernel holds, for each of Shorewall's two.
FIREWALLS = {"shorewall": "iptables", "shorewall6": "ip6tables"}

_VERSIONS = {"shorewall": "-4", "shorewall6": "-6"}
# What is shown of a route and cannot be said of one.
_FLAGS = ("linkdown", "dead", "offload", "trap")


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


def clear_going(directory: Path, entries: Mapping[str, Mapping[str, Any]]) -> None:
    """Clear the firewalls whose compiled script is about to go: nothing else knows what they set up.

    Args:
        directory: where the candidate's files are.
        entries: the candidate's.

    Raises:
        ApplyError: a script failed.
    """
    for product in FIREWALLS:
        script = firewall_script(product)
        if entries.get(str(script), {}).get("state") == "absent" and script.is_file():
            unit = f"{product}.service"
            if is_active(unit):
                # While what it needs is there.
                run(["systemctl", "stop", unit])
            # IPv6 is not opened for the moment until IPv4's script closes it.
            closed = product == "shorewall6" and _closes_ipv6(directory, entries)
            run([str(script), "stop" if closed else "clear"])


def _closes_ipv6(directory: Path, entries: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the script that IPv4 has after the change closes IPv6."""
    script = firewall_script("shorewall")
    entry = entries.get(str(script))
    if entry is not None:
        script = directory / "files" / str(script).lstrip("/")
    there = script.is_file() and (entry or {}).get("state") != "absent"
    return there and re.search(rb"(?m)^\s+disable_ipv6$", script.read_bytes()) is not None


def firewall_inverse(key: str, args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the step that brings a firewall back to how it is now: rules, and start at boot."""
    inverse = dict(args) | {"boot": "enabled" if is_enabled(f"{key}.service") else "disabled"}
    there = firewall_script(key).is_file()
    if there and not firewall_started(key):
        return inverse | {"action": "stop"}
    # What was stopped has no routing that could be kept.
    return inverse | {"action": "load", "routing": args.get("routing", True) or args.get("action") == "stop"}


def step_shorewall(key: str, args: dict[str, Any]) -> None:
    """Make the kernel hold the rules of the compiled script that is in place, or stop the firewall.

    Raises:
        ApplyError: it does not; the text has what the script said.
    """
    script, unit, boot = firewall_script(key), f"{key}.service", args.get("boot")
    # Without one there was none before the change that is being undone: cleared while its script was there.
    there, stops = script.is_file(), args.get("action") == "stop"
    if there and stops:
        if is_active(unit):
            run(["systemctl", "stop", unit])
        # The unit may be told to open the firewall instead.
        run([str(script), "stop"])
    elif there:
        _load(key, script, bool(args.get("routing", True)))
    if boot and is_enabled(unit) != (boot == "enabled"):
        run(["systemctl", "enable" if boot == "enabled" else "disable", unit])
    if boot == "enabled" and there and not stops:
        # The rules are loaded, so this only tells systemd, which would first wait for the whole network.
        run(["systemctl", "start", "--no-block", unit])


def configured_defaults(product: str) -> list[list[str]]:
    """Return the main table's default routes that the network configuration made, as words for C(ip route)."""
    shown = subprocess.run(
        ["ip", _VERSIONS[product], "route", "show", "table", "main", "default"],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [[word for word in line.split() if word not in _FLAGS] for line in shown.stdout.splitlines()]
    return [words for words in lines if {"static", "dhcp", "ra"} & set(words)]


def _load(key: str, script: Path, routing: bool) -> None:
    # When its last provider goes Shorewall deletes the default route of the main table, as if it were its own.
    kept = [] if re.search(rb"(?m)^start_provider_", script.read_bytes()) else configured_defaults(key)
    _run_script(key, script, routing)
    there = configured_defaults(key) if kept else []
    for words in kept:
        if words not in there:
            run(["ip", _VERSIONS[key], "route", "replace", *words])


def _run_script(key: str, script: Path, routing: bool) -> None:
    if not firewall_started(key):
        run([str(script), "start"])
    elif routing:
        run([str(script), "reload"])
    else:
        # Setting up unchanged routing anew would cost packets.
        run([str(script), "-n", "reload"])
    # Its exit code says nothing of what is loaded.
    mark = rules_mark(script.read_bytes())
    if not firewall_started(key) or (mark and not has_chain(mark, FIREWALLS[key])):
        raise ApplyError("Shorewall's compiled script ran, but its rules are not loaded")


def _named(path: str) -> set[str]:
    text = Path(path).read_text(encoding="utf-8") if Path(path).is_file() else ""
    return set(re.findall(r"(?m)^swap \S+ (\S+)$", text))


def step_ipset(key: str, args: dict[str, Any]) -> None:
    """Load a file of address lists; each list is the old one or the new one at any instant.

    Raises:
        ApplyError: a list could not be loaded.
    """
    if _named(key):
        run_ipset(["restore"], stdin=Path(key).read_text(encoding="utf-8"))


def step_ipset_prune(key: str, args: dict[str, Any]) -> None:
    """Drop the address lists that no longer stand in the file, once no rule uses them any more.

    Raises:
        ApplyError: a list is in use.
    """
    there = set(run(["ipset", "list", "-n"]).split())
    for name in sorted(there & set(args["names"]) - _named(key)):
        run_ipset(["destroy", name])
