# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A filter's documentation stands in a file of its own, so nothing but this test keeps the two together."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

DIRECTORY = Path(__file__).parents[2] / "plugins" / "filter"
FILTERS: dict[str, Callable[..., Any]] = {}
for path in sorted(DIRECTORY.glob("*.py")):
    FILTERS |= (
        importlib.import_module(f"ansible_collections.ursa.kvmnet.plugins.filter.{path.stem}").FilterModule().filters()
    )


def test_every_filter_is_documented_and_nothing_else() -> None:
    assert sorted(path.stem for path in DIRECTORY.glob("*.yml")) == sorted(FILTERS)


@pytest.mark.parametrize("name", FILTERS)
def test_the_documented_options_are_the_parameters(name: str) -> None:
    documentation = yaml.safe_load((DIRECTORY / f"{name}.yml").read_text(encoding="utf-8"))["DOCUMENTATION"]
    _given, *parameters = inspect.signature(FILTERS[name]).parameters.values()
    assert list(documentation["options"]) == ["_input", *(parameter.name for parameter in parameters)]
    assert documentation.get("positional", "") == ", ".join(parameter.name for parameter in parameters)
    required = [parameter.name for parameter in parameters if parameter.default is inspect.Parameter.empty]
    stated = [option for option, about in documentation["options"].items() if about.get("required")]
    assert stated == ["_input", *required]
