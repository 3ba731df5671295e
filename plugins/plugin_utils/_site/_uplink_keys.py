# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""The keys of an uplink in the inventory, declared once."""

from __future__ import annotations

from . import _types as t
from ._types import Key, ListOf, Table

# PROVIDER_BITS is 8; 250 and 253 to 255 are the kernel's and Shorewall's own tables.
NUMBERS_TAKEN = (250, 253, 254, 255)
# Connection tracking helpers, and the protocol that each follows.
HELPERS = {
    "amanda": "udp",
    "ftp": "tcp",
    "irc": "tcp",
    "pptp": "tcp",
    "sane": "tcp",
    "sip": "udp",
    "snmp": "udp",
    "tftp": "udp",
}
PORT_PROTOCOLS = ("tcp", "udp", "sctp", "dccp")

SERVICES = Table(
    (
        Key("proto", t.choice(*PORT_PROTOCOLS), "Protocol.", required=True),
        Key("port", t.PORTS, "Destination port.", required=True),
        Key(
            "helper",
            t.choice(*HELPERS),
            "What follows the protocol, so that the connections take this uplink too that the first one announces.",
        ),
        Key(
            "from",
            ListOf(t.NAME, least=1, single=True),
            "Network, or networks, whose traffic is meant.",
            default="the host itself",
        ),
    )
)

UPLINKS = Table(
    (
        Key(
            "name",
            t.PROVIDER,
            "Name of the provider, unique on the host regardless of case. It becomes the name of a routing table.",
            required=True,
        ),
        Key("interface", t.INTERFACE, "Interface that leads to it.", required=True),
        Key(
            "address",
            t.either("address with prefix length, or `dhcp`", "dhcp", t.CIDR),
            "The host's address there. Absent: the uplink shares the address of another uplink on the same "
            "interface, or its interface gets one from its peer (PPP).",
        ),
        Key(
            "gateway",
            t.either("address, or `dhcp`", "dhcp", t.ADDRESS),
            "The provider's gateway. Absent: point-to-point.",
        ),
        Key(
            "address6",
            t.CIDR6,
            "The host's IPv6 address there. With one anywhere, IPv6 is let through as the zones and policies say; "
            "without any it is closed.",
        ),
        Key(
            "gateway6",
            t.ADDRESS6,
            "The provider's IPv6 gateway, often a link-local one such as `fe80::1`.",
        ),
        Key(
            "gateway_mac",
            ListOf(t.either("MAC address, or `learn`", "learn", t.MAC), least=1, single=True),
            "MAC addresses of the gateway, where several uplinks share an interface. `learn`: asked for on the "
            "host, once, and pinned.",
            default="`learn`",
        ),
        Key(
            "manage",
            t.BOOL,
            "Whether the interface's address is set by this collection. Otherwise it is only compared.",
            default="false",
        ),
        Key(
            "sharing",
            t.choice("address", "macvlan"),
            "How uplinks share an interface. `address`: one address, the gateways told apart by their MAC. `macvlan`: "
            "an interface of its own for this uplink, named as the uplink, with a MAC and an address of its own.",
            default="`address`",
        ),
        Key(
            "mac",
            t.MAC,
            "With `sharing: macvlan`: the MAC address of its interface.",
            default="derived from the host and the uplink's name",
        ),
        Key(
            "number",
            t.integer(1, 252, note=", and not 250", without=NUMBERS_TAKEN),
            "Number of the provider, its routing table and its mark. Unique on the host.",
        ),
        Key(
            "primary",
            t.BOOL,
            "Whether it carries all traffic that nothing sends elsewhere. With several uplinks at least one is "
            "primary or has a weight.",
            default="true for an only uplink, else false",
        ),
        Key("fallback", t.BOOL, "Whether it carries traffic only while no primary uplink works.", default="false"),
        Key("weight", t.integer(1, 255), "Its share, beside other uplinks that have a weight or are primary."),
        Key("destinations", ListOf(t.NETWORK), "Networks and addresses that are reached by this uplink."),
        Key("sources", ListOf(t.NETWORK), "Networks and addresses whose traffic takes this uplink."),
        Key(
            "services",
            ListOf(SERVICES),
            "Services that take this uplink, when the host itself asks for them, or a network.",
        ),
        Key("targets", ListOf(t.ADDRESS), "Addresses beyond the gateway that tell whether the uplink works."),
    )
)
