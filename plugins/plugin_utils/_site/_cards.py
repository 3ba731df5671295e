# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""What a guest's record says of its network cards."""

from __future__ import annotations

from . import _types as t
from ._types import Key, ListOf, Table

CARD = (
    Key("nic_model", t.STRING, "What its card looks like to it.", default="virtio"),
    Key("queues", t.integer(1, 256), "Queues of its card.", default="1"),
    Key("link", t.choice("up", "down"), "Whether its cable is plugged in.", default="up"),
    Key("inbound_mbit", t.amount("inbound_mbit", 1, 400_000), "At most so many Mbit/s to it.", default="no limit"),
    Key("outbound_mbit", t.amount("outbound_mbit", 1, 400_000), "At most so many Mbit/s from it.", default="no limit"),
    Key(
        "anti_spoofing",
        t.BOOL,
        "Whether it is held to its MAC address and, where it has one of its own, its address.",
        default="false",
    ),
)

NICS = Key(
    "nics",
    ListOf(
        Table(
            (
                Key("network", t.NAME, "Name of its network: one with a bridge, and no other card's.", required=True),
                Key(
                    "address",
                    t.ADDRESS,
                    "The guest's address there, outside the `dhcp_range`. Where the guest has one on its first card too"
                    " and this network has a `domain`, its name stands in that as well. Absent: one out of the range.",
                ),
                Key(
                    "mac",
                    t.MAC,
                    "MAC address, unique in the whole site.",
                    default="52:54 and 32 bits of a hash of the names of guest and network",
                ),
                Key(
                    "tap",
                    t.INTERFACE,
                    "Name of its tap on the host.",
                    default="`tap-`, the guest's name, `_` and the network's, shortened to 15 characters",
                ),
                Key(
                    "isolated",
                    t.BOOL,
                    "Whether the guest is kept from reaching other isolated guests there.",
                    default="that of the network",
                ),
                *CARD,
            )
        )
    ),
    "Further network cards. The record's own `network` is the first one: by it the guest is named and reached, and goes"
    " out.",
)
