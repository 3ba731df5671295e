# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shorewall's files of rows: the schema, reading, writing, and editing in place."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._columns import Column, FileSpec, options, text
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._document import (
    number_rows,
    parse,
    render,
    render_row,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._edit import converge
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._rows import (
    plan_rows,
    read_entries,
    to_options,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._schema import FILES

ANY = text("anything")

# As Debian delivers them, shortened.
RULES = """\
#
# Shorewall -- /etc/shorewall/rules
#
######
#ACTION\t\tSOURCE\t\tDEST\t\tPROTO

?SECTION ALL
?SECTION ESTABLISHED
?SECTION RELATED
?SECTION INVALID
?SECTION UNTRACKED
?SECTION NEW
"""
SAMPLE_RULES = (
    RULES
    + """
#\tDon't allow connection pickup from the net
#
Invalid(DROP)\tnet\t\tall\t\ttcp
#
# Drop Ping from the "bad" net zone.. and prevent your log from being flooded..
#
Ping(DROP)\tnet\t\t$FW

ACCEPT\t\t$FW\t\tnet\t\ticmp
"""
)
CONNTRACK = """\
?FORMAT 3
#ACTION\t\tSOURCE\t\tDEST\t\tPROTO\tDPORT
?if $AUTOHELPERS && __CT_TARGET

?if __FTP_HELPER
CT:helper:ftp:PO\t-\t\t-\t\ttcp\t21
?endif

?endif
"""
OLD_INTERFACES = """\
#ZONE\tINTERFACE\tBROADCAST\tOPTIONS
net     eth0            detect          dhcp,tcpflags,routefilter
"""
NEW_INTERFACES = "?FORMAT 2\n#ZONE\tINTERFACE\tOPTIONS\nloc     LOC_IF          tcpflags,nosmurfs,physical=eth1\n"


def rows(name: str, *entries: dict[str, Any]) -> Any:
    result, problems = read_entries(FILES[name], entries)
    assert problems == []
    return result


class TestSchema:
    def test_refuses_a_column_twice(self) -> None:
        with pytest.raises(ValueError, match="given twice: source"):
            FileSpec("x", "x", (Column("source", ANY), Column("source", ANY)))

    def test_refuses_an_alias_that_is_a_column(self) -> None:
        with pytest.raises(ValueError, match="given twice: port"):
            FileSpec("x", "x", (Column("port", ANY), Column("dport", ANY, aliases=("port",))))

    def test_refuses_a_key_that_is_no_option(self) -> None:
        with pytest.raises(ValueError, match="names no option: zone"):
            FileSpec("x", "x", (Column("name", ANY),), key=("zone",))

    def test_refuses_an_older_format_with_strange_columns(self) -> None:
        with pytest.raises(ValueError, match="contradicts"):
            FileSpec("x", "x", (Column("name", ANY),), formats={1: ("name", "broadcast")}, file_format=2)

    def test_refuses_an_option_with_and_without_value(self) -> None:
        with pytest.raises(ValueError, match="balance"):
            options("balance track", "balance")

    @pytest.mark.parametrize("name", FILES)
    def test_every_file_reads_what_it_writes(self, name: str) -> None:
        spec = FILES[name]
        examples = {
            "priority": "1000",
            "number": "7",
            "interface": "eth0",
            "address": "192.0.2.1",
            "gateway": "192.0.2.2",
        }
        examples |= {"gateway_mac": "02:00:00:00:00:01", "mark": "0x1", "hosts": "br0:192.0.2.0/24"}
        entry: dict[str, Any] = {}
        for option, kind in spec.options.items():
            candidates = (
                *kind.choices,
                examples.get(option, "x"),
                "tcp",
                "80",
                "ACCEPT",
                "info",
                "strict",
                "dhcp",
                "track",
            )
            candidates += ("routeback", "persistent", "MASQUERADE")
            entry[option] = next(value for value in candidates if kind.is_right(value))
        want = rows(name, entry)
        assert parse(spec, render(spec, want)).rows == want
        assert rows(name, to_options(spec, want[0])) == want


class TestParse:
    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("rules", RULES),
            ("rules", SAMPLE_RULES),
            ("conntrack", CONNTRACK),
            ("interfaces", OLD_INTERFACES),
            ("interfaces", NEW_INTERFACES),
            ("rules", SAMPLE_RULES.rstrip("\n")),
            ("rules", SAMPLE_RULES.replace("\n", "\r\n")),
        ],
    )
    def test_gives_every_byte_back(self, name: str, content: str) -> None:
        document = parse(FILES[name], content)
        assert document.text == content
        assert converge(document, document.rows) == content

    def test_reads_rows_with_their_section(self) -> None:
        content = "?SECTION ESTABLISHED\nDROP net all\n?SECTION NEW\nACCEPT net $FW tcp 22,80 # ssh\n"
        first, second = parse(FILES["rules"], content).rows
        assert (first.section, second.section) == ("ESTABLISHED", "NEW")
        assert to_options(FILES["rules"], second) == {
            "action": "ACCEPT", "source": "net", "dest": "$FW", "proto": ["tcp"], "dport": ["22", "80"],
        }  # fmt: skip

    @pytest.mark.parametrize(
        "line",
        [
            "ACCEPT net $FW tcp 22 - - s:1/min",
            "ACCEPT { source=net, dest=$FW, proto=tcp, dport=22, rate=s:1/min }",
            "ACCEPT net $FW ; proto=tcp dport=22 rate=s:1/min",
            'ACCEPT net $FW tcp 22 { rate="s:1/min" }',
            "ACCEPT net \\\n  $FW tcp 22 - - s:1/min",
        ],
    )
    def test_all_forms_of_a_row_mean_the_same(self, line: str) -> None:
        want = rows(
            "rules",
            {"action": "ACCEPT", "source": "net", "dest": "$FW", "proto": "tcp", "dport": 22, "rate": "s:1/min"},
        )
        assert parse(FILES["rules"], line + "\n").rows == want

    def test_keeps_inline_matches_and_comments(self) -> None:
        row = parse(FILES["rules"], "?COMMENT from the office\nACCEPT net $FW tcp 22 ;; -m length --length 40\n").rows[
            0
        ]
        assert (row.comment, row.inline) == ("from the office", "-m length --length 40")

    def test_reads_the_older_format(self) -> None:
        row = parse(FILES["interfaces"], OLD_INTERFACES).rows[0]
        assert to_options(FILES["interfaces"], row) == {
            "zone": "net", "interface": "eth0", "options": ["dhcp", "tcpflags", "routefilter"],
        }  # fmt: skip

    def test_splits_a_shared_provider(self) -> None:
        line = "comcast 1 1 - eth0:172.20.1.130 172.20.1.1,~02-00-00-00-00-01 track,loose,balance=2\n"
        found = to_options(FILES["providers"], parse(FILES["providers"], line).rows[0])
        assert found["address"] == "172.20.1.130"
        assert found["gateway_mac"] == "~02-00-00-00-00-01"
        assert found["options"] == ["track", "loose", "balance=2"]

    @pytest.mark.parametrize(
        "line", ["ACCEPT a b c d e f g h i j k l m n o p", "ACCEPT net { column=x }", "INCLUDE more", "?SET X 1"]
    )
    def test_does_not_guess(self, line: str) -> None:
        document = parse(FILES["rules"], f"{line}\n")
        assert document.rows == []
        assert [entry.text for entry in document.opaque] == [f"{line}\n"]

    def test_takes_a_perl_block_as_one_unknown(self) -> None:
        document = parse(FILES["rules"], "?BEGIN PERL\nACCEPT net all\n?END PERL\nDROP net all\n")
        assert [row.get("action") for row in document.rows] == ["DROP"]

    def test_numbers_every_line_of_a_row(self) -> None:
        numbers = number_rows(parse(FILES["rules"], "# x\nACCEPT net \\\n all\nDROP net all\n"))
        assert {number: row.get("action") for number, row in numbers.items()} == {2: "ACCEPT", 3: "ACCEPT", 4: "DROP"}


