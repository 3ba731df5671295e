# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""The only part that touches the host: reads it, and hands an outcome to the candidate."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge import (
    _foreign,
    _ifupdown,
    _kernel,
    _macvlans,
    _settings,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge import _networkd as networkd
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._state import NETWORKD_UNIT, Host
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._family import IPV4, IPV6

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._model import Uplink
    from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._state import Outcome
    from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
    from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._family import Family

_INTERFACES = "/etc/network/interfaces"
_WANTS = ("multi-user.target.wants", "network.target.wants")


class HostError(Exception):
    """The host cannot be read; the text says why."""


def _run(argv: list[str]) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostError(f"{' '.join(argv)}: {error}") from error
    if done.returncode:
        raise HostError(f"{' '.join(argv)} returned {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _json(argv: list[str]) -> list[dict[str, Any]]:
    text = _run(argv)
    return json.loads(text) if text.strip() else []


def _texts(paths: Iterable[Path]) -> dict[str, str]:
    found = {}
    for path in paths:
        try:
            found[str(path)] = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            # A directory, or a link to nowhere: nothing is configured by it.
            continue
    return found


def _networkd_files() -> dict[str, str]:
    files: dict[str, str] = {}
    seen = set()
    for directory in map(Path, networkd.DIRECTORIES):
        if directory.is_dir() and directory.resolve() not in seen:
            seen.add(directory.resolve())
            files.update(_texts(path for path in directory.iterdir() if path.suffix in (".network", ".netdev")))
    return files


def _sourced(path: Path, seen: set[Path]) -> Iterable[Path]:
    """Yield a file of ifupdown and those that it sources."""
    if path in seen or not path.is_file():
        return
    seen.add(path)
    yield path
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split()
        if len(words) == 2 and words[0] in ("source", "source-directory"):
            pattern = Path(words[1] if words[1].startswith("/") else f"/etc/network/{words[1]}")
            inner = pattern / "*" if words[0] == "source-directory" else pattern
            for found in sorted(Path("/").glob(str(inner).lstrip("/"))):
                yield from _sourced(found, seen)


def _claims(ifupdown: _ifupdown.Ifupdown) -> list[_foreign.Claim]:
    """Read who else configures interfaces."""
    claims: list[_foreign.Claim] = []
    for path, text in ifupdown.files.items():
        claims += _foreign.parse_ifupdown(path, text)
    if Path("/run/NetworkManager").is_dir():
        for directory in ("/etc/NetworkManager/system-connections", "/run/NetworkManager/system-connections"):
            for path, text in _texts(sorted(Path(directory).glob("*"))).items():
                claims += _foreign.parse_network_manager(path, text)
    return claims


def _routes(name: str) -> Iterator[tuple[str, str]]:
    for version in ("4", "6"):
        for line in _run(["ip", f"-{version}", "-o", "route", "show", "table", "main", "dev", name]).splitlines():
            if not re.search(r" proto (kernel|ra|dhcp)\b", line):
                yield version, " ".join(line.replace("linkdown", "").split())


def _settings_of(name: str) -> list[Path]:
    return [Path("/proc/sys/net/ipv6/conf", name, key) for key in _ifupdown.SETTINGS]


def read_ifupdown() -> _ifupdown.Ifupdown:
    """Read what ifupdown configures, and has up; files of a program that is not there configure nothing."""
    if not Path("/sbin/ifup").exists():
        return _ifupdown.Ifupdown()
    files = {str(path): _text(path) for path in _sourced(Path(_INTERFACES), set())}
    names = {one.interface for path, text in files.items() for one in _ifupdown.stanzas(path, text)} - {"lo"}
    state = _texts([Path("/run/network/ifstate")]).get("/run/network/ifstate", "").splitlines()
    running = {
        name: _ifupdown.Running(
            tuple(line for line in state if re.split("[:=]", line)[0] == name),
            tuple(_routes(name)),
            tuple((path, value.strip()) for path, value in _texts(_settings_of(name)).items()),
        )
        for name in sorted(names)
        if Path("/sys/class/net", name).exists()
    }
    return _ifupdown.Ifupdown(files, running)


def _text(path: Path) -> str:
    # What is not text is written back as it was.
    return path.read_text(encoding="utf-8", errors="surrogateescape")


def networkd_version() -> int:
    """Return the version of systemd-networkd."""
    found = re.search(r"systemd (\d+)", _run(["networkctl", "--version"]))
    if found is None:
        raise HostError("networkctl --version does not say which version it is")
    return int(found[1])


def machine() -> str:
    """Return what is this host's alone."""
    try:
        found = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except OSError:
        found = ""
    return found if found and found != "uninitialized" else os.uname().nodename


def _firewalls() -> Iterator[Family]:
    if Path(IPV4.firewall).is_file():
        yield IPV4
    # What is left of one that was given up must not be started.
    if Path(IPV6.firewall).is_file() and Path("/", IPV6.enabled).exists():
        yield IPV6


def read_host() -> Host:
    """Read everything that a plan looks at, with three programs run."""
    units = Path("/etc/systemd/system")
    ifupdown = read_ifupdown()
    return Host(
        links=_kernel.parse_links(_json(["ip", "-j", "-d", "address", "show"])),
        routes=_kernel.parse_default_routes(_json(["ip", "-j", "-4", "route", "show", "table", "all", "default"])),
        files=_networkd_files(),
        claims=_claims(ifupdown),
        ifupdown=ifupdown,
        version=networkd_version(),
        enabled=any((units / wants / NETWORKD_UNIT).is_symlink() for wants in _WANTS),
        firewalls=tuple(_firewalls()),
        wireless=frozenset(path.parent.name for path in Path("/sys/class/net").glob("*/phy80211")),
    )


def read_arp(uplinks: Iterable[Uplink]) -> _macvlans.Arp:
    """Read how the kernel answers for the addresses of macvlans and what they stand on."""
    values = {}
    names = {name for uplink in uplinks if uplink.parent for name in (uplink.interface, uplink.parent)}
    for key in _macvlans.arp_values(sorted(names), []):
        path = Path("/proc/sys", key)
        if path.is_file():
            values[key] = int(path.read_text(encoding="ascii"))
    return _macvlans.Arp(values, _texts([Path(_macvlans.ARP_PATH)]).get(_macvlans.ARP_PATH))


def read_netfilter() -> _settings.Netfilter:
    """Read how bridged frames and the firewall stand to each other."""
    values = {}
    for name in _settings.NF_CALLS:
        path = Path("/proc/sys/net/bridge", name)
        if path.is_file():
            values[name] = int(path.read_text(encoding="ascii"))
    listed = Path("/lib/modules", os.uname().release, "modules.dep")
    module = listed.is_file() and "/br_netfilter.ko" in listed.read_text(encoding="utf-8", errors="replace")
    files = _texts([Path(_settings.SYSCTL_PATH), Path(_settings.MODULES_PATH)])
    return _settings.Netfilter(values=values, module=module, files=files)


def read_foreign() -> str | None:
    """Return our drop-in of networkd.conf, if it is there."""
    return _texts([Path(_settings.FOREIGN_PATH)]).get(_settings.FOREIGN_PATH)


def stage(candidate: Candidate, outcome: Outcome, ifupdown: _ifupdown.Ifupdown) -> None:
    """Put what an outcome wants into the candidate."""
    for path, text in outcome.files.items():
        if text is None:
            candidate.remove(path)
        else:
            candidate.put(path, text)
    for path in ifupdown.files if outcome.taken else ():
        text = before = (candidate.read(path) or b"").decode("utf-8", errors="surrogateescape")
        for name in outcome.taken:
            text = _ifupdown.without(text, name)
        if text != before:
            mode = Path(path).stat().st_mode & 0o7777
            candidate.put(path, text.encode("utf-8", errors="surrogateescape"), mode)
    for kind, key, order, args in outcome.close().steps:
        candidate.step(kind, key, order, **args)


def bridge_finder(candidate: Candidate, host: Host) -> Callable[[str], bool]:
    """Return what tells whether a bridge will be there: a live one that is not about to go, or one that was staged."""

    def known(name: str) -> bool:
        path = networkd.netdev_path(name)
        if candidate.read(path) is not None:
            return True
        link = host.links.get(name)
        return link is not None and link.kind == "bridge" and candidate.live(path) is None

    return known


def text_reader(candidate: Candidate) -> Callable[[str], str]:
    """Return what reads a file as this run leaves it."""

    def read(path: str) -> str:
        return (candidate.read(path) or b"").decode("utf-8", errors="replace")

    return read
