# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._files import _converge
from ansible_collections.ursa.kvmnet.plugins.module_utils._files._leases import (
    Lease,
    Reservation,
    contradictions,
    parse_leases,
    parse_reservations,
    release_command,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._files._request import LeaseWatch, Request

WEB, DB = "52:54:00:00:00:01", "52:54:00:00:00:02"
LEASES = f"""\
9999999999 {WEB} 192.168.0.20 web 01:{WEB}
0 {DB} 192.168.0.21 * *
duid 00:01
1 2 fe80::1 name 00:01
"""


def test_the_lease_file() -> None:
    assert parse_leases(LEASES) == [
        Lease(WEB, "192.168.0.20", "web", f"01:{WEB}", 9999999999),
        Lease(DB, "192.168.0.21", None, None, 0),
    ]
    assert parse_leases("") == []


def test_the_reservations() -> None:
    text = f"{WEB.upper()},192.168.0.20,web\n# note\n\n{DB},db\n"
    assert parse_reservations(text) == [Reservation(WEB, "192.168.0.20", "web"), Reservation(DB, None, "db")]
    assert parse_reservations(f"{WEB},set:_further,10.1.0.2") == [Reservation(WEB, "10.1.0.2", None)]


@pytest.mark.parametrize(
    ("after", "released"),
    [
        ([Reservation(WEB, "192.168.0.20", "web")], []),
        ([Reservation(WEB, "192.168.0.30", "web")], ["192.168.0.20: web moves to 192.168.0.30"]),
        ([Reservation(WEB, None, "web")], []),
        ([], ["192.168.0.20: the reservation of web is gone"]),
        ([Reservation(DB, "192.168.0.20", "db")], ["192.168.0.20: the address is reserved for db"]),
    ],
)
def test_leases_of_reservations_that_went_or_moved(after: list[Reservation], released: list[str]) -> None:
    leases = [Lease(WEB, "192.168.0.20", "web", None, 0)]
    before = [Reservation(WEB, "192.168.0.20", "web")]
    assert [f"{lease.address}: {reason}" for lease, reason in contradictions(leases, before, after, 100)] == released


def test_a_guest_of_the_range_keeps_its_lease() -> None:
    assert contradictions([Lease(WEB, "192.168.0.150", None, None, 0)], [], [], 100) == []


def test_a_lease_that_ended_is_not_released() -> None:
    assert (
        contradictions([Lease(WEB, "192.168.0.20", None, None, 99)], [], [Reservation(DB, "192.168.0.20", None)], 100)
        == []
    )


def test_a_lease_is_released_on_the_interface_of_its_network() -> None:
    interfaces = {"br1": "10.0.0.1/24", "br0": "192.168.0.254/24"}
    assert release_command(Lease(WEB, "192.168.0.20", None, "01:02", 0), interfaces) == [
        "dhcp_release", "br0", "192.168.0.20", WEB, "01:02",
    ]  # fmt: skip
    assert release_command(Lease(WEB, "172.16.0.1", None, None, 0), interfaces) is None


def test_drift_is_released_without_a_changed_file(tmp_path: Path) -> None:
    """A lease that stands in the way of a reservation is given back even when the files are right."""
    (tmp_path / "leases").write_text(f"0 {WEB} 192.168.0.20 web *\n")
    (tmp_path / "reservations").write_text(f"{DB},192.168.0.20,db\n")
    watch = LeaseWatch("/leases", "/reservations", {"br0": "192.168.0.254/24"})
    candidate = Candidate(None, None, tmp_path)
    plan = _converge.stage(Request((), (), (), (), (), watch), candidate, {})
    assert plan.lines() == ["- lease 192.168.0.20 of web: delete, the address is reserved for db"]
    (step,) = candidate.steps.values()
    assert step["args"]["argv"] == ["dhcp_release", "br0", "192.168.0.20", WEB]
    assert step["order"] > 50
