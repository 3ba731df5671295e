# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""What a rule may do: the verdicts, and Shorewall's macros and standard actions by their names."""

from __future__ import annotations

import difflib
import re

from ._types import Kind, WrongError, either, pattern

VERDICTS = ("ACCEPT", "DROP", "REJECT", "DNAT", "REDIRECT")
TARGETS = (*VERDICTS, "LOG")
# Those that Shorewall can limit to a rate: what exceeds it goes on to the next rule
LIMITED = ("ACCEPT", "DNAT", "REDIRECT", "LOG")

# Those of Shorewall 5.2.8, for hints: a host may have others of its own, which its compiler knows
_MACROS = """
    AMQP ActiveDir Amanda Apcupsd Auth BGP BitTorrent BitTorrent32 Bitcoin BitcoinRPC BitcoinRegtest BitcoinTestnet
    BitcoinTestnetRPC BitcoinZMQ CVS Citrix Cockpit DAAP DCC DHCPfwd DNS Distcc DropUPnP Edonkey FTP Finger FreeIPA
    GNUnet GRE Git Gnutella Goto-Meeting HKP HTTP HTTPS ICPV2 ICQ ILO IMAP IMAPS IPFS-API IPFS-gateway IPFS-swarm IPIP
    IPMI IPP IPPbrd IPPserver IPsec IPsecah IPsecnat IRC JAP Jabber JabberPlain JabberSecure Jabberd Jetdirect Kerberos
    Kpasswd L2TP LDAP LDAPS MSA MSNP MSSQL Mail MongoDB Munin MySQL NFS NNTP NNTPS NTP NTPbi NTPbrd ONCRPC OSPF OpenVPN
    PCA POP3 POP3S PPtP Ping PostgreSQL Printer Puppet QUIC RDP RIPbi RNDC Razor Rdate Redis RedisCluster RedisSecure
    RedisSentinel Rfc1918 Rsync Rwhois SANE SIP SMB SMBBI SMBswat SMTP SMTPS SNMP SNMPtrap SPAMD SSDP SSDPserver SSH
    SVN Sieve SixXS Squid Submission Syslog TFTP Telnet Telnets Teredo Time Tinc Tor TorBrowserBundle TorControl
    TorDirectory TorSocks Trcrt VNC VNCL VRRP WUDO Web Webcache Webmin Whois Xymon Zabbix mDNS mDNSbi
"""
MACROS = tuple(_MACROS.split())
# Macros that say themselves what they do
_COMPLETE = ("DropUPnP", "Razor")
_ACTIONS = """
    AllowICMPs AutoBL BLACKLIST Broadcast DNSAmp DropDNSrep DropSmurfs Established FIN GlusterFS IfEvent Invalid Limit
    Multicast New NotSyn RST Related ResetEvent SetEvent TCPFlags Untracked allowBcast allowInvalid allowMcast
    allowinUPnP dropBcast dropBcasts dropInvalid dropMcast dropNotSyn forwardUPnP rejNotSyn
"""
ACTIONS = tuple(_ACTIONS.split())
_CALL = re.compile(r"([A-Za-z][\w-]*)(?:\(([\w,.:/+!-]*)\))?", re.ASCII)
# Below this two names have too little in common to be one and its misspelling
_CLOSE = 0.75
ALLOWED = "one of " + ", ".join(TARGETS) + ", or a macro or action of Shorewall's such as Ping(DROP)"


def _meant(name: str) -> str | None:
    known = (*TARGETS, *MACROS, *ACTIONS)
    same = [other for other in known if other.lower() == name.lower()]
    return next(iter(same or difflib.get_close_matches(name, known, n=1, cutoff=_CLOSE)), None)


def _action(value: object) -> str:
    found = _CALL.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise WrongError(ALLOWED)
    name, target = found.groups()
    if name in TARGETS:
        if target is not None:
            raise WrongError(f"{name} alone: it takes nothing in parentheses")
    elif name in MACROS:
        if target not in VERDICTS and not (target is None and name in _COMPLETE):
            raise WrongError(f"the macro {name} with what is to be done, as in {name}(ACCEPT): {', '.join(VERDICTS)}")
    elif name not in ACTIONS and (meant := _meant(name)):
        raise WrongError(f"{ALLOWED}; {meant} is probably meant")
    return str(value)


ACTION = Kind(" or ".join(f"`{target}`" for target in TARGETS) + ", or a macro or action such as `Ping(DROP)`", _action)

RATE = pattern(
    "rate",
    r"([sd]:)?[1-9]\d{0,5}/(sec|min|hour|day)(:[1-9]\d{0,3})?",
    "a rate such as 10/min (or sec, hour, day), with s: before it for each source alone, :5 after it for a burst of 5",
)
LOG = either(
    "`true`, syslog level, or `NFLOG(group)`",
    True,
    pattern(
        "level",
        r"debug|info|notice|warning|err|crit|alert|emerg|NFLOG(\(\d{1,5}\))?",
        "one of debug, info, notice, warning, err, crit, alert, emerg, or NFLOG(group)",
    ),
)


def is_call(action: str) -> bool:
    """Whether an action is a macro's or an action's name: those know protocols and ports themselves."""
    return action not in TARGETS


def verdict(action: str) -> str:
    """Return what an action comes to, or an empty text where only Shorewall knows."""
    name, _parenthesis, target = action.rstrip(")").partition("(")
    found = name if name in TARGETS else target
    return found if found in TARGETS else ""
