# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""The kinds of values an inventory holds: what each accepts, what it is called, what it reads as.

Addresses are read by the standard library, not by netaddr: what netaddr accepts differs between versions (older ones
read C(10.1) as 10.0.0.1), and what is let in here must be right for all of them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._units import amount as unit_amount
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._units import whole

SEE_LATER = "IPv6 has keys of its own, address6 and gateway6"


class WrongError(Exception):
    """A value is not of its kind; the text is what would be allowed."""


@dataclass(frozen=True)
class Kind:
    """A kind of single value.

    Args:
        name: how the documentation calls it.
        read: returns the value in its checked form, or raises WrongError.
    """

    name: str
    read: Callable[[object], Any]


@dataclass(frozen=True)
class ListOf:
    """A list of values of one kind, at least C(least) of them, and not more than C(most)."""

    kind: Kind | Table
    least: int = 0
    most: int | None = None
    single: bool = False

    @property
    def name(self) -> str:
        """How the documentation calls it."""
        one = "one or a list" if self.single else "list"
        return f"{one} of {self.kind.name}"


@dataclass(frozen=True)
class Key:
    """One key of an entry: the single place that says what it is, for validation and documentation alike."""

    name: str
    kind: Kind | ListOf | Table
    doc: str
    required: bool = False
    default: str = ""


@dataclass(frozen=True)
class Table:
    """An entry with known keys."""

    keys: tuple[Key, ...]
    name: str = "entries"

    def __post_init__(self) -> None:
        names = [key.name for key in self.keys]
        if len(names) != len(set(names)):
            raise ValueError(f"a key is declared twice: {names}")

    def names(self) -> list[str]:
        """Return the keys' names in their documented order."""
        return [key.name for key in self.keys]


def _text(value: object, allowed: str) -> str:
    if not isinstance(value, str) or not value:
        raise WrongError(allowed)
    return str(value)


def pattern(name: str, expression: str, allowed: str) -> Kind:
    """Return the kind of strings that match an expression as a whole."""
    compiled = re.compile(expression, re.ASCII)

    def read(value: object) -> str:
        text = _text(value, allowed)
        if not compiled.fullmatch(text):
            raise WrongError(allowed)
        return text

    return Kind(name, read)


def choice(*values: str, note: str = "") -> Kind:
    """Return the kind of strings that are one of a few."""
    allowed = (" or ".join(values) if len(values) < 3 else "one of " + ", ".join(values)) + note

    def read(value: object) -> str:
        if not isinstance(value, str) or value not in values:
            raise WrongError(allowed)
        return str(value)

    return Kind(" or ".join(f"`{value}`" for value in values), read)


def integer(least: int, most: int, note: str = "", without: tuple[int, ...] = ()) -> Kind:
    """Return the kind of whole numbers in a range."""
    allowed = f"a whole number from {least} to {most}{note}"

    def read(value: object) -> int:
        # A template that joins texts yields a text
        if isinstance(value, str) and value.isdecimal() and value.isascii():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most or value in without:
            raise WrongError(allowed)
        return int(value)

    return Kind(f"{least} to {most}{note}", read)


def amount(option: str, least: int, most: int) -> Kind:
    """Return the kind of whole numbers whose unit is in the option's name."""
    plain = integer(least, most)

    def read(value: object) -> int:
        if unit_amount(option, value) is not None:
            raise WrongError(whole(option, value))
        return int(plain.read(value))

    return Kind(plain.name, read)


def either(name: str, word: str | bool, kind: Kind) -> Kind:
    """Return the kind of values that are a certain word or of another kind."""

    def read(value: object) -> Any:
        if value == word and isinstance(value, bool) == isinstance(word, bool):
            return word
        try:
            return kind.read(value)
        except WrongError as wrong:
            raise WrongError(f"{wrong}, or {str(word).lower()}") from None

    return Kind(name, read)


def _boolean(value: object) -> bool:
    # A quoted "false" is true to whoever asks for its truth
    if not isinstance(value, bool):
        raise WrongError("true or false, without quotes")
    return value


def _string(value: object) -> str:
    return _text(value, "a text that is not empty")


def _address(value: object) -> ipaddress.IPv4Address:
    allowed = "an IPv4 address without a prefix length, such as 192.168.0.1"
    text = _text(value, allowed)
    try:
        return ipaddress.IPv4Address(text)
    except ValueError:
        raise WrongError(f"{allowed}; {SEE_LATER}" if ":" in text else allowed) from None


