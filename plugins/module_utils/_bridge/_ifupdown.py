# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Interfaces that Debian's ifupdown configures: who they are, and how systemd-networkd takes one over. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge import _networkd as networkd

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# What systemd-networkd sets of an interface's IPv6.
SETTINGS = ("accept_ra", "addr_gen_mode", "disable_ipv6")
# Words that end a stanza of /etc/network/interfaces.
_STANZAS = (
    *("iface", "auto", "mapping", "source", "source-directory", "no-auto-down", "no-scripts", "template", "rename"),
)
_NAMING = ("auto", "no-auto-down", "no-scripts")
# What systemd-networkd does as well.
_METHODS = ("static", "dhcp", "auto", "manual")
_ELSEWHERE = ("bridge", "bond", "vlan", "wpa", "wireless", "hwaddress", "tunnel")
_COMMANDS = ("pre-up", "up", "post-up", "down", "pre-down", "post-down")


@dataclass(frozen=True)
class Stanza:
    """One C(iface) stanza.

    Args:
        path: the file that it stands in.
        line: its first line.
        words: the words of that.
        options: the lines after it: number and words.
    """

    path: str
    line: int
    words: tuple[str, ...]
    options: tuple[tuple[int, tuple[str, ...]], ...] = ()

    @property
    def interface(self) -> str:
        """The interface; an alias such as eth0:1 is an address of eth0."""
        return self.words[1].partition(":")[0]

    def first(self, *names: str) -> tuple[int, tuple[str, ...]] | None:
        """Return the first option of these names."""
        return next(((number, words) for number, words in self.options if words[0] in names), None)

    @property
    def only_there(self) -> tuple[int, str] | None:
        """What ifupdown does here and systemd-networkd would not do in its place: the line, and what it says."""
        if self.words[2] not in ("inet", "inet6") or self.words[3] not in _METHODS:
            return self.line, " ".join(self.words)
        for number, words in self.options:
            if words[0].replace("_", "-").partition("-")[0] in _ELSEWHERE:
                return number, " ".join(words)
        return None


@dataclass(frozen=True)
class Running:
    """What of an interface is in no file, so that it can be given back.

    Args:
        state: its lines of ifupdown's own record of what is up.
        routes: its routes of the table main as C(ip route) takes them back, but those that addresses bring.
        settings: what systemd-networkd sets for IPv6, by the kernel's path.
    """

    state: tuple[str, ...] = ()
    routes: tuple[tuple[str, str], ...] = ()
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Ifupdown:
    """Everything of ifupdown's.

    Args:
        files: path -> text, in the order in which they are read.
        running: what it has up, by interface.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    running: Mapping[str, Running] = field(default_factory=dict)


def _logical(text: str) -> Iterator[tuple[int, list[str], tuple[str, ...]]]:
    """Yield number, lines and words of each line; one that ends in a backslash goes on in the next, comments do not."""
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        end = number
        if not lines[number].lstrip().startswith("#"):
            while lines[end].endswith("\\") and end + 1 < len(lines):
                end += 1
        joined = " ".join(line.removesuffix("\\") for line in lines[number:end]) + " " + lines[end]
        words = () if joined.lstrip().startswith("#") else tuple(joined.split())
        yield number + 1, lines[number : end + 1], words
        number = end + 1


def _begins(words: tuple[str, ...]) -> bool:
    return words[0] in _STANZAS or words[0].startswith("allow-")


def stanzas(path: str, text: str) -> list[Stanza]:
    """Return the stanzas of a file."""
    found: list[Stanza] = []
    inside = False
    for number, _lines, words in _logical(text):
        if not words:
            continue
        if _begins(words):
            inside = words[0] == "iface" and len(words) >= 4
            if inside:
                found.append(Stanza(path, number, words))
        elif inside:
            last = found[-1]
            found[-1] = Stanza(path, last.line, last.words, (*last.options, (number, words)))
    return found


def without(text: str, interface: str) -> str:
    """Return a file in which an interface is commented out, and all else is as it was, byte for byte."""
    why = f"# ursa.kvmnet: {interface} is configured by systemd-networkd, {networkd.network_path(interface)}"
    result: list[str] = []
    inside = told = False
    for _number, lines, words in _logical(text):
        rest: list[str] = []
        taken = inside and bool(words)
        if words and _begins(words):
            inside = words[0] == "iface" and words[1:2] != () and words[1].partition(":")[0] == interface
            taken = inside
        if words and (words[0] in _NAMING or words[0].startswith("allow-")):
            others = [word for word in words[1:] if word.partition(":")[0] != interface]
            taken = len(others) + 1 < len(words)
            rest = [" ".join([words[0], *others])] if taken and others else []
        if taken and not told:
            result.append(why)
        told = taken or (told and not words)
        result += [f"#{line}" if taken else line for line in lines] + rest
    return "\n".join(result)


def lost_commands(found: list[Stanza]) -> list[str]:
    """Return the user's own commands that nobody runs any more, with the place where they stand."""
    return [
        f"'{' '.join(words)}' ({stanza.path} line {number})"
        for stanza in found
        for number, words in stanza.options
        if words[0] in _COMMANDS
    ]


