# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""The vocabulary of the inventory, declared once: for validation, for hints on typos, for docs/inventory.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._options import argument_spec

from . import _types as t
from ._actions import ACTION, LOG, RATE
from ._cards import CARD, NICS
from ._logins import SSH_KEY, USER
from ._types import Key, Kind, ListOf, Table
from ._uplink_keys import PORT_PROTOCOLS, UPLINKS

PROTOCOLS = (*PORT_PROTOCOLS, "icmp", "igmp", "gre", "esp", "ah", "ospf", "vrrp", "all")
POLICY_ACTIONS = ("ACCEPT", "DROP", "REJECT")

_PROTO = t.choice(*PORT_PROTOCOLS)

MANAGEMENT = Table(
    (
        Key(
            "sources",
            ListOf(t.ANY_NETWORK, least=1),
            "Networks or addresses, of IPv4 or IPv6, that hosts are managed from. They keep their access in every "
            "state of the firewall, stopped included.",
            required=True,
        ),
        Key("port", t.PORT, "The port of SSH.", default="22"),
    ),
    name="mapping",
)

NETWORKS = Table(
    (
        Key("name", t.NAME, "Name of the network, unique on the host.", required=True),
        Key(
            "zone",
            t.ZONE,
            "Its zone in the firewall: a letter, then letters, digits and underscores, at most 10 characters.",
            default="the name",
        ),
        Key("bridge", t.INTERFACE, "Bridge that is made for it. Exactly one of `bridge` and `interface`."),
        Key("interface", t.INTERFACE, "Existing interface that leads to it."),
        Key("ports", ListOf(t.INTERFACE), "Existing interfaces that become ports of the bridge."),
        Key("address", t.CIDR, "The host's own address there."),
        Key(
            "address6",
            t.CIDR6,
            "The host's own IPv6 address there. On a bridge its prefix is 64 bits long, and guests give themselves "
            "addresses out of it.",
        ),
        Key(
            "dhcp_range",
            ListOf(t.ADDRESS, least=2, most=2),
            "First and last address for guests without an address of their own.",
        ),
        Key("domain", t.DOMAIN, "Domain of its guests' names."),
        Key(
            "upstreams",
            ListOf(t.UPSTREAM),
            "DNS servers that are asked for everything else, or for one domain.",
            default="those of the host",
        ),
        Key(
            "masquerade",
            t.BOOL,
            "Whether its guests leave by the uplinks under the host's address.",
            default="true for a private `address` (RFC 1918), and for a unique local `address6` (fc00::/7)",
        ),
        Key("mtu", t.integer(576, 65535), "Largest packet, in bytes."),
        Key("isolated", t.BOOL, "Whether its guests are kept from reaching each other.", default="false"),
    )
)

PUBLISH = Table(
    (
        Key("proto", _PROTO, "Protocol.", required=True),
        Key("port", t.PORT, "Port on the host, unique there for the protocol.", required=True),
        Key("to", t.PORT, "Port on the guest.", default="`port`"),
        Key("source", t.NETWORK, "Who may use it.", default="everyone"),
        Key("address", t.ADDRESS, "The host's address that it is published on.", default="all"),
    )
)

GUESTS = Table(
    (
        Key(
            "name",
            t.LABEL,
            "Name of the guest, a host name and unique in the whole site. MAC address, UUID, tap, DNS records and"
            " disk follow from it.",
            required=True,
        ),
        Key("network", t.NAME, "Name of its network, one with a bridge.", required=True),
        Key("address", t.ADDRESS, "Its address there, outside the `dhcp_range`. Absent: one out of the range."),
        Key(
            "mac",
            t.MAC,
            "MAC address, unique in the whole site.",
            default="52:54 and 32 bits of a hash of the name",
        ),
        Key(
            "tap",
            t.INTERFACE,
            "Name of its tap on the host.",
            default="`tap-` and the name, shortened to 15 characters",
        ),
        Key("uplink", t.PROVIDER, "Name of the uplink that all its traffic takes."),
        Key("publish", ListOf(PUBLISH), "Ports of the host that lead to it."),
        Key(
            "isolated",
            t.BOOL,
            "Whether it is kept from reaching other isolated guests.",
            default="that of the network",
        ),
        *CARD,
        NICS,
    )
)


def _option(name: str, spec: Mapping[str, Any]) -> Key:
    """Return an option of the kvm_guest module as a key of the guest's record."""
    kind: Kind | ListOf = _OPTION_KINDS[spec["type"]]
    if spec["type"] == "int":
        kind = t.amount(name, 0, 2**31 - 1)
    if "choices" in spec and spec["type"] == "str":
        kind = t.choice(*spec["choices"])
    if spec["type"] == "list":
        choices = spec.get("choices")
        kind = ListOf(t.choice(*choices) if choices else _OPTION_KINDS.get(spec.get("elements", "raw"), t.ANY))
    return Key(name, kind, "")


_OPTION_KINDS = {
    "str": t.STRING,
    "int": t.integer(0, 2**31 - 1),
    "bool": t.BOOL,
    "dict": t.MAPPING,
    "list": t.ANY,
    "path": t.PATH,
    "raw": t.ANY,
}
# Filled in from the record and its place
_NOT_OPTIONS = {"source", "nics", *GUESTS.names()}
# What the module takes is its own affair; here it is only what the record may hold
GUEST_OPTIONS = tuple(_option(name, spec) for name, spec in argument_spec().items() if name not in _NOT_OPTIONS)
GUEST_RECORD = Table((*GUESTS.keys, *GUEST_OPTIONS))