def _interface_address(value: object) -> ipaddress.IPv4Interface:
    allowed = "an IPv4 address with its prefix length, such as 192.168.0.254/24"
    text = _text(value, allowed)
    address, slash, length = text.partition("/")
    try:
        if not slash or not length.isdecimal():
            raise WrongError(allowed)
        found = ipaddress.IPv4Interface(f"{address}/{length}")
    except ValueError:
        raise WrongError(f"{allowed}; {SEE_LATER}" if ":" in text else allowed) from None
    network = found.network
    if network.prefixlen < 31 and found.ip in (network.network_address, network.broadcast_address):
        which = "network" if found.ip == network.network_address else "broadcast"
        raise WrongError(f"an address of a host: {found.ip} is the {which} address of {network}")
    return found


def _network(value: object) -> ipaddress.IPv4Network:
    allowed = "an IPv4 network, such as 192.168.0.0/24, or an address"
    text = _text(value, allowed)
    try:
        found = ipaddress.IPv4Interface(text)
        if "/" in text and not text.partition("/")[2].isdecimal():
            raise WrongError(allowed)
    except ValueError:
        raise WrongError(f"{allowed}; {SEE_LATER}" if ":" in text else allowed) from None
    if found.ip != found.network.network_address:
        raise WrongError(
            f"{found.network} for the network or {found.ip}/32 for the one address: bits of the host part are set"
        )
    return found.network


def _address6(value: object) -> ipaddress.IPv6Address:
    allowed = "an IPv6 address without a prefix length, such as 2001:db8::1 or fe80::1"
    try:
        return ipaddress.IPv6Address(_text(value, allowed))
    except ValueError:
        raise WrongError(allowed) from None


def _interface_address6(value: object) -> ipaddress.IPv6Interface:
    allowed = "an IPv6 address with its prefix length, such as 2001:db8::1/64"
    text = _text(value, allowed)
    try:
        found = ipaddress.IPv6Interface(text)
    except ValueError:
        raise WrongError(allowed) from None
    if "/" not in text or found.is_link_local or found.is_multicast or found.is_unspecified or found.is_loopback:
        raise WrongError(f"{allowed}, global or unique local (fc00::/7)")
    if found.network.prefixlen < 127 and found.ip == found.network.network_address:
        raise WrongError(f"an address of a host: {found.ip} is that of every router in {found.network}")
    return found


def _any_network(value: object) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    text = str(value)
    if ":" not in text:
        return _network(value)
    allowed = "an IPv6 network, such as 2001:db8::/64, or an address"
    try:
        found = ipaddress.IPv6Interface(text)
    except ValueError:
        raise WrongError(allowed) from None
    if found.ip != found.network.network_address:
        raise WrongError(
            f"{found.network} for the network or {found.ip}/128 for the one address: bits of the host part are set"
        )
    return found.network


_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def _mac(value: object) -> str:
    allowed = "a MAC address, such as 52:54:00:12:34:56"
    mac = _text(value, allowed).lower()
    if not _MAC.fullmatch(mac):
        raise WrongError(f"{allowed} (quote it: YAML reads some as numbers)")
    if int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise WrongError("a unicast MAC address (the first octet is even, and not all are 0)")
    return mac


def _one_port(value: object) -> int:
    if isinstance(value, str) and value.isdecimal() and value.isascii():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 65535:
        raise WrongError("a port from 1 to 65535")
    return int(value)


def _port_range(value: object) -> tuple[int, int]:
    allowed = "a port from 1 to 65535, or a range such as 6000:6010"
    if isinstance(value, str) and ":" in value:
        first, _colon, last = value.partition(":")
        try:
            found = _one_port(first), _one_port(last)
        except WrongError:
            raise WrongError(allowed) from None
        if found[0] > found[1]:
            raise WrongError(f"{allowed}, the lower port first")
        return found
    try:
        port = _one_port(value)
    except WrongError:
        raise WrongError(allowed) from None
    return port, port


