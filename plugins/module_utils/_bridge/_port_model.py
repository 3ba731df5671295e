# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Ports of bridges as the module takes them: normalised, or every problem at once. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._model import (
    Port,
    check_name,
    check_range,
    normalise,
)

if TYPE_CHECKING:
    from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._model import Entry, Place
    from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem

# No released networkd of Debian 12 or 13 locks a port.
LOCKED_SINCE = 258

_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*|[0-9]+")


def _port(where: Place, entry: Entry, networkd: int, problems: list[Problem]) -> Port:
    name = check_name(where, "name", entry["name"], problems)
    if entry.get("state") == "absent":
        return Port(name, where, present=False, type=entry.get("type") or "tap")
    kind = entry.get("type") or "tap"
    if not entry.get("bridge"):
        problems.append(where.problem("bridge", None, "the bridge that the port belongs to"))
    for key in ("user", "group", "queues"):
        if kind != "tap" and entry.get(key) is not None:
            problems.append(where.problem(key, entry[key], "only for a port of type tap"))
    for key in ("user", "group"):
        if entry.get(key) is not None and not _USER.fullmatch(str(entry[key])):
            problems.append(where.problem(key, entry[key], f"the name or number of a {key}"))
    queues = check_range(where, entry, "queues", 1, 256, problems) or 1
    if entry.get("locked") is not None and networkd < LOCKED_SINCE:
        problems.append(
            where.problem(
                "locked",
                entry["locked"],
                f"nothing on this host: systemd-networkd {networkd} cannot lock a port, so it would stand open "
                f"after the next boot; {LOCKED_SINCE} can",
            )
        )
    return Port(
        name=name,
        where=where,
        bridge=str(entry.get("bridge") or ""),
        type=kind,
        # A tap without an owner can be opened by every user of the host; libvirt opens it as root.
        user=str(entry.get("user") or "root") if kind == "tap" else None,
        group=entry.get("group") if kind == "tap" else None,
        multi_queue=queues > 1,
        isolated=bool(entry.get("isolated")),
        hairpin=bool(entry.get("hairpin")),
        learning=entry.get("learning") is not False,
        guard=bool(entry.get("guard")),
        root_block=bool(entry.get("root_block")),
        locked=entry.get("locked"),
        cost=check_range(where, entry, "cost", 1, 65535, problems),
        priority=check_range(where, entry, "priority", 0, 63, problems),
        mtu=check_range(where, entry, "mtu", 576, 65535, problems),
    )


def normalise_ports(ports: list[Entry], networkd: int, problems: list[Problem]) -> list[Port]:
    """Normalise what the bridge_port module was given; C(networkd) is the host's version."""
    return normalise("ports", ports, lambda at, entry, found: _port(at, entry, networkd, found), "name", problems) or []