def name_servers(ifupdown: Ifupdown, interface: str) -> list[str]:
    """Return whom an interface's stanzas have asked for names."""
    return [
        server
        for path, text in ifupdown.files.items()
        for stanza in stanzas(path, text)
        for _number, words in stanza.options
        if stanza.interface == interface and words[0] in ("dns-nameservers", "dns-nameserver")
        for server in words[1:]
    ]


# Killed, a client neither gives its lease back nor takes the address away. What ifupdown notes as down it leaves alone.
_RELEASE = """\
for file in /run/dhclient.$1.pid /run/dhclient6.$1.pid /run/dhcpcd/$1-4.pid /run/dhcpcd/$1.pid /run/udhcpc.$1.pid; do
  [ -r "$file" ] && pid=$(cat "$file") && case $(cat "/proc/$pid/comm") in
    dhclient | dhcpcd | udhcpc) kill -9 "$pid"; rm -f "$file" ;;
  esac
done 2>/dev/null
[ -e /run/network/ifstate ] || exit 0
exec 9>> /run/network/.ifstate.lock && flock 9
sed -i "/^$1[:=]/d" /run/network/ifstate && rm -f "/run/network/ifstate.$1"
"""
# Commands of ifupdown that say yes do not run twice: it is told what is up, and only a lease is asked for anew, by a
# client that outlives whoever undoes the change. Its directory is made at boot by what may be masked, and without it
# the shell would end at its lock.
_GIVE_BACK = """\
name=$1 method=$2
shift 2
ip link set dev "$name" nomaster up
mkdir -p /run/network
exec 9>> /run/network/.ifstate.lock && flock 9
while [ "$1" != -- ]; do
  grep -qxF "$1" /run/network/ifstate || echo "$1" >> /run/network/ifstate
  echo "${1#*=}" > "/run/network/ifstate.${1%%=*}"
  shift
done
shift
exec 9>&-
while [ "$1" != -- ]; do
  echo "${1#*=}" > "${1%%=*}"
  shift
done
shift
if [ "$method" = dhcp ]; then
  exec systemd-run --quiet --no-block --collect --property=KillMode=process --property=Type=oneshot \\
    --unit="ifup-again-$name" /sbin/ifup --force "$name"
fi
for line in "$@"; do
  ip $line
done
"""


def release_argv(name: str) -> list[str]:
    """Return the command that makes ifupdown let an interface go, as it is."""
    return ["sh", "-c", _RELEASE, "release", name]


def give_back_argv(name: str, found: list[Stanza], addresses: tuple[str, ...], running: Running) -> list[str]:
    """Return the command that makes an interface ifupdown's again."""
    leased = any(stanza.words[3] == "dhcp" for stanza in found)
    lines = [
        f"address replace {address}{'' if ':' in address else ' broadcast +'} dev {name}"
        for address in addresses
        if not leased
    ]
    lines += [f"-{version} route replace {route} dev {name}" for version, route in running.routes]
    method = "dhcp" if leased else "static"
    settings = [f"{path}={value}" for path, value in running.settings]
    return ["sh", "-c", _GIVE_BACK, "give-back", name, method, *running.state, "--", *settings, "--", *lines]
