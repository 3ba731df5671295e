# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""What a guest's record says of its network card."""

from __future__ import annotations

from . import _types as t
from ._types import Key

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
