# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two providers that each give a prefix: numbers that IPv4's do not have, and traffic over both."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from testinfra.host import Host

FIBRE, CABLE = "2001:db8:a::2", "2001:db8:b::2"


@pytest.fixture(name="wide", scope="module")
def fixture_wide(managed: Callable[[str], Host]) -> Host:
    return managed("wide")


def numbers(host: Host, directory: str) -> dict[str, int]:
    """Return the providers' numbers by name."""
    lines = host.check_output(f"grep -v '^[#?]' {directory}/providers").splitlines()
    return {line.split()[0]: int(line.split()[1]) for line in lines if line.strip()}


def test_numbers_and_names_are_those_of_one_version(wide: Host) -> None:
    four, six = numbers(wide, "/etc/shorewall"), numbers(wide, "/etc/shorewall6")
    assert [*four] == ["fibre", "cable"]
    assert [*six] == ["fibre_6", "cable_6"]
    assert len({*four.values(), *six.values()}) == 4


@pytest.mark.parametrize(("name", "gateway"), [("fibre_6", "fe80::1"), ("cable_6", "2001:db8:b::1")])
def test_each_has_a_table_of_its_own(wide: Host, name: str, gateway: str) -> None:
    table = numbers(wide, "/etc/shorewall6")[name]
    (route,) = json.loads(wide.check_output(f"ip -6 -j route show table {table} default"))
    assert route["gateway"] == gateway
    rules = json.loads(wide.check_output("ip -6 -j -N rule show"))
    assert {"fwmark", "src"} <= {key for rule in rules if rule.get("table") == str(table) for key in rule}


def test_no_default_route_stands_in_the_main_table(wide: Host) -> None:
    """There it would win over both."""
    assert wide.check_output("ip -6 route show table main default") == ""


def test_connections_take_both_by_their_weight(station: Callable[[str], Any]) -> None:
    laptop = station("laptop")
    found = Counter(laptop.fetch(f"http://[2001:db8:1234::{number:x}]/").get("client") for number in range(1, 61))
    assert {*found} == {FIBRE, CABLE}
    assert found[FIBRE] > found[CABLE]


@pytest.mark.parametrize(("source", "card"), [(FIBRE, "eth1"), (CABLE, "eth2")])
def test_what_comes_from_an_address_leaves_by_its_provider(wide: Host, source: str, card: str) -> None:
    (route,) = json.loads(wide.check_output(f"ip -6 -j route get 2001:db8:1234::99 from {source}"))
    assert route["dev"] == card
    argv = f"curl --silent --max-time 5 --interface {source} http://[2001:db8:1234::99]/"
    assert f"client={source}" in wide.check_output(argv)
