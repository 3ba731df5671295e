# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""docs/inventory.md says what the schema says. Called as a program, this file brings the tables up to date."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ansible_collections.ursa.kvmnet import plugins
from ansible_collections.ursa.kvmnet.plugins.doc_fragments import guests
from ansible_collections.ursa.kvmnet.plugins.plugin_utils._site._check import check_site
from ansible_collections.ursa.kvmnet.plugins.plugin_utils._site._read import read_host
from ansible_collections.ursa.kvmnet.plugins.plugin_utils._site._schema import GUEST_OPTIONS, VARIABLES, Variable
from ansible_collections.ursa.kvmnet.plugins.plugin_utils._site._types import Key, ListOf, Table

PAGE = Path(next(iter(plugins.__path__))).parent / "docs" / "inventory.md"
PART = re.compile(r"<!-- table (\w+) -->\n(.*?)<!-- end -->", re.DOTALL)


def rows(keys: tuple[Key, ...], prefix: str = "") -> Iterator[str]:
    """Yield a table's lines, those of nested entries below the key that holds them."""
    for key in keys:
        # The options of kvm_guest are described by the module
        if key.doc:
            given = "**required**" if key.required else key.default
            yield f"| `{prefix}{key.name}` | {key.kind.name} | {given} | {key.doc} |"
        inner = key.kind.kind if isinstance(key.kind, ListOf) else key.kind
        if isinstance(inner, Table):
            yield from rows(inner.keys, f"{prefix}{key.name}[].")


def table(variable: Variable) -> str:
    """Return a variable's table as it stands on the page."""
    lines = [variable.doc, ""]
    if isinstance(variable.kind, Table):
        lines += ["| key | value | default | meaning |", "|---|---|---|---|", *rows(variable.kind.keys), ""]
    return "\n".join(lines)


def render(text: str) -> str:
    """Return the page with every table as the schema has it."""
    by_name = {variable.name: variable for variable in VARIABLES}
    return PART.sub(lambda part: f"<!-- table {part[1]} -->\n{table(by_name[part[1]])}<!-- end -->", text)


def test_the_page_has_every_variable_once() -> None:
    assert [part[0] for part in PART.findall(PAGE.read_text(encoding="utf-8"))] == [one.name for one in VARIABLES]


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_the_page_says_what_the_schema_says(variable: Variable) -> None:
    parts = dict(PART.findall(PAGE.read_text(encoding="utf-8")))
    assert parts[variable.name] == table(variable), f"run {Path(__file__).name} as a program"


def test_the_examples_of_the_page_are_right() -> None:
    examples = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert examples
    base = {"kvmnet_management": {"sources": ["192.0.2.0/24"]}}
    for example in examples:
        assert check_site([read_host("example", base | yaml.safe_load(example))]) == []


def test_every_other_option_of_a_guest_is_one_of_the_module() -> None:
    documented = yaml.safe_load(guests.ModuleDocFragment.DOCUMENTATION)["options"]["guests"]["suboptions"]
    assert {key.name for key in GUEST_OPTIONS} <= set(documented)
    assert {"image", "memory_mib", "state"} <= {key.name for key in GUEST_OPTIONS}


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