def _upstream(value: object) -> object:
    allowed = "an address with an optional #port, or {domain: a domain, server: an address with an optional #port}"
    server: object = value
    if isinstance(value, Mapping):
        if set(value) - {"domain", "server"}:
            raise WrongError(allowed)
        if value.get("domain") is not None:
            DOMAIN.read(value["domain"])
        server = value.get("server")
    address, hash_sign, port = _text(server, allowed).partition("#")
    try:
        ipaddress.ip_address(address)
        if hash_sign:
            _one_port(port)
    except (ValueError, WrongError):
        raise WrongError(allowed) from None
    return value


def _interface(value: object) -> str:
    text = _text(value, INTERFACE_ALLOWED)
    if len(text) > 15:
        raise WrongError(f"{INTERFACE_ALLOWED}; this one has {len(text)}")
    if not _INTERFACE.fullmatch(text) or text in (".", "..", "lo", "all", "default"):
        raise WrongError(INTERFACE_ALLOWED)
    return text


# What the kernel accepts and neither Shorewall (+ is a wildcard, : an alias) nor networkd (globs) reads otherwise
_INTERFACE = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
INTERFACE_ALLOWED = "an interface name: at most 15 characters out of letters, digits, dot, hyphen and underscore"
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
RESERVED_ZONES = ("all", "any", "none", "SOURCE", "DEST")
RESERVED_PROVIDERS = ("local", "main", "default", "balance", "unspec")
ZONE_ALLOWED = (
    "a zone name: a letter, then letters, digits and underscores, at most 10 characters, "
    "not all, any, none, SOURCE or DEST, not beginning with all2 or ending with 2all"
)


def _zone(value: object) -> str:
    text = _text(value, ZONE_ALLOWED)
    if (
        not re.fullmatch(r"[A-Za-z]\w*", text, re.ASCII)
        or text in RESERVED_ZONES
        or text.startswith("all2")
        or text.endswith("2all")
    ):
        raise WrongError(ZONE_ALLOWED)
    if len(text) > 10:
        raise WrongError(f"{ZONE_ALLOWED}; this one has {len(text)}")
    return text


def _provider(value: object) -> str:
    allowed = "a letter, then letters, digits and underscores, and not " + ", ".join(RESERVED_PROVIDERS)
    text = _text(value, allowed)
    # Shorewall makes shell variables of it, and the name of a routing table
    if not re.fullmatch(r"[A-Za-z]\w*", text, re.ASCII) or text.lower() in RESERVED_PROVIDERS:
        raise WrongError(allowed)
    return text


def _path(value: object) -> str:
    allowed = "an absolute path"
    text = _text(value, allowed)
    if not text.startswith("/"):
        raise WrongError(allowed)
    return text


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise WrongError("keys with values")
    return value


BOOL = Kind("boolean", _boolean)
STRING = Kind("string", _string)
ANY = Kind("any", lambda value: value)
MAPPING = Kind("mapping", _mapping)
ADDRESS = Kind("address", _address)
CIDR = Kind("address with prefix length", _interface_address)
NETWORK = Kind("network or address", _network)
ADDRESS6 = Kind("IPv6 address", _address6)
CIDR6 = Kind("IPv6 address with prefix length", _interface_address6)
ANY_NETWORK = Kind("network or address", _any_network)
MAC = Kind("MAC address", _mac)
PORT = Kind("port", _one_port)
PORTS = Kind("port or range", _port_range)
INTERFACE = Kind("interface name", _interface)
ZONE = Kind("zone name", _zone)
PROVIDER = Kind("name", _provider)
PATH = Kind("absolute path", _path)
UPSTREAM = Kind("address, `address#port`, or `{domain, server}`", _upstream)
LABEL = pattern(
    "host name", _LABEL, "a host name: at most 63 lower-case letters, digits and hyphens, no hyphen at either end"
)
NAME = pattern("name", r"[A-Za-z][\w.-]{0,62}", "a name: a letter, then letters, digits, dots, hyphens and underscores")
DOMAIN = pattern(
    "domain name",
    rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*",
    "a domain name, such as kvm.example, in lower case and without a dot at its end",
)
URL = pattern("URL", r"(https?|ftp|file)://\S+", "a URL that begins with https://, http://, ftp:// or file://")
CHECKSUM = pattern(
    "checksum",
    r"(sha256:[0-9a-fA-F]{64}|sha512:[0-9a-fA-F]{128})",
    "sha256: or sha512:, then as many hexadecimal digits as it has",
)
