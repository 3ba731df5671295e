# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Editing a file of rows in place: what does not change stays as it is, byte for byte."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._columns import FileSpec
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._document import (
    Document,
    Line,
    State,
    by_section,
    fits,
    render,
    render_row,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._rows import Row

# A line of the file, a row to add, or the name of a section to begin.
Item: TypeAlias = "Line | Row | str"


@dataclass
class _Segment:
    """The lines of one section, from its C(?SECTION) to the next."""

    section: str
    lines: list[Line] = field(default_factory=list)
    new: bool = False
    marked: bool = False


def converge(document: Document, rows: Iterable[Row], keep_lost: bool = False, glued: Iterable[Row] = ()) -> str:
    """Return the file's text with exactly these rows.

    Comments, blank lines, unchanged rows, directives that are not understood and conditional blocks with all that is in
    them stay where they are. A new row stands behind the row that is before it.

    Args:
        document: the file.
        rows: its rows.
        keep_lost: the rows that the schema cannot say stay too.
        glued: the new rows that stand right before the row that follows them.
    """
    wanted = by_section(document.spec, rows)
    if document.rows == wanted and (keep_lost or not document.lost):
        return document.text
    if not document.lines:
        return render(document.spec, wanted)
    # By identity: two rows that say the same can stand in two places.
    stuck = {id(row) for row in glued}
    items: list[Item] = []
    segments = _segments(document, {row.section for row in wanted})
    for place, segment in enumerate(segments):
        if segment.new:
            items.append(segment.section)
        mine = [row for row in wanted if row.section == segment.section]
        if any(later.section == segment.section for later in segments[place + 1 :]):
            mine = []
        items += _weave(segment.lines, mine, keep_lost, stuck, place == len(segments) - 1)
    return "".join(_write(document, items))


def _segments(document: Document, needed: set[str]) -> list[_Segment]:
    """Divide the lines by section, with an empty segment for each section that is needed and not there."""
    spec = document.spec
    segments = [_Segment(spec.default_section)]
    for line in document.lines:
        if line.mark and line.mark[0] == "SECTION" and line.mark[1] != segments[-1].section:
            segments.append(_Segment(line.mark[1], marked=True))
        segments[-1].lines.append(line)
    order = {section: place for place, section in enumerate(spec.sections)}
    for section in sorted(needed - {segment.section for segment in segments}, key=lambda name: order.get(name, -1)):
        later = [place for place, one in enumerate(segments) if one.marked and order[one.section] > order[section]]
        if later:
            segments.insert(later[0], _Segment(section, new=True, marked=True))
        elif order.get(segments[0].section, -1) > order[section] and not any(one.marked for one in segments[1:]):
            # The rows without a section belong to a later one, which from now on has to be named.
            segments[:1] = _split_head(segments[0], section)
        else:
            segments.append(_Segment(section, new=True, marked=True))
    return segments


def _split_head(head: _Segment, section: str) -> list[_Segment]:
    """Put a section between the comments that a file begins with and its first row."""
    upto = next((place for place, line in enumerate(head.lines) if _means(line)), len(head.lines))
    # A file's first directives belong to its head.
    while upto < len(head.lines) and (head.lines[upto].mark or ("", ""))[0] == "FORMAT":
        upto += 1
    named = bool(head.lines[upto:]) and (head.lines[upto].mark or ("", ""))[0] == "SECTION"
    lines = [
        line
        for place, line in enumerate(head.lines)
        if place >= upto and (place == upto or not line.mark or line.mark[0] != "SECTION")
    ]
    rest = _Segment(head.section, lines, new=not named, marked=True)
    return [_Segment("", head.lines[:upto]), _Segment(section, new=True, marked=True), rest]


def _means(line: Line) -> bool:
    return bool(line.row or line.mark or line.kept or line.lost)


def _weave(lines: list[Line], want: list[Row], keep_lost: bool, stuck: set[int], is_last: bool) -> Iterator[Item]:
    """Return the lines that stay with the rows that are added, each where it belongs."""
    places = [place for place, line in enumerate(lines) if line.row is not None]
    have = [line.row for line in lines if line.row is not None]
    gone = {place for place, line in enumerate(lines) if line.lost and not keep_lost}
    added: dict[int, list[Row]] = {}
    safe, end_place = _safe_places(lines, is_last), _end(lines, is_last)
    for tag, first, last, begin, end in _opcodes(have, want):
        gone.update(places[first:last])
        ahead = end
        while first < len(places) and ahead > begin and id(want[ahead - 1]) in stuck:
            ahead -= 1
        for number, row in enumerate(want[begin:end], begin):
            if tag == "replace" or (first == 0 and places) or (number >= ahead and first < len(places)):
                place = places[first]
            elif first == len(places):
                place = end_place
            else:
                place = places[first - 1] + 1
            added.setdefault(_next_of(safe, place), []).append(row)
    for place, line in enumerate(lines):
        yield from added.get(place, ())
        if place not in gone:
            yield line
        elif line.mark is None:
            yield replace(line, text="", row=None, lost=False)
    yield from added.get(len(lines), ())


def _safe_places(lines: list[Line], is_last: bool) -> list[int]:
    """Return the places that are in no block, and where what holds does not depend on one."""
    known = [number for number, line in enumerate(lines) if not line.nested and line.before.is_known]
    if is_last or not lines or lines[-1].after.is_known:
        known.append(len(lines))
    return known


def _next_of(places: list[int], place: int) -> int:
    """Return the first of some places that is not before another one; behind the last it is the last."""
    return places[min(bisect.bisect_left(places, place), len(places) - 1)] if places else place


def _opcodes(have: list[Row], want: list[Row]) -> Iterator[tuple[str, int, int, int, int]]:
    """Compare two lists of rows, in a time that grows with their length alone: as many as can be stay.

    Returns:
        What C(difflib) would: tag, first and last place in the one list, first and last place in the other.
    """
    places: dict[Row, list[int]] = {}
    for place in reversed(range(len(have))):
        places.setdefault(have[place], []).append(place)
    # The same row for the n-th time is the one that stands there for the n-th time.
    pairs = [(places[row].pop(), number) for number, row in enumerate(want) if places.get(row)]
    first = begin = 0
    for place, number in [*_rising(pairs), (len(have), len(want))]:
        if place > first and number > begin:
            yield "replace", first, place, begin, number
        elif place > first:
            yield "delete", first, place, begin, number
        elif number > begin:
            yield "insert", first, place, begin, number
        first, begin = place + 1, number + 1


def _rising(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the longest part of a list whose first numbers rise."""
    ends: list[int] = []
    last: list[int] = []
    before: list[int] = []
    for index, (place, _unused) in enumerate(pairs):
        length = bisect.bisect_left(ends, place)
        before.append(last[length - 1] if length else -1)
        ends[length : length + 1] = [place]
        last[length : length + 1] = [index]
    found = []
    index = last[-1] if last else -1
    while index >= 0:
        found.append(pairs[index])
        index = before[index]
    return found[::-1]


def _end(lines: list[Line], is_last: bool) -> int:
    """Return where a section's new last row stands."""
    if not is_last:
        # What stands behind its last row introduces the next section.
        return next((place + 1 for place in reversed(range(len(lines))) if _means(lines[place])), len(lines))
    unfinished = bool(lines) and lines[-1].lost and lines[-1].text.rstrip("\r\n").endswith("\\")
    return len(lines) - unfinished


def _write(document: Document, items: list[Item]) -> Iterator[str]:
    """Return the text, with the directives that bring each row into the state it is meant for."""
    spec = document.spec
    ending = "\r\n" if document.lines[0].text.endswith("\r\n") else "\n"
    state = State(spec.first_format, spec.default_section)
    idle = _idle_marks(items)
    unended = ""

    for item in items:
        texts: list[str] = []
        if isinstance(item, str):
            texts.append(f"?SECTION {item}{ending}")
        elif isinstance(item, Row):
            target = State(_format(spec, item, state), item.section, item.comment)
            texts += [*_directives(state, target, ending), render_row(spec, item, target.file_format or 0) + ending]
            state = target
        elif item.mark:
            if id(item) not in idle and not _is_redundant(item, state):
                texts.append(item.text)
                state = _obeyed(item.mark, state)
        else:
            if (item.row or item.kept or item.lost) and not item.nested:
                texts += _directives(state, item.before, ending)
            if _means(item):
                state = item.after
            texts.append(item.text)
        for text in filter(None, texts):
            if unended and not unended.endswith("\n"):
                yield ending
            yield text
            unended = text


def _format(spec: FileSpec, row: Row, state: State) -> int:
    if state.file_format is not None and fits(spec, row, state.file_format):
        return state.file_format
    return spec.file_format


def _directives(have: State, want: State, ending: str) -> Iterator[str]:
    """Return what leads from one state to the other, without sections, which have an order."""
    if want.file_format not in (None, have.file_format):
        yield f"?FORMAT {want.file_format}{ending}"
    if want.comment not in (None, have.comment):
        yield f"?COMMENT {want.comment}".rstrip() + ending


def _obeyed(mark: tuple[str, str], state: State) -> State:
    word, rest = mark
    if word == "FORMAT":
        return replace(state, file_format=int(rest))
    return replace(state, comment=rest) if word == "COMMENT" else replace(state, section=rest)


def _is_redundant(line: Line, state: State) -> bool:
    """Whether a directive changed something once, and with the rows before it gone changes nothing more."""
    if line.mark is None or line.mark[0] == "SECTION":
        return False
    return _obeyed(line.mark, state) == state and _obeyed(line.mark, line.before) != line.before


def _idle_marks(items: list[Item]) -> set[int]:
    """Return the comments all of whose rows are gone."""
    idle: set[int] = set()
    mark: Line | None = None
    gone = False
    for item in [*items, None]:
        if item is None or (isinstance(item, Line) and item.mark and item.mark[0] == "COMMENT"):
            if mark is not None and gone:
                idle.add(id(mark))
            mark, gone = item if isinstance(item, Line) else None, False
        elif isinstance(item, Row):
            mark = None if mark and mark.mark and mark.mark[1] == item.comment else mark
        elif isinstance(item, Line) and (item.row or item.kept or item.lost):
            mark = None
        elif isinstance(item, Line) and not item.text:
            gone = True
    return idle
