# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Named lists of addresses as sets of the kernel: one rule for thousands of addresses, changed without a reload.

All sets of a firewall stand in one file that C(ipset restore) reads. It fills a set beside the one in use and swaps
the two, so that a packet meets the old list or the new one. The C(init) script loads it before the rules at boot.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Change, Plan, Problem
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._addresses import in_order, read_address, show
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._family import IPV4, Family
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._lists import is_derived

Sets = dict[str, list[str]]

# One for all: the kernel takes a set for another one when it differs.
_CREATE = "create {name} hash:net family {family} maxelem 1048576 -exist"
_ADD = re.compile(r"add (?P<set>\S+) (?P<entry>\S+)")
_SWAP = re.compile(r"swap (?P<new>\S+) (?P<name>\S+)")
_NAME = re.compile(r"[A-Za-z][\w-]{0,30}")
BLOCK = "address lists"


def path_of(family: Family) -> str:
    """Return the file of a firewall's sets; outside its directory, since another list is no other configuration."""
    return f"/etc/kvmnet/{family.product}.ipsets"


def _scratch(family: Family) -> str:
    return f"kvmnet-new-{family.version}"


def read_sets(entries: Iterable[Mapping[str, Any]], family: Family) -> tuple[Sets, list[Problem]]:
    """Turn the module's option into sets in normal form."""
    sets: Sets = {}
    problems = []
    for index, entry in enumerate(entries):
        name = str(entry.get("name") or "")
        if not _NAME.fullmatch(name) or name == _scratch(family) or is_derived(name):
            allowed = (
                "a letter, then letters, digits, underscores and dashes, 31 at most; kvmnet4_ and kvmnet6_ are taken"
            )
            problems.append(Problem("ipsets", index, "name", name, allowed))
        elif name in sets:
            problems.append(Problem("ipsets", index, "name", name, "a name of its own"))
        members = set()
        for value in entry.get("entries") or ():
            network = read_address(str(value), family.version)
            if network is None:
                allowed = (
                    f"IPv{family.version} addresses and networks without host bits, none of them the whole Internet"
                )
                problems.append(Problem("ipsets", index, "entries", value, allowed))
            else:
                members.add(network)
        sets[name] = list(in_order(members))
    return sets, problems


def check_disjoint(entries: Iterable[Mapping[str, Any]], candidate: Candidate) -> Iterator[Problem]:
    """Yield the sets of IPv6 that have the name of one of IPv4's: the kernel does not tell them apart."""
    taken = parse((candidate.read(path_of(IPV4)) or b"").decode(errors="replace"))
    for index, entry in enumerate(entries):
        if str(entry.get("name")) in taken:
            allowed = f"a name that no set of IPv4 has ({', '.join(taken)})"
            yield Problem("ipsets", index, "name", entry["name"], allowed)


def render(sets: Sets, family: Family) -> str:
    """Return the file of the sets; no sets, no file."""
    scratch, kind = _scratch(family), "inet" if family.version == 4 else "inet6"
    lines = []
    for name, members in sorted(sets.items()):
        lines += [_CREATE.format(name=name, family=kind), _CREATE.format(name=scratch, family=kind), f"flush {scratch}"]
        lines += [f"add {scratch} {member}" for member in members]
        lines += [f"swap {scratch} {name}", f"destroy {scratch}"]
    return "".join(f"{line}\n" for line in lines)


def parse(text: str) -> Sets:
    """Return the sets of M(render)'s text."""
    sets: Sets = {}
    members: list[str] = []
    for line in text.splitlines():
        if found := _ADD.fullmatch(line):
            members.append(found["entry"])
        elif found := _SWAP.fullmatch(line):
            sets[found["name"]], members = members, []
    return sets


def init_block(sets: Sets, family: Family) -> str:
    """Return what the init script needs, so that the rules find their sets when the host starts."""
    if not sets:
        return ""
    path = path_of(family)
    return (
        f'if [ "$COMMAND" != reload ] && ! ipset restore < {path}; then\n'
        f'    startup_error "the address lists of {path} could not be loaded"\n'
        "fi\n"
    )


def usable() -> bool:
    """Whether this host can have sets."""
    try:
        done = subprocess.run(["ipset", "list", "-n"], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def in_kernel() -> Sets:
    """Return the sets of the kernel with their members, as far as it says them."""
    try:
        done = subprocess.run(["ipset", "save"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    sets: Sets = {}
    for line in done.stdout.splitlines() if done.returncode == 0 else ():
        if line.startswith("create "):
            sets[line.split()[1]] = []
        elif found := _ADD.match(line):
            sets[found["set"]].append(found["entry"])
    return sets


def read_file(read: Callable[[str], bytes | None], family: Family) -> Sets:
    """Return the sets of a firewall's file, by a candidate's way to read files."""
    return parse((read(path_of(family)) or b"").decode(errors="replace"))


def stage(candidate: Candidate, plan: Plan, sets: Sets, family: Family) -> None:
    """Stage the sets of a firewall, and the steps that load them before its rules and drop the others after."""
    path = path_of(family)
    live = read_file(candidate.live, family)
    changes = list(_compare(live, sets))
    for change in changes:
        plan.add(change)
    if sets:
        candidate.put(path, render(sets, family), 0o600)
    else:
        candidate.remove(path)
    order = family.step[2]
    if changes or live != sets:
        names = sorted({*live, *sets})
        candidate.step("ipset", path, order - 3, names=names)
        candidate.step("ipset-prune", path, order + 3, names=names)


def _compare(live: Sets, sets: Sets) -> Iterator[Change]:
    """Yield the changes of the lists that have names; what others stand for is said by the rows."""
    loaded = in_kernel() if sets else {}
    for name, members in sets.items():
        if name in live and live[name] == members:
            if set(loaded.get(name, ())) != set(members) or name not in loaded:
                yield Change("change", "address list", name, note="load, since the kernel holds another one")
        elif is_derived(name):
            continue
        elif name not in live:
            yield Change("create", "address list", name, {"entries": (None, len(members))})
        else:
            said = {}
            for word, some, known in (("added", members, set(live[name])), ("removed", live[name], set(members))):
                if listed := show(one for one in some if one not in known):
                    said[word] = (None, listed)
            yield Change("change", "address list", name, said)
    for name in live.keys() - sets.keys():
        if not is_derived(name):
            yield Change("delete", "address list", name)
