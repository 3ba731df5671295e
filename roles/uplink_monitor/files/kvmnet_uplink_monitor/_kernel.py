# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel holds, and how it is changed: iproute2 and conntrack."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ._routes import ANY, MAIN, PROVIDER_MASK, Hop, Link, Route, Rule, Snapshot

_PATIENCE = 5.0
_QUESTIONS = "route show table all\nrule show\naddr show\n"
# What a rule of ours, or of Shorewall's for a provider, can consist of.
_RULE = {"priority", "table", "src", "srclen", "dst", "dstlen", "iif", "fwmark", "fwmask", "suppress_prefixlen"}
# The protocols of routes that tell of a gateway: of a DHCP client, of an administrator, of a router.
_TELLING = ("16", "4", "9", "3")


class FailedError(RuntimeError):
    """A program of the host failed, or is not there; the message is what it said."""


def run(argv: Sequence[str], text: str = "") -> str:
    """Run a program and return what it prints.

    Raises:
        FailedError: it is not there, takes too long, or fails.
    """
    try:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise FailedError(f"{' '.join(argv)}: {error}") from error
    if done.returncode:
        raise FailedError(f"{' '.join(argv)}: {done.stderr.strip() or f'return code {done.returncode}'}")
    return done.stdout


def _documents(text: str) -> list[Any]:
    decoder, found, at = json.JSONDecoder(), [], 0
    text = text.strip()
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        found.append(value)
        while at < len(text) and text[at].isspace():
            at += 1
    return found


def _hop(given: Mapping[str, Any]) -> Hop:
    realm = str(given.get("flow", {}).get("to", 0))
    weight = int(given.get("weight", 1))
    return Hop(str(given.get("dev", "")), given.get("gateway"), weight, int(realm) if realm.isdigit() else 0)


def read_routes(given: Iterable[Mapping[str, Any]]) -> tuple[Route, ...]:
    """Return the unicast routes of C(ip -j -N -4 route show table all)."""
    routes = []
    for each in given:
        if str(each.get("type", "1")) not in ("1", "unicast"):
            continue
        mtu = next((int(metric["mtu"]) for metric in each.get("metrics", ()) if "mtu" in metric), 0)
        hops = tuple(_hop(hop) for hop in each.get("nexthops") or [each])
        routes.append(
            Route(
                int(each.get("table", MAIN)),
                hops,
                str(each["dst"]),
                int(each.get("metric", 0)),
                each.get("prefsrc"),
                mtu,
            )
        )
    return tuple(routes)


def _network(rule: Mapping[str, Any], key: str) -> str:
    address = rule.get(key, "all")
    if address == "all":
        return ANY
    return f"{address}/{rule[f'{key}len']}" if f"{key}len" in rule else str(address)


def read_rules(given: Iterable[Mapping[str, Any]]) -> tuple[Rule, ...]:
    """Return the rules of C(ip -j -N -4 rule show), without those that nothing of ours could be."""
    return tuple(
        Rule(
            priority=int(each["priority"]),
            table=int(each["table"]),
            source=_network(each, "src"),
            destination=_network(each, "dst"),
            iif=str(each.get("iif", "")),
            mark=int(str(each.get("fwmark", "0")), 0),
            mask=int(str(each.get("fwmask", "0xffffffff" if "fwmark" in each else "0")), 0),
            suppress=each.get("suppress_prefixlen") == 0,
        )
        for each in given
        if set(each) <= _RULE and "table" in each
    )


def read_links(given: Iterable[Mapping[str, Any]]) -> dict[str, Link]:
    """Return the interfaces of C(ip -j -N -4 addr show)."""
    links = {}
    for each in given:
        flags = each.get("flags", ())
        found = [item for item in each.get("addr_info", ()) if item.get("family") == "inet"]
        found.sort(key=lambda item: str(item.get("scope")) not in ("0", "global"))
        addresses = tuple(str(item["local"]) for item in found)
        carrier = "LOWER_UP" in flags and "DORMANT" not in flags
        links[str(each.get("ifname"))] = Link("UP" in flags, carrier, addresses)
    return links


