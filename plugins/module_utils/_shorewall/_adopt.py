# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""The configuration that is on a host, as the options of shorewall_zone and shorewall_config.

Given back to the modules it changes nothing. That is not hoped for but tried: what would change or be refused when
given as rows is given as the text of its file, with a note that says why.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall import _boot, _conf, _ipsets, _leftovers, _optimize
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._config import BLOCK, FILE_NAME, ROW_FILES
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._family import IPV4, Family
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._files import Staging, remark_unsure
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._gateways import normalise_mac
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._providers import VERDICT
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._rows import to_options
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._run import (
    InvalidError,
    stage_config,
    stage_zones,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._schema import OBSOLETE, SCRIPTS

_ZONE_FILES = ("zones", "interfaces", "hosts")
_DIRECTIVE = re.compile(
    r"(?mi)^[ \t]*(?:\?[ \t]*(?!FORMAT\b|SECTION\b|COMMENT\b)(?P<word>\w+)|(?P<bare>INCLUDE|SHELL|PERL|BEGIN)\b)"
)
_PLAIN_PARAM = re.compile(
    r"""[ \t]*(?:[A-Za-z_]\w*=(?:[\w./:,+@%^-]*|"[^"`\\$]*"|'[^'"`\\$]*')[ \t]*)?(?:(?<!\S)\#.*)?"""
)
_TRIES = 4


def describe(candidate: Candidate, family: Family = IPV4) -> dict[str, Any]:
    """Return the configuration, and what is to be said about it.

    Returns:
        C(configuration) with the modules' options, C(notes) that say what is given as text and why, C(problems) that
        keep the modules from taking it, and C(leftovers) of older versions.
    """
    reader = _Reader(candidate, family)
    for _unused in range(_TRIES):
        options = reader.options()
        wrong = dict(_try(candidate, family, options))
        more = {name: why for name, why in wrong.items() if name in reader.can_be_text - reader.texts.keys()}
        if not more:
            break
        reader.texts |= more
    return {
        "configuration": options,
        "notes": [
            f"{name} is given as text: {why}" for name, why in sorted(reader.texts.items()) if name in options["files"]
        ]
        + reader.unsure
        + reader.notes,
        "problems": list(dict.fromkeys(why for name, why in wrong.items() if name not in more)),
        "leftovers": [vars(leftover) for leftover in _leftovers.find(candidate, family)],
    }


class _Reader:
    """Reads the files as options.

    Args:
        candidate: the host's files.
        family: the firewall.
    """

    def __init__(self, candidate: Candidate, family: Family) -> None:
        self.candidate = candidate
        self.family = family
        self.staging = Staging(candidate, family)
        self.notes: list[str] = []
        names = [*_ZONE_FILES, *ROW_FILES]
        self.can_be_text = {*(name for name in names if self._content(name) is not None), "params"}
        # File -> why it is no rows.
        self.texts: dict[str, str] = {}
        self.unsure: list[str] = []
        for name in names:
            found = _DIRECTIVE.search(self._content(name) or "")
            if found:
                document = self.staging.document(name)
                if document.unsure:
                    self.unsure.append(remark_unsure(f"{family.config}/{name}", document))
                self.texts[name] = f"rows cannot say {'?' if found['word'] else ''}{found['word'] or found['bare']}"

    def _content(self, name: str) -> str | None:
        """Return a file's text, or None when it is not there or no text."""
        content = self.candidate.read(f"{self.family.config}/{name}")
        try:
            return None if content is None else content.decode()
        except UnicodeDecodeError:
            return None

    def _delivered(self, name: str) -> str:
        """Return the file as the package delivers it."""
        content = self.candidate.read(f"/usr/share/{self.family.product}/configfiles/{name}")
        return (content or b"").decode(errors="replace")

    def options(self) -> dict[str, Any]:
        """Return the options of both modules."""
        self.notes = []
        options = self._zones()
        for name in ROW_FILES:
            options[name] = None if name in self.texts else self._rows(name)
        options["params"] = self._params()
        options["settings"] = self._settings()
        options["scripts"] = self._scripts()
        options["pin_gateways"] = self._pins()
        options["follow_monitor"] = VERDICT in (self._content("init") or "")
        options["closed_boot"] = self.candidate.live(_boot.PROGRAM) is not None
        options["files"] = {
            name: text
            for name, text in ((name, self._content(name)) for name in self._texts())
            if text and text != self._delivered(name)
        }
        defaults = _conf.read((self.candidate.read(self.family.service_defaults) or b"").decode(errors="replace"))
        options["service_defaults"] = {name: value for name, value in defaults.items() if _conf.is_right(value)}
        return options

    def _rows(self, name: str) -> list[dict[str, Any]]:
        rows = [to_options(self.staging.files[name], row) for row in self.staging.rows(name)]
        if name == "providers":
            return [
                row | {"gateway_mac": [normalise_mac(row["gateway_mac"])]} if "gateway_mac" in row else row
                for row in rows
            ]
        return rows

    def _zones(self) -> dict[str, Any]:
        zones, interfaces, hosts = (self._rows(name) for name in _ZONE_FILES)
        if not {"interfaces", "hosts"} & self.texts.keys():
            zones = [
                zone
                | {
                    "interfaces": [_as_part(row) for row in interfaces if row.get("zone") == zone.get("name")],
                    "hosts": [_without(row, "zone") for row in hosts if row.get("zone") == zone.get("name")],
                }
                for zone in zones
            ]
            loose = [_as_part(row) for row in interfaces if "zone" not in row]
        else:
            # One of them as text: what the other says would otherwise be nowhere.
            self.texts |= {name: "it goes with the other" for name in ("interfaces", "hosts") if name not in self.texts}
            loose = []
        if self.texts.get("zones", "").startswith("zones"):
            # Refused as rows: those on the host stay when none is listed.
            zones = []
        whole = not set(_ZONE_FILES) & self.texts.keys()
        return {"zones": zones, "interfaces": loose, "zones_exclusive": whole}

    def _params(self) -> dict[str, str]:
        text = self._content("params") or ""
        lines = [line for line in text.splitlines() if "=" in line.partition("#")[0]]
        values = _conf.read(text)
        if all(_PLAIN_PARAM.fullmatch(line) for line in text.splitlines()) and len(lines) == len(values):
            return values
        self.texts["params"] = "it is a program"
        return {}

    def _settings(self) -> dict[str, str]:
        name = f"{self.family.product}.conf"
        have, usual = _conf.read(self._content(name) or ""), _conf.read(self._delivered(name))
        settings = {}
        for setting, value in have.items():
            if usual and setting not in usual:
                if setting not in _leftovers.SETTINGS:
                    self.notes.append(f"settings.{setting} is left out: this version of Shorewall has no such setting")
            elif usual.get(setting) == value:
                continue
            elif _conf.is_right(value):
                settings[setting] = value
            else:
                self.notes.append(f"settings.{setting} is left out: {value!r} cannot be given")
        return settings

    def _scripts(self) -> dict[str, str]:
        scripts = {}
        for option, name in SCRIPTS.items():
            text = self._content(name) or ""
            for block in (_ipsets.BLOCK, BLOCK):
                rest = _conf.set_block(text, block, "")
                found = re.search(rf"(?ms)^{re.escape(_conf.BLOCK_BEGIN.format(name=block))}\n(.*?)^# END", text)
                # What the module adds by itself is not the user's, unless it would add it elsewhere.
                if found and _conf.set_block(rest, block, found[1]) == text:
                    text = rest
            if text and text != self._delivered(name):
                scripts[option] = text
        return scripts

    def _pins(self) -> bool:
        """Whether the gateways of shared interfaces are pinned, or there are none."""
        init = self._content("init") or ""
        shared = [row for row in self._rows("providers") if row.get("address") and row.get("gateway_mac")]
        return not shared or re.search(r"(?m)^\s*SW_\w+_MAC=", init) is not None

    def _texts(self) -> Iterator[str]:
        """Yield the names of the files that are given as text."""
        yield from self.texts
        top = self.candidate.host_root / self.family.config.lstrip("/")
        known = {*_ZONE_FILES, *ROW_FILES, *SCRIPTS.values(), "params", f"{self.family.product}.conf", "postcompile"}
        known |= OBSOLETE.keys() | _leftovers.UNUSED_SCRIPTS.keys()
        for path in sorted(top.rglob("*")):
            name = str(path.relative_to(top))
            if name in known or not path.is_file() or not FILE_NAME.fullmatch(name):
                continue
            if name == "actions" and not _conf.set_block(self._content(name) or "", _optimize.BLOCK, ""):
                # Nothing but what the module adds by itself.
                continue
            if self._content(name) is None:
                self.notes.append(f"files.{name} is left out: it is no text")
            yield name


def _without(row: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in keys}


def _as_part(row: dict[str, Any]) -> dict[str, Any]:
    """Return an interface's row as it stands in a zone."""
    return {"name": row.get("interface"), **_without(row, "interface", "zone")}


def _stage_zones(candidate: Candidate, params: dict[str, Any]) -> None:
    stage_zones(candidate, {**params, "exclusive": params["zones_exclusive"]}, True)


def _stage_config(candidate: Candidate, params: dict[str, Any]) -> None:
    # Nothing is learned from the network: what is not pinned on the host is not.
    stage_config(candidate, params, True, lambda *_: None)


def _try(candidate: Candidate, family: Family, options: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Give the options to the modules and yield which file they would change or refuse, and why."""
    params = {**options, "family": family.name}
    trial = Candidate(None, None, candidate.host_root)
    problems: list[Problem] = []
    for work in (_stage_zones, _stage_config):
        try:
            work(trial, params)
        except InvalidError as error:
            problems += error.problems
    for problem in problems:
        # What is wrong with one of the three can lie in another.
        for name in _ZONE_FILES if problem.variable in _ZONE_FILES else (problem.variable,):
            yield name, str(problem)
    for path in trial.entries:
        yield path.removeprefix(f"{family.config}/"), "given as rows it would be written otherwise"
