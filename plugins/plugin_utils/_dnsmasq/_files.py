# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""The files of the instance dnsmasq@kvmnet.

What changes often (reservations, records, upstream servers) stands in files of its own that dnsmasq reads again on
SIGHUP; what stands in its configuration needs a restart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._model import Host, Network, Site, Upstream

DIRECTORY = "/etc/dnsmasq.kvmnet.d"
CONFIGURATION = f"{DIRECTORY}/50-kvmnet-dnsmasq.conf"
RESERVATIONS = f"{DIRECTORY}/50-kvmnet-reservations"
RECORDS = f"{DIRECTORY}/50-kvmnet-hosts"
UPSTREAMS = f"{DIRECTORY}/50-kvmnet-upstreams"
DEFAULTS = "/etc/default/dnsmasq.kvmnet"
DROP_IN = "/etc/systemd/system/dnsmasq@kvmnet.service.d/50-kvmnet-order.conf"
LEASES = "/var/lib/misc/dnsmasq.kvmnet.leases"

# Of a guest's cards that are not its first; no network has a name that begins so
_FURTHER = "_further"

_HEADER = "# Written by the role ursa.kvmnet.dnsmasq: changes made here are lost.\n"

# Read by Debian's start script as shell, so the choice of resolv.conf is made on the host at every start. The stub of
# systemd-resolved is no use as an upstream, and its resolvconf program would otherwise make the host ask this instance.
_DEFAULTS = f"""{_HEADER}CONFIG_DIR={DIRECTORY},*.conf
DNSMASQ_OPTS=--conf-file=/dev/null
DNSMASQ_EXCEPT=lo
IGNORE_RESOLVCONF=yes
if [ -e /run/systemd/resolve/resolv.conf ]; then
    RESOLV_CONF=/run/systemd/resolve/resolv.conf
fi
"""

_DROP_IN = f"""{_HEADER}[Unit]
# Bridges may come up later than this: bind-dynamic takes them as they come.
After=systemd-networkd.service systemd-resolved.service

[Service]
Restart=on-failure
RestartSec=1
"""


@dataclass(frozen=True)
class Settings:
    """What holds for the whole instance."""

    upstreams: tuple[Upstream, ...]
    lease_max: int | None
    dnssec: bool
    trust_anchors: tuple[str, ...]
    options: tuple[str, ...]


def _has_dhcp(network: Network, site: Site) -> bool:
    return network.first is not None or any(host.network == network.name and host.mac for host in site.hosts)


def _unique(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))


def _all_upstreams(site: Site, settings: Settings) -> list[Upstream]:
    return list(
        dict.fromkeys([*settings.upstreams, *(upstream for network in site.networks for upstream in network.upstreams)])
    )


def _listen(site: Site) -> list[str]:
    lines = ["bind-dynamic", "except-interface=lo"]
    for network in site.networks:
        lines.append(f"interface={network.bridge}")
        if not _has_dhcp(network, site) and network.address6 is None:
            lines.append(f"no-dhcp-interface={network.bridge}")
    return lines


def _names(site: Site, settings: Settings) -> list[str]:
    # The host's own /etc/hosts maps its name to a loopback address, which is wrong for everybody else.
    lines = ["no-hosts", "domain-needed", "bogus-priv", f"addn-hosts={RECORDS}", f"servers-file={UPSTREAMS}"]
    if any(upstream.domain is None for upstream in _all_upstreams(site, settings)):
        lines.append("no-resolv")
    lines += _unique(f"local=/{network.domain}/" for network in site.networks if network.domain)
    for network in site.networks:
        lines.append(f"rev-server={network.subnet}")
        if network.domain:
            lines.append(f"domain={network.domain},{network.subnet}")
        if network.address6 is not None:
            lines.append(f"rev-server={network.address6.network}")
            if network.domain:
                lines.append(f"domain={network.domain},{network.address6.network}")
    if settings.dnssec:
        lines += ["dnssec", *(f"trust-anchor={anchor}" for anchor in settings.trust_anchors)]
    return lines


def _lease_max(site: Site, settings: Settings) -> int:
    """Return the limit of leases: what the networks can hold, so that another guest never needs a restart."""
    if settings.lease_max is not None:
        return settings.lease_max
    return sum(network.subnet.num_addresses for network in site.networks)


