# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run that ends between any two steps: the next one finishes what it began."""

from __future__ import annotations

import os

import pytest

from ._runs import unchanged


class PowerCut(BaseException):
    """Nothing catches it: not even a clean-up runs."""


def cut_after(host, steps):
    """Let the hypervisor do so many more writes; then the machine dies, and with it what runs."""
    write = host.backend._write
    left = iter(range(steps))

    def counted(what, name):
        if next(left, None) is None:
            raise PowerCut
        write(what, name)

    host.backend._write = counted


def healed(host, dead):
    """Bring the machine back."""
    del host.backend._write
    if dead:
        host.backend.live.clear()
        for path in (host.path / "starting").glob("*"):
            path.unlink()


def interrupted(host, steps, dead, *entries, **more):
    """Interrupt a run, and return whether it was cut short."""
    cut_after(host, steps)
    try:
        host.converge(*entries, **more)
    except PowerCut:
        return True
    finally:
        healed(host, dead)
    return False


def first(guest, name="web", **options):
    return guest(
        name, image="deb", disk_gib=3, disks=[{"target": "vdb", "size_gib": 1}], on_timeout="destroy", **options
    )


def second(guest):
    nics = [{**guest("web")["nics"][0], "link": "down"}, {"mac": "52:54:00:00:00:f0", "tap": "tap-more"}]
    options = {"title": "T", "memory_mib": 512, "graphics": "vnc", "autostart": False, "restart": "if_needed"}
    entry = first(guest, **options)
    return {**entry, "nics": nics, "disk_gib": 4, "disks": [{"target": "vdc", "size_gib": 1}]}


@pytest.mark.parametrize("dead", [False, True])
def test_while_guests_are_made(host, guest, dead):
    entries = [first(guest), guest("db", depends=["web"])]
    for steps in range(20):
        cut = interrupted(host, steps, dead, *entries)
        assert host.converge(*entries).failures == {}
        unchanged(host, *entries)
        assert set(host.backend.live) == {"web", "db"}
        host.converge(
            *({**entry, "state": "absent", "remove_storage": True} for entry in entries), on_timeout="destroy"
        )
        assert [name for name in os.listdir(host.settings["storage"]) if name != "images"] == []
        if not cut:
            return
    pytest.fail("it has no end")


@pytest.mark.parametrize("dead", [False, True])
def test_while_a_guest_changes(host, guest, dead):
    for steps in range(20):
        host.converge(first(guest))
        cut = interrupted(host, steps, dead, second(guest))
        assert host.converge(second(guest)).failures == {}
        assert unchanged(host, second(guest)).steps[0].pending == []
        if not cut:
            return
    pytest.fail("it has no end")


@pytest.mark.parametrize("dead", [False, True])
def test_while_a_guest_is_renamed_or_removed(host, guest, dead):
    renamed = {**first(guest), "name": "www", "renamed_from": "web", "restart": "if_needed"}
    for steps in range(20):
        host.converge(first(guest))
        cut = interrupted(host, steps, dead, renamed, exclusive=True)
        assert host.converge(renamed, exclusive=True).failures == {}
        assert unchanged(host, renamed, exclusive=True).steps[0].pending == []
        gone = {**renamed, "state": "absent", "remove_storage": True}
        cut = interrupted(host, steps, dead, gone) or cut
        host.converge(gone)
        assert host.backend.persistent == {}
        assert [name for name in os.listdir(host.settings["storage"]) if name != "images"] == []
        if not cut:
            return
    pytest.fail("it has no end")
