# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cards on bridges and on libvirt's own networks: those of a guest made by hand, and new ones."""

from __future__ import annotations

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt import _mark, _xml
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._entry import entry_of, problems_of

BY_HAND = """<domain type='{kind}'><name>byhand</name><uuid>11111111-2222-3333-4444-666666666666</uuid>
<memory unit='GiB'>1</memory><vcpu>1</vcpu><os><type arch='x86_64'>hvm</type><kernel>/k</kernel></os><devices>
<interface type='bridge'><mac address='52:54:00:00:07:01'/><source bridge='br7'/><model type='virtio'/>
<mtu size='1400'/><bandwidth><outbound average='12500'/></bandwidth></interface>
<interface type='network'><mac address='52:54:00:00:07:02'/><source network='default'/><target dev='mytap'/>
<model type='e1000'/><link state='down'/></interface>
<interface type='network'><mac address='52:54:00:00:07:03'/><source network='default' portgroup='x'/>
<model type='virtio'/></interface>
<interface type='bridge'><mac address='52:54:00:00:07:04'/><source bridge='br8'/><model type='virtio'/>
<rom bar='off'/></interface></devices></domain>"""
FOUND = [
    {"mac": "52:54:00:00:07:01", "bridge": "br7", "mtu": 1400, "outbound_mbit": 100},
    {"mac": "52:54:00:00:07:02", "libvirt_network": "default", "tap": "mytap", "model": "e1000", "link": "down"},
]


@pytest.fixture
def there(either_host):
    """A host with a guest that somebody made by hand."""
    host = either_host
    host.backend.define(BY_HAND.format(kind=host.settings.get("virt_type", "qemu")))
    yield host
    for name in ("byhand", "made"):
        if any(domain.name == name for domain in host.backend.domains()):
            host.converge({"name": name, "state": "absent", "on_timeout": "destroy"})


def domain(host, name):
    return next(domain for domain in host.backend.domains() if domain.name == name)


def cards(host, name, live=False):
    found = domain(host, name)
    root = found.live if live else found.root
    return {
        interface.find("mac").get("address"): _xml.serialise(interface)
        for interface in root.findall("devices/interface")
    }


def described(host, name):
    """What kvmnet_info says of a guest; the test driver's own type is none of ours."""
    return entry_of(domain(host, name)) | {"virt_type": None}


def lines(outcome):
    assert outcome.problems == []
    return outcome.plan().lines()


def test_what_is_read_of_them_given_back_changes_nothing(there):
    before = cards(there, "byhand")
    entry = described(there, "byhand")
    assert entry["nics"] == FOUND
    # A port group and a ROM have no words: such a card is left alone
    others = ["network interface 52:54:00:00:07:03", "network interface 52:54:00:00:07:04"]
    assert problems_of(entry, domain(there, "byhand").root) == others
    outcome = there.converge(entry)
    assert (outcome.problems, outcome.failures) == ([], {})
    assert cards(there, "byhand") == before
    assert _mark.get(domain(there, "byhand").root, "origin") == "adopted"
    assert lines(there.converge(entry)) == []
    assert lines(there.converge(described(there, "byhand"))) == []


def test_once_listed_they_follow_the_record_and_others_stay(there):
    there.converge(described(there, "byhand"))
    moved = {**FOUND[0], "bridge": "br9", "outbound_mbit": 50}
    assert there.converge({"name": "byhand", "state": "present", "nics": [moved]}).failures == {}
    found = cards(there, "byhand")
    assert sorted(found) == ["52:54:00:00:07:01", "52:54:00:00:07:03", "52:54:00:00:07:04"]
    assert 'bridge="br9"' in found["52:54:00:00:07:01"]
    assert 'average="6250"' in found["52:54:00:00:07:01"]
    assert lines(there.converge({"name": "byhand", "state": "present", "nics": [moved]})) == []


