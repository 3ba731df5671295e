# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Files of rows as text: read, and written anew. All lines of a document together are the file, byte for byte."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall import _syntax
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._columns import FileSpec, is_expressible
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._rows import Row, make_row

HEADER = "# Managed by Ansible (ursa.kvmnet): rows that the inventory does not list are removed."
_WIDTH = 16


@dataclass(frozen=True)
class State:
    """What the lines before have set for a row; nothing where only the compiler can know.

    Args:
        file_format: the C(?FORMAT).
        section: the C(?SECTION).
        comment: the C(?COMMENT).
    """

    file_format: int | None
    section: str | None
    comment: str | None = ""

    @property
    def is_known(self) -> bool:
        """Whether a row that stands here can be understood."""
        return self.file_format is not None and self.section is not None and self.comment is not None

    def merged(self, other: State) -> State:
        """Return what is known whichever of two ways the compiler came."""
        return State(
            self.file_format if self.file_format == other.file_format else None,
            self.section if self.section == other.section else None,
            self.comment if self.comment == other.comment else None,
        )


@dataclass(frozen=True)
class Line:
    """One logical line.

    Args:
        text: as it stands in the file, continuation lines and line ends included.
        number: the number of its first physical line, from 1.
        last: the number of its last physical line, which is the one that the compiler names.
        before: what holds before it.
        after: what holds after it.
        row: the row, if it is one that stands for itself.
        mark: C((word, rest)) for a directive that is understood: FORMAT, SECTION, COMMENT.
        kept: it is not ours to judge: another directive, a script, anything in a conditional block.
        lost: it is a row to the compiler, and says what the schema cannot.
        nested: it stands inside a conditional block or a script, or ends one.
    """

    text: str
    number: int
    last: int
    before: State
    after: State
    row: Row | None = None
    mark: tuple[str, str] | None = None
    kept: bool = False
    lost: bool = False
    nested: bool = False


@dataclass(frozen=True)
class Document:
    """A file as logical lines."""

    spec: FileSpec
    lines: tuple[Line, ...]

    @property
    def rows(self) -> list[Row]:
        """The rows, in order, without those that conditional blocks hold."""
        return [line.row for line in self.lines if line.row is not None]

    @property
    def lost(self) -> list[Line]:
        """The rows that the schema cannot say."""
        return [line for line in self.lines if line.lost]

    @property
    def unsure(self) -> list[Line]:
        """The rows that say what a condition before them decides, such as by a comment that it does not end."""
        return [line for line in self.lost if not line.before.is_known]

    @property
    def opaque(self) -> list[Line]:
        """All lines that mean something and are no rows of ours."""
        return [line for line in self.lines if line.lost or line.kept]

    @property
    def text(self) -> str:
        """The file, byte for byte."""
        return "".join(line.text for line in self.lines)


