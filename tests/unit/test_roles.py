# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role says about itself must be what it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if (path / "tasks").is_dir())


def load(path: Path) -> Any:
    """Read a YAML file; an empty one, or one that holds comments only, is an empty mapping."""
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def test_there_are_roles() -> None:
    assert ROLES


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
class TestRole:
    def test_documents_every_default_and_nothing_else(self, role: Path) -> None:
        defaults = load(role / "defaults" / "main.yml")
        options = load(role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
        assert sorted(options) == sorted(defaults)

    def test_every_option_is_described_and_typed(self, role: Path) -> None:
        options = load(role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
        assert [name for name, option in options.items() if not option.get("description") or "type" not in option] == []

    def test_every_name_begins_with_the_role(self, role: Path) -> None:
        defaults = load(role / "defaults" / "main.yml")
        assert [name for name in defaults if not name.startswith(f"{role.name}_")] == []

    def test_a_documented_default_is_the_default(self, role: Path) -> None:
        """A derived default is a template and cannot stand in the specification; any other must be the same."""
        defaults = load(role / "defaults" / "main.yml")
        options = load(role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
        documented = {name: option["default"] for name, option in options.items() if "default" in option}
        assert documented == {name: defaults[name] for name in documented}

    def test_has_no_handlers(self, role: Path) -> None:
        """Handlers would run after the commit, outside the transaction."""
        assert not (role / "handlers").exists()

    def test_has_an_example_and_metadata(self, role: Path) -> None:
        readme = (role / "README.md").read_text(encoding="utf-8")
        assert "```yaml" in readme
        assert f"ursa.kvmnet.{role.name}" in readme
        galaxy_info = load(role / "meta" / "main.yml")["galaxy_info"]
        assert galaxy_info["license"] == "GPL-3.0-or-later"
        assert galaxy_info["description"]
