# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Files of rows as text: read, written, and edited so that what does not change stays as it is, byte for byte."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._columns import FileSpec
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._rows import Row, make_row

HEADER = "# Managed by Ansible (ursa.kvmnet): rows that the inventory does not list are removed."
_WIDTH = 16
_PAIRS = re.compile(r"(?P<columns>\s*|.*[^&@%$])\{(?P<pairs>.*)\}")
_PAIR = re.compile(r"""(?P<key>\w+)(?:=>?|:)(?P<value>"(?:[^"\\]|\\.)*"|[^,(\s]*(?:\([^)]*\))?[^,\s]*)""")
_DIRECTIVE = re.compile(r"\?\s*(?P<word>\w+)\s*(?P<rest>.*)")
_BARE = re.compile(r"(?:INCLUDE|SHELL|PERL|BEGIN|END)\b")


@dataclass(frozen=True)
class Line:
    """One logical line.

    Args:
        text: as it stands in the file, continuation lines and line ends included.
        number: the number of its first physical line, from 1.
        last: the number of its last physical line, which is the one that the compiler names.
        row: the row, if it is one.
        mark: C((word, rest)) for a directive that is understood: FORMAT, SECTION, COMMENT.
        opaque: it means something that is not understood.
    """

    text: str
    number: int
    last: int
    row: Row | None = None
    mark: tuple[str, str] | None = None
    opaque: bool = False


@dataclass(frozen=True)
class Document:
    """A file as logical lines."""

    spec: FileSpec
    lines: tuple[Line, ...]
    file_format: int

    @property
    def rows(self) -> list[Row]:
        """The rows, in order."""
        return [line.row for line in self.lines if line.row is not None]

    @property
    def opaque(self) -> list[Line]:
        """The lines that mean something that is not understood."""
        return [line for line in self.lines if line.opaque]

    @property
    def text(self) -> str:
        """The file, byte for byte."""
        return "".join(line.text for line in self.lines)


def strip_comment(text: str) -> str:
    """Return a line without its comment."""
    return re.sub(r"\s*(?<!\\)#.*", "", text, flags=re.DOTALL)


def _logical_lines(text: str) -> Iterable[tuple[str, str, int, int]]:
    """Yield the raw text, the joined content, and the first and last line number of each logical line."""
    raw, content, first = "", "", 0
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        first = first or number
        body = strip_comment(line.rstrip("\r\n"))
        if content.endswith((",", ":")):
            body = body.lstrip()
        raw += line
        if body.endswith("\\"):
            content += body[:-1]
            continue
        yield raw, content + body, first, number
        raw, content, first = "", "", 0
    if raw:
        yield raw, content, first, text.count("\n") + (not text.endswith("\n"))


def parse(spec: FileSpec, text: str) -> Document:
    """Read a file; what is not understood is kept as an opaque line."""
    lines: list[Line] = []
    file_format, section, comment = spec.first_format, "", ""
    if spec.sections:
        section = "NEW"
    block = ""
    for raw, content, first, last in _logical_lines(text):
        stripped = content.strip()
        directive = _DIRECTIVE.fullmatch(stripped)
        if block:
            lines.append(Line(raw, first, last, opaque=True))
            if directive and directive["word"].upper() == "END":
                block = ""
        elif not stripped:
            lines.append(Line(raw, first, last))
        elif directive:
            word, rest = directive["word"].upper(), directive["rest"].strip()
            if word == "FORMAT" and rest.isdigit():
                file_format = int(rest)
            elif word == "SECTION" and rest.upper() in spec.sections:
                section = rest.upper()
            elif word == "COMMENT" and spec.has_comments:
                comment = rest
            else:
                block = rest if word == "BEGIN" else ""
                lines.append(Line(raw, first, last, opaque=True))
                continue
            lines.append(Line(raw, first, last, mark=(word, rest.upper() if word == "SECTION" else rest)))
        elif _BARE.match(stripped):
            lines.append(Line(raw, first, last, opaque=True))
        else:
            row = _parse_row(spec, stripped, file_format, section, comment)
            lines.append(Line(raw, first, last, row=row, opaque=row is None))
    return Document(spec, tuple(lines), file_format)


def _parse_row(spec: FileSpec, content: str, file_format: int, section: str, comment: str) -> Row | None:
    inline = ""
    if spec.has_inline:
        content, _unused, inline = content.partition(";;")
    braces = _PAIRS.fullmatch(content.rstrip())
    if ";" in content:
        content, _unused, pairs = content.partition(";")
    elif braces:
        content, pairs = braces["columns"], braces["pairs"]
    else:
        pairs = ""
    layout = spec.layout(file_format)
    words = _words(content)
    if len(words) > len(layout):
        return None
    texts = {name: word for name, word in zip(layout, words, strict=False) if not name.startswith("+")}
    for pair in _PAIR.finditer(pairs):
        value = pair["value"].strip('"').replace('\\"', '"')
        column = spec.column(pair["key"].lower())
        if pair["key"].lower() == "comment" and spec.has_comments:
            comment = value
        elif column is None:
            return None
        else:
            texts[column.name] = value
    if re.sub(r"[\s,]", "", _PAIR.sub("", pairs)):
        return None
    return make_row(spec, texts, section=section, comment=comment, inline=inline.strip())