class _Reader:
    """Goes through a file as the compiler does, as far as one can without evaluating conditions."""

    def __init__(self, spec: FileSpec) -> None:
        self.spec = spec
        self.state = State(spec.first_format, spec.default_section)
        # For each open conditional block, what held before it and what may hold after it.
        self.blocks: list[tuple[State, State]] = []
        self.script = False

    def read(self, piece: _syntax.Piece) -> Line:
        """Read one logical line."""
        before, nested = self.state, bool(self.blocks) or self.script
        if not nested and piece.is_plain and self.state.is_known and not _syntax.FOREIGN.match(piece.content + " "):
            row = self._read_row(piece.content)
            return Line(piece.raw, piece.number, piece.last, before, self.state, row=row, lost=row is None)
        for word, rest in piece.directives:
            self._obey(word, rest)
        line = Line(piece.raw, piece.number, piece.last, before, before, nested=nested)
        if piece.unfinished or (piece.directives and piece.content):
            line = replace(line, lost=piece.unfinished and not nested, kept=nested or not piece.unfinished)
        elif piece.directives:
            word, rest = piece.directives[0]
            known = not nested and self._is_known(word, rest)
            line = replace(line, mark=(word, rest) if known else None, kept=not known)
        elif self.script:
            self.script = not _syntax.END.fullmatch(piece.content)
            line = replace(line, kept=True)
        elif piece.content:
            line = self._read_content(piece.content, line)
        return replace(line, after=self.state)

    def _is_known(self, word: str, rest: str) -> bool:
        return (word == "FORMAT" and rest.isdigit()) or (word == "COMMENT" and self.spec.has_comments)

    def _obey(self, word: str, rest: str) -> None:
        if word == "IF":
            self.blocks.append((self.state, self.state))
        elif word in ("ELSIF", "ELSE", "ENDIF") and self.blocks:
            start, possible = self.blocks.pop()
            possible = possible.merged(self.state)
            self.state = possible if word == "ENDIF" else start
            if word != "ENDIF":
                self.blocks.append((start, possible))
        elif self._is_known(word, rest):
            if word == "FORMAT":
                self.state = replace(self.state, file_format=int(rest))
            else:
                self.state = replace(self.state, comment=rest)

    def _read_content(self, content: str, line: Line) -> Line:
        section = _syntax.SECTION.fullmatch(content)
        if section and section["name"] in self.spec.sections:
            self.state = replace(self.state, section=section["name"])
            known = not line.nested
            return replace(line, mark=("SECTION", section["name"]) if known else None, kept=not known)
        if _syntax.FOREIGN.match(content + " "):
            self.script = bool(_syntax.BEGIN.match(content))
            return replace(line, kept=True)
        row = self._read_row(content)
        if line.nested:
            return replace(line, kept=True)
        return replace(line, row=row, lost=row is None)

    def _read_row(self, content: str) -> Row | None:
        spec, state = self.spec, self.state
        cells = _syntax.split_row(content, spec.has_inline)
        if cells is None:
            return None
        comment = state.comment
        for key, value in cells.pairs:
            if key == "comment" and spec.has_comments:
                comment = value
                # The compiler forgets an earlier comment together with the row's own.
                self.state = replace(self.state, comment="")
        if state.file_format is None or state.section is None or state.comment is None or comment is None:
            return None
        layout = spec.layout(state.file_format)
        if len(cells.words) > len(layout):
            return None
        texts = {name: word for name, word in zip(layout, cells.words, strict=False) if not name.startswith("+")}
        for key, value in cells.pairs:
            column = spec.column(key)
            if column is not None and column.name in layout:
                texts[column.name] = value
            elif key != "comment" or not spec.has_comments:
                return None
        if not all(is_expressible(text) for text in texts.values()):
            return None
        return make_row(spec, texts, section=state.section, comment=comment, inline=cells.inline)


def parse(spec: FileSpec, text: str) -> Document:
    """Read a file; what is not understood is kept as it is."""
    reader = _Reader(spec)
    return Document(spec, tuple(reader.read(piece) for piece in _syntax.pieces(text)))


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


def fits(spec: FileSpec, row: Row, file_format: int) -> bool:
    """Whether a format has a column for everything that a row says."""
    layout = spec.layout(file_format)
    return all(name in layout for name, _unused in row.values)


def render(spec: FileSpec, rows: Iterable[Row]) -> str:
    """Return a new file with these rows."""
    titles = [name.upper() for name in spec.layout(spec.file_format)]
    titles[0] = f"#{titles[0]}"
    lines = [HEADER]
    if spec.file_format:
        lines.append(f"?FORMAT {spec.file_format}")
    lines.append(" ".join(title.ljust(_WIDTH - 1) for title in titles).rstrip())
    section, comment = "", ""
    for row in by_section(spec, rows):
        if row.section != section:
            section = row.section
            lines.append(f"?SECTION {section}")
        if row.comment != comment:
            comment = row.comment
            lines.append(f"?COMMENT {comment}".rstrip())
        lines.append(render_row(spec, row, spec.file_format))
    return "\n".join(lines) + "\n"


def by_section(spec: FileSpec, rows: Iterable[Row]) -> list[Row]:
    """Return rows in the order of their sections, and within each in their own."""
    order = {section: place for place, section in enumerate(spec.sections)}
    return sorted(rows, key=lambda row: order.get(row.section, -1))


def number_rows(document: Document) -> dict[int, Row]:
    """Return the rows by every physical line number that they cover."""
    return {
        number: line.row
        for line in document.lines
        if line.row is not None
        for number in range(line.number, line.last + 1)
    }
