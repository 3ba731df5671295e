# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rule sets compared by what they do: the verdict on a packet, computed from what iptables-save prints."""

from __future__ import annotations

import functools
import ipaddress
import itertools
import random
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._admission import Rule, read_rule

FINAL = {"ACCEPT", "DROP", "REJECT"}
# Log lines and counters do not decide.
SILENT = {"LOG", "NFLOG", "ULOG", ""}


@dataclass(frozen=True)
class Packet:
    """A packet that opens a connection."""

    source: str
    dest: str
    proto: str
    port: int
    inward: str = ""
    outward: str = ""


@dataclass
class RuleSet:
    """The filter table."""

    policies: dict[str, str] = field(default_factory=dict)
    chains: dict[str, list[Rule]] = field(default_factory=dict)


def read(lines: Iterable[str]) -> RuleSet:
    """Read what iptables-save prints."""
    rules, table = RuleSet(), ""
    for line in lines:
        if line.startswith("*"):
            table = line[1:].strip()
        elif table == "filter" and line.startswith(":"):
            name, policy = line[1:].split()[:2]
            rules.chains[name] = []
            rules.policies[name] = policy
        elif table == "filter" and line.startswith("-A "):
            words = shlex.split(line)
            rules.chains[words[1]].append(read_rule(words[2:], line))
    return rules


def _matches(matches: Iterable[tuple[str, str]], packet: Packet) -> bool:
    for option, value in matches:
        negated, value = value.startswith("!"), value.removeprefix("!")
        if _match(option, value, packet) is negated:
            return False
    return True


@functools.cache
def _ends(network: str) -> tuple[int, int]:
    found = ipaddress.ip_network(network)
    return int(found[0]), int(found[-1])


def _match(option: str, value: str, packet: Packet) -> bool:
    if option in ("-s", "-d"):
        first, last = _ends(value)
        return first <= _ends(packet.source if option == "-s" else packet.dest)[0] <= last
    if option in ("-i", "-o"):
        return value == (packet.inward if option == "-i" else packet.outward)
    if option == "-p":
        return value == packet.proto
    if option in ("--dport", "--dports"):
        ranges = (part.partition(":") for part in value.split(","))
        return any(int(low) <= packet.port <= int(high or low) for low, _unused, high in ranges)
    if option == "--ctstate":
        return "NEW" in value.split(",")
    if option == "--tcp-flags":
        return value == "FIN,SYN,RST,ACK SYN"
    if option in ("--src-type", "--dst-type", "--icmp-type", "--sport", "--sports"):
        # The packets are unicast, no ICMP, from no port that a rule is about.
        return False
    raise ValueError(f"no verdict without knowing {option} {value}")


def verdict(rules: RuleSet, packet: Packet, limit: int = 64) -> str:
    """Return what happens to a packet."""
    base = "FORWARD" if packet.inward and packet.outward else "INPUT" if packet.inward else "OUTPUT"
    return _walk(rules, base, packet, limit) or rules.policies[base]


def _walk(rules: RuleSet, chain: str, packet: Packet, depth: int) -> str:
    if depth == 0:
        raise ValueError("the chains go in a circle")
    for rule in rules.chains[chain]:
        target = rule.target
        if target in SILENT or not _matches(rule.matches, packet):
            continue
        if target in FINAL:
            return target
        if target == "RETURN":
            return ""
        decided = _walk(rules, target, packet, depth - 1)
        if decided or rule.goes:
            return decided
    return ""


def sample(
    addresses: Iterable[tuple[str, str, str, int]], interfaces: Mapping[str, str], count: int, seed: int = 1
) -> list[Packet]:
    """Return packets that rules are about, and as many that none is about.

    Args:
        addresses: of rules: source, destination, protocol and port.
        interfaces: the interface behind which a network is.
    """
    chosen = random.Random(seed)
    rows = list(addresses)
    packets = []
    for source, dest, proto, port in chosen.sample(rows, min(count, len(rows))):
        for there, back in itertools.product((0, 1), (0, 1)):
            ends = (_interface(source, interfaces), _interface(dest, interfaces))
            packets.append(Packet(source, dest, proto, port + there, ends[0], ends[1] if back else ""))
    return packets


def _interface(address: str, interfaces: Mapping[str, str]) -> str:
    return next(
        name for network, name in interfaces.items() if ipaddress.ip_address(address) in ipaddress.ip_network(network)
    )
