# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a file of Shorewall's holds: every byte comes back, and an edit touches nothing but its rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._document import (
    Document,
    Line,
    by_section,
    parse,
    render,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._edit import converge
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._rows import Row, make_row, read_entry, to_options
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._schema import FILES

from ....conftest import SHOREWALL_ROOTS

# A Debian root besides the machine's own, where Shorewall is installed.
SHIPPED = ("usr/share/shorewall", "usr/share/shorewall6", "usr/share/doc/shorewall", "usr/share/doc/shorewall6")
# Programs and archives; everything else that is shipped is a file that could stand in /etc/shorewall.
NO_FILES = (".pm", ".gz", ".html", ".png")

# What means something to Shorewall stands beside what does not.
SYNTAX = st.lists(
    st.sampled_from([
        *"ab1$#?;,:{}()='\"\\ \t\r\n\x0b\x0c\x1c\x85\xa0\u2028-!", "?if ", "?endif", "\\\n", ";;", "?COMMENT ",
    ]),
    max_size=60,
).map("".join)  # fmt: skip
WORD = st.sampled_from(
    ["net", "fw", "loc:10.0.0.1", "$FW", "-", "tcp", "22,80", "ACCEPT", "SSH(ACCEPT)", "s:1/min", "${X}"]
)
ENDS = st.sampled_from(["\n", "\n", "\n", " # why\n", "\t\n"])


@st.composite
def row_lines(draw: st.DrawFn) -> str:
    """A row in one of the forms that the compiler takes."""
    words = [
        draw(st.sampled_from(["ACCEPT", "DROP", "DNAT", "PING(DROP)"])),
        *draw(st.lists(WORD, min_size=1, max_size=5)),
    ]
    form = draw(st.integers(0, 5))
    gap = draw(st.sampled_from([" ", "\t\t", " \\\n  "]))
    line = gap.join(words)
    if form == 1:
        line += f"{gap}{{ rate=s:2/min, helper=ftp }}"
    elif form == 2:
        line += f"{gap}; rate=s:2/min helper=ftp"
    elif form == 3:
        line += ' { comment="one row\'s own" }'.replace("'", "")
    elif form == 4:
        line += " ;; -m length --length 40"
    elif form == 5:
        line = f"{{ action={words[0]}, source=net, dest=$FW, proto=tcp, dport=22 }}"
    return line + draw(ENDS)


OTHERS = st.sampled_from([
    "\n", "# a comment\n", "#ACTION SOURCE DEST\n", "# ends with a backslash \\\n so this goes on\n", "?SET X 1\n",
    "INCLUDE rules.d/more\n", "?INCLUDE x\n", "?WARNING not so good\n", "a b c d e f g h i j k l m n o p q\n",
    "ACCEPT { nosuch=1 }\n", "?UNKNOWN x\n", "ACCEPT net \\\n?SET X 2\n fw tcp\n", "SHELL echo DROP net fw\n",
    "?BEGIN PERL\n1;\n?END PERL\n", "BEGIN SHELL\ncat x\nEND SHELL\n", "ACCEPT net 'fw'\n", "ACCEPT (net fw\n",
])  # fmt: skip
COMMENTS = st.sampled_from(["?COMMENT\n", "?COMMENT the office\n", "?comment  mail # and more\n", "?COMMENT\r\n"])
LEAVES = st.one_of(row_lines(), row_lines(), OTHERS, COMMENTS)


