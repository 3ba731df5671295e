# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shorewall's providers, read from its own files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

DETECT = "detect"
# How a provider says that it stands in for the others: in the order of the numbers, not by weight.
IN_ORDER = -1
_COLUMNS = ("name", "number", "mark", "duplicate", "interface", "gateway", "options", "copy")
_WEIGHTS = {"balance": "weight", "fallback": "fallback"}
_IGNORED = ("track", "notrack", "optional", "persistent", "autosrc")
_LAST_MARK = 255


class RefusedError(ValueError):
    """What a file says is not understood; the message names the entry."""


@dataclass(frozen=True)
class Provider:
    """One row of the providers file.

    C(address) is set for a shared interface only; C(gateway) is an address, C(detect), or nothing for a point-to-point
    link. C(rules) are the further routing rules that Shorewall makes with it.
    """

    name: str
    number: int
    mark: int
    interface: str
    gateway: str | None = None
    address: str | None = None
    mac: str | None = None
    source: str | None = None
    weight: int = 0
    fallback: int = 0
    mtu: int = 0
    loose: bool = False
    source_rule: bool = True
    host_route: bool = True
    rules: tuple[str, ...] = ()

    @property
    def realm(self) -> int:
        """The realm of its routes: what tells providers on one interface apart."""
        return self.number if self.address else 0


def _lines(text: str) -> Iterator[list[str]]:
    for line in text.replace("\\\n", " ").splitlines():
        bare = line.partition("#")[0].strip()
        if bare and not re.fullmatch(r"\?FORMAT\s+\d+|\?SECTION\s+\w+", bare, re.IGNORECASE):
            yield bare.split()


def _address(name: str, value: str) -> str:
    try:
        return str(IPv4Address(value))
    except ValueError:
        raise RefusedError(f"provider {name}: {value!r} is not an IPv4 address") from None


def _number(name: str, value: str, last: int) -> int:
    try:
        number = int(value, 0)
    except ValueError:
        number = 0
    if not 1 <= number <= last:
        raise RefusedError(f"provider {name}: {value!r} is not a number from 1 to {last}")
    return number


def _options(name: str, text: str) -> dict[str, int | str | bool]:
    found: dict[str, int | str | bool] = {}
    for option in text.split(",") if text != "-" else ():
        key, given, value = option.partition("=")
        if key == "primary" and not given:
            found["weight"] = 1
        elif key in _WEIGHTS:
            plain = 1 if key == "balance" else IN_ORDER
            found[_WEIGHTS[key]] = _number(name, value, 256) if given else plain
        elif key == "mtu" and given:
            found["mtu"] = _number(name, value, 65535)
        elif key == "src" and given:
            found["source"] = _address(name, value)
        elif option == "loose":
            found["loose"] = True
        elif option == "noautosrc":
            found["source_rule"] = False
        elif option in ("hostroute", "nohostroute"):
            found["host_route"] = option == "hostroute"
        elif option not in _IGNORED:
            raise RefusedError(f"provider {name}: the option {option!r} is not supported")
    return found


def _provider(columns: list[str]) -> Provider:
    row = dict(zip(_COLUMNS, columns + ["-"] * len(_COLUMNS), strict=False))
    name = row["name"]
    if any(character in "".join(columns) for character in "${}?;"):
        raise RefusedError(f"provider {name}: variables and alternative notations are not supported")
    if len(columns) > len(_COLUMNS) or row["interface"] == "-":
        raise RefusedError(f"provider {name}: {' '.join(columns)!r} is not a row of the providers file")
    if row["duplicate"] != "-" or row["copy"] != "-":
        raise RefusedError(f"provider {name}: the columns DUPLICATE and COPY are not supported")
    number = _number(name, row["number"], 252)
    interface, shared, address = row["interface"].partition(":")
    gateway, _comma, mac = row["gateway"].partition(",")
    if gateway.lower() == "none":
        raise RefusedError(f"provider {name}: a provider without a default route is not supported")
    if gateway != "-" and gateway.lower() != DETECT:
        gateway = _address(name, gateway)
    options = _options(name, row["options"])
    return Provider(
        name=name,
        number=number,
        mark=number if row["mark"] == "-" else _number(name, row["mark"], _LAST_MARK),
        interface=interface,
        gateway=None if gateway == "-" else gateway.lower(),
        address=_address(name, address) if shared else None,
        mac=mac.removeprefix("~").replace("-", ":").lower() or None,
        # Each of them was read as what the field of its name is
        **options,  # type: ignore[arg-type]
    )


def read_providers(text: str, script: str = "") -> tuple[Provider, ...]:
    """Return the providers of a providers file.

    Args:
        text: the file.
        script: Shorewall's compiled script, for the routing rules that belong to a provider.

    Raises:
        RefusedError: a row is not understood.
    """
    found: list[Provider] = []
    for columns in _lines(text):
        provider = _provider(columns)
        for other in found:
            for key in ("name", "number", "mark"):
                if getattr(other, key) == getattr(provider, key):
                    raise RefusedError(
                        f"provider {provider.name}: {other.name} has the {key} {getattr(other, key)} already"
                    )
        found.append(provider)
    rules = read_rules(script.splitlines())
    return tuple(
        Provider(**{**vars(provider), "rules": tuple(rules.get(provider.name, ()))}) if rules else provider
        for provider in found
    )


def read_rules(script: Iterable[str]) -> dict[str, list[str]]:
    """Return the routing rules of each provider in a compiled script that do not depend on what the host is given."""
    rules: dict[str, list[str]] = {}
    name = ""
    for line in script:
        begin = re.match(r"start_provider_(\w+)\(\)", line)
        name = begin[1] if begin else "" if line.startswith("}") else name
        made = re.fullmatch(r"\s*run_ip rule add ([^$]*)", line) if name else None
        if made and " pref 20000 " not in made[1]:
            rules.setdefault(name, []).append(" ".join(made[1].split()))
    return rules