def read_learned(routes: Iterable[Mapping[str, Any]], addresses: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the gateways that others know of, by interface: of a lease, else the other end of a link."""
    learned: dict[str, str] = {}
    for each in addresses:
        for item in each.get("addr_info", ()):
            if item.get("family") == "inet" and item.get("address"):
                learned.setdefault(str(each.get("ifname")), str(item["address"]))
    found = [
        (_TELLING.index(str(each.get("protocol"))), str(each["dev"]), str(each["gateway"]))
        for each in routes
        if each.get("dst") == "default" and each.get("gateway") and str(each.get("protocol", "3")) in _TELLING
        if "protocol" in each
    ]
    for _order, interface, gateway in sorted(found, reverse=True):
        learned[interface] = gateway
    return learned


def read_snapshot(text: str) -> Snapshot:
    """Return what the answers to the three questions say."""
    routes, rules, addresses = _documents(text)
    # An interface without an IPv4 address is an empty object here
    addresses = [each for each in addresses if each]
    return Snapshot(read_links(addresses), read_routes(routes), read_rules(rules), read_learned(routes, addresses))


def look() -> Snapshot:
    """Return what the kernel holds.

    Raises:
        FailedError: iproute2 did not answer.
    """
    answer = run(["ip", "-j", "-N", "-4", "-batch", "-"], _QUESTIONS)
    try:
        return read_snapshot(answer)
    except (ValueError, KeyError, TypeError) as error:
        raise FailedError(f"ip -j: {error}") from error


class Batch:
    """The program that changes routes and rules, started before it is needed: on a busy host starting is what takes."""

    def __init__(self) -> None:
        self._waiting: subprocess.Popen[str] | None = None

    def prepare(self) -> None:
        """Have one waiting."""
        if self._waiting is not None and self._waiting.poll() is None:
            return
        pipe = subprocess.PIPE
        try:
            self._waiting = subprocess.Popen(
                ["ip", "-4", "-batch", "-"], stdin=pipe, stdout=pipe, stderr=pipe, text=True
            )
        except OSError:
            self._waiting = None

    def close(self) -> None:
        """Let it go."""
        if self._waiting is not None:
            self._waiting.communicate()
            self._waiting = None

    def apply(self, lines: Sequence[str]) -> list[str]:
        """Run lines of C(ip -4 -batch) and return what went wrong, if anything.

        iproute2 drops the rest of a batch at a line that it cannot parse, such as one with an interface that just
        went: then every line is run by itself.
        """
        if not lines or self._whole("\n".join(lines) + "\n"):
            return []
        problems = []
        for line in lines:
            try:
                run(["ip", "-4", *line.split()])
            except FailedError as error:
                # A second try of what the batch had done already
                if not any(f"RTNETLINK answers: {said}" in str(error) for said in ("File exists", "No such")):
                    problems.append(str(error))
        return problems

    def _whole(self, text: str) -> bool:
        self.prepare()
        program, self._waiting = self._waiting, None
        if program is None:
            return False
        try:
            program.communicate(text, timeout=_PATIENCE)
        except (OSError, subprocess.SubprocessError):
            program.kill()
            program.wait()
        return program.returncode == 0


def drop_connections(mark: int, translated: str | None = None) -> None:
    """Delete the connections that carry a provider's mark, and those without any that were given its address.

    A connection gets its mark from the first answer. One that waits for it keeps the source address that it was given;
    where masquerading sees the interface change it is dropped, not so where two addresses stand on one interface.

    Raises:
        FailedError: the program is not there, or does not work.
    """
    chosen = [["--mark", f"{mark:#x}/{PROVIDER_MASK:#x}"]]
    if translated:
        chosen.append(["--mark", f"0/{PROVIDER_MASK:#x}", "--src-nat", translated])
    for each in chosen:
        try:
            run(["conntrack", "-D", "-f", "ipv4", *each])
        except FailedError as error:
            if "0 flow entries" not in str(error):
                raise
