# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role dnsmasq serves, derived from the inventory, and the files that make dnsmasq serve it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleFilterError

from ansible_collections.ursa.kvmnet.plugins.filter.guests import cards
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem, report
from ansible_collections.ursa.kvmnet.plugins.plugin_utils._dnsmasq import _files
from ansible_collections.ursa.kvmnet.plugins.plugin_utils._dnsmasq._model import (
    check_options,
    read_site,
    read_upstreams,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_NETWORK_KEYS = ("name", "bridge", "address", "address6", "dhcp_range", "domain", "upstreams", "mtu")


def dnsmasq_networks(networks: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    """Choose the networks that are served: bridges on which the host has an address.

    Args:
        networks: C(kvmnet_networks), or None when networks are not managed.

    Returns:
        None for None, else a plain dict for each such network, with its place in the inventory as C(source).
    """
    if networks is None:
        return None
    return [
        {
            "source": f"kvmnet_networks[{index}]",
            **{key: network[key] for key in _NETWORK_KEYS if network.get(key) is not None},
        }
        for index, network in enumerate(networks)
        if network.get("bridge") and network.get("address")
    ]


def dnsmasq_hosts(
    records: list[dict[str, Any]] | None, networks: list[dict[str, Any]] | None
) -> list[dict[str, Any]] | None:
    """Choose the guests that get a reservation and a name: those on a network that is served.

    Args:
        records: what the filter C(guest_records) returns.
        networks: the networks that are served.
    """
    if records is None:
        return None
    served = {network["name"] for network in networks or []}
    return [
        {key: record[key] for key in ("source", "name", "network", "mac", "address")}
        for record in cards(records)
        if record["network"] in served and record["options"].get("state") != "absent"
    ]


def dnsmasq_files(
    networks: list[dict[str, Any]], hosts: list[dict[str, Any]] | None, settings: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Check what is to be served as a whole and return the files of the instance, as C(config_files) takes them.

    Args:
        networks: C(dnsmasq_networks).
        hosts: C(dnsmasq_hosts), or None when they are not managed.
        settings: upstreams, lease_time, lease_max, dnssec, trust_anchors, options.

    Raises:
        AnsibleFilterError: with every problem at once.
    """
    given = dict(settings or {})
    site, problems = read_site(networks, hosts or [], str(given.get("lease_time") or "12h"))
    problems += check_options(given.get("options") or [])
    upstreams = tuple(
        read_upstreams(
            given.get("upstreams") or [],
            lambda value, allowed: problems.append(Problem("dnsmasq_upstreams", None, None, value, allowed)),
        )
    )
    if problems:
        raise AnsibleFilterError(report(problems)["msg"])
    return _files.files(
        site,
        _files.Settings(
            upstreams=upstreams,
            lease_max=given.get("lease_max"),
            dnssec=bool(given.get("dnssec")),
            trust_anchors=tuple(str(anchor) for anchor in given.get("trust_anchors") or []),
            options=tuple(str(option) for option in given.get("options") or []),
        ),
        keep_hosts=hosts is None,
    )


class FilterModule:
    """Filters of the role dnsmasq."""

    def filters(self) -> dict[str, Any]:
        return {
            "dnsmasq_networks": dnsmasq_networks,
            "dnsmasq_hosts": dnsmasq_hosts,
            "dnsmasq_files": dnsmasq_files,
        }
