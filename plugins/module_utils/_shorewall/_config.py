# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Every file of Shorewall's but zones, interfaces and hosts: from the module's parameters to the candidate."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Change, Problem
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall import (
    _boot,
    _checks,
    _conf,
    _ipsets,
    _leftovers,
    _merge,
    _optimize,
    _providers,
    _settings,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._addresses import PLACES, is_long
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._compile import POSTCOMPILE
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._family import IPV4, IPV6
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._files import Staging, decode
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._gateways import Neighbour, resolve_macs
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._lists import is_derived, named_in
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._rows import Row
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._schema import FILES, OBSOLETE, SCRIPTS

ROW_FILES = tuple(name for name in FILES if name not in ("zones", "interfaces", "hosts"))
RT_TABLES = "/etc/iproute2/rt_tables"
SYSCTL_FILES = ("/etc/sysctl.conf",)
SYSCTL_DIRECTORIES = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d")
_RP_FILTER = re.compile(r"^\s*-?\s*net[./]ipv4[./]conf[./](?P<name>\S+?)[./]rp_filter\s*=\s*1\s*$")
# Not what an editor or the package manager leaves behind: Shorewall never reads that.
FILE_NAME = re.compile(r"(?!.*(?:^|/)\.)[\w.+-]+(?:/[\w.+-]+)*(?<!\.bak)(?<!\.annotated)")
BLOCK = "gateways of shared interfaces"
# After the firewall, or what is dropped would come back with its old mark.
ORDER_FORGET = 66
# Nothing to drop is no failure, but its status says 1; without the program they end by themselves, later.
_FORGET = 'command -v conntrack > /dev/null || exit 0; conntrack -D -f "$1" --mark "$2" > /dev/null 2>&1; [ $? -le 1 ]'


class Request:
    """What the module was asked for, read against the candidate.

    Args:
        staging: the candidate's files.
        params: the module's parameters.
        neighbour: finds the MAC address of an address on an interface of the host.
        glance: likewise, but gives up sooner. None: nobody is asked.
    """

    def __init__(
        self, staging: Staging, params: Mapping[str, Any], neighbour: Neighbour, glance: Neighbour | None = None
    ) -> None:
        self.staging = staging
        self.params = params
        self.problems: list[Problem] = []
        self.rows: dict[str, list[Row]] = {}
        self.glued: dict[str, list[Row]] = {}
        # What others put beside it stays.
        self.exclusive = bool(params.get("exclusive", True))
        self.providers: list[dict[str, Any]] | None = None
        # First, so that rows are checked against what these files will say.
        self._stage_texts()
        self._read_providers(neighbour, glance or (lambda *_unused: None))
        self._read_rows()
        self.sets = self._read_sets()
        self.settings = self._assignments("settings")
        self.variables = self._assignments("params")

    def _assignments(self, name: str) -> dict[str, str]:
        wanted = {str(key): _conf.to_text(value) for key, value in (self.params.get(name) or {}).items()}
        for key, value in wanted.items():
            if not re.fullmatch(r"[A-Za-z_]\w*", key):
                self.problems.append(Problem(name, None, key, key, "a shell variable's name"))
            if not _conf.is_right(value):
                self.problems.append(
                    Problem(name, None, key, value, "ASCII text without double quotes, backquotes and backslashes")
                )
        return wanted

    def _stage_texts(self) -> None:
        """Stage the files that are given as text."""
        family = self.staging.family
        given = {*(name for name in ROW_FILES if self.params.get(name) is not None)}
        given |= {SCRIPTS[name] for name, text in (self.params.get("scripts") or {}).items() if text is not None}
        given |= {name for name in ("params",) if self.params.get(name)}
        given |= {f"{family.product}.conf"} if self.params.get("settings") else set()
        for name, value in (self.params.get("files") or {}).items():
            text = "" if value is None else str(value)
            if not FILE_NAME.fullmatch(str(name)) or name == "postcompile":
                allowed = f"the name of a file below {family.config}, but postcompile"
                self.problems.append(Problem("files", None, str(name), name, allowed))
            elif name in given:
                allowed = f"either this text or the option that writes {name}, not both"
                self.problems.append(Problem("files", None, str(name), "a text", allowed))
            elif name in OBSOLETE and _leftovers.says_something(text):
                self.problems.append(Problem("files", None, name, "a text", f"no text: Shorewall has {OBSOLETE[name]}"))
            else:
                self.staging.stage_text(f"{family.config}/{name}", "file", str(name), text)
                self.staging.notes.append(f"{name}:0:files.{name}")

    def _read_providers(self, neighbour: Neighbour, glance: Neighbour) -> None:
        entries = self.params.get("providers")
        known = _providers.known_providers(self.staging.rows("providers"))
        self.known = self.before = known
        if entries is None:
            return
        named = {str(entry.get("name")) for entry in entries}
        entries = _merge.present(_merge.numbered(entries, "providers"))
        listed = [{key: value for key, value in entry.items() if value is not None} for entry in entries]
        if not self.exclusive:
            listed += _providers.kept_providers(known, named)
        others = self._other_providers()
        _providers.assign_numbers(listed, known, {int(entry["number"]) for entry in others.values()})
        self.problems += _providers.check_disjoint(listed, others)
        resolved = resolve_macs(listed, known, neighbour, glance, bool(self.params.get("repin_gateways")))
        self.problems += resolved.problems
        self.staging.remarks += resolved.remarks
        self.providers = listed
        self.known = {str(entry["name"]): entry for entry in listed if entry.get("name")}

    def _other_providers(self) -> dict[str, dict[str, Any]]:
        """Return the providers of the other version of IP: both have their tables in one file of names."""
        other = IPV6 if self.staging.family == IPV4 else IPV4
        found = _providers.known_providers(Staging(self.staging.candidate, other).rows("providers"))
        return {name: entry for name, entry in found.items() if str(entry.get("number", "")).isdigit()}

    def _read_rows(self) -> None:
        for name in ROW_FILES:
            entries = self.params.get(name)
            if entries is None:
                continue
            entries = _merge.numbered(entries, name)
            if name == "providers" and self.providers is not None:
                gone = [entry for entry in entries if entry.get(_merge.STATE) == _merge.ABSENT]
                mine = [entry for entry in self.providers if not entry.get(_providers.KEPT)]
                entries = gone + _providers.split_macs(mine, self.before)
            elif name == "mangle":
                entries, problems = _providers.fill_marks(entries, self.known)
                self.problems += problems
                entries = [*_providers.further_mac_rules(self.providers or ()), *entries]
            spec = self.staging.files[name]
            if self.exclusive:
                merged = _merge.take_all(spec, entries)
            else:
                merged = _merge.merge(spec, self.staging.rows(name), entries)
            self.rows[name], self.glued[name] = merged.rows, merged.glued
            self.problems += merged.problems

    def _read_sets(self) -> _ipsets.Sets | None:
        entries = self.params.get("ipsets")
        if entries is None:
            return None
        sets, problems = _ipsets.read_sets(entries, self.staging.family)
        self.problems += problems
        if self.staging.family == IPV6:
            self.problems += _ipsets.check_disjoint(entries, self.staging.candidate)
        return sets

    def check(self) -> None:
        """Add what is wrong across files; a file that was not given counts as it will be on the host."""
        # One problem for each place: a value of the wrong type cannot also be wrong for what it says.
        places = {problem.place() for problem in self.problems}
        self.problems += [problem for problem in self._across() if problem.place() not in places]

    def _across(self) -> Iterator[Problem]:
        staging, version = self.staging, self.staging.family.version
        zone_rows, interface_rows = staging.rows("zones"), staging.rows("interfaces")
        zones = _checks.zone_names(zone_rows)
        for name in ("policy", "rules"):
            if name in self.rows and zones:
                yield from _checks.check_zones_used(name, self.rows[name], zones)
        tables = [*self.known, "main", "default", "local", "balance"]
        for name, named in (("tunnels", {"zones": zones}), ("routes", {"providers": tables})):
            if zones or name == "routes":
                yield from _checks.check_references(staging.files[name], self.rows.get(name, ()), named)
        yield from _checks.check_interfaces_used(
            "rules", self.rows.get("rules", ()), interface_rows, staging.rows("hosts")
        )
        yield from _checks.check_networks(self.rows, version)
        yield from _checks.check_rules(self.rows.get("rules", ()), version)
        yield from _checks.check_policies(self.rows.get("policy", ()), _checks.firewall_zone(zone_rows))
        if self.providers is not None:
            use_default_rt = self._setting("USE_DEFAULT_RT", "Yes") == "Yes"
            yield from _checks.check_providers(self.providers, interface_rows, use_default_rt)
            if self.params.get("follow_monitor"):
                yield from _providers.check_tables(self.providers, self._table_names())
        providers = self.providers if self.providers is not None else list(self.known.values())
        if "rtrules" in self.rows:
            yield from _checks.check_rtrules(self.rows["rtrules"], providers)
        yield from _checks.check_next_hops(self.rows.get("routes", ()), providers)
        yield from _checks.check_log_format(self.settings, zones)
        management = self.params.get("management") or {}
        if management and "stoppedrules" in self.rows:
            sources, port = management["sources"], management["port"]
            yield from _checks.check_stopped(self.rows["stoppedrules"], sources, port, version)
        template = staging.candidate.read(staging.family.conf_template)
        yield from _settings.check_values(self.settings)
        yield from _checks.check_settings(self.settings, _conf.read(decode(template)), bool(providers))
        if self.sets and self._setting("SAVE_IPSETS", "No") not in ("", "No"):
            allowed = "No: what was saved when the firewall stopped would take the place of the lists given here"
            yield Problem("settings", None, "SAVE_IPSETS", self._setting("SAVE_IPSETS", "No"), allowed)
        yield from _leftovers.obsolete_files(staging.candidate, staging.family)
        if providers and version == 4:
            names = {str(entry.get("interface")) for entry in providers}
            yield from reverse_path_filters(staging.candidate, names)

    def _table_names(self) -> dict[str, str]:
        """Return the files that give routing tables names."""
        candidate, directory = self.staging.candidate, f"{RT_TABLES}.d"
        paths = [RT_TABLES, *(f"{directory}/{name}" for name in candidate.listdir(directory) if name.endswith(".conf"))]
        return {path: decode(candidate.read(path)) for path in paths}

    def stage(self) -> None:
        """Write everything into the candidate."""
        staging, candidate, family = self.staging, self.staging.candidate, self.staging.family
        staging.lists.enabled = self._can_have_sets()
        for name, rows in self.rows.items():
            staging.stage_rows(name, rows, not self.exclusive, self.glued[name])
        if self.settings:
            staging.stage_assignments(family.conf, "setting", self.settings, family.conf_template)
        if self.variables:
            staging.stage_assignments(f"{family.config}/params", "param", self.variables)
        scripts = dict(self.params.get("scripts") or {})
        if self.providers is not None:
            init = scripts.get("init")
            if init is None:
                init = decode(candidate.read(f"{family.config}/init"))
            rest = _conf.set_block(init, BLOCK, "")
            body = _providers.init_block(self.providers, rest) if self.params.get("pin_gateways", True) else ""
            body += _providers.verdict_block(self.providers) if self.params.get("follow_monitor") else ""
            scripts["init"] = _conf.set_block(init, BLOCK, body)
            self._forget_connections()
        sets = self._all_sets()
        if sets is not None:
            _ipsets.stage(candidate, staging.plan, sets, family)
            init = scripts.get("init")
            init = decode(candidate.read(f"{family.config}/init")) if init is None else init
            scripts["init"] = _conf.set_block(init, _ipsets.BLOCK, _ipsets.init_block(sets, family))
        for option, name in SCRIPTS.items():
            if scripts.get(option) is not None:
                staging.stage_text(f"{family.config}/{name}", "script", name, scripts[option])
        defaults = {
            str(key): _conf.to_text(value) for key, value in (self.params.get("service_defaults") or {}).items()
        }
        if defaults:
            staging.stage_assignments(family.service_defaults, "service default", defaults)
        if self.params.get("closed_boot") is not None:
            _boot.stage(staging, bool(self.params["closed_boot"]))
        if not any(path.startswith(f"{family.config}/") for path in candidate.entries):
            # A configuration that is as wanted needs nothing of ours beside it.
            return
        self._choose_level()
        self._choose_actions()
        path = f"{family.config}/postcompile"
        text = _conf.set_block(decode(candidate.read(path)), "fingerprint", POSTCOMPILE)
        staging.stage_text(path, "script", "postcompile", text, routing=False)
        if self.known and candidate.read(RT_TABLES) is None:
            # Debian 13 ships it elsewhere; Shorewall fills in the providers' names only where the file exists.
            staging.stage_text(RT_TABLES, "file", RT_TABLES, "# Tables of Shorewall's providers\n")

    def _can_have_sets(self) -> bool:
        """Whether long lists in rows can be sets of the kernel; asks the host only where there are any."""
        if self._setting("SAVE_IPSETS", "No") not in ("", "No"):
            return False
        long = any(
            is_long(row.get(column)) for name in PLACES for row in self.rows.get(name, ()) for column in PLACES[name]
        )
        return long and _ipsets.usable()

    def _all_sets(self) -> _ipsets.Sets | None:
        """Return the lists that have names and those that rows hold, or None where there are none to manage."""
        staging, family = self.staging, self.staging.family
        lists, named = staging.lists, self.sets
        every = {**lists.known, **lists.staged, **lists.chosen}
        if named is None:
            if not every:
                return None
            have = _ipsets.read_file(staging.candidate.read, family)
            named = {name: members for name, members in have.items() if not is_derived(name)}
        used: set[str] = set()
        for name in PLACES if every else ():
            used |= named_in(decode(staging.candidate.read(f"{family.config}/{name}")))
        return {**named, **{name: list(every[name]) for name in sorted(used & every.keys())}}

    def _forget_connections(self) -> None:
        """Drop connections whose mark would send them to another provider, or to none: they can only begin again."""
        staging = self.staging
        staging.remarks += _providers.renumbered(self.before, self.known)
        for mark, reason in sorted(_providers.orphans(self.before, self.known).items()):
            staging.plan.add(Change("delete", "connections", f"mark {mark}", note=reason))
            argv = ["sh", "-c", _FORGET, "forget", f"ipv{staging.family.version}", f"{mark}/0xff"]
            staging.candidate.step("command", f"drop connections of mark {mark}", ORDER_FORGET, argv=argv)

    def _setting(self, name: str, default: str) -> str:
        """Return what a setting will be."""
        candidate, family = self.staging.candidate, self.staging.family
        content = candidate.read(family.conf) or candidate.read(family.conf_template)
        return self.settings.get(name) or _conf.read(decode(content)).get(name) or default

    def _choose_level(self) -> None:
        """Have the compiler work as hard as the size of the configuration allows, unless the user says how hard."""
        staging, family = self.staging, self.staging.family
        if "OPTIMIZE" in self.settings:
            return
        current = self._setting("OPTIMIZE", "")
        rows = staging.written["rules"] if "rules" in staging.written else staging.document("rules").rows
        count = _optimize.count_rules((row.get("source"), row.get("dest")) for row in rows)
        level = _optimize.choose(current, count, len(staging.rows("zones")))
        if current and level != current:
            staging.stage_assignments(family.conf, "setting", {"OPTIMIZE": level}, family.conf_template)

    def _choose_actions(self) -> None:
        """Have what the policies of many zones begin with compiled once, unless the user says what the file says."""
        staging, family = self.staging, self.staging.family
        if family != IPV4 or "actions" in (self.params.get("files") or {}):
            return
        path = f"{family.config}/actions"
        have = decode(staging.candidate.read(path))
        rest = _conf.set_block(have, _optimize.BLOCK, "")
        text = _conf.set_block(have, _optimize.BLOCK, _optimize.choose_actions(rest, len(staging.rows("zones"))))
        if text != have:
            staging.stage_text(path, "file", "actions", text, routing=False)


def reverse_path_filters(candidate: Candidate, interfaces: set[str]) -> list[Problem]:
    """Refuse files that turn strict reverse path filtering on.

    The kernel takes the larger of the values for all and for the interface.
    """
    problems = []
    listed = {
        name: f"{directory}/{name}"
        for directory in reversed(SYSCTL_DIRECTORIES)
        for name in candidate.listdir(directory)
        if name.endswith(".conf")
    }
    for path in [*listed.values(), *SYSCTL_FILES]:
        for number, line in enumerate(decode(candidate.read(path)).splitlines(), 1):
            found = _RP_FILTER.match(line)
            if found and found["name"].replace("/", ".") in {"all", "default", "*", *interfaces}:
                allowed = "0 or 2, since there are providers: strict filtering drops replies that take another way"
                problems.append(Problem(path, None, f"line {number}", line.strip(), allowed))
    return problems
