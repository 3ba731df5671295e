# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which routes and rules there must be: providers, what they are attached to, and which of them are out.

Pure: nothing here reads or changes the host. The lines that stand for a provider in use are Shorewall's own, so that a
host whose uplinks all work looks exactly as Shorewall left it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from ._providers import DETECT, IN_ORDER, Provider

MAIN, FALLBACK, BALANCE = 254, 253, 250
# Tables of ours: what traffic with a provider's mark uses while Shorewall makes its own anew, and where probes go.
SHADOW, PROBE = 1000, 2000
STANDING_MAIN, STANDING_BALANCE = 998, 32700
PROVIDER_MASK, PROBE_MASK = 0xFF, 0xFF0000
# A bit more than Shorewall's mask: its `rule del fwmark 0x1/0xff` must not find the rules of ours.
SHADOW_MASK = 0x40000FF
SHOREWALL_MAIN, SHOREWALL_MARKS, SHOREWALL_SOURCES = 999, 9999, 20000
ANY = "0.0.0.0/0"


@dataclass(frozen=True)
class Hop:
    """Where a route leads."""

    interface: str
    gateway: str | None = None
    weight: int = 1
    realm: int = 0


@dataclass(frozen=True)
class Route:
    """One route, with what tells it from another one."""

    table: int
    hops: tuple[Hop, ...]
    destination: str = "default"
    metric: int = 0
    source: str | None = None
    mtu: int = 0

    @property
    def key(self) -> tuple[int, str, int]:
        return self.table, self.destination, self.metric

    @property
    def line(self) -> str:
        """The words that follow C(ip -4)."""
        words = ["route replace", self.destination]
        if len(self.hops) > 1:
            words.append("scope global")
        else:
            words.append(_path(self.hops[0], self.source))
        words += [f"mtu {self.mtu}" if self.mtu else "", f"table {self.table}"]
        words.append(f"metric {self.metric}" if self.metric else "")
        if len(self.hops) > 1:
            words += [f"nexthop {_path(hop)} weight {hop.weight}{_realm(hop)}" for hop in self.hops]
        else:
            words.append(_realm(self.hops[0]).strip())
        return " ".join(word for word in words if word)


def _path(hop: Hop, source: str | None = None) -> str:
    words = (f"via {hop.gateway} " if hop.gateway else "") + (f"src {source} " if source else "")
    return f"{words}dev {hop.interface}"


def _realm(hop: Hop) -> str:
    return f" realm {hop.realm}" if hop.realm else ""


@dataclass(frozen=True)
class Rule:
    """One routing rule."""

    priority: int
    table: int
    source: str = ANY
    destination: str = ANY
    iif: str = ""
    mark: int = 0
    mask: int = 0
    suppress: bool = False

    @property
    def line(self) -> str:
        """The words that follow C(ip -4 rule add) or C(ip -4 rule del)."""
        words = [f"iif {self.iif}" if self.iif else "", f"from {self.source}"]
        words += [f"to {self.destination}" if self.destination != ANY else ""]
        words += [f"fwmark {self.mark:#x}/{self.mask:#x}" if self.mask else ""]
        words += [f"pref {self.priority} table {self.table}", "suppress_prefixlength 0" if self.suppress else ""]
        return " ".join(word for word in words if word)


def read_rule(text: str) -> Rule:
    """Return the rule that C(ip rule add) makes of some words.

    Raises:
        ValueError: there are words that are not understood.
    """
    words = text.split()
    given = dict(zip(words[::2], words[1::2], strict=True))
    mark, _slash, mask = given.pop("fwmark", "0/0").partition("/")
    networks = (given.pop("from", ANY), given.pop("to", ANY))
    source, destination = (network.removesuffix("/32") for network in networks)
    rule = Rule(
        int(given.pop("pref")), int(given.pop("table")), source, destination, given.pop("iif", ""),
        int(mark, 0), int(mask or "0xffffffff", 0),
    )  # fmt: skip
    if given:
        raise ValueError(f"unknown words in the rule {text!r}: {', '.join(given)}")
    return rule


@dataclass(frozen=True)
class Link:
    """An interface: whether it is set up, whether something is at the other end, its addresses in order."""

    up: bool
    carrier: bool
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Attached:
    """A provider whose routes the kernel would take: its interface is up and has an address."""

    provider: Provider
    source: str
    gateway: str | None

    def hop(self, weight: int = 1) -> Hop:
        return Hop(self.provider.interface, self.gateway, max(weight, 1), self.provider.realm)

    def default(self, table: int, metric: int = 0) -> Route:
        """The provider's own default route in a table."""
        if table == FALLBACK:
            # The only place where Shorewall leaves out realm and MTU.
            hop = replace(self.hop(), realm=0)
            return Route(table, (hop,), metric=metric, source=self.source if self.gateway else None)
        source, mtu = (self.source, self.provider.mtu) if self.gateway else (None, 0)
        return Route(table, (self.hop(),), metric=metric, source=source, mtu=mtu)

    def host_routes(self) -> list[Route]:
        """The routes to its gateway."""
        own = self.provider
        if not self.gateway or not own.host_route:
            return []
        plain = Route(MAIN, (Hop(own.interface),), self.gateway, source=self.source, mtu=own.mtu)
        routes = [plain, replace(plain, table=own.number, hops=(Hop(own.interface, realm=own.realm),))]
        if own.fallback == IN_ORDER:
            routes.append(Route(FALLBACK, (Hop(own.interface),), self.gateway))
        return routes