IMAGES = Table(
    (
        Key("path", t.PATH, "Disk image on the KVM host. At least one of `path`, `url` and `kernel`."),
        Key("url", t.URL, "Disk image to fetch, once for each host. Not beside `path`."),
        Key("checksum", t.CHECKSUM, "`sha256:` or `sha512:` and the sum of the disk image, in hexadecimal."),
        Key("kernel", t.PATH, "Kernel on the KVM host, booted directly, with or without a disk."),
        Key("initrd", t.PATH, "Its initial RAM disk."),
        Key("cmdline", t.STRING, "Its command line."),
    ),
    name="mapping of names to entries",
)

USERS = Table(
    (
        Key("name", USER, "Login name in the guests.", required=True),
        Key("ssh_keys", ListOf(SSH_KEY), "Public keys that may log in."),
        Key("sudo", t.BOOL, "Whether the user may become root without a password.", default="true"),
        Key("groups", ListOf(USER), "More groups of the user."),
        Key("shell", t.PATH, "Login shell.", default="`/bin/bash`"),
    )
)

POLICIES = Table(
    (
        Key(
            "from",
            t.STRING,
            "Zone that the connection comes from: the zone of a network, `net` (the uplinks), `fw` (the host), `all`, "
            "or `all+`, which also means connections that stay in a zone.",
            required=True,
        ),
        Key("to", t.STRING, "Zone that it goes to.", required=True),
        Key("action", t.choice(*POLICY_ACTIONS), "What becomes of connections that no rule decides.", required=True),
        Key("log", LOG, "Log them, `true` at level info."),
        Key(
            "rate",
            RATE,
            "How many TCP connections may begin, those of managers and rules included: it is asked first. More are "
            "dropped, whatever the action.",
        ),
    )
)

RULES = Table(
    (
        Key(
            "from",
            t.STRING,
            "Zone, or zone and addresses or list of `kvmnet_address_lists`: `net`, `loc:172.20.1.107`, "
            "`loc:172.20.1.0/24,172.20.2.7`, `net:+friends`.",
            required=True,
        ),
        Key(
            "to",
            t.STRING,
            "Zone, or zone and address or list. For DNAT zone, address and, where it differs, port: "
            "`dmz:10.10.11.1:80`. For REDIRECT the host and, where it differs, port: `fw:3128`.",
            required=True,
        ),
        Key(
            "action",
            ACTION,
            "What becomes of the connection. DNAT sends it to another address, REDIRECT to the host itself, LOG only "
            "logs it. A macro knows protocol and ports of a service: `DNS(ACCEPT)`, `HTTP(DNAT)`.",
            required=True,
        ),
        Key("proto", t.choice(*PROTOCOLS), "Protocol."),
        Key(
            "port",
            ListOf(t.PORTS, least=1, single=True),
            "Destination port, a range such as `6000:6010`, or a list. Needs a `proto` that has ports.",
        ),
        Key("sport", ListOf(t.PORTS, least=1, single=True), "Source port, likewise."),
        Key(
            "address",
            t.NETWORK,
            "For DNAT and REDIRECT: the address that was asked for, where not every address of the host (or, from a "
            "network behind it, anywhere) is meant.",
        ),
        Key(
            "rate",
            RATE,
            "How often the rule fits, for all together or, after `s:`, for each source alone: `10/min`, `10/min:5` "
            "with a burst of 5, `s:10/min:5`. What exceeds it goes on to the next rule. Not for DROP and REJECT.",
        ),
        Key("log", LOG, "Log the connection, `true` at level info."),
    )
)


ADDRESS_LISTS = Table(
    (
        Key(
            "name",
            t.pattern(
                "name", r"[A-Za-z][\w-]{0,28}", "a letter, then letters, digits, underscores and hyphens, 29 at most"
            ),
            "Name of the list, unique on the host. Rules name it with a plus sign.",
            required=True,
        ),
        Key("addresses", ListOf(t.ANY_NETWORK), "Networks and addresses in it, of IPv4 and IPv6.", required=True),
    )
)


@dataclass(frozen=True)
class Variable:
    """One variable of the inventory.

    Args:
        shape: an entry, a list of entries, a mapping of names to entries, or one plain value.
    """

    name: str
    shape: Literal["entry", "list", "named", "value"]
    kind: Table | Kind
    doc: str
    required: bool = False


VARIABLES = (
    Variable(
        "kvmnet_management",
        "entry",
        MANAGEMENT,
        "From where a host is managed. A change that would shut these addresses out is refused.",
        required=True,
    ),
    Variable("kvmnet_uplinks", "list", UPLINKS, "Ways out of the host. The zone of all of them is `net`."),
    Variable("kvmnet_networks", "list", NETWORKS, "Networks behind the host."),
    Variable("kvmnet_guests", "list", GUEST_RECORD, "Virtual machines, on hosts of the group `kvm_hosts` only."),
    Variable("kvmnet_images", "named", IMAGES, "What guests are made from, by name."),
    Variable("kvmnet_users", "list", USERS, "Who may log in to the guests."),
    Variable(
        "kvmnet_policies",
        "list",
        POLICIES,
        "What becomes of connections that no rule decides. They stand before the built-in policies; the first"
        " that fits decides.",
    ),
    Variable("kvmnet_rules", "list", RULES, "Exceptions to the policies. The first that fits decides."),
    Variable(
        "kvmnet_address_lists",
        "list",
        ADDRESS_LISTS,
        "Lists of addresses for rules: one rule for ten addresses or ten thousand. What a list holds changes without"
        " a reload of the firewall.",
    ),
    Variable(
        "kvmnet_serial",
        "value",
        t.ANY,
        "For `site.yml`, as an extra variable: how many hosts at a time, such as `1` or `50%`.",
    ),
)
