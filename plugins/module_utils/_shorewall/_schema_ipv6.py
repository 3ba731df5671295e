# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""What IPv6's files may say that IPv4's may not, and the other way round: the table with a few columns replaced."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import replace

from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._columns import (
    Column,
    FileSpec,
    Kind,
    choice,
    options,
    text,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._family import Family
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._schema import FILES

ZONE_TYPES = ("ipv6", "ip", "ipsec", "ipsec6", "firewall", "bport", "bport6", "vserver", "loopback", "local")


def _is_address(value: str) -> bool:
    try:
        ipaddress.IPv6Address(value.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _is_gateway(value: str) -> bool:
    return value.lower() in ("detect", "none") or _is_address(value)


_TYPE = choice(*ZONE_TYPES)
_OPTIONS = options(
    "bridge destonly dhcp maclist nodbl nosmurfs omitanycast optional required rpfilter unmanaged upnp upnpclient",
    "forward? loopback? proxyndp? routeback? sourceroute? tcpflags? accept_ra? mss wait ignore? dbl nets sfilter "
    "physical",
)
_HOST_OPTIONS = options("blacklist ipsec maclist routeback tcpflags", "mss")
_GATEWAY = Kind("an IPv6 address, detect or none", _is_gateway)
# The gateways of a shared interface are told apart by realms, which IPv6 does not have.
_NOT_SHARED = text("nothing: uplinks cannot share an interface in IPv6", r"(?!)")


def _parts(column: Column, **kinds: Kind) -> Column:
    return replace(column, parts=tuple((name, kinds.get(name, kind)) for name, kind in column.parts))


def _column(spec: FileSpec, column: Column) -> Column:
    if (spec.name, column.name) == ("zones", "type"):
        return replace(column, kind=_TYPE, default="ipv6")
    if (spec.name, column.name) == ("interfaces", "options"):
        return replace(column, kind=_OPTIONS)
    if (spec.name, column.name) == ("hosts", "options"):
        return replace(column, kind=_HOST_OPTIONS)
    if (spec.name, column.name) == ("providers", "interface"):
        return _parts(column, address=_NOT_SHARED)
    if (spec.name, column.name) == ("providers", "gateway"):
        return _parts(column, gateway=_GATEWAY)
    return column


def _columns(spec: FileSpec) -> Iterator[Column]:
    for column in spec.columns:
        yield _column(spec, column)
        # What IPv4 has no such column for stands where the compiler looks for it.
        if (spec.name, column.name) == ("mangle", "helper"):
            yield Column("headers", text("IPv6 header types", r"!?(?:any:|exactly:)?[\w,-]+"))


FILES_IPV6 = {name: replace(spec, columns=tuple(_columns(spec)), elsewhere=()) for name, spec in FILES.items()}


def files_of(family: Family) -> Mapping[str, FileSpec]:
    """Return the files of rows of one of Shorewall's programs."""
    return FILES_IPV6 if family.version == 6 else FILES
