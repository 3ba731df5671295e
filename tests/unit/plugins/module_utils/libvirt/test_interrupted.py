# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run that ends before any one of its writes, to libvirt or to a file: the next one finishes what it began.

The same with real guests, and with a machine that loses its power, is tests/accidents.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading

import pytest

from ._runs import unchanged

_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.link", "os.symlink", "os.truncate"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class PowerCut(BaseException):
    """Nothing catches it."""


class Cut:
    """Lets so many writes happen. Then the machine is dead: not even what cleans up writes any more."""

    def __init__(self, root, steps):
        self.root = str(root)
        self.left = steps
        self.lock = threading.Lock()

    def write(self):
        with self.lock:
            if self.left == 0:
                raise PowerCut
            self.left -= 1


_now: list[Cut] = []


def _watch(event, args):
    """See every file that is changed; such a hook cannot be taken away again."""
    if not _now or not (event in _CHANGES or (event == "open" and isinstance(args[2], int) and args[2] & _WRITING)):
        return
    # Of a file that is open already, as chmod sees it, no name is known
    names = [os.fsdecode(arg) for arg in args[:2] if isinstance(arg, (str, bytes, os.PathLike))]
    if any(name.startswith(_now[0].root) for name in names):
        _now[0].write()


sys.addaudithook(_watch)


def interrupted(host, steps, dead, *entries, **more):
    """Interrupt a run, and return whether it was cut short; then bring the machine back."""
    cut = Cut(host.path, steps)
    write = host.backend._write
    host.backend._write = lambda what, name: (cut.write(), write(what, name))
    _now.append(cut)
    try:
        host.converge(*entries, **more)
    except PowerCut:
        return True
    finally:
        _now.clear()
        del host.backend._write
        if dead:
            host.backend.live.clear()
            for path in (host.path / "starting").glob("*"):
                path.unlink()
    return False


def rests(host):
    """Return what a run may have left half made."""
    return [path.name for path in host.path.rglob("*") if path.suffix in (".part", ".converted")]


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
    (host.path / "old.vmdk").write_bytes(b"KDMV".ljust(4096, b"\0"))
    host.images["old"] = {"url": f"file://{host.path}/old.vmdk"}
    entries = [first(guest), guest("db", depends=["web"]), guest("old", image="old", state="present")]
    for steps in range(200):
        cut = interrupted(host, steps, dead, *entries)
        assert host.converge(*entries).failures == {}
        unchanged(host, *entries)
        assert set(host.backend.live) == {"web", "db"}
        assert rests(host) == []
        host.converge(
            *({**entry, "state": "absent", "remove_storage": True} for entry in entries), on_timeout="destroy"
        )
        assert [name for name in os.listdir(host.settings["storage"]) if name != "images"] == []
        if not cut:
            # Each disk, seed and image alone is four
            assert steps > 30
            return
        shutil.rmtree(f"{host.settings['storage']}/images")
    pytest.fail("it has no end")


@pytest.mark.parametrize("dead", [False, True])
def test_while_a_guest_changes(host, guest, dead):
    for steps in range(200):
        host.converge(first(guest))
        cut = interrupted(host, steps, dead, second(guest))
        assert host.converge(second(guest)).failures == {}
        assert unchanged(host, second(guest)).steps[0].pending == []
        assert rests(host) == []
        if not cut:
            return
    pytest.fail("it has no end")


@pytest.mark.parametrize("dead", [False, True])
def test_while_a_guest_is_renamed_or_removed(host, guest, dead):
    renamed = {**first(guest), "name": "www", "renamed_from": "web", "restart": "if_needed"}
    for steps in range(200):
        host.converge(first(guest))
        cut = interrupted(host, steps, dead, renamed, exclusive=True)
        assert host.converge(renamed, exclusive=True).failures == {}
        assert unchanged(host, renamed, exclusive=True).steps[0].pending == []
        # Of its other disk nothing but its domain knows
        gone = {
            "name": "www",
            "renamed_from": "web",
            "state": "absent",
            "remove_storage": True,
            "on_timeout": "destroy",
        }
        cut = interrupted(host, steps, dead, gone) or cut
        host.converge(gone)
        assert host.backend.persistent == {}
        assert [name for name in os.listdir(host.settings["storage"]) if name != "images"] == []
        if not cut:
            return
    pytest.fail("it has no end")


def test_a_guest_that_was_halted_goes_on_with_the_lease_it_has(host, guest):
    entry = guest("web", wait_for=["lease"])
    host.converge(entry)
    host.converge({**entry, "state": "paused"})
    assert host.converge(entry).failures == {}
