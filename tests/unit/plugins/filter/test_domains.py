# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.ursa.kvmnet.plugins.filter.domains import domains
from ansible_collections.ursa.kvmnet.plugins.filter.guests import guest_records
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._read import read_entries

NETWORKS = [
    {
        "name": "kvm",
        "bridge": "br0",
        "address": "192.0.2.254/24",
        "dhcp_range": ["192.0.2.100", "192.0.2.199"],
        "domain": "ex",
    },
    {"name": "plain", "bridge": "br1", "address": "198.51.100.1/24", "mtu": 1400},
]


def test_what_is_not_managed_stays_so():
    assert domains(guest_records(None, NETWORKS), NETWORKS) is None
    assert domains(guest_records([], NETWORKS), NETWORKS) == []


def test_an_entry_follows_from_a_record():
    guests = [
        {"name": "web", "network": "kvm", "address": "192.0.2.1", "image": "tiny", "memory_mib": 128, "uplink": "x"}
    ]
    (record,) = guest_records(guests, NETWORKS)
    assert domains([record], NETWORKS) == [
        {
            "source": "kvmnet_guests[0]",
            "name": "web",
            "network": "kvm",
            "uuid": record["uuid"],
            "nics": [{"mac": record["mac"], "tap": "tap-web", "mtu": None}],
            "address": "192.0.2.1",
            "fqdn": "web.ex",
            "wait_for": ["lease"],
            "image": "tiny",
            "memory_mib": 128,
        }
    ]


@pytest.mark.parametrize(
    ("guest", "wait_for"),
    [
        ({"network": "kvm"}, ["lease"]),
        ({"network": "kvm", "wait_for": []}, []),
        ({"network": "plain"}, []),
        ({"network": "plain", "address": "198.51.100.7"}, ["lease"]),
        ({"network": "unknown"}, []),
    ],
)
def test_a_lease_is_waited_for_where_there_is_one(guest, wait_for):
    (entry,) = domains(guest_records([{"name": "web", **guest}], NETWORKS), NETWORKS)
    assert entry["wait_for"] == wait_for


def test_the_module_takes_what_the_filter_gives():
    guests = [{"name": f"g{number}", "network": "plain", "image": "tiny"} for number in range(3)]
    assert read_entries(domains(guest_records(guests, NETWORKS), NETWORKS))[1] == []


def test_what_a_record_says_of_its_card_goes_there():
    guests = [{"name": "web", "network": "kvm", "address": "192.0.2.1", "queues": 2, "anti_spoofing": True}]
    (entry,) = domains(guest_records(guests, NETWORKS), NETWORKS)
    assert {key: entry["nics"][0][key] for key in ("queues", "anti_spoofing", "address")} == {
        "queues": 2,
        "anti_spoofing": True,
        "address": "192.0.2.1",
    }
    assert "queues" not in entry
    assert read_entries([entry])[1] == []


def test_another_name_keeps_the_card():
    (old,) = guest_records([{"name": "web", "network": "kvm"}], NETWORKS)
    (new,) = guest_records([{"name": "www", "renamed_from": "web", "network": "kvm"}], NETWORKS)
    assert {key: new[key] for key in ("mac", "tap", "uuid")} == {key: old[key] for key in ("mac", "tap", "uuid")}