def attach(
    providers: Iterable[Provider], links: Mapping[str, Link], gateways: Mapping[str, str]
) -> dict[str, Attached]:
    """Return the providers that can have routes.

    Args:
        providers: all of them.
        links: the host's interfaces.
        gateways: what is known of gateways that are not configured, by provider.
    """
    found = {}
    for provider in providers:
        link = links.get(provider.interface)
        gateway = gateways.get(provider.name) if provider.gateway == DETECT else provider.gateway
        if link is None or not link.up or not link.addresses or (provider.gateway and not gateway):
            continue
        source = provider.address or provider.source or link.addresses[0]
        if source in link.addresses:
            found[provider.name] = Attached(provider, source, gateway)
    return found


def own_address(provider: Provider, providers: Iterable[Provider]) -> str | None:
    """Return the address of a provider that shares its interface with others of other addresses."""
    others = {each.address for each in providers if each.interface == provider.interface}
    return provider.address if len(others) > 1 else None


def substitutes(healthy: Iterable[Attached]) -> tuple[tuple[Hop, ...], Attached | None]:
    """Return where traffic of a provider that is out goes: hops, and the provider when it is one."""
    by_name = {each.provider.name: each for each in healthy}
    chosen = sharing(each.provider for each in by_name.values())
    hops = tuple(by_name[provider.name].hop(weight) for provider, weight in chosen)
    return hops, by_name[chosen[0][0].name] if len(chosen) == 1 else None


def sharing(able: Iterable[Provider]) -> list[tuple[Provider, int]]:
    """Return which of some providers traffic uses that nothing binds to one, with their weights.

    Those that share the load, else those that stand in for them, else the first one.
    """
    found = list(able)
    in_order = sorted((each for each in found if each.fallback), key=lambda each: each.number)
    for chosen in (
        [(each, each.weight) for each in found if each.weight],
        [(each, each.fallback) for each in found if each.fallback > 0],
        [(each, 1) for each in (in_order or found)[:1]],
    ):
        if chosen:
            return chosen
    return []


def desired_routes(
    providers: Collection[Provider], attached: Mapping[str, Attached], out: Collection[str], installed: Collection[str]
) -> list[Route]:
    """Return every route that must be there.

    Args:
        providers: all of them.
        attached: those that can have routes.
        out: the names of those that must not carry traffic.
        installed: the names of those whose table something looks into.
    """
    healthy = [each for name, each in attached.items() if name not in out]
    hops, single = substitutes(healthy)
    routes: list[Route] = []

    def instead(table: int, metric: int = 0) -> Route | None:
        if single is not None:
            return single.default(table, metric)
        return Route(table, hops, metric=metric) if hops else None

    def add(route: Route | None) -> None:
        if route is not None:
            routes.append(route)

    for provider in providers:
        number, own = provider.number, attached.get(provider.name)
        usable = own is not None and provider.name not in out
        if own is not None:
            routes.extend(own.host_routes())
            routes.append(own.default(PROBE + number))
        if own is not None or provider.name in installed:
            for table in (number, SHADOW + number):
                add(own.default(table) if own is not None and usable else instead(table))
        if own is not None and provider.fallback == IN_ORDER:
            add(own.default(FALLBACK, number) if usable else instead(FALLBACK, number))
    for table, column in ((BALANCE, "weight"), (FALLBACK, "fallback")):
        group = [provider for provider in providers if getattr(provider, column) > 0]
        able = [each for each in healthy if each.provider in group]
        if able:
            routes.append(Route(table, tuple(each.hop(getattr(each.provider, column)) for each in able)))
        elif hops and any(provider.name in attached or provider.name in installed for provider in group):
            routes.append(Route(table, hops))
    return routes


def standing_rules(providers: Iterable[Provider]) -> list[Rule]:
    """Return the rules of ours: what makes a reload of Shorewall lose nothing, and what leads the probes."""
    rules = [Rule(STANDING_MAIN, MAIN, suppress=True), Rule(STANDING_BALANCE, BALANCE)]
    for each in providers:
        number = each.number
        before_main = min(900 + number, STANDING_MAIN - 1)
        rules.append(Rule(before_main, PROBE + number, mark=probe_mark(each), mask=PROBE_MASK))
        rules.append(Rule(31000 + number, SHADOW + number, mark=each.mark, mask=SHADOW_MASK))
    return rules


