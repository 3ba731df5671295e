# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""What to do about what Shorewall's compiler says. It says what is wrong, seldom what would be right."""

from __future__ import annotations

import re

from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._family import IPV4, Family

_REMEDIES = tuple(
    (re.compile(pattern), remedy)
    for pattern, remedy in (
        (r"only be specified for ipsec", "give the zone the type ipsec, or leave the option out"),
        (r"is not a defined bridge", "list the bridge itself before its port, with the option bridge"),
        (r"must be 0 or 1", "write the option without a value, or with =0 or =1"),
        (
            r"Duplicate physical interface",
            "list each interface once; physical= names a real one that no other entry has",
        ),
        (r"Duplicate Host Group", "leave the hosts out: the zone has the whole interface already"),
        (r"No policy defined", "end the policies with one from all to all"),
        (r"Unknown Policy Action \((?:Drop|Reject)\)", "leave the action out; Shorewall 5.2 has none of that name"),
        (r"Invalid rate", "a rate such as 10/sec:20, or s:name:10/min:20 for each source"),
        (r"Unknown ACTION \(SECTION\)", "write ?SECTION"),
        (
            r"Unknown (?:ACTION|action)",
            "a target such as ACCEPT, a macro such as SSH(ACCEPT), or an action that is declared",
        ),
        (r"Missing (?:destination|source) zone", "give source and dest, each a zone, all, or $FW"),
        (r"port/service|port range", "ports from 0 to 65535, ranges first:last, or names that /etc/services has"),
        (r"Unknown protocol|/Unknown protocol", "a protocol's number or a name that /etc/protocols has"),
        (r"Unknown Host|Invalid IP Address|Invalid address", "an address that is one, without names of hosts"),
        (
            r"Unknown Interface .*|Unknown interface .*",
            "an interface of a zone that is listed; zones have no place in this column",
        ),
        (r"override a NONE policy", "give the two zones another policy than NONE, or leave the rule out"),
        (r"out of order SECTION", "the order is ALL, ESTABLISHED, RELATED, INVALID, UNTRACKED, NEW"),
        (r"too many columns", "one blank-separated value for each column, none after a comma inside a list"),
        (r"Unknown column", "a column's name as the documentation has it"),
        (r"Non-ASCII", "letters beyond ASCII stand in comments only"),
        (r"ENDIF", "close each ?if with ?endif"),
        (r"INCLUDE file", "give the file as well, under files"),
        (r"Undefined shell variable|Missing \w+ Qualifier", "set each variable in params, and write no empty part"),
        (r"Unknown provider", "one of the listed providers"),
        (
            r"Invalid (?:Mark|mark)",
            "a number within PROVIDER_BITS and MASK_BITS; mangle takes provider: for a provider's own",
        ),
        (r"must be empty when USE_DEFAULT_RT", "leave duplicate and copy out"),
        (r"must be non-zero", "a weight of 1 or more, or the option without a value"),
        (r"Invalid option", "one of the documented options; load takes a part of one, such as load=0.5"),
        (r"may not specify 'routefilter'", "leave routefilter out on interfaces of providers"),
        (r"Duplicate DEST", "one route for each destination in a table"),
        (r"must specify a device", "give the route a device, or a gateway"),
        (r"must use the OUTPUT chain", "leave :P out: what the firewall sends itself is marked on its way out"),
        (r"Invalid ACTION", "an action that this file knows, such as MARK(2) in mangle, MASQUERADE in snat"),
        (r"[Hh]elper", "a helper that the kernel has, such as ftp, tftp, sip or h323"),
        (r"Invalid value for", "Yes or No, or what the documentation of the setting lists"),
        (r"LOGFORMAT string is longer", "at most 29 characters once a chain and ACCEPT stand in it"),
        (r"GATEWAY|gateway", "what the documentation of providers says about gateway and these options"),
    )
)


def remedy(message: str, name: str, family: Family = IPV4) -> str:
    """Return what to do.

    Args:
        message: what the compiler says.
        name: the file, or an empty string.
        family: the firewall.
    """
    found = next((text for pattern, text in _REMEDIES if pattern.search(message)), "")
    page = f"see man {family.product}-{name}" if name else f"see man {family.product}"
    return found or page