class TestRender:
    def test_says_what_the_columns_are(self) -> None:
        lines = render(
            FILES["interfaces"], rows("interfaces", {"zone": "kvm", "interface": "br0", "options": ["dhcp"]})
        ).splitlines()
        assert lines[1] == "?FORMAT 2"
        assert lines[2].split() == ["#ZONE", "INTERFACE", "OPTIONS"]
        assert lines[3].split() == ["kvm", "br0", "dhcp"]

    def test_leaves_out_empty_columns_at_the_end(self) -> None:
        row = rows("rtrules", {"dest": "192.0.2.0/24", "provider": "isp", "priority": "1000"})[0]
        assert render_row(FILES["rtrules"], row, 0).split() == ["-", "192.0.2.0/24", "isp", "1000"]


class TestConverge:
    def test_keeps_comments_and_rows_that_stay(self) -> None:
        document = parse(FILES["rules"], SAMPLE_RULES)
        kept = document.rows[:2]
        new = rows("rules", {"action": "ACCEPT", "source": "net", "dest": "$FW", "proto": "tcp", "dport": "22"})
        result = converge(document, [kept[0], *new, kept[1]])
        assert parse(FILES["rules"], result).rows == [kept[0], *new, kept[1]]
        assert "Ping(DROP)\tnet\t\t$FW\n" in result
        assert "# Drop Ping from" in result
        assert "icmp" not in result

    def test_fills_a_skeleton(self) -> None:
        want = rows("rules", {"action": "ACCEPT", "source": "net", "dest": "$FW"})
        result = converge(parse(FILES["rules"], RULES), want)
        assert result.startswith("#\n# Shorewall -- /etc/shorewall/rules\n")
        assert parse(FILES["rules"], result).rows == want

    def test_writes_the_older_format_where_the_file_has_it(self) -> None:
        document = parse(FILES["interfaces"], OLD_INTERFACES)
        want = [*document.rows, *rows("interfaces", {"zone": "kvm", "interface": "br0", "options": ["routeback"]})]
        result = converge(document, want)
        assert result.splitlines()[-1].split() == ["kvm", "br0", "-", "routeback"]
        assert parse(FILES["interfaces"], result).rows == want

    def test_leaves_conditional_blocks_alone(self) -> None:
        document = parse(FILES["conntrack"], CONNTRACK)
        assert document.rows == []
        want = rows("conntrack", {"action": "CT:helper:tftp:PO", "proto": "udp", "dport": 69})
        assert converge(document, want).startswith(CONNTRACK + "CT:helper:tftp:PO ")

    def test_adds_the_line_end_that_is_missing(self) -> None:
        want = rows(
            "policy", {"source": "a", "dest": "b", "policy": "DROP"}, {"source": "b", "dest": "a", "policy": "DROP"}
        )
        result = converge(parse(FILES["policy"], "a b DROP"), want)
        assert parse(FILES["policy"], result).rows == want

    def test_writes_sections_in_their_order(self) -> None:
        want = rows(
            "rules",
            {"action": "DROP", "source": "net", "dest": "all", "section": "INVALID"},
            {"action": "ACCEPT", "source": "net", "dest": "all"},
        )
        result = converge(parse(FILES["rules"], RULES), want)
        assert parse(FILES["rules"], result).rows == want


