# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
#
# Part of the program that is installed on the host, so it imports the standard library only.
"""What a host's network is at run time: read from the kernel and from systemd, as plain data."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._run import ApplyError, run

# What a firewall's script, a sysctl file of ours or systemd-networkd may set for each interface.
_INTERFACE_SYSCTLS = {
    "ipv4": [
        *("accept_source_route", "arp_announce", "arp_filter", "arp_ignore", "forwarding", "log_martians"),
        *("promote_secondaries", "proxy_arp", "rp_filter"),
    ],
    "ipv6": ["accept_ra", "addr_gen_mode", "disable_ipv6", "forwarding"],
}
_PROC = Path("/proc/sys/net")
_FAMILIES = {"4": "iptables", "6": "ip6tables"}
# What changes by itself, or says how a route fares rather than what it is.
_ROUTE_NOISE = re.compile(r" (?:linkdown|dead|offload|pervasive|onlink_dead|expires \d+sec|error -?\d+|notify)\b")
# Routes that the kernel makes of router advertisements (9); the table of local addresses (255).
_ROUTE_FOREIGN = re.compile(r" proto (?:9|ra)\b| table (?:255|local)\b|^(?:local|broadcast|multicast|anycast) ")
_FLAGS = ("isolated", "hairpin", "learning", "guard", "root_block", "flood", "mcast_flood", "locked")
_DETAILS = {
    "bridge": ("stp_state", "forward_delay", "ageing_time", "vlan_filtering", "priority"),
    "macvlan": ("mode",),
    "tun": ("type", "user", "group", "vnet_hdr", "multi_queue", "persist", "pi"),
    "vlan": ("id", "protocol"),
}


def read_links() -> dict[str, dict[str, Any]]:
    """Return the links by name: kind, MAC address, MTU, whether up, master, flags as a port, how it is made."""
    links = {}
    for entry in json.loads(run(["ip", "-j", "-d", "link", "show"])):
        about = entry.get("linkinfo", {})
        kind = str(about.get("info_kind", ""))
        data, port = about.get("info_data", {}), about.get("info_slave_data", {})
        links[str(entry["ifname"])] = {
            "kind": kind,
            "mac": entry.get("address"),
            "mtu": entry.get("mtu"),
            "up": "UP" in entry.get("flags", ()),
            "master": entry.get("master"),
            "parent": entry.get("link"),
            "flags": {name: port[name] for name in _FLAGS if name in port},
            "details": {name: data[name] for name in _DETAILS.get(kind, ()) if name in data},
        }
    return links


def read_addresses() -> dict[str, dict[str, dict[str, bool]]]:
    """Return each link's addresses with their prefix length.

    Of each it is said whether it was leased and so may change by itself, and whether the kernel takes it without asking
    for duplicates (nodad).
    """
    found: dict[str, dict[str, dict[str, bool]]] = {}
    for entry in json.loads(run(["ip", "-j", "address", "show"])):
        found[str(entry["ifname"])] = {
            f"{address['local']}/{address['prefixlen']}": {
                # The kernel makes one of its own for a link that comes up, but not again for one that lost it.
                "leased": bool(address.get("dynamic")) or address.get("scope") == "link",
                "nodad": bool(address.get("nodad")),
            }
            for address in entry.get("addr_info", ())
            if not address.get("temporary") and entry["ifname"] != "lo"
        }
    return found


def clean_route(line: str) -> str | None:
    """Return a route as C(ip route) takes it back, or None for one that is not anybody's to set."""
    text = _ROUTE_NOISE.sub("", " ".join(line.replace("\\", " ").split()))
    return None if _ROUTE_FOREIGN.search(text) else text


def read_routes() -> dict[str, list[str]]:
    """Return the routes of all tables, for each version of IP."""
    found = {}
    for version in _FAMILIES:
        # A table that was never used is an error to some versions of the program.
        done = subprocess.run(
            ["ip", f"-{version}", "-N", "-o", "route", "show", "table", "all"],
            capture_output=True,
            text=True,
            check=False,
        )
        routes = [clean_route(line) for line in done.stdout.splitlines() if line.strip()]
        found[version] = [route for route in routes if route is not None]
    return found


def read_rules() -> dict[str, list[str]]:
    """Return the routing rules, priority first, for each version of IP."""
    found = {}
    for version in _FAMILIES:
        lines = run(["ip", f"-{version}", "-N", "rule", "show"]).splitlines()
        pairs = (line.replace("[detached] ", "").partition(":") for line in lines if line.strip())
        found[version] = [f"{priority.strip()} {' '.join(rule.split())}" for priority, _colon, rule in pairs]
    return found


def read_firewall() -> dict[str, str]:
    """Return what each version's iptables holds, as its own restore program takes it back."""
    return {
        program: run([f"{program}-save"])
        for program in _FAMILIES.values()
        if shutil.which(f"{program}-save") is not None
    }


def read_ipsets() -> str:
    """Return the address lists, as C(ipset restore) takes them back."""
    return run(["ipset", "save"]) if shutil.which("ipset") is not None else ""


def read_sysctls() -> dict[str, str]:
    """Return the kernel's settings that a firewall's script changes."""
    paths = [_PROC / "ipv4/ip_forward"]
    for version, names in _INTERFACE_SYSCTLS.items():
        for directory in sorted((_PROC / version / "conf").glob("*")):
            paths += [directory / name for name in names]
    found = {}
    for path in paths:
        try:
            found[str(path)] = path.read_text(encoding="ascii").strip()
        except OSError:
            continue
    return found


def read_units(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return whether units are enabled and active."""
    wanted = sorted(set(names))
    if not wanted:
        return {}
    said = run(["systemctl", "show", "--property=Id,LoadState,UnitFileState,ActiveState", *wanted])
    found = {}
    for name, block in zip(wanted, said.strip().split("\n\n"), strict=True):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if values.get("LoadState") == "not-found":
            continue
        active = values.get("ActiveState", "")
        # An alias is the same unit again, and cannot be enabled by that name.
        found[values.get("Id") or name] = {
            "enabled": values.get("UnitFileState", ""),
            "active": "active" if active in ("active", "reloading", "activating") else "inactive",
        }
    return found


def read_state(units: Iterable[str]) -> dict[str, Any]:
    """Return everything that a commit can change and that is in no file.

    Raises:
        ApplyError: the kernel or systemd does not say.
    """
    try:
        return {
            "links": read_links(),
            "addresses": read_addresses(),
            "routes": read_routes(),
            "rules": read_rules(),
            "firewall": read_firewall(),
            "ipsets": read_ipsets(),
            "sysctls": read_sysctls(),
            "units": read_units(units),
        }
    except (ValueError, KeyError) as error:
        raise ApplyError(f"the state of the network could not be read: {error!r}") from error
