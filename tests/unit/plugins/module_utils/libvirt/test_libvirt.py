# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The real binding, on libvirt's own in-memory driver: where Debian's python3-libvirt is importable."""

from __future__ import annotations

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt import _backend, _mark
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._backend import BackendError
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._entry import entry_of
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._xml import serialise

from .conftest import use_libvirt
from .test_options import SAMPLES

BY_HAND = """<domain type='test'><name>old</name><metadata>
<libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0">
<!-- whose it is --><libosinfo:os id="http://debian.org/debian/12"/></libosinfo:libosinfo></metadata>
<memory unit='GiB'>1</memory><vcpu>1</vcpu><os><type arch='x86_64'>hvm</type><boot dev='hd'/></os>
<devices><disk type='file' device='disk'><source file='/elsewhere/old.raw'/><target dev='vda' bus='virtio'/></disk>
<video><model type='vga'/></video><sound model='ich6'/></devices></domain>"""


@pytest.fixture
def libvirt_host(host):
    use_libvirt(host)
    return host


def domain(host, name):
    return next((domain for domain in host.backend.domains() if domain.name == name), None)


def test_life_of_a_guest(libvirt_host, guest):
    host, web = libvirt_host, {"network": "kvm", "wait_for": []}
    assert host.converge(guest("web", **web)).failures == {}
    assert domain(host, "web").power == "running"
    assert domain(host, "web").autostart
    assert host.converge(guest("web", **web)).plan().lines() == []

    outcome = host.converge(guest("web", **web, memory_mib=2048, title="A title"))
    assert outcome.failures == {}
    assert outcome.steps[0].pending == ["memory_mib"]
    assert domain(host, "web").live.findtext("title") == "A title"
    host.converge(guest("web", **web, memory_mib=2048, title="A title", start_order=2))
    assert _mark.get(domain(host, "web").live, "start_order") == "2"
    host.converge(guest("web", **web, memory_mib=2048, title="A title"))
    assert host.converge(guest("web", **web, memory_mib=2048, title="A title")).plan().lines() == []

    outcome = host.converge(guest("web", **web, memory_mib=2048, title="A title", restart="if_needed"), stop_timeout=5)
    assert outcome.failures == {}
    assert host.converge(guest("web", **web, memory_mib=2048, title="A title")).steps[0].pending == []

    host.backend.connection.lookupByName("web").suspend()
    assert domain(host, "web").power == "paused"
    assert host.converge(guest("web", **web, memory_mib=2048, title="A title")).failures == {}
    assert domain(host, "web").power == "running"

    assert host.converge(exclusive=True, stop_timeout=5).failures == {}
    assert domain(host, "web") is None
    # libvirt's own domain carries no mark of ours
    assert domain(host, "test").power == "running"


def test_of_a_guest_that_somebody_made_all_stays_that_nothing_is_said_about(libvirt_host):
    """As libvirt writes it itself, before and after: only our mark and what was asked for are new."""
    host = libvirt_host
    host.backend.define(BY_HAND)
    before = serialise(domain(host, "old").root)
    assert "<!-- whose it is -->" in before
    for options in ({"title": "Mine now"}, {"title": "Mine now", "vcpus": 2}, {}):
        entry = {"name": "old", "state": "present", **options}
        assert host.converge(entry).failures == {}
        assert host.converge(entry).plan().lines() == []
    after = domain(host, "old").root
    after.remove(after.find("title"))
    metadata = after.find("metadata")
    metadata.remove(_mark.find(after))
    after.find("vcpu").text = "1"
    assert serialise(after).split() == before.split()


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_every_option_survives_what_libvirt_makes_of_it(libvirt_host, guest, name):
    """Whatever libvirt rewrites, there is nothing left to do, and what is read back describes the same guest."""
    host = libvirt_host
    others = [guest("db", state="stopped")] if name == "depends" else []
    base = {"image": "deb"} if name.startswith("disk_") else {}
    base |= {"max_memory_mib": 8192} if name == "memory_mib" else {"max_vcpus": 4} if name == "vcpus" else {}
    for value in SAMPLES[name][:2]:
        if value is None or name == "virt_type":
            continue
        value = value.format(path=host.path) if name == "disk_path" else value
        # Filters are another driver's
        value = [{**nic, "anti_spoofing": False} for nic in value] if name == "nics" else value
        entry = guest("web", state="stopped", **base, **{name: value})
        for _again in range(2):
            outcome = host.converge(*others, entry)
            assert (outcome.problems, outcome.failures) == ([], {})
        assert outcome.plan().lines() == []
        # The driver's own type is none of ours
        outcome = host.converge(*others, entry_of(domain(host, "web")) | {"virt_type": None})
        assert (outcome.problems, outcome.plan().lines()) == ([], [])


def test_errors_are_libvirts_own_words(libvirt_host):
    with pytest.raises(BackendError, match="Domain not found"):
        libvirt_host.backend.start("nobody")


def test_no_libvirt(monkeypatch):
    monkeypatch.setattr(_backend, "_DAEMONS", ())
    backend, there = _backend.connect("qemu:///system", check_mode=True)
    assert (backend.domains(), there) == ([], False)
    with pytest.raises(BackendError, match=r"is not installed"):
        _backend.connect("qemu:///system", check_mode=False)
    with pytest.raises(BackendError):
        backend.start("web")