def probe_mark(provider: Provider) -> int:
    """Return the mark of the probes through a provider."""
    return provider.number << 16


def provider_rules(attached: Attached, link: Link) -> list[Rule]:
    """Return the rules that Shorewall makes for a provider."""
    own = attached.provider
    rules = [Rule(SHOREWALL_MARKS + own.number, own.number, mark=own.mark, mask=PROVIDER_MASK)]
    if own.source_rule and not own.loose:
        addresses = (own.address,) if own.address else link.addresses
        rules += [Rule(SHOREWALL_SOURCES, own.number, source=address) for address in addresses]
    for text in own.rules:
        # One with words that are not known here is left to Shorewall
        with contextlib.suppress(ValueError, KeyError):
            rules.append(read_rule(text))
    return list(dict.fromkeys(rules))


def is_ours(rule: Rule) -> bool:
    """Whether a rule is one that only this program makes."""
    if rule.table in (MAIN, BALANCE):
        standing = (STANDING_MAIN, MAIN, True), (STANDING_BALANCE, BALANCE, False)
        return (rule.priority, rule.table, rule.suppress) in standing
    return (SHADOW < rule.table < SHADOW + BALANCE + 3 and rule.mask == SHADOW_MASK) or (
        PROBE < rule.table < PROBE + BALANCE + 3 and rule.mask == PROBE_MASK
    )


def _position(route: Route) -> tuple[bool, bool]:
    # Host routes first: through them the gateways are reached.
    return route.destination == "default", len(route.hops) > 1


def route_lines(wanted: Iterable[Route], have: Iterable[Route]) -> list[str]:
    """Return the lines for C(ip -4 -batch) that make the wanted routes of those that are there."""
    known = {route.key: route for route in have}
    return [route.line for route in sorted(wanted, key=_position) if known.get(route.key) != _as_kernel(route)]


def _as_kernel(route: Route) -> Route:
    """Return a route as the kernel shows it: a weight makes no difference where there is no choice."""
    return replace(route, hops=(replace(route.hops[0], weight=1),)) if len(route.hops) == 1 else route


@dataclass(frozen=True)
class Snapshot:
    """What the kernel holds."""

    links: Mapping[str, Link]
    routes: tuple[Route, ...]
    rules: tuple[Rule, ...]
    learned: Mapping[str, str]

    @property
    def started(self) -> bool:
        """Whether Shorewall's routing is in place: it is not while stopped, and for a moment in a reload."""
        return Rule(SHOREWALL_MAIN, MAIN) in self.rules

    def installed(self, providers: Iterable[Provider]) -> set[str]:
        """The names of the providers whose tables a rule of Shorewall's looks into."""
        return {
            each.name
            for each in providers
            if Rule(SHOREWALL_MARKS + each.number, each.number, mark=each.mark, mask=PROVIDER_MASK) in self.rules
        }


def plan(
    providers: Collection[Provider], attached: Mapping[str, Attached], out: Collection[str], now: Snapshot
) -> list[str]:
    """Return the lines for C(ip -4 -batch) that are still to be run."""
    if len(providers) < 2:
        return withdraw(now)
    installed = now.installed(providers)
    wanted = desired_routes(providers, attached, out, installed)
    rules = standing_rules(providers)
    stale = [rule for rule in now.rules if is_ours(rule) and rule not in rules]
    if now.started:
        for each in attached.values():
            rules += provider_rules(each, now.links[each.provider.interface])
        own = {each.number for each in providers if each.source_rule and not each.loose}
        # Addresses that went; where Shorewall makes such rules, only it and we do.
        sources = [rule for rule in now.rules if rule.priority == SHOREWALL_SOURCES and rule.table in own]
        stale += [rule for rule in sources if rule not in rules]
    else:
        wanted = [route for route in wanted if route.table >= SHADOW]
    lines = route_lines(wanted, now.routes)
    lines += [f"rule add {rule.line}" for rule in dict.fromkeys(rules) if rule not in now.rules]
    return lines + [f"rule del {rule.line}" for rule in stale] + _flush(stale, now)


def withdraw(now: Snapshot) -> list[str]:
    """Return the lines that take away every rule and table of ours."""
    ours = [rule for rule in now.rules if is_ours(rule)]
    return [f"rule del {rule.line}" for rule in ours] + _flush(ours, now)


def _flush(rules: Iterable[Rule], now: Snapshot) -> list[str]:
    """Return the lines that empty the tables of ours that rules led to."""
    tables = {rule.table for rule in rules if rule.table > SHADOW} & {route.table for route in now.routes}
    return [f"route flush table {table}" for table in sorted(tables)]
