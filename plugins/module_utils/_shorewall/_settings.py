# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""The part of the schema table that is no rows: the settings of shorewall.conf and what each takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._columns import Kind, number, text

_LEVEL = (
    r"(?i:none|emerg|alert|crit|err|error|warn|warning|notice|info|debug|panic|[0-7]|audit|logmark(?:\(\w+\))?"
    r"|(?:nflog|ulog)(?:\([\d,]*\))?)!?(?::\S*)?"
)
_RATE = r"(?:[sd](?:/\d+)?:)?(?:\w*(?:\([\d,]*\))?:)?\d+(?:/(?:sec|second|min|minute|hour|day))?(?::\d+)?"
_STATE = "(?:NEW|RELATED|ESTABLISHED|INVALID|UNTRACKED)"
_ACTIONS = r"(?i:none)|[\w$(][\w$():,!-]*"


def _words(*words: str) -> Kind:
    """Return a kind whose values are a few words, in capitals or not."""
    folded = {word.lower() for word in words}
    return Kind("one of " + ", ".join(words), lambda value: value.lower() in folded)


def _also(pattern: str, phrase: str) -> Kind:
    return text(f"Yes, No or {phrase}", rf"(?i:yes|no)|{pattern}")


def _priorities(value: str) -> bool:
    return len(value.split()) == 16 and set(value.split()) <= {"1", "2", "3"}


YES_NO = _words("Yes", "No")
_DROP = _words("DROP", "A_DROP")
_REFUSE = text("DROP or REJECT, each optionally after A_", r"(?:A_)?(?:DROP|REJECT)")
_DISPOSITION = text(
    "ACCEPT, DROP or REJECT, each optionally after A_, or CONTINUE", r"(?:A_)?(?:DROP|REJECT)|(?:A_)?ACCEPT|CONTINUE"
)
_PATH = text("a path", r"[^\x00]+")
_BITS = number(0, 32)

