# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The schema table: what contradicts itself is no table, and the documentation says what the table says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.ursa.kvmnet.plugins.doc_fragments.shorewall_filter import ModuleDocFragment as FilterDocs
from ansible_collections.ursa.kvmnet.plugins.doc_fragments.shorewall_routing import ModuleDocFragment as RoutingDocs
from ansible_collections.ursa.kvmnet.plugins.doc_fragments.staging import ModuleDocFragment as StagingDocs
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall import _conf, _settings
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._arguments import config_arguments, zone_arguments
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._columns import (
    Column,
    FileSpec,
    choice,
    index_files,
    number,
    options,
    text,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._schema import FILES
from ansible_collections.ursa.kvmnet.plugins.modules import shorewall_config, shorewall_zone

from ....conftest import SHOREWALL_ROOTS

# A Debian root besides the machine's own, where Shorewall is installed.
ANY = text("anything")
NAME = Column("name", ANY)
FRAGMENTS = {"shorewall_filter": FilterDocs, "shorewall_routing": RoutingDocs, "staging": StagingDocs}

# What issue and design name; the rest is text.
ISSUE = (
    "zones interfaces hosts policy rules snat providers rtrules routes mangle conntrack stoppedrules tunnels accounting"
)

CONTRADICTIONS: dict[str, Callable[[], object]] = {
    "option given twice: name": lambda: FileSpec("x", "x", (NAME, NAME)),
    "option given twice: part": lambda: FileSpec(
        "x", "x", (Column("part", ANY), Column("b", ANY, parts=(("part", ANY),), joint=":"))
    ),
    "column key given twice: port": lambda: FileSpec(
        "x", "x", (Column("port", ANY), Column("dport", ANY, aliases=("port",)))
    ),
    "key or label names no option: zone": lambda: FileSpec("x", "x", (NAME,), key=("zone",)),
    "key or label names no option: nosuch": lambda: FileSpec("x", "x", (NAME,), label=("nosuch",)),
    "has parts, so it needs a joint and no list": lambda: FileSpec("x", "x", (Column("a", ANY, parts=(("b", ANY),)),)),
    "only the last part of a can be a list": lambda: FileSpec(
        "x", "x", (Column("a", ANY, parts=(("b", text("x", is_list=True)), ("c", ANY)), joint=":"),)
    ),
    r"\?FORMAT 1 contradicts the columns: broadcast": lambda: FileSpec(
        "x", "x", (NAME,), formats={1: ("name", "broadcast")}, file_format=2
    ),
    r"\?FORMAT 2 contradicts the columns": lambda: FileSpec("x", "x", (NAME,), formats={2: ("name",)}, file_format=2),
    "no column": lambda: FileSpec("x", "x", ()),
    "a section given twice: A": lambda: FileSpec("x", "x", (NAME,), sections=("A", "A")),
    "the default section is none: B": lambda: FileSpec("x", "x", (NAME,), sections=("A",), default_section="B"),
    "name: the default nil is none of its values": lambda: FileSpec(
        "x", "x", (Column("name", choice("a", "b"), default="nil"),)
    ),
    "name is required, so it needs no default": lambda: FileSpec(
        "x", "x", (Column("name", choice("a"), default="a", required=True),)
    ),
    "an option of this version of IP and of the other one alone: name": lambda: FileSpec(
        "x", "x", (NAME,), elsewhere=("name",)
    ),
    "comment is an option of every row": lambda: FileSpec("x", "x", (Column("comment", ANY),), has_comments=True),
    "origin is an option of every row": lambda: FileSpec("x", "x", (Column("origin", ANY),)),
    "older formats without one to write": lambda: FileSpec("x", "x", (NAME,), formats={1: ("name",)}),
    "options with and without a value: balance": lambda: options("balance track", "balance"),
    "options given twice: track": lambda: options("track track"),
    "no number from 5 to 1": lambda: number(5, 1),
    "choices given twice: a": lambda: choice("a", "b", "a"),
    "a file stands in the schema twice: x": lambda: index_files((FileSpec("x", "x", (NAME,)),) * 2),
    "x.zone refers to no file: zones": lambda: index_files(
        (FileSpec("x", "x", (Column("zone", ANY, refers="zones"),)),)
    ),
    "x.y refers to x, whose rows have no name": lambda: index_files(
        (FileSpec("x", "x", (Column("y", ANY, refers="x"),)),)
    ),
}


class TestSettings:
    def test_no_setting_twice(self) -> None:
        with pytest.raises(ValueError, match="twice: A"):
            _settings.index_settings(((_settings.YES_NO, "A B"), (_settings.YES_NO, "A")))

    @pytest.mark.parametrize("root", SHOREWALL_ROOTS, ids=str)
    @pytest.mark.parametrize("product", ["shorewall", "shorewall6"])
    def test_what_is_shipped_is_right(self, root: Path, product: str) -> None:
        shipped = [*root.glob(f"usr/share/{product}/configfiles/{product}.conf")]
        shipped += root.glob(f"usr/share/doc/{product}/examples/*/{product}.conf")
        if not shipped:
            pytest.skip("Shorewall is not installed")
        for path in shipped:
            found = _conf.read(path.read_text())
            assert set(found) - set(_settings.SETTINGS) == set(), path
            assert [str(problem) for problem in _settings.check_values(found)] == [], path

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("USE_DEFAULT_RT", "maybe"),
            ("IP_FORWARDING", "1"),
            ("LOG_LEVEL", "loud"),
            ("RESTART", "Reload"),
            ("OPTIMIZE", "32"),
            ("OPTIMIZE", "most"),
            ("BLACKLIST", "NEW,OLD"),
            ("TC_PRIOMAP", "1 2 3"),
            ("PROVIDER_BITS", "33"),
            ("LOG_VERBOSITY", "3"),
            ("LOGLIMIT", "often"),
            ("ZONE2ZONE", "to"),
            ("SMURF_DISPOSITION", "REJECT"),
            ("INVALID_DISPOSITION", "ACCEPT"),
            ("AUTOMAKE", "100"),
            ("DYNAMIC_BLACKLIST", "on"),
        ],
    )
    def test_refuses(self, name: str, value: str) -> None:
        (problem,) = _settings.check_values({name: value})
        assert problem.place() == f"settings.{name}"

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("USE_DEFAULT_RT", "yes"),
            ("LOG_LEVEL", "NFLOG(1,0,1):web"),
            ("LOG_LEVEL", ""),
            ("OPTIMIZE", "31"),
            ("OPTIMIZE", "0x1f"),
            ("LOGLIMIT", "d:10/min:5"),
            ("LOGLIMIT", "10/sec"),
            ("DYNAMIC_BLACKLIST", "ipset-only,src-dst,timeout=7200:SW_DBL4:info:"),
            ("CLAMPMSS", "1400"),
            ("AUTOMAKE", "Recursive"),
            ("DROP_DEFAULT", "Broadcast(DROP),Multicast(DROP):$LOG_LEVEL"),
            ("BLACKLIST", "ALL"),
            ("NOT_KNOWN_HERE", "x"),
        ],
    )
    def test_takes(self, name: str, value: str) -> None:
        assert list(_settings.check_values({name: value})) == []


