# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""The schema table: Shorewall 5.2.8's files of rows and their columns. Parser, renderer and validation follow it."""

from __future__ import annotations

from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._columns import (
    Column,
    FileSpec,
    choice,
    index_files,
    number,
    options,
    text,
)

ANY = text("text without blanks, quotes, backslashes, # and ;")
ANY_LIST = text("text without blanks, quotes, backslashes, # and ;", is_list=True)
ZONE_NAME = r"[A-Za-z]\w*"
# Length and reserved words depend on other settings: see the checks.
ZONE = text("a letter, then letters, digits and underscores", ZONE_NAME)
INTERFACE = text("an interface name of at most 15 characters", r"[^:/,\s]{1,15}")
IPV4 = r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)"
ADDRESS = text("an IPv4 address", IPV4)
ADDRESSES = text("IPv4 addresses, networks, ranges, +ipset or interfaces", r".+", is_list=True)
MAC = text("a MAC address such as 52:54:00:12:34:56", r"~?[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}")
PROTOCOLS = text("protocol names or numbers", r"!?[\w.:+-]+(?::[\w!-]+)?", is_list=True)
PORTS = text("ports, port ranges first:last, service names or ICMP types", r"[!+]?[\w.:/=+-]+", is_list=True)
LOG_LEVEL = text(
    "a syslog level such as info, optionally with :tag, NFLOG(...) or ULOG(...)",
    r"(?i:(?:none|emerg|alert|crit|err|error|warn|warning|notice|info|debug|panic|[0-7]|nflog|ulog|audit)(?:\([\d,]*\))?!?(?::\S+)?)",
)
POLICY = text(
    "ACCEPT, DROP, REJECT, BLACKLIST, CONTINUE, QUEUE, NFQUEUE(...) or NONE, optionally with :action",
    r"(?:ACCEPT|DROP|REJECT|BLACKLIST|CONTINUE|QUEUE|NONE|NFQUEUE(?:\([\d:,\w]*\))?)(?::.+)?",
)
ZONES_SPEC = text("zone names, all, any, each optionally with ! exclusions", r"[\w$!+-]+(?:![\w,]+)?", is_list=True)
ACTION = text("a target, action or macro such as ACCEPT, DNAT, SSH(ACCEPT) or ACCEPT:info", r"[\w?+!:.(),/=@%&~^{}-]+")
PRIORITY = text("a number from 1 to 99999, optionally with !", r"(?!0+!?$)\d{1,5}!?")
MARK = text("a mark, optionally with /mask", r"!?(?:0x[0-9A-Fa-f]+|\d+)(?:/(?:0x[0-9A-Fa-f]+|\d+))?(?::C)?")

_IPSEC = options("strict next dynamic_shared nomark", "reqid spi proto mode tunnel-src tunnel-dst mss blacklist?")
_MATCHES = (
    Column("proto", PROTOCOLS),
    Column("dport", PORTS),
    Column("sport", PORTS),
)

