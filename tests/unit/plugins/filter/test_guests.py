# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re

from ansible_collections.ursa.kvmnet.plugins.filter.guests import guest_records
from ansible_collections.ursa.kvmnet.plugins.module_utils._identity import derive_mac, derive_tap, derive_uuid

NETWORKS = [{"name": "kvm", "bridge": "br0", "domain": "kvm.example", "mtu": 1400, "isolated": True}]


def test_identity_never_moves() -> None:
    # Changing any of these would give every existing guest a new MAC, lease and machine id.
    assert derive_mac("web") == "52:54:56:9c:a6:c3"
    assert derive_uuid("web") == "6f36cd3f-6e31-54d4-9554-ab3d0f2458f6"
    assert derive_tap("web") == "tap-web"


def test_long_names_get_distinct_taps_of_legal_length() -> None:
    taps = {derive_tap(f"a-very-long-guest-name-{number}") for number in range(200)}
    assert len(taps) == 200
    assert all(len(tap) <= 15 and re.fullmatch(r"tap-a-ver-[0-9a-f]{5}", tap) for tap in taps)
    assert derive_tap("elevenchars") == "tap-elevenchars"
    assert derive_tap("twelve_chars") == "tap-twelv-895e7"


def test_unset_guests_are_not_managed_and_empty_means_none() -> None:
    assert guest_records(None, NETWORKS) is None
    assert guest_records([], NETWORKS) == []


def test_a_record_joins_its_network_and_keeps_the_rest_as_options() -> None:
    (record,) = (
        guest_records(
            [{"name": "web", "network": "kvm", "address": "192.168.0.2", "image": "tiny", "vcpus": 2}], NETWORKS
        )
        or []
    )
    assert record["source"] == "kvmnet_guests[0]"
    assert (record["bridge"], record["domain"], record["mtu"], record["isolated"]) == ("br0", "kvm.example", 1400, True)
    assert record["options"] == {"image": "tiny", "vcpus": 2}
    assert record["mac"] == derive_mac("web")


def test_what_the_user_says_wins() -> None:
    guest = {"name": "web", "network": "kvm", "mac": "52:54:00:AA:BB:CC", "tap": "tap9", "uuid": "u", "isolated": False}
    (record,) = guest_records([guest], NETWORKS) or []
    assert (record["mac"], record["tap"], record["uuid"], record["isolated"]) == (
        "52:54:00:aa:bb:cc",
        "tap9",
        "u",
        False,
    )