@st.composite
def blocks(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    """A conditional block; what it holds can hold another."""
    text = "?if $X && __Y\n" + "".join(draw(st.lists(inner, max_size=3)))
    if draw(st.booleans()):
        text += "?ELSIF $Y\n" + "".join(draw(st.lists(inner, max_size=2)))
    if draw(st.booleans()):
        text += "  ?else\n" + "".join(draw(st.lists(inner, max_size=2)))
    return text + "?ENDIF\n"


PARTS = st.recursive(LEAVES, blocks, max_leaves=6)


@st.composite
def rules_files(draw: st.DrawFn) -> str:
    """A file of rules as people write them."""
    body = [draw(PARTS) for _unused in range(draw(st.integers(0, 8)))]
    sections = draw(st.sampled_from([(), (), ("NEW",), ("ESTABLISHED", "NEW"), ("ALL", "INVALID", "UNTRACKED", "NEW")]))
    text = draw(st.sampled_from(["", "#\n# head\n#\n"]))
    for section in sections:
        text += f"?SECTION {section}\n" + "".join(draw(st.lists(PARTS, max_size=3)))
    text += "".join(body)
    if draw(st.booleans()):
        text = text.rstrip("\n")
    return text.replace("\n", "\r\n") if draw(st.integers(0, 4)) == 0 else text


@st.composite
def rules(draw: st.DrawFn) -> Row:
    """A rule that the module could be asked for."""
    texts = {
        "action": draw(st.sampled_from(["ACCEPT", "DROP"])),
        "source": draw(st.sampled_from(["net", "loc", "dmz"])),
    }
    texts |= {"dest": "$FW", "proto": "tcp", "dport": draw(st.sampled_from(["22", "80", "443"]))}
    section = draw(st.sampled_from(["NEW", "NEW", "NEW", "ESTABLISHED", "INVALID"]))
    comment = draw(st.sampled_from(["", "", "the office", "web"]))
    return make_row(FILES["rules"], texts, section=section, comment=comment)


def essence(document: Document) -> list[tuple[str, object, object, object]]:
    """What is not ours, each with what holds for it."""
    return [
        (line.text.rstrip("\r\n"), line.before.file_format, line.before.comment, line.before.section)
        for line in document.lines
        if line.kept or line.lost
    ]


def remarks(document: Document) -> list[str]:
    """The comments and blank lines."""
    return [line.text.rstrip("\r\n") for line in document.lines if is_remark(line)]


def is_remark(line: Line) -> bool:
    return not (line.row or line.mark or line.kept or line.lost)


class TestShipped:
    @pytest.mark.parametrize("root", SHOREWALL_ROOTS, ids=str)
    def test_every_file_comes_back(self, root: Path) -> None:
        files = [path for name in SHIPPED for path in (root / name).rglob("*") if path.is_file()]
        files = [path for path in files if path.suffix not in NO_FILES]
        if not files:
            pytest.skip("Shorewall is not installed")
        for path in files:
            text = path.read_bytes().decode(errors="surrogateescape")
            name = path.name.removesuffix(".annotated")
            # A macro or an action is made of what rules are made of.
            for spec in [FILES[name]] if name in FILES else (FILES["rules"], FILES["mangle"]):
                document = parse(spec, text)
                assert document.text == text, path
                assert converge(document, document.rows, keep_lost=True) == text, path
            if name in FILES and "shorewall6" not in str(path):
                assert [line.text for line in parse(FILES[name], text).lost] == [], path


class TestIdentity:
    @settings(deadline=None)
    @given(SYNTAX, st.sampled_from(sorted(FILES)))
    def test_any_text(self, text: str, name: str) -> None:
        document = parse(FILES[name], text)
        assert document.text == text
        assert converge(document, document.rows, keep_lost=True) == text

    @settings(deadline=None)
    @given(rules_files())
    def test_any_rules(self, text: str) -> None:
        document = parse(FILES["rules"], text)
        assert document.text == text
        assert converge(document, document.rows, keep_lost=True) == text

    @given(st.binary(max_size=60))
    def test_any_bytes(self, content: bytes) -> None:
        text = content.decode(errors="surrogateescape")
        assert parse(FILES["rules"], text).text.encode(errors="surrogateescape") == content

    @given(st.lists(rules()))
    def test_what_is_written_is_read(self, want: list[Row]) -> None:
        spec = FILES["rules"]
        assert parse(spec, render(spec, want)).rows == by_section(spec, want)
        for row in want:
            assert read_entry(spec, to_options(spec, row), 0) == (row, [])


class TestEdit:
    @settings(deadline=None, max_examples=100)
    @given(rules_files(), st.lists(rules(), max_size=4), st.data())
    def test_touches_nothing_but_its_rows(self, text: str, new: list[Row], data: st.DataObject) -> None:
        spec = FILES["rules"]
        document = parse(spec, text)
        # Where even the comment depends on a condition for a whole section, a row in it cannot but set it.
        assume(all(line.before.is_known for line in document.lines if line.mark and line.mark[0] == "SECTION"))
        kept = [row for row in document.rows if data.draw(st.booleans())]
        want = data.draw(st.permutations(kept + new))
        result = converge(document, want, keep_lost=True)
        after = parse(spec, result)
        assert after.rows == by_section(spec, want)
        assert essence(after) == essence(document)
        if document.lines:
            assert remarks(after) == remarks(document)
        # Once is enough.
        assert converge(after, want, keep_lost=True) == result

    @settings(deadline=None)
    @given(rules_files(), st.lists(rules(), max_size=3))
    def test_exclusive_takes_the_rows_that_nothing_can_say(self, text: str, want: list[Row]) -> None:
        spec = FILES["rules"]
        document = parse(spec, text)
        after = parse(spec, converge(document, want))
        assert after.rows == by_section(spec, want)
        assert after.lost == []
        assert [line.text.rstrip() for line in after.lines if line.kept] == [
            line.text.rstrip() for line in document.lines if line.kept
        ]
