# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows among those of others: what goes, what is new, and where that stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._document import parse
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._edit import converge
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._merge import merge, take_all
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._run import InvalidError, stage_config, stage_zones
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._schema import FILES
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._schema_ipv6 import FILES_IPV6

RULES = """\
# ours since 2019
?SECTION ESTABLISHED
DROP            net:10.0.0.0/8  all
?SECTION NEW
?COMMENT the office
SSH(ACCEPT)     net:192.0.2.0/24 $FW    # keep
?COMMENT
?if $WEB
ACCEPT          net             $FW             tcp     80
?endif
ACCEPT  net  'odd'  $FW
# nothing else
DROP            net             $FW
ACCEPT          loc             $FW
"""
POLICY = """\
loc     net     ACCEPT
net     all     DROP    info
all     all     REJECT
"""


def rule(action: str, source: str, **more: Any) -> dict[str, Any]:
    return {"action": action, "source": source, "dest": "$FW", **more}


def edited(name: str, text: str, *entries: dict[str, Any]) -> str:
    spec = FILES[name]
    document = parse(spec, text)
    merged = merge(spec, document.rows, entries)
    assert [str(problem) for problem in merged.problems] == []
    result = converge(document, merged.rows, True, merged.glued)
    again = merge(spec, parse(spec, result).rows, entries)
    assert converge(parse(spec, result), again.rows, True, again.glued) == result
    return result


def news(name: str, text: str, *entries: dict[str, Any]) -> list[tuple[str, str]]:
    """Return each new line with the one behind it; nothing else may have changed."""
    result = edited(name, text, *entries)
    old, lines = text.splitlines(), [*result.splitlines(), ""]
    found = [(" ".join(line.split()), lines[place + 1]) for place, line in enumerate(lines) if line and line not in old]
    assert [line for line in lines[:-1] if line in old] == old
    return found


