# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""Whether a change lets its own controller in again, as far as that can be told before it is made. Pure."""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

FINAL = ("ACCEPT", "DROP", "REJECT")
# Log lines and counters do not decide.
_SILENT = ("LOG", "NFLOG", "ULOG", "")
# Shorewall's script calls its own function.
_CLOSES_IPV6 = re.compile(r"(?m)^\s+disable_ipv6$")
_TABLE = re.compile(r"(?ms)^\*filter$(.*?)^COMMIT$")


@dataclass(frozen=True)
class Login:
    """How the controller reaches the host: the first packet of a new connection.

    Args:
        client: the controller's address, as the host sees it.
        server: the host's own address.
        port: the port of SSH there.
        interface: where it comes in.
    """

    client: str
    server: str
    port: int
    interface: str


@dataclass(frozen=True)
class Rule:
    """One rule of a chain: what it matches, where it leads, whether there is a way back, and its text."""

    matches: tuple[tuple[str, str], ...]
    target: str
    goes: bool
    text: str


def read_rules(script: str) -> dict[str, list[Rule]]:
    """Return the chains of the filter table that a compiled script loads."""
    found = _TABLE.search(script)
    chains: dict[str, list[Rule]] = {}
    for line in found[1].splitlines() if found else ():
        if line.startswith("-A "):
            words = shlex.split(line)
            chains.setdefault(words[1], []).append(read_rule(words[2:], line))
    return chains


def closes_ipv6(script: str) -> bool:
    """Whether the compiled script of IPv4 lets nothing in by IPv6."""
    return _CLOSES_IPV6.search(script) is not None


def read_rule(words: list[str], text: str) -> Rule:
    """Read a rule of iptables, without the chain that it stands in."""
    matches: list[tuple[str, str]] = []
    negated = ""
    position = 0
    while position < len(words):
        word = words[position]
        if word in ("-j", "-g"):
            # What follows is how the target works, not when.
            return Rule(tuple(matches), words[position + 1], word == "-g", text)
        end = position + 1
        while end < len(words) and words[end] != "!" and not words[end].startswith("-"):
            end += 1
        if word == "!":
            negated = "!"
        elif word not in ("-m", "--comment"):
            matches.append((word, negated + " ".join(words[position + 1 : end])))
            negated = ""
        position = end
    return Rule(tuple(matches), "", False, text)


def _match(option: str, value: str, login: Login) -> bool | None:
    """Return whether a packet matches, or None where that cannot be told without the kernel."""
    if option in ("-s", "-d"):
        try:
            network = ipaddress.ip_network(value, strict=False)
        except ValueError:
            return None
        return ipaddress.ip_address(login.client if option == "-s" else login.server) in network
    if option == "-i":
        return login.interface.startswith(value[:-1]) if value.endswith("+") else value == login.interface
    if option == "-o":
        return False
    if option == "-p":
        return value in ("tcp", "6")
    if option in ("--dport", "--dports"):
        ranges = (part.partition(":") for part in value.split(","))
        if not re.fullmatch(r"[\d:,]+", value):
            return None
        return any(int(low or 0) <= login.port <= int(high or low) for low, _colon, high in ranges)
    if option in ("--ctstate", "--state"):
        return "NEW" in value.split(",")
    if option in ("--src-type", "--dst-type"):
        return value == "LOCAL" and option == "--dst-type"
    if option == "--icmp-type":
        return False
    return None


def _matches(rule: Rule, login: Login) -> bool | None:
    unknown = False
    for option, value in rule.matches:
        result = _match(option, value.removeprefix("!"), login)
        if result is None:
            unknown = True
        elif result is value.startswith("!"):
            return False
    return None if unknown else True


def verdict(chains: Mapping[str, list[Rule]], login: Login) -> tuple[str, str]:
    """Return what becomes of the packet, C(ACCEPT), C(DROP), C(REJECT) or C(unknown), and the rule that decides.

    What cannot be told without the kernel never counts against the change: the guard undoes it if it was wrong.
    """
    return _walk(chains, "INPUT", login, 64) or ("DROP", "the policy of INPUT, since no rule lets it in")


