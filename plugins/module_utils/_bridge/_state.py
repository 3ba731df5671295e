# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""What a plan starts from and what it ends in. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge import _networkd as networkd
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._foreign import networkd_claim, visible
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._ifupdown import (
    Ifupdown,
    Running,
    give_back_argv,
    lost_commands,
    release_argv,
    stanzas,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Change, Plan, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._foreign import Claim
    from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._kernel import DefaultRoute, Link
    from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._model import Place
    from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._family import Family

# systemd-networkd makes the links (30); what it leaves undone and what must be done when the commit returns follows.
ORDER_UNIT = 26
ORDER_REMAKE = 28
ORDER_RELEASE = 29
ORDER_NETWORKD = 30
ORDER_LINK = 31
ORDER_SETTLE = 32
ORDER_RESTART = 33
ORDER_GIVE_BACK = 34
ORDER_IP = 35

NETWORKD_UNIT = "systemd-networkd.service"


@dataclass
class Host:
    """The host as it is now."""

    links: dict[str, Link] = field(default_factory=dict)
    routes: list[DefaultRoute] = field(default_factory=list)
    # Files of systemd-networkd from all its directories, and what ifupdown and NetworkManager configure.
    files: dict[str, str] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)
    ifupdown: Ifupdown = field(default_factory=Ifupdown)
    version: int = 252
    enabled: bool = True
    firewalls: tuple[Family, ...] = ()
    # Cards of a wireless network.
    wireless: frozenset[str] = frozenset()


@dataclass
class Outcome:
    """The plan in the user's terms, and what carries it out."""

    plan: Plan = field(default_factory=Plan)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    files: dict[str, str | None] = field(default_factory=dict)
    # Interfaces that are ifupdown's no longer.
    taken: list[str] = field(default_factory=list)
    steps: list[tuple[str, str, int, dict[str, Any]]] = field(default_factory=list)
    _lines: list[str] = field(default_factory=list)
    _links: list[str] = field(default_factory=list)
    _reload: bool = False
    _restart: bool = False
    _others: list[tuple[str, str]] | None = None

    def write(self, host: Host, path: str, text: str) -> bool:
        """Want a file and return whether it differs from the live one."""
        self.files[path] = text
        return host.files.get(path) != text

    def remove(self, host: Host, *paths: str) -> bool:
        """Want files gone and return whether one of them is there."""
        found = [path for path in paths if path in host.files]
        self.files.update(dict.fromkeys(found))
        return bool(found)

    def step(self, kind: str, key: str, order: int, **args: Any) -> None:
        """Want a step; they run in the order of their numbers."""
        self.steps.append((kind, key, order, args))

    def networkd(self, links: Iterable[str] = (), restart: bool = False) -> None:
        """Want networkd to read its files and to have made links.

        Args:
            links: what must be there before anything else happens.
            restart: also start it anew. Not instead: a networkd that has just started takes what the one before it
                configured for somebody else's, and leaves it.
        """
        self._links += links
        self._reload = True
        self._restart = self._restart or restart

    def ip(self, *lines: str) -> None:
        """Want lines run by one C(ip -batch), which ends at the first that fails: none may when networkd was faster."""
        self._lines += lines

    def close(self) -> Outcome:
        """Turn what was collected into steps."""
        if self._reload:
            self.step("networkd", "networkd", ORDER_NETWORKD, links=list(dict.fromkeys(self._links)))
        if self._restart:
            self.step("networkd", "networkd anew", ORDER_RESTART, restart=True)
        if self._lines:
            self.step("ip", "ip", ORDER_IP, lines=list(dict.fromkeys(self._lines)))
        self._lines, self._links, self._reload, self._restart = [], [], False, False
        return self

    def claimed(self, host: Host, where: Place, key: str, name: str, passive: bool = False) -> None:
        """Refuse to configure a link that somebody else configures.

        Args:
            passive: it is there without us; if it is ifupdown's, it is taken over.
        """
        claim = next((claim for claim in host.claims if claim.interface == name), None)
        if claim is not None and claim.program == "ifupdown" and passive:
            self._take_over(host, where, key, name)
            claim = None
        claim = claim or self.networkd_claim(host, name, written=True)
        if claim is None:
            return
        way = "remove it there" if passive else "remove it there or choose another name"
        self.problems.append(where.problem(key, name, f"an interface that nothing else configures ({claim}; {way})"))

    def _take_over(self, host: Host, where: Place, key: str, name: str) -> None:
        """Plan that ifupdown leaves an interface alone, for as long as this change lasts."""
        texts = host.ifupdown.files.items()
        found = [one for path, text in texts for one in stanzas(path, text) if one.interface == name]
        for stanza in found:
            if stanza.only_there is not None:
                line, said = stanza.only_there
                allowed = f"an interface that needs nothing but addresses (ifupdown: {stanza.path} line {line} says "
                self.problems.append(where.problem(key, name, f"{allowed}'{said}'; remove it there)"))
                return
        if name in self.taken:
            return
        places = ", ".join(f"{stanza.path} line {stanza.line}" for stanza in found)
        options: dict[str, tuple[object, object]] = {"configured by": ("ifupdown", "systemd-networkd")}
        self.plan.add(Change("change", "interface", name, options, f"what says otherwise is commented out: {places}"))
        commands = lost_commands(found)
        if commands:
            self.warnings.append(f"{where}: ifupdown no longer runs {', '.join(commands)} for {name}")
        self.taken.append(name)
        link = host.links.get(name)
        addresses = link.addresses if link is not None else ()
        back = give_back_argv(name, found, addresses, host.ifupdown.running.get(name, Running()))
        # When it is undone, networkd has let it go before it is given back.
        self.step("command", f"release {name}", ORDER_RELEASE, argv=release_argv(name), undo=[])
        self.step("command", f"give {name} back", ORDER_GIVE_BACK, argv=[], undo=back)

    def networkd_claim(self, host: Host, name: str, written: bool = False) -> Claim | None:
        """Return who else rules a link by networkd; C(written) is for one that gets a file of ours by this plan."""
        if self._others is None:
            self._others = visible(host.files)
        path = networkd.network_path(name)
        ours = written or (path in host.files and self.files.get(path, "") is not None)
        before = path.rpartition("/")[2] if ours else None
        return networkd_claim(self._others, name, host.links.get(name), before)

    def enable_networkd(self, host: Host) -> None:
        """Make networkd start at boot, without which nothing of this would be there then."""
        if host.enabled:
            return
        self.plan.add(Change("change", "unit", NETWORKD_UNIT, {"enabled": (False, True)}))
        self.step("unit", NETWORKD_UNIT, ORDER_UNIT, action="enable")
