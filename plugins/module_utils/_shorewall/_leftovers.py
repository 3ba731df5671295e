# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""What is left over from older versions of Shorewall, and what took its place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall import _conf
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._family import IPV4, Family
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._schema import OBSOLETE

# Files of commands that went: no harm, but what they say never happens.
UNUSED_SCRIPTS = {"refresh": "started", "refreshed": "started"}

SETTINGS = {
    "AUTO_COMMENT": "AUTOCOMMENT",
    "BLACKLISTNEWONLY": "BLACKLIST",
    "BLACKLIST_LOGLEVEL": "BLACKLIST_LOG_LEVEL",
    "CHAIN_SCRIPTS": "?begin perl in the file rules",
    "EXPORTPARAMS": "nothing: params is always exported",
    "HIGH_ROUTE_MARKS": "PROVIDER_OFFSET, TC_BITS and MASK_BITS",
    "INLINE_MATCHES": "two semicolons before the iptables matches",
    "IPSECFILE": "the type ipsec in the file zones",
    "LEGACY_FASTSTART": "nothing",
    "LEGACY_RESTART": "RESTART",
    "LOAD_HELPERS_ONLY": "nothing: only the helpers are loaded",
    "LOGBURST": "LOGLIMIT",
    "LOGRATE": "LOGLIMIT",
    "MAPOLDACTIONS": "nothing: the old names of actions are no more",
    "MODULE_SUFFIX": "nothing: modprobe knows",
    "RFC1918_LOG_LEVEL": "SFILTER_LOG_LEVEL, and sfilter or rpfilter on the interfaces",
    "WIDE_TC_MARKS": "TC_BITS and MASK_BITS",
}

_OPTIONS = {
    "blacklist": "the file blrules, which is for all interfaces",
    "detectnets": "nets=(...)",
    "nobogons": "rpfilter or sfilter=(...)",
    "norfc1918": "rpfilter or sfilter=(...)",
}
_COMMENT = re.compile(r"(?<!\\)#.*")
_POLICY_ACTION = re.compile(r":(?:Drop|Reject)\b")
_RULE = re.compile(r"(?P<word>Drop|Reject|dropBcasts?|allowBcasts?|allowInvalid|SECTION)\b")
_RULES = {
    "SECTION": "?SECTION",
    "Drop": "the actions Broadcast(DROP), Multicast(DROP) and Invalid(DROP)",
    "Reject": "the actions Broadcast(DROP), Multicast(DROP) and Invalid(DROP)",
    "dropBcast": "Broadcast(DROP)",
    "allowBcast": "Broadcast(ACCEPT)",
    "allowInvalid": "Invalid(ACCEPT)",
}
_PROVIDER_OPTIONS = {"optional": "the option optional of its interface", "local": "tproxy"}


@dataclass(frozen=True)
class Leftover:
    """One thing of an older version.

    Args:
        path: the file.
        line: the number of the line, or None for the whole file.
        name: what is left over.
        replacement: what took its place.
    """

    path: str
    line: int | None
    name: str
    replacement: str

    def __str__(self) -> str:
        line = "" if self.line is None else f", line {self.line}"
        return f"{self.path}{line}: {self.name} is of an older version of Shorewall; now: {self.replacement}"


def says_something(text: str) -> bool:
    """Whether a file holds more than comments and directives."""
    return any(line.strip() and not line.lstrip().startswith(("#", "?")) for line in text.splitlines())


def obsolete_files(candidate: Candidate, family: Family = IPV4) -> list[Problem]:
    """Refuse files that are no more: Shorewall ignores them, most in silence, or rewrites them by itself."""
    return [
        Problem(path, None, None, name, f"no file of this name: move its rows to {OBSOLETE[name]}, then delete it")
        for name, path, _unused in _files(candidate, family)
        if name in OBSOLETE
    ]


def find(candidate: Candidate, family: Family = IPV4) -> list[Leftover]:
    """Return everything that is left over."""
    found = [Leftover(path, None, name, replacement) for name, path, replacement in _files(candidate, family)]
    path = family.conf
    for number, line in enumerate(_text(candidate, path).splitlines(), 1):
        for name, value in _conf.read(line).items():
            if name in SETTINGS:
                found.append(Leftover(path, number, name, SETTINGS[name]))
            elif name.endswith("_DEFAULT") and {"Drop", "Reject"} & set(re.findall(r"\w+", value)):
                found.append(Leftover(path, number, f"{name}={value}", _RULES["Drop"]))
    for name in ("zones", "interfaces", "hosts", "policy", "rules", "providers"):
        path = f"{family.config}/{name}"
        for number, line in enumerate(_text(candidate, path).splitlines(), 1):
            found += [Leftover(path, number, *pair) for pair in _in_row(name, _COMMENT.sub("", line).split())]
    return found


def _files(candidate: Candidate, family: Family) -> Iterator[tuple[str, str, str]]:
    replaced = OBSOLETE | UNUSED_SCRIPTS
    for name in candidate.listdir(family.config):
        path = f"{family.config}/{name}"
        if name in replaced and says_something(_text(candidate, path)):
            yield name, path, replaced[name]


def _text(candidate: Candidate, path: str) -> str:
    return (candidate.read(path) or b"").decode(errors="replace")


def _in_row(name: str, words: list[str]) -> Iterator[tuple[str, str]]:
    """Yield what is left over in one line, and its replacement."""
    if not words:
        return
    if name in ("zones", "interfaces", "hosts"):
        options = {option for word in words[2:] for option in word.split(",")}
        yield from ((option, _OPTIONS[option]) for option in sorted(options & _OPTIONS.keys()))
    elif name == "policy" and len(words) > 2 and _POLICY_ACTION.search(words[2]):
        yield words[2], _RULES["Drop"]
    elif name == "rules" and (found := _RULE.match(words[0])):
        yield words[0], _RULES[found["word"].rstrip("s")]
    elif name == "providers" and len(words) > 6:
        options = set(words[6].split(","))
        yield from ((option, _PROVIDER_OPTIONS[option]) for option in sorted(options & _PROVIDER_OPTIONS.keys()))
