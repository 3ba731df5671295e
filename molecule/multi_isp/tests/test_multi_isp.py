# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two providers: what belongs to one takes it, the rest is shared, and a connection stays where it began."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from testinfra.host import Host

FIBRE = "198.51.100.2"


@pytest.fixture(scope="module")
def edge(managed: Callable[[str], Host]) -> Host:
    return managed("edge")


@pytest.fixture(scope="module")
def cable(station: Any) -> str:
    """The address behind which the provider by DHCP hides its customers."""
    (address,) = station("edge-eth2").addresses("wan")
    return str(address)


def test_both_providers_are_up(edge: Host) -> None:
    assert "default via 198.51.100.1 dev eth1" in edge.check_output("ip -4 route show table fibre")
    assert "dev eth2" in edge.check_output("ip -4 route show default table cable")
    assert edge.check_output("ip -4 route show default table main") == ""


def test_destinations_of_one_provider_take_it(station: Any, cable: str) -> None:
    seen = {station("desk").fetch(f"http://192.0.2.{last}/").get("client") for last in range(130, 142)}
    assert seen == {cable}


def test_the_rest_is_shared(station: Any, cable: str) -> None:
    """One destination always takes one provider; two and a half dozen of them take both."""
    seen = [station("desk").fetch(f"http://203.0.{last}.1/").get("client") for last in range(120, 150)]
    assert set(seen) == {FIBRE, cable}
    assert seen.count(FIBRE) > seen.count(cable)


def test_a_stranger_finds_nothing(station: Any) -> None:
    assert not station("client").connects(FIBRE, 22)


def test_check_mode_predicts_nothing_on_the_finished_host(site_playbook: Any) -> None:
    assert site_playbook("molecule/multi_isp/inventory", "--check") == {"edge": 0}
