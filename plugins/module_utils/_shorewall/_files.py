# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Files of the candidate in the schema's terms: read as rows, staged from rows, with the plan of it."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Change, Plan
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall import _conf, _ipsets
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._addresses import PLACES
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._columns import FileSpec
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._compile import note_origins
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._document import Document, by_section, parse
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._edit import converge
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._family import IPV4, Family
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._leftovers import Leftover
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._lists import Lists, is_derived
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._rows import Row, label_of, plan_rows
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._schema_ipv6 import files_of


def decode(content: bytes | None) -> str:
    """Return a file's text; bytes that are no UTF-8 stand in comments and survive."""
    return (content or b"").decode(errors="surrogateescape")


def encode(text: str) -> bytes:
    """Return the bytes of M(decode)'s text."""
    return text.encode(errors="surrogateescape")


def remark_unsure(path: str, document: Document) -> str:
    """Say of which rows a condition decides what they say, and what to do."""
    lines = ", ".join(str(line.number) for line in document.unsure)
    return (
        f"{path}: the rows of the lines {lines} are left as they are, and not compared with those that are listed: a "
        "condition before them begins a ?COMMENT or ?FORMAT and does not end it; end it before its ?endif"
    )


def _derived(sets: _ipsets.Sets) -> dict[str, tuple[str, ...]]:
    return {name: tuple(members) for name, members in sets.items() if is_derived(name)}


def _rewritten(spec: FileSpec, have: list[Row], want: list[Row], shown: list[Row]) -> Iterator[Change]:
    """Yield the rows whose lists are written in another form."""
    for old, new, row in zip(have, want, by_section(spec, shown), strict=True):
        if old != new:
            yield Change("change", spec.noun, label_of(spec, row), note="its addresses are kept in another form")


class Staging:
    """What one module does to the files of the candidate, and the plan of it."""

    def __init__(self, candidate: Candidate, family: Family = IPV4) -> None:
        self.candidate = candidate
        self.family = family
        self.files = files_of(family)
        self.plan = Plan()
        self.notes: list[str] = []
        self.leftovers: list[Leftover] = []
        self.remarks: list[str] = []
        self.files_changed = False
        self.routing = False
        # The rows of the files that were staged, as they are written.
        self.written: dict[str, list[Row]] = {}
        self._parsed: dict[str, Document] = {}
        known, staged = (_derived(_ipsets.read_file(read, family)) for read in (candidate.live, candidate.read))
        self.lists = Lists(family.version, known, staged=staged)
        for name in PLACES if self.lists.known else ():
            path = f"{family.config}/{name}"
            self.lists.note_users(self.files[name], self._parse(name, candidate.live(path)).rows)

    def _parse(self, name: str, content: bytes | None) -> Document:
        """Read a file, or take what was read of the same text before."""
        text = decode(content)
        have = self._parsed.get(name)
        if have is None or have.text != text:
            have = self._parsed[name] = parse(self.files[name], text)
        return have

    def document(self, name: str) -> Document:
        """Return a file of rows as it will be, with sets in the place of long lists."""
        return self._parse(name, self.candidate.read(f"{self.family.config}/{name}"))

    def rows(self, name: str) -> list[Row]:
        """Return the rows of a file as they will be, with all their addresses."""
        return [self.lists.expand(self.files[name], row) for row in self.document(name).rows]

    def stage_rows(self, name: str, rows: list[Row], keep_lost: bool = False, glued: list[Row] | None = None) -> None:
        """Make a file hold exactly these rows; a file that says the same already is left as it is.

        Args:
            name: the file.
            rows: its rows.
            keep_lost: the rows that the schema cannot say stay.
            glued: the new rows that stand right before the row that follows them.
        """
        spec, path = self.files[name], f"{self.family.config}/{name}"
        live = self.candidate.live(path)
        document = self._parse(name, live)
        if keep_lost and document.unsure:
            self.remarks.append(remark_unsure(path, document))
        before = [self.lists.expand(spec, row) for row in document.rows]
        literal = (row for row, shown in zip(document.rows, before, strict=True) if row is shown)
        written = self.lists.compact(spec, rows, literal)
        ids = {id(row) for row in glued or ()}
        glued = [row for row, given in zip(written, rows, strict=True) if id(given) in ids]
        changes = [Change("delete", spec.noun, " ".join(line.text.split())) for line in document.lost if not keep_lost]
        changes += plan_rows(spec, before, rows)
        if not changes and document.rows != by_section(spec, written) and before == by_section(spec, rows):
            changes += _rewritten(spec, document.rows, by_section(spec, written), rows)
        for change in changes:
            self.plan.add(change)
        self.written[name] = rows = written
        if live is None and not rows:
            self.candidate.remove(path)
            return
        text = converge(document, rows, keep_lost, glued) if changes else document.text
        self._put(path, text, routing=spec.routing)
        self.notes += note_origins(
            self._parse(name, encode(text)), [(row, row.origin or f"{name}[{index}]") for index, row in enumerate(rows)]
        )

    def stage_assignments(self, path: str, kind: str, wanted: dict[str, str], template: str = "") -> None:
        """Set assignments in a file and keep everything else of it."""
        content = self.candidate.read(path)
        if content is None and template:
            content = self.candidate.read(template)
        text = decode(content)
        live = _conf.read(decode(self.candidate.live(path)) if self.candidate.live(path) is not None else text)
        # How the compiler works is nothing to the routing.
        changed = {name for name, value in wanted.items() if live.get(name) != value}
        routing = path == self.family.conf and (self.candidate.live(path) is None or bool(changed - {"OPTIMIZE"}))
        for name, value in wanted.items():
            if live.get(name) != value:
                before = {"value": (live.get(name), value)}
                self.plan.add(Change("change" if name in live else "create", kind, name, before))
        self._put(path, _conf.edit(text, wanted), routing)

    def stage_text(self, path: str, kind: str, name: str, text: str, routing: bool = True) -> None:
        """Make a file hold this text; an empty text removes it."""
        live = self.candidate.live(path)
        if live is not None and not text:
            self.plan.add(Change("delete", kind, name))
            self.candidate.remove(path)
            self.files_changed = True
            self.routing |= routing
        elif text and live is None:
            self.plan.add(Change("create", kind, name))
            self._put(path, text, routing)
        elif text:
            if decode(live) != text:
                self.plan.add(
                    Change("change", kind, name, {"lines": (len(decode(live).splitlines()), len(text.splitlines()))})
                )
            self._put(path, text, routing)
        else:
            self.candidate.remove(path)

    def _put(self, path: str, text: str, routing: bool) -> None:
        mode = 0o644
        live = self.candidate.host_root / path.lstrip("/")
        if live.is_file():
            mode = live.stat().st_mode & 0o7777
        if self.candidate.put(path, encode(text), mode):
            self.files_changed = True
            self.routing |= routing
