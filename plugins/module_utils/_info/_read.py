# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Read the host. Every function here only reads."""

from __future__ import annotations

import importlib
import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._kernel import parse_links
from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._files import _leases, _units
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._firewall import has_chain
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._run import ApplyError, run
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._transaction import Transaction
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._backend import BackendError, LibvirtBackend
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall import _adopt, _compile, _document
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._family import IPV4, IPV6, Family
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._rows import to_options
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._schema_ipv6 import files_of

from . import _commits, _dns, _gateways, _guests, _links, _monitor, _uplinks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NOT_INSTALLED = "not installed"
_DNSMASQ_UNIT = "dnsmasq@kvmnet.service"
_LEASES = Path("/var/lib/misc/dnsmasq.kvmnet.leases")
_RESERVATIONS = Path("/etc/dnsmasq.kvmnet.d/50-kvmnet-reservations")
_MONITOR_STATE = Path("/run/kvmnet/uplinks.json")
_NOTHING: dict[str, Any] = {"configuration": None, "notes": [], "problems": [], "leftovers": []}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return ""


def _ip(*words: str) -> list[dict[str, Any]]:
    # Numbers instead of names: a name is in a file that any provider may have changed.
    found: list[dict[str, Any]] = json.loads(run(["ip", "-j", "-N", *words]) or "[]")
    return found


def links() -> dict[str, Any]:
    """Return bridges, their ports and other interfaces."""
    return _links.describe(parse_links(json.loads(run(["ip", "-j", "-d", "address", "show"]))).values())


def guard() -> dict[str, Any]:
    """Return whether a commit is on its way, and what the last one came to."""
    transaction = Transaction()
    return _commits.describe(transaction.armed, transaction.about(), transaction.last_report(), time.time())


def dnsmasq() -> dict[str, Any]:
    """Return the state of our instance, its leases and its reservations."""
    state = _units.read_states([_DNSMASQ_UNIT])[_DNSMASQ_UNIT]
    installed = shutil.which("dnsmasq") is not None
    return {
        "state": NOT_INSTALLED if not installed else "running" if state.active else "stopped",
        "enabled": state.enabled,
        "leases": [vars(lease) for lease in _leases.parse_leases(_text(_LEASES))],
        "reservations": [vars(entry) for entry in _leases.parse_reservations(_text(_RESERVATIONS))],
    }


def _directory(family: Family) -> Path:
    return Path(family.config)


def _rows(name: str, family: Family = IPV4) -> list[dict[str, Any]]:
    spec = files_of(family)[name]
    return [to_options(spec, row) for row in _document.parse(spec, _text(_directory(family) / name)).rows]


def _without(row: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in keys}


def _as_part(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an interface's row as it stands in a zone."""
    return {"name": row["interface"], **_without(row, "interface", "zone")}


def shorewall(
    rules: Iterable[Mapping[str, Any]], routes: Iterable[Mapping[str, Any]], family: Family = IPV4
) -> dict[str, Any]:
    """Return the firewall's state, its zones in the words of shorewall_zone, its providers and the routing rules."""
    installed = _compile.is_installed(family)
    interfaces, hosts = _rows("interfaces", family), _rows("hosts", family)
    zones = [
        {
            **zone,
            "interfaces": [_as_part(row) for row in interfaces if row.get("zone") == zone["name"]],
            "hosts": [_without(row, "zone") for row in hosts if row.get("zone") == zone["name"]],
        }
        for zone in _rows("zones", family)
    ]
    defaults = _uplinks.defaults_by_table(routes)
    found = _adopt.describe(Candidate(None, None), family) if _directory(family).is_dir() else _NOTHING
    started = has_chain("shorewall", family.iptables)
    return {
        "state": NOT_INSTALLED if not installed else "started" if started else "stopped",
        "zones": zones,
        "interfaces": [_as_part(row) for row in interfaces if "zone" not in row],
        "providers": _rows("providers", family),
        "rules": list(rules),
        "default_routes": {table: [vars(hop) for hop in hops] for table, hops in defaults.items()},
        **found,
    }


def rules_and_routes(family: Family = IPV4) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the kernel's rules and routes of all tables, of one version of IP."""
    version = f"-{family.version}"
    return _ip(version, "rule"), _ip(version, "route", "show", "table", "all")


def shorewall6() -> dict[str, Any]:
    """Return the same of IPv6's firewall; the kernel is not asked where there is none."""
    rules, routes = rules_and_routes(IPV6) if _directory(IPV6).is_dir() else ([], [])
    return shorewall(rules, routes, IPV6)


def _connections() -> dict[int, int] | None:
    """Count the connections of each provider; None where nothing is there to ask."""
    if shutil.which("conntrack") is None:
        return None
    try:
        return _monitor.count_connections(run(["conntrack", "-L", "-f", "ipv4"]).splitlines())
    except ApplyError:
        # A kernel that does not track connections has none to count.
        return None


def uplinks(rules: Iterable[Mapping[str, Any]], routes: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the uplinks, which of them carries traffic and how each one does, and who says so."""
    providers, now = _rows("providers"), time.time()
    units = _units.read_states([*_monitor.UNITS.values()])
    states = {program: units[unit] for program, unit in _monitor.UNITS.items()}
    monitor = _monitor.describe(states, _text(_MONITOR_STATE), now)
    marks = _monitor.marks(providers)
    found = _uplinks.describe(providers, rules, routes)
    known = _gateways.answering(_ip("-4", "neighbour"))
    found = _gateways.complete(found, providers, _rows("mangle"), known)
    shown = _monitor.complete(found, marks, monitor, _connections() if len(marks) > 1 else None, now)
    return {"uplinks": shown, "monitor": {key: value for key, value in monitor.items() if key != "uplinks"}}


def guests(uri: str) -> dict[str, Any]:
    """Return libvirt's domains, or why there are none."""
    try:
        library = importlib.import_module("libvirt")
    except ImportError:
        return {"state": NOT_INSTALLED, "message": "python3-libvirt is not installed", "domains": []}
    try:
        domains = LibvirtBackend(library, uri).domains()
    except BackendError as error:
        return {"state": "unreachable", "message": str(error), "domains": []}
    return {"state": "running", "message": "", "domains": _guests.describe(domains)}


def resolve(wanted: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Ask name servers for names and addresses, each server for all of them at once."""
    rows = list(wanted)
    by_server: dict[str, list[_dns.Question]] = {}
    for row in rows:
        questions = by_server.setdefault(row["server"], [])
        questions.append(_dns.Question(row["name"], _dns.A))
        if row["address"]:
            questions.append(_dns.Question(_dns.reverse_name(row["address"]), _dns.PTR))
    answers = {server: _dns.ask(server, questions) for server, questions in by_server.items()}
    found = []
    for row in rows:
        forward = answers[row["server"]][_dns.Question(row["name"], _dns.A)]
        result = {**row, "addresses": list(forward.values), "error": forward.error, "names": [], "reverse_error": None}
        if row["address"]:
            reverse = answers[row["server"]][_dns.Question(_dns.reverse_name(row["address"]), _dns.PTR)]
            result |= {"names": list(reverse.values), "reverse_error": reverse.error}
        found.append(result)
    return found
