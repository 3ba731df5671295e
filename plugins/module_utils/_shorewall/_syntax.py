# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""How Shorewall's compiler takes text apart: lines, directives, columns and pairs; nothing here knows what they mean.

All patterns are ASCII, because the compiler reads bytes: to it a no-break space is no blank.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

BLANKS = " \t\n\r\f\v"
# These are obeyed line by line, before lines are continued; everything else after that.
_DIRECTIVE = re.compile(
    r"\s*\?(?P<word>IF|ELSIF|ELSE|ENDIF|SET|RESET|FORMAT|COMMENT|ERROR|WARNING|INFO|REQUIRE)(?P<rest>.*)",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)
_COMMENT = re.compile(r"\s*#.*", re.ASCII | re.DOTALL)
_CONTINUED_COMMENT = re.compile(r"\\\s*#", re.ASCII)
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_PLAIN_LINE = re.compile(r"[\w \t.:/,+=$@%&!~<>*^|\[\]-]*\n?", re.ASCII)
# Nothing here but columns.
_PLAIN = re.compile(r"[\w \t.:/,+=$@%&!~<>*^|\[\]-]*", re.ASCII)
_WORD = re.compile(r"[^ \t\n\r\f\v]+")
_PAIRS = re.compile(r"(?P<columns>\s*|.*[^&@%$])\{(?P<pairs>.*)\}", re.ASCII | re.DOTALL)
_PAIR = re.compile(r"(?P<key>\w+)(?:=>?|:)(?P<value>.+)", re.ASCII | re.DOTALL)
SECTION = re.compile(r"\s*\?SECTION\s+(?P<name>.*)", re.ASCII | re.IGNORECASE)
# What runs a program, or reads another file, in the place of a row.
FOREIGN = re.compile(r"\s*(?:\?|INCLUDE\s|SHELL\s|(?i:BEGIN\s+(?:PERL|SHELL)|PERL))", re.ASCII)
BEGIN = re.compile(r"\s*\??BEGIN\s+(?:PERL|SHELL)", re.ASCII | re.IGNORECASE)
END = re.compile(r"\s*\??END(?:\s+(?:PERL|SHELL))?\s*;?\s*", re.ASCII | re.IGNORECASE)


@dataclass
class Piece:
    """What the compiler takes as one: a line with those that continue it.

    Args:
        number: the number of its first line, from 1.
        raw: its text, line ends included.
        content: what it says, joined and without comments.
        last: the number of its last line, which is the one that the compiler names.
        directives: those that are obeyed line by line; more than one, or one beside content, only if they stand in
            the middle of a continued line.
        unfinished: the file ends where a line should follow; the compiler does not see it.
        is_plain: it is one line of columns and nothing else.
    """

    number: int
    raw: str = ""
    content: str = ""
    last: int = 0
    directives: list[tuple[str, str]] = field(default_factory=list)
    unfinished: bool = False
    is_plain: bool = False


def pieces(text: str) -> Iterator[Piece]:
    """Take a file apart; the raw texts together are the file."""
    piece: Piece | None = None
    for number, line in enumerate(_LINE.findall(text), 1):
        if piece is None and _PLAIN_LINE.fullmatch(line):
            content = line.rstrip(BLANKS)
            yield Piece(number, line, content, number, is_plain=bool(content))
            continue
        piece = piece or Piece(number)
        body = line.removesuffix("\n")
        piece.raw += line
        piece.last = number
        directive = _DIRECTIVE.fullmatch(body)
        if directive:
            # The compiler takes the word off a comment only if it is in capitals.
            rest = (
                body if directive["word"] != "COMMENT" and directive["word"].upper() == "COMMENT" else directive["rest"]
            )
            piece.directives.append((directive["word"].upper(), rest.strip(BLANKS)))
            # Alone it is a piece of its own; a continued line goes on after it.
            if piece.number == number:
                yield piece
                piece = None
            continue
        if piece.content.endswith((",", ":")):
            body = body.lstrip(BLANKS)
        if _CONTINUED_COMMENT.search(body):
            body = strip_comment(body)
        piece.content += body
        if piece.content.endswith("\\"):
            piece.content = piece.content[:-1]
            continue
        piece.content = strip_comment(piece.content).rstrip(BLANKS)
        yield piece
        piece = None
    if piece is not None:
        piece.unfinished = True
        yield piece


def strip_comment(text: str) -> str:
    """Return a line without its comment; the compiler knows no way to write a hash sign."""
    return _COMMENT.sub("", text, count=1)


@dataclass(frozen=True)
class Cells:
    """A row as text: its columns in order, then what is given by name."""

    words: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    inline: str


def split_row(content: str, has_inline: bool) -> Cells | None:
    """Take a row apart, or return nothing for one that the compiler refuses."""
    inline = ""
    if _PLAIN.fullmatch(content):
        return Cells(tuple(content.split()), (), "")
    if re.search(r"[^\s\x20-\x7e]", content, re.ASCII):
        return None
    if has_inline:
        content, *rest = content.split(";;")
        if len(rest) > 1:
            return None
        inline = rest[0].strip(BLANKS) if rest else ""
        content = content.rstrip(BLANKS)
    columns, *after = content.split(";")
    pairs = after[0] if after else ""
    if len(after) > 1:
        return None
    braces = None if after else _PAIRS.fullmatch(content)
    if braces:
        columns, pairs = braces["columns"], braces["pairs"]
    words = _split_columns(columns)
    named = _split_pairs(pairs.strip(BLANKS))
    if words is None or named is None or re.search(r"[\"'`\\]", columns):
        return None
    return Cells(tuple(words), tuple(named), inline)


def _split_columns(text: str) -> list[str] | None:
    """Split at blanks outside parentheses; parentheses that do not match are no row."""
    words: list[str] = []
    depth = 0
    for word in _WORD.findall(text):
        if depth:
            words[-1] += f" {word}"
        else:
            words.append(word)
        depth += word.count("(") - word.count(")")
        if depth < 0:
            return None
    return None if depth else words


def _split_pairs(text: str) -> list[tuple[str, str]] | None:
    """Split C(key=value) pairs at blanks, optionally after a comma, outside double quotes."""
    texts: list[str] = []
    open_quote = False
    for word in re.findall(r"\S+\s*", text, re.ASCII):
        if open_quote:
            texts[-1] += word
        else:
            texts.append(word)
        if len(re.findall(r'(?<!\\)"', word)) % 2:
            open_quote = not open_quote
    if open_quote:
        return None
    result = []
    for position, item in enumerate(texts):
        item = item.rstrip(BLANKS)
        if position < len(texts) - 1:
            item = item.removesuffix(",")
        found = _PAIR.fullmatch(item)
        if found is None:
            return None
        value = found["value"]
        if value.endswith('"'):
            if not re.fullmatch(r'".*"', value) or len(value) < 3:
                return None
            value = value[1:-1]
        result.append((found["key"].lower(), value.replace('\\"', '"')))
    return result