def _walk(chains: Mapping[str, list[Rule]], chain: str, login: Login, depth: int) -> tuple[str, str] | None:
    if depth == 0:
        return "unknown", f"the chains behind {chain} go in a circle"
    for rule in chains.get(chain, ()):
        matches = None if rule.target in _SILENT else _matches(rule, login)
        if rule.target in _SILENT or matches is False:
            continue
        if rule.target in FINAL:
            if matches or rule.target == "ACCEPT":
                return (rule.target if matches else "unknown"), rule.text
            continue
        if rule.target == "RETURN":
            if matches:
                return None
            return "unknown", rule.text
        decided = _walk(chains, rule.target, login, depth - 1)
        if decided and (matches or decided[0] in ("ACCEPT", "unknown")):
            return decided if matches else ("unknown", rule.text)
        if rule.goes and matches:
            return decided
    return None


def network_lines(text: str) -> list[tuple[int, int, str, str]]:
    """Return the settings of a .network file: line, number of the section, key, value."""
    found = []
    section = 0
    for number, line in enumerate(text.splitlines(), 1):
        key, equals, value = line.partition("=")
        if line.startswith("["):
            section += 1
        elif equals and not line.startswith(("#", ";")):
            found.append((number, section, key.strip(), value.strip()))
    return found


def network_settings(text: str) -> dict[str, list[str]]:
    """Return what a .network file says of addresses and ways out."""
    found: dict[str, list[str]] = {}
    for _line, _section, key, value in network_lines(text):
        found.setdefault(key, []).append(value)
    return found


def lost_way(text: str, login: Login, keeps: Iterable[str] = ()) -> str:
    """Return why the controller does not reach the host once its interface follows this file, or nothing.

    Args:
        text: the .network file that the interface, or the bridge that it becomes a port of, will follow.
        login: how the controller reaches the host now.
        keeps: the address at which it expects the host then, where that is another one.
    """
    settings = network_settings(text)
    kept = [*keeps]
    server = ipaddress.ip_address(login.server)
    if server.version == 6 and not kept:
        if server.is_link_local:
            # The kernel gives itself one, unless it is told not to.
            off = settings.get("LinkLocalAddressing", ["ipv6"])[-1] in ("no", "false", "ipv4")
            return f"its address {login.server} goes away" if off else ""
        if settings.get("IPv6AcceptRA", ["yes"])[-1] not in ("no", "false"):
            # What a router will say is not known yet.
            return ""
    if any(value.lower() not in ("no", "false", "none") for value in settings.get("DHCP", ())):
        # What the lease says is not known yet.
        return ""
    interfaces = []
    for value in settings.get("Address", ()):
        try:
            interfaces.append(ipaddress.ip_interface(value))
        except ValueError:
            continue
    expected = {*kept} or {login.server}
    if not expected & {str(interface.ip) for interface in interfaces}:
        return f"its address {', '.join(sorted(expected))} goes away"
    client = ipaddress.ip_address(login.client)
    networks = [interface.network for interface in interfaces]
    if any(client in network for network in networks):
        return ""
    return _no_way_back(text, client, networks)


def _no_way_back(
    text: str,
    client: ipaddress.IPv4Address | ipaddress.IPv6Address,
    networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network],
) -> str:
    """Return why no route leads to the client, or nothing; which router is the right one nobody can tell."""
    outside = []
    lines = network_lines(text)
    for line, section, given, value in lines:
        route = {key: said for _line, of, key, said in lines if of == section}
        if given != "Gateway" and (given != "Destination" or "Gateway" in route):
            continue
        to = route.get("Destination", "::/0" if client.version == 6 else "0.0.0.0/0")
        try:
            leads = client in ipaddress.ip_network(to, strict=False)
            gateway = ipaddress.ip_address(value) if given == "Gateway" else None
        except ValueError:
            # A router that is learnt
            return ""
        if not leads or (gateway is not None and gateway.version != client.version):
            continue
        on_link = route.get("GatewayOnLink") in ("yes", "true", "1")
        if gateway is None or on_link or any(gateway in network for network in networks):
            return ""
        outside.append(f"line {line} says 'Gateway={value}', which is in none of its networks")
    if outside:
        return f"no way leads back to {client}: {'; '.join(outside)}"
    return f"no way leads back to {client}: it is in none of its networks, and no route to it has a gateway"