def _dhcp(site: Site, settings: Settings) -> list[str]:
    served = [network for network in site.networks if _has_dhcp(network, site)]
    if not served:
        # It would be that of Debian's own instance.
        return [f"dhcp-leasefile={LEASES}"] if _advertised(site) else []
    lines = [
        "dhcp-authoritative",
        f"dhcp-leasefile={LEASES}",
        f"dhcp-lease-max={_lease_max(site, settings)}",
        f"dhcp-hostsfile={RESERVATIONS}",
        # CERT VU#598349: a guest must not become every other guest's web proxy by its name.
        "dhcp-name-match=set:wpad-ignore,wpad",
        "dhcp-ignore-names=tag:wpad-ignore",
    ]
    for network in served:
        tag, subnet = network.name, network.subnet
        span = f"{subnet.network_address},static" if network.first is None else f"{network.first},{network.last}"
        lines.append(f"dhcp-range=set:{tag},{span},{subnet.netmask},{network.lease_time}")
        options = {
            "router": str(network.address.ip),
            "dns-server": str(network.address.ip),
            **dict(network.dhcp_options),
        }
        if network.mtu is not None:
            options.setdefault("mtu", str(network.mtu))
        for option, value in options.items():
            name = option if option.isdigit() else f"option:{option}"
            lines.append(f"dhcp-option=tag:{tag},{name},{value}")
    firsts = _first(site)
    if any(host.mac and firsts[host.name.lower()] is not host for host in site.hosts):
        # Nothing, or dnsmasq would name itself; the last one that fits is the one that counts
        lines.append(f"dhcp-option=tag:{_FURTHER},option:router")
    return lines


def _advertised(site: Site) -> list[Network]:
    return [network for network in site.networks if network.address6 is not None]


def _ways_aside(site: Site) -> set[str]:
    """Return the networks that only further cards of guests are in, of those that have more than one."""
    firsts = _first(site)
    cards = ((firsts[host.name.lower()], host) for host in site.hosts if host.mac)
    pairs = [(first.network, card.network) for first, card in cards if card is not first]
    return {further for _first_one, further in pairs} - {first for first, _further_one in pairs}


def _router(site: Site) -> list[str]:
    """Return what tells guests the prefix, the router and the name server; they give themselves addresses.

    A guest's name is known for such an address too, once it has a lease of IPv4 and answers there.
    """
    lines = ["enable-ra"] if _advertised(site) else []
    aside = _ways_aside(site)
    for network in _advertised(site):
        if network.name in aside:
            # Every card hears the same: who has another router prefers that, and who has none still has this one
            lines.append(f"ra-param={network.bridge},low,0")
        if network.address6 is not None:
            prefix = network.address6.network
            names = ",ra-names" if _has_dhcp(network, site) else ""
            span = f"{prefix.network_address},ra-stateless{names},{prefix.prefixlen},{network.lease_time}"
            lines.append(f"dhcp-range=set:{network.name},{span}")
            if network.domain:
                lines.append(f"dhcp-option=tag:{network.name},option6:domain-search,{network.domain}")
    return lines


def configuration(site: Site, settings: Settings) -> str:
    """Return the configuration."""
    parts = [_listen(site), _names(site, settings), _dhcp(site, settings), _router(site), list(settings.options)]
    return _HEADER + "\n".join("".join(f"{line}\n" for line in part) for part in parts if part)


def _first(site: Site) -> dict[str, Host]:
    """Return name -> the host that it means without a domain: of several cards the first."""
    return {host.name.lower(): host for host in reversed(site.hosts)}


def reservations(site: Site) -> str:
    """Return the dhcp-hostsfile.

    Two leases cannot have one name: that of several cards is the first one's, and so is the way out.
    """
    firsts = _first(site)
    lines = []
    for host in site.hosts:
        first = firsts[host.name.lower()] is host
        row = [host.mac, None if first else f"set:{_FURTHER}", host.address, host.name if first else None]
        if host.mac:
            lines.append(f"{','.join(str(part) for part in row if part is not None)}\n")
    return "".join(lines)


def records(site: Site) -> str:
    """Return the hosts file: each line makes an A record for every name on it and a PTR record for the first."""
    domains = {network.name: network.domain for network in site.networks}
    firsts = _first(site)
    lines = []
    for host in site.hosts:
        domain, first = domains[host.network], firsts[host.name.lower()]
        names = [f"{host.name}.{domain}"] if domain else []
        names += [host.name] if first is host else []
        # A lease that finds its name here takes it from the first card's lease, which has no record to keep it by
        if host.address is not None and names and first.address is not None:
            lines.append(f"{host.address} {' '.join(names)}\n")
    return "".join(lines)


def upstreams(site: Site, settings: Settings) -> str:
    """Return the servers-file."""
    lines = (
        f"server={f'/{upstream.domain}/' if upstream.domain else ''}{upstream.server}"
        for upstream in _all_upstreams(site, settings)
    )
    return "".join(f"{line}\n" for line in lines)


def files(site: Site, settings: Settings, keep_hosts: bool) -> list[dict[str, Any]]:
    """Return all files, as the module config_files takes them.

    Args:
        keep_hosts: the hosts are not managed, so leave what is there.
    """
    if not site.networks:
        return [{"path": DEFAULTS, "state": "absent"}]
    hosts = {} if not keep_hosts else {"force": False}
    return [
        {"path": DEFAULTS, "content": _DEFAULTS},
        {"path": DROP_IN, "content": _DROP_IN},
        {"path": CONFIGURATION, "content": configuration(site, settings)},
        {"path": UPSTREAMS, "content": upstreams(site, settings)},
        {"path": RESERVATIONS, "content": reservations(site), **hosts},
        {"path": RECORDS, "content": records(site), **hosts},
    ]
