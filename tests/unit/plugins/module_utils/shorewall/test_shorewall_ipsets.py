# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Address lists: what is written, what is loaded, and when nothing is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import _firewall, _run
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall import _compile, _ipsets
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._family import IPV4, IPV6
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._run import InvalidError, stage_config

PATH = "/etc/kvmnet/shorewall.ipsets"
BLOCKED: dict[str, Any] = {"name": "blocked", "entries": ["203.0.113.9", "192.0.2.0/24", "203.0.113.9/32"]}
TEXT = """\
create blocked hash:net family inet maxelem 1048576 -exist
create kvmnet-new-4 hash:net family inet maxelem 1048576 -exist
flush kvmnet-new-4
add kvmnet-new-4 192.0.2.0/24
add kvmnet-new-4 203.0.113.9
swap kvmnet-new-4 blocked
destroy kvmnet-new-4
"""


@pytest.fixture(name="root")
def fixture_root(tmp_path: Path) -> Path:
    config = tmp_path / "etc/shorewall"
    config.mkdir(parents=True)
    (config / "shorewall.conf").write_text("SAVE_IPSETS=No\nOPTIMIZE=All\n")
    (config / "zones").write_text("fw firewall\nnet ipv4\n")
    return tmp_path


@pytest.fixture(name="kernel")
def fixture_kernel(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    kernel: dict[str, list[str]] = {}
    monkeypatch.setattr(_ipsets, "in_kernel", lambda: kernel)
    return kernel


def stage(root: Path, sets: list[dict[str, Any]], **params: Any) -> tuple[Candidate, Any]:
    candidate = Candidate(None, None, root)
    return candidate, stage_config(candidate, {"ipsets": sets, **params}, True, lambda *_: None)


def install(root: Path, candidate: Candidate) -> None:
    for path, entry in candidate.entries.items():
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(candidate.read(path) or b"")
        target.chmod(entry["mode"])


def test_what_is_written_fills_another_set_and_swaps() -> None:
    sets, problems = _ipsets.read_sets([BLOCKED], IPV4)
    assert problems == []
    assert _ipsets.render(sets, IPV4) == TEXT
    assert _ipsets.parse(TEXT) == sets == {"blocked": ["192.0.2.0/24", "203.0.113.9"]}


def test_the_versions_of_ip_do_not_mix() -> None:
    sets, problems = _ipsets.read_sets([{"name": "six", "entries": ["2001:db8::/32", "192.0.2.1"]}], IPV6)
    assert sets == {"six": ["2001:db8::/32"]}
    assert [str(problem.value) for problem in problems] == ["192.0.2.1"]


@pytest.mark.parametrize(
    ("entry", "place"),
    [
        ({"name": "a b", "entries": []}, "ipsets[0].name"),
        ({"name": "x" * 32, "entries": []}, "ipsets[0].name"),
        ({"name": "ok", "entries": ["192.0.2.1/24"]}, "ipsets[0].entries"),
        ({"name": "ok", "entries": ["0.0.0.0/0"]}, "ipsets[0].entries"),
        ({"name": "ok", "entries": ["192.0.2.0/24; destroy x"]}, "ipsets[0].entries"),
    ],
)
def test_what_the_kernel_would_not_take_is_named(entry: dict[str, Any], place: str) -> None:
    _unused, problems = _ipsets.read_sets([entry], IPV4)
    assert [problem.place() for problem in problems] == [place]


def test_a_name_stands_once() -> None:
    _unused, problems = _ipsets.read_sets([BLOCKED, BLOCKED], IPV4)
    assert [problem.place() for problem in problems] == ["ipsets[1].name"]


def test_another_list_neither_compiles_nor_reloads(root: Path, kernel: dict[str, list[str]]) -> None:
    candidate, _unused = stage(root, [BLOCKED])
    init = (candidate.read("/etc/shorewall/init") or b"").decode()
    assert f"ipset restore < {PATH}" in init
    install(root, candidate)
    kernel["blocked"] = ["203.0.113.9", "192.0.2.0/24"]
    assert stage(root, [BLOCKED])[0].empty

    candidate, staging = stage(root, [{**BLOCKED, "entries": ["198.51.100.0/24"]}])
    assert set(candidate.entries) == {PATH}
    assert not staging.files_changed
    assert [change.options for change in staging.plan.changes] == [
        {"added": (None, ["198.51.100.0/24"]), "removed": (None, ["192.0.2.0/24", "203.0.113.9"])}
    ]
    orders = {kind: step["order"] for (kind, _unused), step in candidate.steps.items()}
    assert orders["ipset"] < IPV4.step[2] < orders["ipset-prune"]


def test_a_list_that_the_kernel_lost_is_loaded_again(root: Path, kernel: dict[str, list[str]]) -> None:
    install(root, stage(root, [BLOCKED])[0])
    kernel["blocked"] = ["192.0.2.0/24"]
    candidate, staging = stage(root, [BLOCKED])
    assert candidate.entries == {}
    assert ("ipset", PATH) in candidate.steps
    assert "kernel holds another" in staging.plan.changes[0].note


def test_without_lists_nothing_of_them_stays(root: Path, kernel: dict[str, list[str]]) -> None:
    install(root, stage(root, [BLOCKED])[0])
    candidate, _unused = stage(root, [])
    assert candidate.entries[PATH] == {"state": "absent"}
    assert candidate.read("/etc/shorewall/init") is None
    assert candidate.steps["ipset-prune", PATH]["args"]["names"] == ["blocked"]


def test_saved_sets_would_take_their_place(root: Path, kernel: dict[str, list[str]]) -> None:
    with pytest.raises(InvalidError, match="SAVE_IPSETS"):
        stage(root, [BLOCKED], settings={"SAVE_IPSETS": True})


def test_the_steps_follow_the_file_in_both_directions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[list[str], str | None]] = []

    def run(argv: list[str], stdin: str | None = None) -> str:
        ran.append((argv, stdin))
        return "blocked\nold\nforeign\n"

    monkeypatch.setattr(_firewall, "run", run)
    monkeypatch.setattr(_run, "run", run)
    path = tmp_path / "sets"
    path.write_text(TEXT)
    args = {"names": ["blocked", "old", "never"]}
    _firewall.step_ipset(str(path), args)
    _firewall.step_ipset_prune(str(path), args)
    assert ran == [(["ipset", "restore"], TEXT), (["ipset", "list", "-n"], None), (["ipset", "destroy", "old"], None)]
    ran.clear()
    path.unlink()
    _firewall.step_ipset(str(path), args)
    _firewall.step_ipset_prune(str(path), args)
    assert [argv[-1] for argv, _unused in ran] == ["-n", "blocked", "old"]


@pytest.mark.parametrize(("name", "missed"), [("blocked", False), ("loaded", False), ("nowhere", True)])
def test_only_a_list_that_is_nowhere_is_worth_a_warning(
    root: Path, kernel: dict[str, list[str]], name: str, missed: bool
) -> None:
    """The compiler runs where there are none at all."""
    kernel["loaded"] = []
    candidate, _unused = stage(root, [BLOCKED])
    warning = f"Ipset {name} does not exist /etc/shorewall/rules (line 12)"
    assert _compile._has_set(candidate, warning, IPV4) is not missed
    assert not _compile._has_set(candidate, "Something else", IPV4)