class TestPlan:
    def test_names_a_rule_by_what_it_says(self) -> None:
        want = rows("rules", {"action": "ACCEPT", "source": "net", "dest": "$FW", "proto": "tcp", "dport": "22"})
        changes = plan_rows(FILES["rules"], [], want)
        assert [change.lines() for change in changes] == [["+ rule net->$FW ACCEPT tcp 22: create"]]

    def test_compares_what_has_a_name_option_by_option(self) -> None:
        provider = {"name": "isp", "number": 1, "interface": "eth0", "gateway": "192.0.2.1", "options": ["track"]}
        have, want = rows("providers", provider), rows("providers", {**provider, "options": ["track", "balance"]})
        (change,) = plan_rows(FILES["providers"], have, want)
        assert change.lines() == ["~ provider isp: change", "    options: [track] -> [track, balance]"]

    def test_sees_a_value_that_went(self) -> None:
        policy = {"source": "net", "dest": "all", "policy": "DROP"}
        (change,) = plan_rows(FILES["policy"], rows("policy", {**policy, "loglevel": "info"}), rows("policy", policy))
        assert dict(change.options) == {"loglevel": ("info", None)}

    def test_sees_another_order(self) -> None:
        have = rows("rules", *({"action": "ACCEPT", "source": "net", "dest": zone} for zone in "abcd"))
        (change,) = plan_rows(FILES["rules"], have, [have[0], have[2], have[1], have[3]])
        assert change.lines() == [
            "~ rules order: change",
            "    order: [net->b ACCEPT, net->c ACCEPT] -> [net->c ACCEPT, net->b ACCEPT]",
        ]

    def test_does_not_care_for_an_order_without_meaning(self) -> None:
        have = rows("interfaces", {"zone": "a", "interface": "eth0"}, {"zone": "b", "interface": "eth1"})
        assert plan_rows(FILES["interfaces"], have, have[::-1]) == []


class TestReadEntries:
    def test_reports_everything_at_once_by_its_origin(self) -> None:
        _unused, problems = read_entries(
            FILES["rules"],
            [
                {"source": "net", "dest": "kvm"},
                {"action": "ACCEPT", "source": "net: 1.2.3.4", "proto": "tcp;", "origin": "kvmnet_rules[4]"},
                {"action": "ACCEPT", "section": "OLD", "comment": "zwölf"},
            ],
        )
        assert [problem.place() for problem in problems] == [
            "rules[0].action",
            "kvmnet_rules[4].source",
            "kvmnet_rules[4].proto",
            "rules[2].section",
            "rules[2].comment",
        ]

    def test_refuses_a_name_twice(self) -> None:
        entry = {"name": "isp", "number": 1, "interface": "eth0"}
        _unused, problems = read_entries(FILES["providers"], [entry, entry])
        assert [str(problem) for problem in problems] == [
            "providers[1].name: 'isp' is wrong; allowed: one provider of each name"
        ]

    @pytest.mark.parametrize("value", ["a b", "a#b", 'a"b', "a'b", "a;b", "a\\b", "a`b", "ä", "{a}", ""])
    def test_refuses_what_shorewall_reads_otherwise(self, value: str) -> None:
        assert not ANY.is_right(value)

    def test_takes_shell_variables(self) -> None:
        assert FILES["providers"].options["gateway"].is_right("$GATEWAY")
        assert FILES["providers"].options["gateway"].is_right("${GATEWAY}")