# By what they take: the names, as Shorewall 5.2.8 has them.
_BY_KIND: tuple[tuple[Kind, str], ...] = (
    (
        YES_NO,
        (
            "ACCOUNTING ADD_IP_ALIASES ADD_SNAT_ALIASES ADMINISABSENTMINDED AUTOCOMMENT AUTOHELPERS "
            "BALANCE_PROVIDERS BASIC_FILTERS CLEAR_TC COMPLETE DEFER_DNS_RESOLUTION DELETE_THEN_ADD "
            "DETECT_DNAT_IPADDRS DISABLE_IPV6 DOCKER EXPAND_POLICIES EXPORTMODULES FASTACCEPT FORWARD_CLEAR_MARK "
            "IGNOREUNKNOWNVARIABLES IMPLICIT_CONTINUE IPSET_WARNINGS KEEP_RT_TABLES LOGTAGONLY MANGLE_ENABLED "
            "MARK_IN_FORWARD_CHAIN MINIUPNPD MULTICAST OPTIMIZE_ACCOUNTING RENAME_COMBINED REQUIRE_INTERFACE "
            "RESTORE_DEFAULT_ROUTE RESTORE_ROUTEMARKS RETAIN_ALIASES SAVE_ARPTABLES STARTUP_ENABLED TC_EXPERT "
            "TRACK_PROVIDERS USE_DEFAULT_RT USE_NFLOG_SIZE USE_PHYSICAL_NAMES USE_RT_NAMES VERBOSE_MESSAGES "
            "WARNOLDCAPVERSION WORKAROUNDS ZERO_MARKS"
        ),
    ),
    (_words("On", "Off", "Keep", "Yes", "No"), "IP_FORWARDING LOG_MARTIANS"),
    (_words("On", "Off", "Keep", "Yes", "No", "1", "2"), "ROUTE_FILTER"),
    (
        text("a syslog level such as info, NFLOG(...) or ULOG(...), optionally with :tag", _LEVEL),
        (
            "BLACKLIST_LOG_LEVEL INVALID_LOG_LEVEL LOGALLNEW LOG_LEVEL MACLIST_LOG_LEVEL RELATED_LOG_LEVEL "
            "RPFILTER_LOG_LEVEL SFILTER_LOG_LEVEL SMURF_LOG_LEVEL TCP_FLAGS_LOG_LEVEL UNTRACKED_LOG_LEVEL"
        ),
    ),
    (_REFUSE, "BLACKLIST_DISPOSITION RPFILTER_DISPOSITION SFILTER_DISPOSITION"),
    (_DROP, "SMURF_DISPOSITION"),
    (
        text("ACCEPT, DROP or REJECT, the last two optionally after A_", r"(?:A_)?(?:DROP|REJECT)|ACCEPT"),
        "MACLIST_DISPOSITION TCP_FLAGS_DISPOSITION",
    ),
    (_DISPOSITION, "RELATED_DISPOSITION UNTRACKED_DISPOSITION"),
    (
        text("DROP or REJECT, each optionally after A_, or CONTINUE", r"(?:A_)?(?:DROP|REJECT)|CONTINUE"),
        "INVALID_DISPOSITION",
    ),
    (
        text("none or actions with commas between them", _ACTIONS),
        "ACCEPT_DEFAULT BLACKLIST_DEFAULT DROP_DEFAULT NFQUEUE_DEFAULT QUEUE_DEFAULT REJECT_DEFAULT",
    ),
    (text("filter or mangle", "filter|mangle"), "ACCOUNTING_TABLE MACLIST_TABLE"),
    (_BITS, "MASK_BITS PROVIDER_BITS PROVIDER_OFFSET TC_BITS ZONE_BITS"),
    (number(-1, 2), "LOG_VERBOSITY VERBOSITY"),
    (number(0, 2**31), "MACLIST_TTL MUTEX_TIMEOUT PERL_HASH_SEED"),
    (text("restart or reload", "restart|reload"), "RESTART"),
    (_also(r"(?i:recursive)|\d{1,2}", "recursive or a depth of at most 99"), "AUTOMAKE"),
    (_also(r"\d+", "a number"), "CLAMPMSS"),
    (_also("(?i:file)", "File"), "TRACK_RULES"),
    (_also("blackhole|unreachable|prohibit", "blackhole, unreachable or prohibit"), "NULL_ROUTE_RFC1918"),
    (_also(r"ipset(?:-only)?(?:,[\w=-]+)*(?::.*)?", "ipset, ipset-only and their options"), "DYNAMIC_BLACKLIST"),
    (_also(r"ipv4|[\w-]+(?:,[\w-]+)*", "ipv4 or names of sets"), "SAVE_IPSETS"),
    (
        text("ALL or states with commas between them", rf"ALL|{_STATE}(?:,{_STATE})*"),
        "BLACKLIST",
    ),
    (_words("Internal", "Shared", "Simple", "Yes", "No"), "TC_ENABLED"),
    (Kind("16 numbers from 1 to 3 with blanks between them", _priorities), "TC_PRIOMAP"),
    (text("All, None or a sum of levels from 0 to 31", r"(?i:all|none)|[12]?\d|3[01]|0x[01]?[0-9a-fA-F]"), "OPTIMIZE"),
    (text("ULOG, LOG or netlink", "ULOG|LOG|netlink"), "LOG_BACKEND"),
    (_words("Src", "Dst", "Both"), "LOG_ZONE"),
    (text("2 or -", "[2-]"), "ZONE2ZONE"),
    (text("a limit such as s:1/sec:10", rf"{_RATE}(?:,{_RATE})?"), "LOGLIMIT"),
    (text("a name", r"[A-Za-z][\w.+-]*"), "DOCKER_BRIDGE REJECT_ACTION RESTOREFILE"),
    (
        _PATH,
        (
            "ARPTABLES CONFIG_PATH DONT_LOAD FIREWALL GEOIPDIR HELPERS IP IP6TABLES IPSET IPTABLES LOCKFILE "
            "LOGFILE LOGFORMAT MODULESDIR NFACCT PAGER PATH PERL RCP_COMMAND RSH_COMMAND SHOREWALL_SHELL "
            "STARTUP_LOG SUBSYSLOCK TC"
        ),
    ),
)


def index_settings(by_kind: tuple[tuple[Kind, str], ...]) -> dict[str, Kind]:
    """Return the settings by name."""
    table: dict[str, Kind] = {}
    for kind, names in by_kind:
        for name in names.split():
            if name in table:
                raise ValueError(f"a setting stands in the schema twice: {name}")
            table[name] = kind
    return table


SETTINGS = index_settings(_BY_KIND)


def is_right(name: str, value: str) -> bool:
    """Whether a setting takes a value; an empty one stands for Shorewall's default, a variable for anything."""
    return not value or "$" in value or name not in SETTINGS or SETTINGS[name].check(value)


def check_values(wanted: Mapping[str, str]) -> Iterator[Problem]:
    """Values of the wrong type."""
    for name, value in wanted.items():
        if not is_right(name, value):
            yield Problem("settings", None, name, value, SETTINGS[name].allowed)
