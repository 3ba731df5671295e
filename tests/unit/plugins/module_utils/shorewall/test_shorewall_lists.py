# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Long lists of addresses in rows: which become sets, what these are called, and what the user sees of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils import _candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Plan
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall import _addresses, _ipsets, _run
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._adopt import describe
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._run import stage_config

RULES, SETS = "/etc/shorewall/rules", "/etc/kvmnet/shorewall.ipsets"
MANY = [f"192.0.2.{number}" for number in range(1, 41)]
MORE = [*MANY, "203.0.113.9"]


@pytest.fixture(name="root")
def fixture_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with a kernel that holds what its file says."""
    config = tmp_path / "etc/shorewall"
    config.mkdir(parents=True)
    (config / "shorewall.conf").write_text("SAVE_IPSETS=No\nOPTIMIZE=All\n")
    (config / "zones").write_text("fw firewall\nnet ipv4\nloc ipv4\n")
    monkeypatch.setattr(_ipsets, "usable", lambda: True)
    file = tmp_path / SETS.lstrip("/")
    monkeypatch.setattr(_ipsets, "in_kernel", lambda: _ipsets.parse(file.read_text()) if file.exists() else {})
    return tmp_path


def rule(addresses: list[str], **more: str) -> dict[str, str]:
    return {"action": "DROP", "source": f"net:{','.join(addresses)}", "dest": "$FW", **more}


def stage(root: Path, *rules: dict[str, str], **params: Any) -> tuple[Candidate, Plan]:
    candidate = Candidate(None, None, root)
    return candidate, stage_config(candidate, {"rules": list(rules), **params}, True, lambda *_: None).plan


def install(root: Path, *rules: dict[str, str], **params: Any) -> None:
    candidate, _unused = stage(root, *rules, **params)
    for path, entry in candidate.entries.items():
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if entry["state"] == "absent":
            target.unlink()
            continue
        target.write_bytes(candidate.read(path) or b"")
        target.chmod(entry["mode"])


def sets(root: Path, candidate: Candidate | None = None) -> dict[str, list[str]]:
    content = (candidate or Candidate(None, None, root)).read(SETS)
    return _ipsets.parse((content or b"").decode())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("net:192.0.2.9,192.0.2.0/28,192.0.2.9/32", ("net:", ("192.0.2.0/28", "192.0.2.9"), 4)),
        ("net:eth0:192.0.2.9", ("net:eth0:", ("192.0.2.9",), 4)),
        ("192.0.2.9,198.51.100.0/24", ("", ("192.0.2.9", "198.51.100.0/24"), 4)),
        ("net:[2001:db8::2],[2001:db8:1::]/48,[2001:db8::/40]", ("net:", ("2001:db8::/40",), 6)),
        ("net:<2001:db8::2,2001:db8::1>", ("net:", ("2001:db8::1", "2001:db8::2"), 6)),
        ("net", None),
        ("net:!192.0.2.9", None),
        ("net:192.0.2.0/24!192.0.2.9,192.0.2.10", None),
        ("net:192.0.2.1-192.0.2.9", None),
        ("net:~02-00-00-00-00-01,192.0.2.9", None),
        ("net:+blocked,192.0.2.9", None),
        ("net:$ADMINS,192.0.2.9", None),
        ("net:192.0.2.1/24", None),
        ("net:0.0.0.0/0,192.0.2.1", None),
        ("net:[::/0],[2001:db8::1]", None),
        ("net:[2001:db8::1],192.0.2.1", None),
    ],
)
def test_what_is_a_list(text: str, expected: tuple[str, tuple[str, ...], int] | None) -> None:
    found = _addresses.take_apart(text)
    if expected and expected[2] == 6 and "/40" in text:
        assert found == ("net:", ("2001:db8::/40", "2001:db8::2", "2001:db8:1::/48"), 6)
    else:
        assert found == expected
    if found:
        assert _addresses.take_apart(_addresses.put_together(*found)) == found


def test_a_long_list_is_a_set_and_a_short_one_stays(root: Path) -> None:
    candidate, plan = stage(root, rule(MANY), rule(MANY[: _addresses.LONG - 1], proto="tcp"))
    (name,) = list(sets(root, candidate))
    text = (candidate.read(RULES) or b"").decode()
    assert f"net:+{name} " in text
    assert text.count("192.0.2.1,192.0.2.2,") == 1
    assert "+ rule net:(40 addresses)->$FW DROP: create" in plan.lines()
    assert "ipset restore" in (candidate.read("/etc/shorewall/init") or b"").decode()


def test_the_order_and_the_form_of_addresses_mean_nothing(root: Path) -> None:
    install(root, rule(MANY))
    assert stage(root, rule([*MANY[::-1], "192.0.2.1/32"]))[0].empty


def test_other_addresses_are_no_other_configuration(root: Path) -> None:
    install(root, rule(MANY))
    candidate, plan = stage(root, rule(MORE[1:]))
    assert set(candidate.entries) == {SETS}
    assert [kind for kind, _unused in candidate.steps if kind != "shorewall"] == ["ipset", "ipset-prune"]
    (change,) = plan.changes
    assert (change.kind, change.name) == ("rule", "net:(40 addresses)->$FW DROP")
    assert change.options == {"source added": (None, ["203.0.113.9"]), "source removed": (None, ["192.0.2.1"])}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param([], [rule(MANY)], id="a list becomes a set"),
        pytest.param([rule(MANY[:2])], [rule(MANY)], id="a short list becomes a long one"),
        pytest.param([rule(MANY)], [rule(MORE[1:])], id="another address"),
        pytest.param([rule(MANY)], [rule(MANY[:2])], id="a set goes"),
        pytest.param([rule(MANY)], [rule(MANY[::-1])], id="the same addresses"),
    ],
)
@pytest.mark.parametrize("staged", [True, False])
def test_check_mode_says_what_would_happen_and_does_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, before: list[dict[str, str]], after: list[dict[str, str]], staged: bool
) -> None:
    """What it stages is scratch, and what it says is what the run does."""
    install(root, *before)
    scratch = root / "etc/.kvmnet"
    applied: list[Path] = []
    monkeypatch.setattr(_candidate, "ROOT", scratch)
    monkeypatch.setattr(_candidate, "apply_candidate", applied.append)
    monkeypatch.setattr(_run, "is_installed", lambda _family: True)

    def files() -> dict[str, tuple[bytes, int]]:
        found = (path for path in root.rglob("*") if path.is_file() and scratch not in path.parents)
        return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in found}

    def run(check_mode: bool) -> tuple[list[str], Any, Any]:
        candidate = Candidate("run", scratch / "candidate", root) if staged else Candidate(None, None, root)
        plan = stage_config(candidate, {"rules": after}, check_mode, lambda *_: None).plan
        candidate.finish(check_mode)
        return plan.lines(), candidate.entries, candidate.steps

    was = files()
    predicted = run(True)
    assert (files(), applied) == (was, [])
    assert run(False) == predicted
    assert files() == was
    changes = before != after and after != [rule(MANY[::-1])]
    assert bool(predicted[0]) is bool(predicted[1]) is changes
    assert len(applied) == (changes and not staged)


def test_rules_with_the_same_list_share_a_set_and_part_without_touching_it(root: Path) -> None:
    install(root, rule(MANY), rule(MANY, dest="loc"))
    (name,) = list(sets(root))
    candidate, _unused = stage(root, rule(MORE), rule(MORE, dest="loc"))
    assert set(candidate.entries) == {SETS}
    # The rule that is loaded still uses it when the lists are: what it lets through is not to be another's.
    candidate, _unused = stage(root, rule(MORE), rule(MORE[5:], dest="loc"))
    assert name not in sets(root, candidate)
    assert len(sets(root, candidate)) == 2


def test_a_set_keeps_its_name_when_another_rule_comes_before_it(root: Path) -> None:
    install(root, rule(MANY))
    before = sets(root)
    candidate, _unused = stage(root, rule(MORE[9:]), rule(MANY))
    after = sets(root, candidate)
    assert before.items() <= after.items()
    assert len(after) == 2


def test_a_list_that_shrinks_goes_back_and_its_set_goes(root: Path) -> None:
    install(root, rule(MANY))
    (name,) = list(sets(root))
    candidate, plan = stage(root, rule(MANY[:2]))
    assert "net:192.0.2.1,192.0.2.2 " in (candidate.read(RULES) or b"").decode()
    assert candidate.entries[SETS] == {"state": "absent"}
    assert candidate.steps["ipset-prune", SETS]["args"]["names"] == [name]
    assert plan.changes[0].name == "net:192.0.2.1,192.0.2.2->$FW DROP"


def test_sets_with_a_name_and_those_without_live_side_by_side(root: Path) -> None:
    friends = [{"name": "friends", "entries": ["198.51.100.1"]}]
    install(root, rule(MANY), ipsets=friends)
    assert set(sets(root)) > {"friends"}
    # Not given, so none of its business
    assert stage(root, rule(MANY))[0].empty
    candidate, _unused = stage(root, rule(MANY), ipsets=[])
    assert "friends" not in sets(root, candidate)
    assert len(sets(root, candidate)) == 1


def test_their_names_are_taken() -> None:
    _unused, problems = _ipsets.read_sets([{"name": "kvmnet4_net_1", "entries": []}], _ipsets_family())
    assert [problem.place() for problem in problems] == ["ipsets[0].name"]


def _ipsets_family() -> Any:
    from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._family import IPV4

    return IPV4


def test_a_host_without_sets_keeps_the_addresses_in_its_rows(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_ipsets, "usable", lambda: False)
    candidate, _unused = stage(root, rule(MANY))
    assert SETS not in candidate.entries
    assert ",192.0.2.2," in (candidate.read(RULES) or b"").decode()


def test_sets_that_shorewall_saves_by_itself_are_not_mixed_with_these(root: Path) -> None:
    candidate, _unused = stage(root, rule(MANY), settings={"SAVE_IPSETS": True})
    assert SETS not in candidate.entries


def test_a_row_that_is_there_with_its_addresses_stays_until_they_change(root: Path) -> None:
    line = f"DROP net:{','.join(MANY[::-1])} $FW # mine\n"
    (root / RULES.lstrip("/")).write_text(f"?SECTION NEW\n{line}")
    assert stage(root, rule(MANY))[0].empty
    assert not stage(root, rule(MANY))[1].changed
    candidate, plan = stage(root, rule(MORE))
    assert "net:+kvmnet4_net_" in (candidate.read(RULES) or b"").decode()
    assert plan.changes[0].options == {"source added": (None, ["203.0.113.9"])}


def test_rows_of_others_are_told_from_ours_by_their_addresses(root: Path) -> None:
    install(root, rule(MANY), rule(MANY, proto="udp"))
    candidate, plan = stage(root, rule(MANY, state="absent"), exclusive=False)
    assert [(change.action, change.name) for change in plan.changes] == [("delete", "net:(40 addresses)->$FW DROP")]
    assert len(sets(root, candidate)) == 1


def test_what_is_read_back_has_the_addresses(root: Path) -> None:
    install(root, rule(MANY), ipsets=[{"name": "friends", "entries": ["198.51.100.1"]}])
    found = describe(Candidate(None, None, root))["configuration"]
    assert found["rules"] == [{"action": "DROP", "source": f"net:{','.join(MANY)}", "dest": "$FW"}]
    # Lists with names are the inventory's: kvmnet_address_lists
    assert "ipsets" not in found
    assert "init" not in found["scripts"]


@pytest.mark.parametrize("action", ["DNAT", "REDIRECT"])
def test_where_a_translation_leads_to_is_no_list(root: Path, action: str) -> None:
    row = {"action": action, "source": "net", "dest": f"loc:{','.join(MANY)}", "proto": "tcp", "dport": "80"}
    assert SETS not in stage(root, row)[0].entries


def test_those_who_manage_the_host_get_in_without_sets(root: Path) -> None:
    row = {"action": "ACCEPT", "source": f"eth0:{','.join(MANY)}", "dest": "$FW", "proto": "tcp", "dport": "22"}
    candidate, _unused = stage(root, stoppedrules=[row])
    assert SETS not in candidate.entries
