# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IPv6 is taken out of the inventory and comes back, by runs and by putting commits back: whole at every step."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

INVENTORY = "molecule/dual_stack/inventory"
ALONE = f"--inventory={Path(__file__).parents[1] / 'ipv4_alone'}"
SITES = ("old", "new")
OPEN, DROPPED = "open", "dropped"
NOTHING = dict.fromkeys(SITES, 0)
# Scripts, rules and start at boot. What is counted or dated would differ each time.
STATE = """
for name in shorewall shorewall6; do
    sha256sum /var/lib/$name/firewall
    systemctl is-enabled $name; systemctl is-active $name
    find /etc/$name -type f -exec sha256sum {} + | sort
done
for table in filter nat mangle raw; do iptables-save -t $table; ip6tables-save -t $table; done
ip -6 address show dev br0 scope global; cat /etc/dnsmasq.kvmnet.d/50-kvmnet-dnsmasq.conf
true
"""

Run = Callable[..., dict[str, int]]


@pytest.fixture(name="run")
def fixture_run(site_playbook: Run) -> Run:
    return lambda *arguments: site_playbook(INVENTORY, f"--limit={','.join(SITES)}", *arguments)


def states(packets: Any) -> dict[str, list[str]]:
    """Return how the firewalls of each host stand."""
    found = {site: str(packets.hosts[site].run(STATE).stdout) for site in SITES}
    # A set's number of uses, a rule's counters, a date, an address's age
    plain = {site: re.sub(r"(?m)^#.*$|\[\d+:\d+\]|valid_lft.*$|^\d+: ", "", text) for site, text in found.items()}
    return {site: text.splitlines() for site, text in plain.items()}


@pytest.fixture(name="put_back")
def fixture_put_back(ansible: Callable[..., str]) -> Callable[[], None]:
    def put_back() -> None:
        arguments = ["-b", "-m", "ursa.kvmnet.network_guard", "-a", "run_id=none rollback=true"]
        assert ansible("ansible", INVENTORY, ":".join(SITES), *arguments).count("CHANGED") == len(SITES)

    return put_back


def assert_open(packets: Any) -> None:
    for site in SITES:
        assert packets.hosts[site].service("shorewall6").is_enabled
        assert packets.knock("controller", site, packets.address("host", site, 6), 22) == OPEN
        assert packets.knock("client", site, packets.address("host", site, 6), 22) == DROPPED
        assert packets.knock("client", site, packets.address("server", site, 6), 25) == OPEN
        assert packets.knock("hidden", site, packets.address("somewhere", site, 6), 25) == OPEN


def assert_closed(packets: Any) -> None:
    for site in SITES:
        unit = packets.hosts[site].service("shorewall6")
        assert (unit.is_enabled, unit.is_running) == (False, False)
        rules = packets.hosts[site].check_output("ip6tables -S").splitlines()
        assert rules[:3] == ["-P INPUT DROP", "-P FORWARD DROP", "-P OUTPUT DROP"]
        assert all(" lo " in rule for rule in rules[3:])
        assert packets.knock("controller", site, packets.address("host", site, 6), 22) == DROPPED
        assert packets.knock("isp", site, packets.link_local("isp", site, "eth0"), 22) == DROPPED
        assert packets.knock("client", site, packets.address("server", site, 6), 25) == DROPPED
        # While IPv4 is as it was
        assert packets.knock("controller", site, packets.address("host", site, 4), 22) == OPEN
        assert packets.knock("hidden", site, packets.address("somewhere", site, 4), 25) == OPEN


def test_ipv6_goes_and_comes_back_whole(packets: Any, run: Run, put_back: Callable[[], None]) -> None:
    with_ipv6 = states(packets)
    predicted = run("--check", ALONE)
    assert states(packets) == with_ipv6, "check mode changes nothing"
    assert run(ALONE) == predicted
    assert all(count > 0 for count in predicted.values())
    assert_closed(packets)
    assert run(ALONE) == NOTHING
    without = states(packets)

    put_back()
    assert states(packets) == with_ipv6
    assert_open(packets)

    put_back()
    assert states(packets) == without
    assert_closed(packets)

    # Made by a run this time, not by putting a commit back
    assert all(count > 0 for count in run().values())
    assert_open(packets)
    put_back()
    assert states(packets) == without
    assert_closed(packets)

    put_back()
    assert_open(packets)
    assert run() == NOTHING
