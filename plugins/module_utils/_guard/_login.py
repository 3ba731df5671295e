# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""The connection that a change is made over: how it comes in now, and whether it would after the change."""

from __future__ import annotations

import ipaddress
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import _firewall, _run
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._admission import (
    Login,
    closes_ipv6,
    lost_way,
    network_settings,
    read_rules,
    verdict,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem

if TYPE_CHECKING:
    from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate

REFUSING = ("DROP", "REJECT")
_SYS = Path("/sys/class/net")


def read_login(connection: str) -> Login | None:
    """Return how the controller reaches this host.

    Args:
        connection: what sshd put into C(SSH_CONNECTION); anything else is no login.
    """
    words = connection.split()
    if len(words) != 4:
        return None
    client, _client_port, server, port = words
    # An address that several links may have comes with the name of one.
    local, _percent, scope = server.partition("%")
    for link in json.loads(_run.run(["ip", "-j", "address", "show"])):
        named = scope in ("", link["ifname"])
        if named and any(address.get("local") == local for address in link.get("addr_info", ())):
            return Login(client, server, int(port), str(link["ifname"]))
    return None


def _way_back(login: Login) -> str:
    """Return the interface by which the answers leave: the one that has the address need not be it."""
    client, _percent, scope = login.client.partition("%")
    version = ipaddress.ip_address(client).version
    argv = ["ip", f"-{version}", "-j", "route", "get", client, "from", login.server.partition("%")[0]]
    done = subprocess.run([*argv, *(["oif", scope] if scope else [])], capture_output=True, text=True, check=False)
    found = json.loads(done.stdout or "[]") if done.returncode == 0 else []
    return str(found[0].get("dev", login.interface)) if found else login.interface


def check_login(candidate: Candidate, login: Login, connect: str | None) -> list[Problem]:
    """Refuse a change that plainly cuts off the connection that it is made over.

    Args:
        candidate: the change, compiled.
        login: how the controller reaches the host now.
        connect: the address at which it expects the host afterwards, where that is another one.
    """
    problems = []
    interface = _interface_after(candidate, login.interface)
    if interface is None:
        # Who has the address then is in none of our files.
        return []
    path = _network_path(interface)
    staged = candidate.entries.get(path, {}).get("state") == "present"
    if staged or (interface != login.interface and not _goes(candidate, login.interface)):
        why = lost_way(_text(candidate, path), login, [connect] if connect else [])
        if why:
            allowed = f"a change that keeps the way you are connected by: with this one {why}"
            remedy = "; if that is what you want, say so with connect" if "goes away" in why else ""
            problems.append(Problem(path, None, None, interface, allowed + remedy))
    moved = Login(login.client, connect or login.server, login.port, interface)
    version = ipaddress.ip_address(login.client).version
    script = str(_firewall.firewall_script("shorewall" if version == 4 else "shorewall6"))
    if candidate.entries.get(script, {}).get("state") == "present":
        chains = read_rules((candidate.read(script) or b"").decode(errors="replace"))
        decided, rule = verdict(chains, moved)
        back = _way_back(login)
        # Where it may come in by two ways, either will do.
        other = decided if back == login.interface else verdict(chains, replace(moved, interface=back))[0]
        if decided in REFUSING and other in REFUSING:
            shown = f"{moved.client} to {moved.server} port {moved.port} by {moved.interface}"
            allowed = f"a firewall that lets in the connection that you are using; '{rule}' would {decided} it"
            problems.append(Problem(script, None, None, shown, allowed))
    closing = str(_firewall.firewall_script("shorewall"))
    text = (candidate.read(closing) or b"").decode(errors="replace")
    if version == 6 and candidate.entries.get(closing, {}).get("state") == "present" and closes_ipv6(text):
        allowed = f"No, while you are connected from {login.client}: this change would let nothing in by IPv6"
        problems.append(Problem("/etc/shorewall/shorewall.conf", None, "DISABLE_IPV6", "Yes", allowed))
    return problems


def _interface_after(candidate: Candidate, interface: str) -> str | None:
    """Return where the connection comes in once the change is made, or None where that cannot be told."""
    path = _network_path(interface)
    entry = candidate.entries.get(path)
    if entry is None:
        return interface
    if entry["state"] == "present":
        return next(iter(network_settings(_text(candidate, path)).get("Bridge", ())), interface)
    ports = sorted(port.name for port in (_SYS / interface / "brif").glob("*"))
    # A bridge that goes leaves the address to a card of its.
    back = [port for port in ports if network_settings(_text(candidate, _network_path(port))).get("Address")] or ports
    if not ports:
        return interface
    return back[0] if len(back) == 1 else None


def _goes(candidate: Candidate, interface: str) -> bool:
    return candidate.entries.get(_network_path(interface), {}).get("state") == "absent"


def _text(candidate: Candidate, path: str) -> str:
    return (candidate.read(path) or b"").decode(errors="replace")


def _network_path(interface: str) -> str:
    return f"/etc/systemd/network/50-kvmnet-{interface}.network"
