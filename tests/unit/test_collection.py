# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Promises of the collection as a whole that no tool checks."""

from __future__ import annotations

import fnmatch
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import _commit

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "plugins" / "modules").glob("*.py"))
MODULE_UTILS = sorted(path for path in (ROOT / "plugins" / "module_utils").rglob("*.py") if path.name != "__init__.py")
CODE = sorted((ROOT / "plugins").rglob("*.py"))
# What a user gets; whatever else lies at the top is for those who work on the collection.
SHIPPED = {
    "CHANGELOG.rst", "CONTRIBUTING.md", "COPYING", "LICENSES", "README.md", "REUSE.toml", "changelogs", "docs",
    "meta", "playbooks", "plugins", "requirements.txt", "roles",
}  # fmt: skip
PRIVATE = "# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere."


def load(path: str) -> Any:
    """Read one of the collection's YAML files."""
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def relative(path: Path) -> str:
    """Name a file in a test's identifier."""
    return str(path.relative_to(ROOT / "plugins"))


def test_the_action_group_holds_every_module() -> None:
    assert sorted(load("meta/runtime.yml")["action_groups"]["all"]) == [path.stem for path in MODULES]


def test_every_action_plugin_has_a_module_of_its_name() -> None:
    actions = {path.stem for path in (ROOT / "plugins" / "action").glob("*.py")}
    assert actions <= {path.stem for path in MODULES}


def test_it_depends_on_no_other_collection() -> None:
    assert load("galaxy.yml")["dependencies"] == {}


def test_everything_at_the_top_is_shipped_or_ignored_on_purpose() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    top = {name.split("/")[0] for name in tracked} - {"galaxy.yml"}
    ignored = {name for name in top if any(fnmatch.fnmatch(name, rule) for rule in load("galaxy.yml")["build_ignore"])}
    assert top - ignored <= SHIPPED
    assert not ignored & SHIPPED


@pytest.mark.parametrize("module", MODULES, ids=relative)
class TestModule:
    def test_says_what_it_can(self, module: Path) -> None:
        """The attributes are each module's own promise; the fragment only explains the words."""
        namespace: dict[str, Any] = {}
        source = module.read_text(encoding="utf-8")
        exec(source[source.index("DOCUMENTATION") : source.index("EXAMPLES")], namespace)
        documentation = yaml.safe_load(namespace["DOCUMENTATION"])
        fragments = {"ursa.kvmnet.attributes", "ursa.kvmnet.attributes.actiongroup"}
        assert fragments <= set(documentation["extends_documentation_fragment"])
        assert {"check_mode", "diff_mode", "idempotent"} <= set(documentation["attributes"])
        assert documentation["version_added"] == "0.1.0"

    def test_is_wiring_only(self, module: Path) -> None:
        source = module.read_text(encoding="utf-8")
        found, _blank, code = source[source.index("RETURN") :].partition("\nfrom ansible")
        # What runs on the controller alone is documented here and written there
        assert code or (ROOT / "plugins" / "action" / module.name).exists(), found
        assert len(code.splitlines()) <= 150


@pytest.mark.parametrize("path", CODE, ids=relative)
def test_a_file_is_short_enough_to_read(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 400


def test_so_are_programs_and_tests() -> None:
    paths = (path for folder in ("molecule", "roles", "tests", "tools") for path in (ROOT / folder).rglob("*.py"))
    assert [path for path in paths if len(path.read_text(encoding="utf-8").splitlines()) >= 400] == []


@pytest.mark.parametrize("path", MODULE_UTILS, ids=relative)
def test_module_utils_are_private_and_say_so(path: Path) -> None:
    assert any(part.startswith("_") for part in path.relative_to(ROOT / "plugins" / "module_utils").parts)
    assert PRIVATE in path.read_text(encoding="utf-8")


def test_the_guards_files_are_those_of_its_table() -> None:
    rows = [line for line in (ROOT / "docs/architecture.md").read_text().splitlines() if line.startswith("| `_")]
    named = [name for row in rows for name in re.findall(r"`(_[a-z]+)`", row.split("|")[1])]
    assert sorted(named) == sorted(path.stem for path in MODULE_UTILS if path.parent.name == "_guard")
    # What stays on the host comes first
    installed = {part.__name__.rpartition(".")[2] for part in _commit._PARTS}
    assert {name for row in rows[:-2] for name in re.findall(r"`(_[a-z]+)`", row.split("|")[1])} == installed