@pytest.mark.parametrize("says", CONTRADICTIONS)
def test_refuses_what_contradicts_itself(says: str) -> None:
    with pytest.raises(ValueError, match=says):
        CONTRADICTIONS[says]()


def test_has_every_file_that_is_made_of_rows() -> None:
    assert set(FILES) == set(ISSUE.split())


def documented(module: Any) -> dict[str, Any]:
    """Return a module's documented options, those of its fragments too."""
    doc = yaml.safe_load(module.DOCUMENTATION)
    found = dict(doc.get("options") or {})
    for name in doc["extends_documentation_fragment"]:
        _ns, _name, fragment, *part = name.split(".")
        if fragment in FRAGMENTS:
            source = getattr(FRAGMENTS[fragment], (part or ["DOCUMENTATION"])[0].upper())
            found |= yaml.safe_load(source)["options"]
    return found


def outline(arguments: dict[str, Any], suboptions: str) -> dict[str, Any]:
    """Return what arguments and documentation have to agree about."""
    return {
        name: {
            **{
                key: value
                for key, value in one.items()
                if key in ("type", "elements", "choices", "default", "required")
            },
            "options": outline(one[suboptions], suboptions) if one.get(suboptions) else None,
        }
        for name, one in arguments.items()
    }


@pytest.mark.parametrize(
    ("module", "arguments"), [(shorewall_config, config_arguments()), (shorewall_zone, zone_arguments())]
)
def test_the_documentation_says_what_the_table_says(module: Any, arguments: dict[str, Any]) -> None:
    said, is_so = outline(documented(module), "suboptions"), outline(arguments, "options")
    assert sorted(said) == sorted(is_so)
    for name, one in is_so.items():
        assert said[name] == one, name


@pytest.mark.parametrize("name", sorted(set(FILES) - {"zones", "interfaces", "hosts"}))
def test_the_documentation_says_what_is_required(name: str) -> None:
    rows = documented(shorewall_config)[name]["suboptions"]
    required = {column.fields[0][0] for column in FILES[name].columns if column.required}
    # A provider without a number gets one.
    required -= {"number"} if name == "providers" else set()
    said = {option for option, one in rows.items() if "Required" in str(one["description"])}
    assert required <= said
    assert said - required <= {"source", "dest"}


@pytest.mark.parametrize("name", FILES)
def test_the_options_of_rows_are_told_apart(name: str) -> None:
    assert not {"state", "before", "after", "origin", "comment", "matches", "section"} & set(FILES[name].options)