class TestOthersRows:
    def test_nothing_asked_nothing_changed(self) -> None:
        assert edited("rules", RULES) == RULES

    def test_what_is_there_stays_where_it_is(self) -> None:
        assert edited("rules", RULES, rule("ACCEPT", "loc"), rule("DROP", "net")) == RULES
        assert edited("rules", RULES, rule("SSH(ACCEPT)", "net:192.0.2.0/24")) == RULES

    def test_a_new_row_stands_at_the_end(self) -> None:
        assert news("rules", RULES, rule("ACCEPT", "dmz")) == [("ACCEPT dmz $FW", "")]

    def test_a_new_row_stands_at_the_end_of_its_section(self) -> None:
        assert news("rules", RULES, rule("DROP", "dmz", section="ESTABLISHED")) == [("DROP dmz $FW", "?SECTION NEW")]

    def test_a_new_section_stands_in_its_place(self) -> None:
        found = news("rules", RULES, rule("DROP", "all", section="INVALID"))
        assert found == [("?SECTION INVALID", "DROP            all             $FW"), ("DROP all $FW", "?SECTION NEW")]

    def test_a_new_row_keeps_the_company_that_it_is_listed_in(self) -> None:
        old = rule("DROP", "net")
        assert news("rules", RULES, old, rule("ACCEPT", "x")) == [("ACCEPT x $FW", RULES.splitlines()[-1])]
        assert news("rules", RULES, rule("ACCEPT", "x"), old) == [("ACCEPT x $FW", RULES.splitlines()[-2])]

    def test_before(self) -> None:
        found = news("rules", RULES, rule("ACCEPT", "x", before={"action": "DROP", "source": "net"}))
        assert found == [("ACCEPT x $FW", "DROP            net             $FW")]

    def test_after_leaves_the_comment_to_the_rows_behind(self) -> None:
        found = news("rules", RULES, rule("ACCEPT", "x", after={"action": "SSH(ACCEPT)"}))
        assert found == [("ACCEPT x $FW", "?if $WEB")]

    def test_before_and_after_move_a_row_that_stands_wrong(self) -> None:
        result = edited("rules", RULES, rule("ACCEPT", "loc", before={"action": "DROP"}))
        assert result.index("ACCEPT          loc") < result.index("DROP            net   ")
        assert sorted(result.split()) == sorted(RULES.split())

    def test_absent_takes_one_row_away(self) -> None:
        gone = edited("rules", RULES, rule("DROP", "net", state="absent"))
        assert gone == RULES.replace("DROP            net             $FW\n", "")

    def test_absent_takes_the_comment_of_its_only_row_along(self) -> None:
        gone = edited("rules", RULES, rule("SSH(ACCEPT)", "net:192.0.2.0/24", state="absent"))
        assert "office" not in gone
        assert "?if $WEB" in gone

    def test_rows_in_conditional_blocks_are_not_ours(self) -> None:
        web = rule("ACCEPT", "net", proto="tcp", dport=80)
        assert edited("rules", RULES, {**web, "state": "absent"}) == RULES
        assert news("rules", RULES, web)[0][1] == ""

    def test_a_new_policy_stands_before_what_would_hide_it(self) -> None:
        found = news("policy", POLICY, {"source": "net", "dest": "loc", "policy": "ACCEPT"})
        assert found == [("net loc ACCEPT", "net     all     DROP    info")]
        found = news("policy", POLICY, {"source": "dmz", "dest": "net", "policy": "ACCEPT"})
        assert found == [("dmz net ACCEPT", "all     all     REJECT")]

    def test_what_has_a_name_is_changed_in_its_place(self) -> None:
        result = edited("policy", POLICY, {"source": "net", "dest": "all", "policy": "REJECT"})
        assert [line.split() for line in result.splitlines()][1] == ["net", "all", "REJECT"]

    def test_what_has_a_name_goes_by_it(self) -> None:
        assert edited("policy", POLICY, {"source": "net", "dest": "all", "state": "absent"}) == POLICY.replace(
            "net     all     DROP    info\n", ""
        )

    @pytest.mark.parametrize(
        ("more", "key"),
        [
            ({"before": {"action": "LOG"}}, "before"),
            ({"before": {"nosuch": "x"}}, "before"),
            ({"after": {"action": "DROP"}, "section": "INVALID"}, "after"),
            ({"before": {"action": "SSH(ACCEPT)"}, "after": {"source": "loc"}}, "before"),
        ],
    )
    def test_a_place_that_is_none(self, more: dict[str, Any], key: str) -> None:
        spec = FILES["rules"]
        merged = merge(spec, parse(spec, RULES).rows, [rule("ACCEPT", "x", **more, origin="kvmnet_rules[3]")])
        assert [problem.place() for problem in merged.problems] == [f"kvmnet_rules[3].{key}"]

    @settings(deadline=None)
    @given(
        st.lists(st.sampled_from("abcdef"), max_size=6, unique=True), st.lists(st.sampled_from("abcdef"), unique=True)
    )
    def test_others_keep_their_order(self, have: list[str], asked: list[str]) -> None:
        text = "".join(f"ACCEPT\t{name}\tfw\n" for name in have)
        result = edited("rules", text, *({"action": "ACCEPT", "source": name, "dest": "fw"} for name in asked))
        names = [line.split()[1] for line in result.splitlines() if line.startswith("ACCEPT")]
        assert [name for name in names if name in have] == have
        assert set(names) == {*have, *asked}


class TestExclusive:
    def test_the_list_is_the_order(self) -> None:
        merged = take_all(FILES["rules"], [rule("ACCEPT", "x", before={"action": "DROP"}), rule("DROP", "y")])
        assert [problem.place() for problem in merged.problems] == ["rules[0].before"]

    def test_absent_is_what_is_not_listed(self) -> None:
        merged = take_all(FILES["rules"], [rule("ACCEPT", "x", state="absent"), rule("DROP", "y")])
        assert [row.get("source") for row in merged.rows] == ["y"]

    def test_a_row_that_nothing_can_say_goes_and_the_block_stays(self) -> None:
        spec = FILES["rules"]
        result = converge(parse(spec, RULES), take_all(spec, [rule("DROP", "net")]).rows)
        assert "odd" not in result
        assert "?if $WEB\nACCEPT          net             $FW             tcp     80\n?endif\n" in result


@pytest.fixture(name="root")
def fixture_root(tmp_path: Path) -> Path:
    directory = tmp_path / "etc/shorewall"
    directory.mkdir(parents=True)
    (directory / "shorewall.conf").write_text("STARTUP_ENABLED=Yes\n")
    (directory / "zones").write_text("fw firewall\nnet ipv4\nloc ipv4\n")
    (directory / "interfaces").write_text("?FORMAT 2\nnet eth0\nnet eth1\nloc br0\n")
    (directory / "rules").write_text(RULES)
    (directory / "providers").write_text("one 1 1 - eth0 192.0.2.1 track # mine\n")
    return tmp_path


