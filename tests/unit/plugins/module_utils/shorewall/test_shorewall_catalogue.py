# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue of what can be wrong, told to our checks and to Shorewall's own compiler."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall import _compile, _conf, _zones
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._config import Request
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._family import IPV4
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._files import Staging
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._run import InvalidError, stage_config, stage_zones

CATALOGUE: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("shorewall_catalogue.yml").read_text())
CASES = {case["name"]: case for case in CATALOGUE["cases"]}
Inputs = tuple[dict[str, Any], dict[str, Any], Callable[[Path], Candidate]]


def inputs(case: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters of both modules."""
    zones = case.get("replace_zones") or [*CATALOGUE["base"]["zones"], *case.get("zones", ())]
    config = copy.deepcopy(CATALOGUE["base"]["config"])
    for more in (CATALOGUE["bases"][case["uses"]]["config"] if "uses" in case else {}, case.get("config", {})):
        for name, value in more.items():
            config[name] = config.get(name, []) + value if isinstance(value, list) else config.get(name, {}) | value
    config |= case.get("replace", {})
    return copy.deepcopy({"zones": zones, "interfaces": [], "exclusive": True}), copy.deepcopy(config)


def host(root: Path, case: dict[str, Any]) -> Candidate:
    """Return an empty candidate on a host that is a directory."""
    conf = _conf.edit(CATALOGUE["conf"], case.get("conf", {}))
    for directory in ("etc/shorewall", "usr/share/shorewall/configfiles"):
        (root / directory).mkdir(parents=True)
        (root / directory / "shorewall.conf").write_text(conf)
    for name, text in case.get("live", {}).items():
        path = root / "etc/shorewall" / name
        path.parent.resolve().mkdir(exist_ok=True)
        path.write_text(text)
    return Candidate(None, None, root)


def stage_unchecked(candidate: Candidate, zones: dict[str, Any], config: dict[str, Any]) -> None:
    """Stage what our checks may refuse."""
    rows, _unused = _zones.read_zones(zones["zones"], zones["interfaces"])
    staging = Staging(candidate)
    for name in ("zones", "interfaces", "hosts"):
        staging.stage_rows(name, getattr(rows, name))
    Request(staging, config, lambda *_: None).stage()
    candidate.step(*IPV4.step, origins=staging.notes)


@pytest.mark.parametrize("name", CASES)
def test_our_checks(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    zones, config = inputs(case)
    candidate = host(tmp_path, case)
    problems = []
    for work in (
        lambda: stage_zones(candidate, zones, True),
        lambda: stage_config(candidate, config, True, lambda *_: None),
    ):
        try:
            work()
        except InvalidError as error:
            problems += error.problems
    if "ours" in case:
        assert case["ours"] in [problem.place() for problem in problems]
        assert all(problem.allowed for problem in problems)
    else:
        assert [str(problem) for problem in problems] == []


@pytest.fixture(name="compiled", scope="module")
def fixture_compiled(
    shorewall_compiler: Callable[[Path], dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[int, str, Candidate]]:
    """Compile every case with Shorewall's own compiler; return its exit code, what it said, and the candidate."""
    work = tmp_path_factory.mktemp("compile")
    candidates = {}
    for number, (name, case) in enumerate(CASES.items()):
        zones, config = inputs(case)
        candidate = host(tmp_path_factory.mktemp("host"), case)
        stage_unchecked(candidate, zones, config)
        (work / f"{number:03}").mkdir()
        _compile.export(candidate, work / f"{number:03}")
        # Ours, not the case's, and the fingerprint would need it.
        candidates[name] = (f"{number:03}", candidate)
    done = shorewall_compiler(work)
    return {name: (done[key].code, done[key].said, candidate) for name, (key, candidate) in candidates.items()}


@pytest.mark.parametrize("name", CASES)
def test_the_compiler(compiled: dict[str, tuple[int, str, Candidate]], name: str) -> None:
    case = CASES[name]
    code, said, candidate = compiled[name]
    if "compiler" not in case:
        assert code == 0, said
        return
    assert code != 0, said
    text = _compile.explain(candidate, said, code)
    assert re.search(case["compiler"], text), text
    assert "Traceback" not in text
    # What our checks take comes back with its place and a remedy.
    if "ours" not in case:
        assert text.startswith(case["place"]), text
        assert "; remedy: " in text, text
