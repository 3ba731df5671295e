# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No default route comes back into main, where it would be looked up before every provider; nor is one overlooked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from testinfra.host import Host

INVENTORY = "molecule/multi_isp/inventory"


@pytest.fixture(scope="module")
def edge(managed: Callable[[str], Host]) -> Host:
    return managed("edge")


def defaults(host: Host, table: str) -> str:
    return str(host.check_output(f"ip -4 route show default table {table}")).strip()


@pytest.fixture
def stray_route(edge: Host) -> Iterator[None]:
    """Somebody's DHCP client, or an old script, at work."""
    edge.check_output("ip route add default via 198.51.100.1 dev eth1 metric 50 proto boot")
    yield
    edge.run("ip route del default via 198.51.100.1 dev eth1 metric 50 proto boot")


def test_not_when_networkd_starts_anew(edge: Host, eventually: Callable[..., Any], station: Any) -> None:
    """One uplink by address, one by DHCP: both leave main alone, and Shorewall's tables stay as they were."""
    before = [defaults(edge, table) for table in ("fibre", "cable", "250")]
    edge.check_output("systemctl restart systemd-networkd")
    said = "networkctl status --no-pager eth2 | grep -c 'State: routable (configured)'"
    assert eventually(lambda: edge.run(said).stdout.strip() == "1", 30)
    assert defaults(edge, "main") == ""
    assert [defaults(edge, table) for table in ("fibre", "cable", "250")] == before
    assert station("desk").fetch("http://203.0.113.77/") != {}


def test_not_when_a_lease_comes_anew(edge: Host, eventually: Callable[..., Any]) -> None:
    lease = "stat --format=%y /run/systemd/netif/leases/$(cat /sys/class/net/eth2/ifindex)"
    before = edge.check_output(lease)
    edge.check_output("networkctl renew eth2")
    assert eventually(lambda: edge.check_output(lease) != before, 30)
    assert defaults(edge, "main") == ""


def test_the_gateway_of_a_lease_is_found_by_every_reload(edge: Host) -> None:
    for _unused in range(2):
        edge.check_output("shorewall reload")
        assert "dev eth2" in defaults(edge, "cable")


@pytest.mark.usefixtures("stray_route")
def test_one_of_an_uplink_of_ours_is_taken_out_again(edge: Host, site_playbook: Callable[..., dict[str, int]]) -> None:
    assert site_playbook(INVENTORY, "--check")["edge"] > 0
    assert site_playbook(INVENTORY)["edge"] > 0
    assert defaults(edge, "main") == ""
    assert site_playbook(INVENTORY, "--check") == {"edge": 0}


def test_one_that_ifupdown_would_make_is_refused_naming_the_line(
    edge: Host, site_playbook: Callable[..., dict[str, int]]
) -> None:
    edge.check_output("test ! -e /sbin/ifup && ln -s /bin/true /sbin/ifup && mkdir -p /etc/network")
    edge.check_output("printf 'auto eth9\\niface eth9 inet dhcp\\n' > /etc/network/interfaces")
    try:
        with pytest.raises(AssertionError) as refused:
            site_playbook(INVENTORY, "--check")
    finally:
        edge.check_output("rm -f /sbin/ifup /etc/network/interfaces")
    said = " ".join(str(refused.value).split())
    assert "no default route in main beside other uplinks" in said
    assert "/etc/network/interfaces line 2" in said