def test_such_cards_can_be_made(there):
    nics = [{**nic, "mac": nic["mac"].replace(":07:", ":08:")} for nic in (FOUND[0], {**FOUND[1], "tap": "other"})]
    entry = {"name": "made", "image": "tiny", "wait_for": [], "nics": nics}
    outcome = there.converge(entry)
    assert (outcome.problems, outcome.failures) == ([], {})
    assert described(there, "made")["nics"] == nics
    assert lines(there.converge(entry)) == []
    assert there.converge(entry).steps[0].pending == []


def test_a_tap_of_ours_takes_over_from_a_bridge_and_back(host, guest):
    bridge = {"mac": "52:54:00:00:00:3e", "bridge": "br7"}
    host.converge(guest("web", nics=[bridge]))
    outcome = host.converge(guest("web"))
    assert outcome.steps[0].pending == ["nics"]
    assert host.converge(guest("web"), restart="if_needed", on_timeout="destroy").failures == {}
    assert 'type="ethernet"' in cards(host, "web", live=True)[bridge["mac"]]
    assert host.converge(guest("web")).steps[0].pending == []
    assert _mark.get(domain(host, "web").root, "nics") is None


def test_one_is_plugged_in_and_out_while_the_guest_runs(host, guest):
    host.converge(guest("web"))
    more = guest("web")["nics"] + [{"mac": "52:54:00:00:07:09", "libvirt_network": "default"}]
    outcome = host.converge(guest("web", nics=more))
    assert (outcome.failures, outcome.steps[0].pending) == ({}, [])
    assert "52:54:00:00:07:09" in cards(host, "web", live=True)
    assert lines(host.converge(guest("web", nics=more))) == []
    assert host.converge(guest("web")).steps[0].pending == []
    assert "52:54:00:00:07:09" not in cards(host, "web", live=True)
    assert lines(host.converge(guest("web"))) == []


def test_a_network_that_is_a_bridge_is_shown_as_that_bridge_while_the_guest_runs(host, guest):
    """Which bridge it was says libvirt of the running guest alone: nothing waits for another boot."""
    entry = guest("web", nics=[{"mac": "52:54:00:00:00:3e", "libvirt_network": "lan"}])
    host.converge(entry)
    interface = host.backend.live["web"].find("devices/interface")
    interface.set("type", "bridge")
    interface.find("source").set("bridge", "br7")
    outcome = host.converge({**entry, "restart": "if_needed"})
    assert (lines(outcome), outcome.steps[0].pending) == ([], [])


def test_a_further_card_can_be_waited_for(host, guest):
    second = {"mac": "52:54:00:00:07:09", "tap": "tap-more", "lease": True}
    nics = [*guest("web")["nics"], second]
    outcome = host.converge(guest("web", nics=nics, wait_for=["lease"]))
    assert "52:54:00:00:07:09 on tap-more has no lease" in outcome.failures["web"]
    with host.leases.open("a") as file:
        file.write("0 52:54:00:00:07:09 192.0.2.9 * *\n")
    assert host.converge(guest("web", nics=nics, wait_for=["lease"])).failures == {}
    assert lines(host.converge(guest("web", nics=nics, wait_for=["lease"]))) == []


def test_a_further_card_whose_address_moved_waits_for_a_restart(host, guest):
    def web(address):
        second = {"mac": "52:54:00:00:07:09", "tap": "tap-more", "lease": True, "address": address}
        return guest("web", nics=[*guest("web")["nics"], second], wait_for=["lease"])

    with host.leases.open("a") as file:
        file.write("0 52:54:00:00:07:09 192.0.2.9 * *\n")
    assert host.converge(web("192.0.2.9")).failures == {}
    assert host.converge(web("192.0.2.9")).steps[0].pending == []
    outcome = host.converge(web("192.0.2.10"))
    assert (lines(outcome), outcome.steps[0].pending) == ([], ["address"])
    outcome = host.converge(web("192.0.2.10"), restart="if_needed", apply=False)
    assert lines(outcome) == ["~ guest web: change, by a restart", "    address: 192.0.2.9 -> 192.0.2.10"]