class TestZones:
    def test_others_stay_and_ours_is_changed_in_its_place(self, root: Path) -> None:
        interfaces = root / "etc/shorewall/interfaces"
        text = "?FORMAT 2\n?if $X\nnet ppp+\n?endif\nnet eth0 dhcp # DSL\nnet eth1\nloc br0\nloc 'odd'\n"
        interfaces.write_text(text)
        candidate = Candidate(None, None, root)
        zone = {"name": "net", "interfaces": [{"name": "eth1"}, {"name": "eth0", "options": ["tcpflags"]}]}
        staging = stage_zones(candidate, {"zones": [zone], "exclusive": False}, True)
        assert [line for line in staging.plan.lines() if "delete" in line] == []
        result = (candidate.read("/etc/shorewall/interfaces") or b"").decode().splitlines()
        assert [line for line in result if line not in text.splitlines()] == [
            "net             eth0            tcpflags"
        ]
        assert result.index("net eth1") == 5

    def test_nothing_asked_nothing_changed(self, root: Path) -> None:
        candidate = Candidate(None, None, root)
        zone = {"name": "net", "interfaces": [{"name": "eth1"}, {"name": "eth0"}]}
        assert stage_zones(candidate, {"zones": [zone], "exclusive": False}, True).plan.lines() == []
        assert candidate.entries == {}


class TestReferences:
    @pytest.mark.parametrize(
        ("name", "entry", "wrong"),
        [
            ("tunnels", {"type": "gre", "zone": "dmz"}, "tunnels[0].zone"),
            ("routes", {"provider": "isp", "dest": "192.0.2.0/24"}, "routes[0].provider"),
            ("mangle", {"action": "MARK(1)", "headers": "esp"}, "mangle[0].headers"),
            ("rules", {"action": "?SET", "source": "net", "dest": "loc"}, "rules[0].action"),
        ],
    )
    def test_names_that_nothing_has(self, root: Path, name: str, entry: dict[str, Any], wrong: str) -> None:
        with pytest.raises(InvalidError) as caught:
            stage_config(Candidate(None, None, root), {name: [entry]}, True, lambda *_: None)
        assert [problem.place() for problem in caught.value.problems] == [wrong]

    def test_a_table_of_the_kernels_has_a_name_too(self, root: Path) -> None:
        entries = [
            {"provider": name, "dest": f"192.0.{place}.0/24"} for place, name in enumerate(("main", "one", "254"))
        ]
        stage_config(Candidate(None, None, root), {"routes": entries}, True, lambda *_: None)

    def test_ipv6_has_a_column_more(self) -> None:
        row = parse(FILES_IPV6["mangle"], "MARK(1) - - tcp 22 - - - - - - - esp 0.5\n").rows[0]
        assert (row.get("headers"), row.get("probability")) == ("esp", "0.5")


class TestModule:
    def test_others_stay(self, root: Path) -> None:
        candidate = Candidate(None, None, root)
        params = {
            "rules": [rule("ACCEPT", "loc", proto="tcp", dport="22", before={"source": "loc"})],
            "exclusive": False,
        }
        staging = stage_config(candidate, params, True, lambda *_: None)
        assert staging.plan.lines()[0] == "+ rule loc->$FW ACCEPT tcp 22: create"
        after = (candidate.read("/etc/shorewall/rules") or b"").decode()
        assert [line for line in after.splitlines() if line in RULES.splitlines()] == RULES.splitlines()

    def test_a_provider_beside_another_gets_its_own_number(self, root: Path) -> None:
        candidate = Candidate(None, None, root)
        provider = {"name": "two", "interface": "eth1", "gateway": "198.51.100.1", "options": ["track"]}
        stage_config(candidate, {"providers": [provider], "exclusive": False}, True, lambda *_: None)
        lines = (candidate.read("/etc/shorewall/providers") or b"").decode().splitlines()
        assert lines[0] == "one 1 1 - eth0 192.0.2.1 track # mine"
        assert lines[1].split() == ["two", "2", "2", "-", "eth1", "198.51.100.1", "track"]

    def test_a_provider_goes_by_its_name(self, root: Path) -> None:
        candidate = Candidate(None, None, root)
        params = {"providers": [{"name": "one", "state": "absent"}], "exclusive": False}
        staging = stage_config(candidate, params, True, lambda *_: None)
        assert "- provider one: delete" in staging.plan.lines()

    def test_a_wrong_place_names_the_inventory(self, root: Path) -> None:
        params = {
            "rules": [rule("ACCEPT", "loc", before={"source": "dmz"}, origin="kvmnet_rules[1]")],
            "exclusive": False,
        }
        with pytest.raises(InvalidError) as caught:
            stage_config(Candidate(None, None, root), params, True, lambda *_: None)
        assert [problem.place() for problem in caught.value.problems] == ["kvmnet_rules[1].before"]
