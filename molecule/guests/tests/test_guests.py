# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest's record is all there is to say: what follows from it comes and goes with it, and nothing else moves."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

ARTICLE = "playbooks/inventories/article"
OTHER_GUESTS = ["-i", str(Path(__file__).parents[1] / "inventory")]
RENAMED = ["-i", str(Path(__file__).parents[1] / "renamed")]
DNS = "dig +short +time=2 @192.168.0.254"


@pytest.fixture(scope="module")
def ursa(managed: Callable[[str], Host]) -> Host:
    return managed("ursa")


@pytest.fixture(scope="module", autouse=True)
def other_guests(site_playbook: Any) -> None:
    """Change the guests, as predicted, and be done with it."""
    predicted = site_playbook(ARTICLE, *OTHER_GUESTS, "--check")
    done = site_playbook(ARTICLE, *OTHER_GUESTS)
    assert predicted == done
    assert done["ursa"] > 0
    assert done["firewall"] == 0
    assert site_playbook(ARTICLE, *OTHER_GUESTS) == {"ursa": 0, "firewall": 0}


def memory_mib(ursa: Host, guest: str, *flags: str) -> int:
    described = ursa.check_output(f"virsh dumpxml {' '.join(flags)} {guest}")
    found = re.search(r"<memory unit='KiB'>(\d+)</memory>", described)
    assert found
    return int(found[1]) // 1024


class TestGone:
    def test_no_domain(self, ursa: Host) -> None:
        assert "centos" not in ursa.check_output("virsh list --all --name").split()

    def test_no_tap(self, ursa: Host) -> None:
        assert ursa.run("ip link show tap-centos").rc != 0
        assert ursa.run("ls /etc/systemd/network/*tap-centos*").rc != 0

    def test_no_name_and_no_lease(self, ursa: Host) -> None:
        assert ursa.check_output(f"{DNS} centos.kvm.example") == ""
        assert ursa.check_output(f"{DNS} -x 192.168.0.4") == ""
        assert "192.168.0.4 " not in ursa.check_output("cat /var/lib/misc/dnsmasq*.leases")


class TestNew:
    def test_has_its_address_and_its_name(self, ursa: Host, tiny: Any, eventually: Any) -> None:
        shown = eventually(lambda: tiny(ursa, "192.168.0.5").ask("address"))
        assert re.findall(r"inet (\S+) .*scope global", shown) == ["192.168.0.5/24", "192.168.9.5/24"]
        assert ursa.check_output(f"{DNS} db.kvm.example").split() == ["192.168.0.5"]

    def test_each_card_has_its_network_and_the_first_one_the_way_out(self, ursa: Host, tiny: Any) -> None:
        shown = tiny(ursa, "192.168.9.5").ask("address")
        assert re.findall(r"default via (\S+)", shown) == ["192.168.0.254"]
        assert re.findall(r"eth1: .* mtu (\d+)", shown) == ["1400"]
        assert ursa.check_output(f"{DNS} db.store.example").split() == ["192.168.9.5"]
        assert ursa.check_output(f"{DNS} -x 192.168.9.5").split() == ["db.store.example."]

    def test_reaches_the_internet(self, ursa: Host, tiny: Any, station: Any) -> None:
        assert [tiny(ursa, "192.168.0.5").fetch("http://198.51.100.77/").get("client")] == station("comcast").addresses(
            "wan"
        )


def test_more_memory_waits_for_the_next_start(ursa: Host) -> None:
    assert memory_mib(ursa, "ubuntu", "--inactive") == 160
    assert memory_mib(ursa, "ubuntu") == 128


def identity(ursa: Host, guest: str) -> list[str]:
    """Return what a guest keeps whatever it is called: its UUID, its disk, its MACs."""
    described = ursa.check_output(f"virsh dumpxml --inactive {guest}")
    found = re.findall(r"<uuid>(\S+)</uuid>|mac address='(\S+)'|source file='(\S+)'", described)
    values = ["".join(match) for match in found]
    return [*values, ursa.check_output(f"stat -c %i {values[1]}")]


def leases(ursa: Host) -> set[tuple[str, str]]:
    """Return which card has which of the guest's two addresses."""
    lines = ursa.check_output("cat /var/lib/misc/dnsmasq.kvmnet.leases").splitlines()
    cards = (line.split()[1:3] for line in lines)
    return {(mac, address) for mac, address in cards if address in ("192.168.0.5", "192.168.9.5")}


def test_renamed_in_the_inventory(ursa: Host, site_playbook: Any, tiny: Any, eventually: Any) -> None:
    """One that runs gets its new name by a restart, and keeps all else; its name in the network is new at once."""
    before, leased = identity(ursa, "db"), leases(ursa)
    assert (len(before), len(leased)) == (5, 2)
    assert site_playbook(ARTICLE, *RENAMED)["ursa"] > 0
    assert "db" in ursa.check_output("virsh list --name").split()
    assert "192.168.0.5/24" in tiny(ursa, "192.168.0.5").ask("address")
    for network, address in (("kvm", "192.168.0.5"), ("store", "192.168.9.5")):
        assert ursa.check_output(f"{DNS} data.{network}.example").split() == [address]
        assert ursa.check_output(f"{DNS} db.{network}.example") == ""
        assert ursa.check_output(f"{DNS} -x {address}").split() == [f"data.{network}.example."]
    site_playbook(ARTICLE, *RENAMED, "--extra-vars=kvm_guests_restart=if_needed")
    running = ursa.check_output("virsh list --name").split()
    assert "data" in running
    assert "db" not in ursa.check_output("virsh list --all --name").split()
    assert identity(ursa, "data") == before
    shown = eventually(lambda: tiny(ursa, "192.168.0.5").ask("address"))
    assert re.findall(r"inet (\S+) .*scope global", shown) == ["192.168.0.5/24", "192.168.9.5/24"]
    assert leases(ursa) == leased
    assert site_playbook(ARTICLE, *RENAMED) == {"ursa": 0, "firewall": 0}


def test_an_unrelated_change_loses_no_packet(
    ursa: Host, site_playbook: Any, ssh_command: Callable[[str], list[str]]
) -> None:
    """Back to the article's guests, while one that stays is asked twenty times a second."""
    ping = [*ssh_command("ursa"), "sudo ping -n -i 0.05 192.168.0.2"]
    started = {name: ursa.check_output(f"cat /run/libvirt/qemu/{name}.pid") for name in ("debian32", "web", "ubuntu")}
    with subprocess.Popen(ping, stdout=subprocess.PIPE, text=True) as pinging:
        time.sleep(1)
        changed = site_playbook(ARTICLE)
        ursa.run("pkill -INT -x ping")
        output, _nothing = pinging.communicate(timeout=20)
    assert changed["ursa"] > 0
    sent, received = map(int, re.findall(r"(\d+) packets transmitted, (\d+) received", output)[0])
    assert sent > 20
    assert received == sent
    assert started == {name: ursa.check_output(f"cat /run/libvirt/qemu/{name}.pid") for name in started}
    assert "centos" in ursa.check_output("virsh list --name").split()
    assert not {"db", "data"} & set(ursa.check_output("virsh list --all --name").split())