SECTIONS = ("ALL", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED", "NEW")
DEFAULT_SECTION = "NEW"

_FILES = (
    FileSpec(
        "zones",
        "zone",
        (
            Column(
                "zone",
                ANY,
                required=True,
                parts=(
                    ("name", ZONE),
                    ("parents", text("names of zones that stand before it", ZONE_NAME, is_list=True)),
                ),
                joint=":",
            ),
            Column(
                "type",
                choice("ipv4", "ip", "ipsec", "ipsec4", "firewall", "bport", "bport4", "vserver", "loopback", "local"),
                default="ipv4",
            ),
            Column("options", _IPSEC),
            Column("in_options", _IPSEC),
            Column("out_options", _IPSEC),
        ),
        key=("name",),
        routing=True,
    ),
    FileSpec(
        "interfaces",
        "interface",
        (
            Column("zone", ZONE, refers="zones"),
            Column(
                "interface",
                text("an interface name, bridge:port or a name ending in +", r"[^:/,\s]{1,15}(?::[^:/,\s]{1,15})?"),
                required=True,
            ),
            Column(
                "options",
                options(
                    "bridge destonly dhcp maclist nodbl nosmurfs optional required rpfilter unmanaged upnp upnpclient",
                    "arp_filter? arp_ignore? logmartians? loopback? proxyarp? routeback? sourceroute? tcpflags? "
                    "routefilter? mss wait ignore? dbl nets sfilter physical",
                ),
            ),
        ),
        key=("interface",),
        formats={1: ("zone", "interface", "+broadcast", "options")},
        file_format=2,
        ordered=False,
        routing=True,
    ),
    FileSpec(
        "hosts",
        "hosts",
        (
            Column("zone", ZONE, required=True, refers="zones"),
            Column(
                "hosts",
                ANY,
                required=True,
                aliases=("host",),
                parts=(("interface", INTERFACE), ("addresses", ADDRESSES)),
                joint=":",
            ),
            Column(
                "options",
                options("blacklist broadcast destonly ipsec maclist nosmurfs routeback sourceonly tcpflags", "mss"),
            ),
        ),
        label=("zone", "interface", "addresses"),
        ordered=False,
        routing=True,
    ),
    FileSpec(
        "policy",
        "policy",
        (
            Column("source", ZONES_SPEC, required=True),
            Column("dest", ZONES_SPEC, required=True),
            Column("policy", POLICY, required=True),
            Column("loglevel", LOG_LEVEL),
            Column("rate", ANY, aliases=("limit",)),
            Column("connlimit", ANY),
        ),
        key=("source", "dest"),
    ),
    FileSpec(
        "rules",
        "rule",
        (
            Column("action", ACTION, required=True),
            Column("source", ANY),
            Column("dest", ANY),
            *_MATCHES,
            Column("origdest", ANY_LIST),
            Column("rate", ANY),
            Column("user", ANY),
            Column("mark", ANY),
            Column("connlimit", ANY),
            Column("time", ANY),
            Column("headers", ANY),
            Column("switch", ANY),
            Column("helper", ANY),
        ),
        label=("source", "dest", "action", "proto", "dport", "origdest"),
        sections=SECTIONS,
        default_section=DEFAULT_SECTION,
        has_comments=True,
        has_inline=True,
    ),
    FileSpec(
        "snat",
        "snat",
        (
            Column(
                "action",
                text(
                    "MASQUERADE, SNAT(address), CONTINUE or LOG",
                    r"(?:MASQUERADE|SNAT|CONTINUE|LOG|ACCEPT|NONAT|[A-Z]\w*)\S*",
                ),
                required=True,
            ),
            Column("source", ADDRESSES),
            Column("dest", ANY_LIST, required=True),
            Column("proto", PROTOCOLS),
            Column("dport", PORTS, aliases=("port",)),
            Column("sport", PORTS),
            Column("ipsec", ANY),
            Column("mark", ANY),
            Column("user", ANY),
            Column("switch", ANY),
            Column("origdest", ANY_LIST),
            Column("probability", ANY),
        ),
        label=("source", "dest", "action", "proto", "dport"),
        formats={
            1: (
                "action",
                "source",
                "dest",
                "proto",
                "dport",
                "ipsec",
                "mark",
                "user",
                "switch",
                "origdest",
                "probability",
            )
        },
        file_format=2,
        has_comments=True,
        has_inline=True,
    ),
    FileSpec(
        "providers",
        "provider",
        (
            Column(
                "name",
                text("a letter, then letters, digits and underscores", ZONE_NAME),
                required=True,
                aliases=("table",),
            ),
            Column("number", number(1, 252), required=True),
            Column("mark", text("a number", r"0x[0-9A-Fa-f]+|\d+")),
            Column("duplicate", ANY),
            Column(
                "interface",
                ANY,
                required=True,
                parts=(("interface", INTERFACE), ("address", ADDRESS)),
                joint=":",
            ),
            Column(
                "gateway",
                ANY,
                parts=(
                    ("gateway", text("an IPv4 address, detect or none", rf"(?i:detect|none)|{IPV4}")),
                    ("gateway_mac", MAC),
                ),
                joint=",",
            ),
            Column(
                "options",
                options(
                    "track notrack primary loose optional tproxy autosrc noautosrc hostroute nohostroute persistent",
                    "balance? fallback? src mtu load",
                ),
            ),
            Column("copy", ANY_LIST),
        ),
        key=("name",),
        routing=True,
    ),
    FileSpec(
        "rtrules",
        "routing rule",
        (
            Column("source", ANY_LIST),
            Column("dest", ANY_LIST),
            Column("provider", ANY, required=True, refers="providers"),
            Column("priority", PRIORITY, required=True),
            Column("mark", MARK),
        ),
        label=("source", "dest", "provider", "priority", "mark"),
        ordered=False,
        routing=True,
    ),
    FileSpec(
        "routes",
        "route",
        (
            Column("provider", ANY, required=True, refers="providers"),
            Column("dest", ANY, required=True),
            Column("gateway", ANY),
            Column("device", ANY),
            Column("options", options("persistent")),
        ),
        label=("provider", "dest", "gateway", "device"),
        ordered=False,
        routing=True,
    ),
    FileSpec(
        "mangle",
        "mangle rule",
        (
            Column("action", ACTION, required=True, aliases=("mark",)),
            Column("source", ANY),
            Column("dest", ANY),
            *_MATCHES,
            Column("user", ANY),
            Column("test", ANY),
            Column("length", ANY),
            Column("tos", ANY),
            Column("connbytes", ANY),
            Column("helper", ANY),
            Column("probability", ANY),
            Column("dscp", ANY),
            # Elsewhere the state is that of the row.
            Column("state", ANY, parts=(("states", ANY_LIST),), joint=","),
            Column("time", ANY),
            Column("switch", ANY),
        ),
        label=("action", "source", "dest", "proto", "dport"),
        elsewhere=("headers",),
        has_comments=True,
        has_inline=True,
    ),
    FileSpec(
        "conntrack",
        "conntrack rule",
        (
            Column("action", ACTION, required=True),
            Column("source", ANY),
            Column("dest", ANY),
            *_MATCHES,
            Column("user", ANY),
            Column("switch", ANY),
        ),
        label=("action", "source", "dest", "proto", "dport"),
        formats={
            1: ("source", "dest", "proto", "dport", "sport", "user", "switch"),
            2: ("action", "source", "dest", "proto", "dport", "sport", "user", "switch"),
        },
        file_format=3,
        has_comments=True,
        has_inline=True,
    ),
    FileSpec(
        "stoppedrules",
        "stopped rule",
        (
            Column("action", choice("ACCEPT", "DROP", "NOTRACK"), required=True, aliases=("target",)),
            Column("source", ANY),
            Column("dest", ANY),
            *_MATCHES,
        ),
        label=("source", "dest", "action", "proto", "dport"),
        has_comments=True,
    ),
    FileSpec(
        "tunnels",
        "tunnel",
        (
            Column("type", ANY, required=True),
            Column("zone", ZONE, required=True, refers="zones"),
            Column("gateway", ANY_LIST, aliases=("gateways",)),
            Column("gateway_zone", ANY_LIST, aliases=("gateway_zones",)),
        ),
        label=("type", "zone", "gateway"),
        has_comments=True,
    ),
    FileSpec(
        "accounting",
        "accounting rule",
        (
            Column("action", ACTION, required=True),
            Column("chain", ANY),
            Column("source", ANY),
            Column("dest", ANY),
            *_MATCHES,
            Column("user", ANY),
            Column("mark", ANY),
            Column("ipsec", ANY),
            Column("headers", ANY),
        ),
        label=("action", "chain", "source", "dest", "proto", "dport"),
        sections=("PREROUTING", "INPUT", "OUTPUT", "FORWARD", "POSTROUTING"),
        has_comments=True,
        has_inline=True,
    ),
)


FILES = index_files(_FILES)

# What the module can be given as text: option -> file.
_SCRIPTS = (
    "init initdone start started stop stopped clear restored save tcclear isusable findgw enabled disabled lib_private "
    "scfilter"
)
SCRIPTS = {name: name.replace("lib_", "lib.") for name in _SCRIPTS.split()}

# Files of versions before 5.2 that it ignores or rewrites by itself, and what took their place.
OBSOLETE = {
    "masq": "snat, which shorewall update writes from it",
    "routestopped": "stoppedrules",
    "blacklist": "blrules",
    "tcrules": "mangle",
    "notrack": "conntrack",
    "tos": "mangle with TOS(...)",
    "route_rules": "rtrules",
}