def _words(content: str) -> list[str]:
    """Split at blanks outside parentheses."""
    words: list[str] = []
    for word in content.split():
        if words and words[-1].count("(") > words[-1].count(")"):
            words[-1] += word
        else:
            words.append(word)
    return words


def render_row(spec: FileSpec, row: Row, file_format: int) -> str:
    """Return a row as one line."""
    values = dict(row.values)
    defaults = {column.name: column.default for column in spec.columns}
    layout = spec.layout(file_format)
    cells = [values.get(name, defaults.get(name, "-")) for name in layout]
    while len(cells) > 1 and cells[-1] == "-":
        cells.pop()
    line = " ".join(cell.ljust(_WIDTH - 1) for cell in cells).rstrip()
    return f"{line} ;; {row.inline}" if row.inline else line


Token: TypeAlias = "Row | tuple[str, str]"


def _tokens(spec: FileSpec, rows: Iterable[Row]) -> list[Token]:
    """Return rows with the directives that they need before them."""
    tokens: list[Token] = []
    section = comment = ""
    for row in rows:
        if row.section != section:
            section = row.section
            tokens.append(("SECTION", section))
        if row.comment != comment:
            comment = row.comment
            tokens.append(("COMMENT", comment))
        tokens.append(row)
    return tokens


def _render_token(spec: FileSpec, token: Token, file_format: int) -> str:
    if isinstance(token, Row):
        return render_row(spec, token, file_format) + "\n"
    return f"?{token[0]} {token[1]}".rstrip() + "\n"


def render(spec: FileSpec, rows: Iterable[Row]) -> str:
    """Return a new file with these rows."""
    titles = [name.upper() for name in spec.layout(spec.file_format)]
    titles[0] = f"#{titles[0]}"
    head = [HEADER]
    if spec.file_format:
        head.append(f"?FORMAT {spec.file_format}")
    head.append(" ".join(title.ljust(_WIDTH - 1) for title in titles).rstrip())
    body = "".join(_render_token(spec, token, spec.file_format) for token in _tokens(spec, rows))
    return "\n".join(head) + "\n" + body


def _fits(spec: FileSpec, rows: Iterable[Row], file_format: int) -> bool:
    layout = set(spec.layout(file_format))
    return all(name in layout for row in rows for name, _unused in row.values)


def converge(document: Document, rows: list[Row]) -> str:
    """Return the file's text with exactly these rows.

    Nothing is touched when the rows are the same. Comments and unchanged rows stay where they are; a file that has
    directives that are not understood, or an older format that cannot say what is wanted, is written anew.
    """
    spec = document.spec
    if document.rows == rows and not document.opaque:
        return document.text
    formats = {line.mark[1] for line in document.lines if line.mark and line.mark[0] == "FORMAT"}
    if not document.lines or document.opaque or len(formats) > 1 or not _fits(spec, rows, document.file_format):
        return render(spec, rows)
    have = [(line.row or line.mark, index) for index, line in enumerate(document.lines) if line.row or _is_token(line)]
    want = _tokens(spec, rows)
    matcher = difflib.SequenceMatcher(None, [token for token, _unused in have], want, autojunk=False)
    places = [index for _unused, index in have]
    out: list[str] = []
    cursor = 0
    for tag, first, last, begin, end in matcher.get_opcodes():
        stop = places[first] if first < len(places) else len(document.lines)
        if tag == "insert":
            out += [line.text for line in document.lines[cursor:stop]] if first in (0, len(places)) else []
            cursor = stop if first in (0, len(places)) else cursor
        for place in places[first:last]:
            upto = place + 1 if tag == "equal" else place
            out += [line.text for line in document.lines[cursor:upto]]
            cursor = place + 1
        if tag in ("insert", "replace"):
            if out and not out[-1].endswith("\n"):
                out[-1] += "\n"
            out += [_render_token(spec, token, document.file_format) for token in want[begin:end]]
    return "".join(out) + "".join(line.text for line in document.lines[cursor:])


def _is_token(line: Line) -> bool:
    return line.mark is not None and line.mark[0] != "FORMAT"


def number_rows(document: Document) -> dict[int, Row]:
    """Return the rows by every physical line number that they cover."""
    return {
        number: line.row
        for line in document.lines
        if line.row is not None
        for number in range(line.number, line.last + 1)
    }
