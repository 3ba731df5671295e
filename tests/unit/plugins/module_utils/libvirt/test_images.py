# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import os
import stat

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._disks import inspect
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._images import ImageError


@pytest.fixture
def remote(host):
    """An image that is downloaded; a file stands in for the network."""
    content = (host.path / "base.qcow2").read_bytes()
    (host.path / "remote.qcow2").write_bytes(content)
    entry = {
        "url": f"file://{host.path}/remote.qcow2",
        "checksum": f"sha512:{hashlib.sha512(content).hexdigest()}",
    }
    host.images["remote"] = entry
    return entry


def downloads(host):
    directory = f"{host.settings['storage']}/images"
    return sorted(os.listdir(directory)) if os.path.isdir(directory) else []


def test_an_image_is_downloaded_once_and_read_only(host, guest, remote):
    outcome = host.converge(guest("web", image="remote"), guest("db1", image="remote"))
    assert outcome.plan().lines()[0] == "+ image remote: create"
    name = f"{remote['checksum'][7:19]}-remote.qcow2"
    assert downloads(host) == [name, "images.json"]
    mode = os.stat(f"{host.settings['storage']}/images/{name}").st_mode
    assert stat.S_IMODE(mode) == 0o444
    assert host.converge(guest("web", image="remote"), guest("db1", image="remote")).plan().lines() == []


def test_a_wrong_checksum_leaves_nothing(host, guest, remote):
    remote["checksum"] = f"sha256:{'0' * 64}"
    with pytest.raises(ImageError, match=r"its sha256 is [0-9a-f]{64}, not 000"):
        host.converge(guest("web", image="remote"))
    assert downloads(host) == []
    assert host.backend.persistent == {}


def test_an_unreachable_image_is_one_line(host, guest, remote):
    remote["url"] = f"file://{host.path}/missing.qcow2"
    with pytest.raises(ImageError, match=r"^image remote from file://.*: No such file or directory$"):
        host.converge(guest("web", image="remote"))


def test_only_images_in_use_are_downloaded(host, guest, remote):
    assert host.converge(guest("web")).downloads == []
    assert downloads(host) == ["images.json"] or downloads(host) == []


def test_an_image_that_changed_under_a_disk_is_refused(host, guest):
    host.converge(guest("web", image="deb"))
    base = host.path / "base.qcow2"
    content = base.read_bytes()
    os.utime(base, ns=(1, 1))
    assert host.converge(guest("web", image="deb")).problems == []
    base.write_bytes(content + b"x")
    problems = host.converge(guest("web", image="deb")).problems
    assert [problem.place() for problem in problems] == ["images.deb.path"]
    assert "it changed under the disks of web" in problems[0].allowed
    host.converge(guest("web", state="absent", remove_storage=True))
    assert host.converge(guest("web", image="deb")).problems == []


def test_a_declared_checksum_of_a_local_image_is_checked(host, guest):
    host.images["deb"]["checksum"] = f"sha256:{'0' * 64}"
    assert [p.place() for p in host.converge(guest("web", image="deb")).problems] == ["images.deb.checksum"]
    digest = hashlib.sha256((host.path / "base.qcow2").read_bytes()).hexdigest()
    host.images["deb"]["checksum"] = f"sha256:{digest}"
    assert host.converge(guest("web", image="deb")).problems == []


def test_what_is_no_image_is_refused(host, guest, remote):
    (host.path / "page.qcow2").write_text("<html>404</html>", encoding="utf-8")
    host.images["page"] = {"path": str(host.path / "page.qcow2")}
    (problem,) = host.converge(guest("web", image="page")).problems
    assert (problem.key, problem.allowed.split(":")[0]) == ("page.path", "a disk image")
    host.images["page"] = {"url": f"file://{host.path}/page.qcow2"}
    with pytest.raises(ImageError, match="it is not a disk image"):
        host.converge(guest("web", image="page"))
    assert downloads(host) == []


@pytest.mark.parametrize("where", ["path", "url"])
def test_another_format_is_converted_once(host, guest, where):
    (host.path / "old.vmdk").write_bytes(b"KDMV".ljust(4096, b"\0"))
    place = f"{host.path}/old.vmdk"
    host.images["old"] = {where: place if where == "path" else f"file://{place}"}
    outcome = host.converge(guest("web", image="old"))
    assert (outcome.problems, outcome.failures) == ([], {})
    (name,) = [name for name in downloads(host) if name != "images.json"]
    disk = inspect(f"{host.settings['storage']}/web.qcow2")
    assert (disk.backing, disk.backing_kind) == (f"{host.settings['storage']}/images/{name}", "qcow2")
    assert host.converge(guest("web", image="old")).plan().lines() == []


def test_images_go_on_request_when_nothing_stands_on_them(host, guest, remote):
    host.converge(guest("web", image="remote"))
    entry = host.images.pop("remote")
    assert len(downloads(host)) == 2
    # The disk of a deleted guest may come back
    host.converge(guest("web", state="absent"), prune_images=True)
    assert len(downloads(host)) == 2
    outcome = host.converge(guest("web", state="absent", remove_storage=True), prune_images=True)
    assert outcome.plan().lines()[-1].startswith("- image ")
    assert downloads(host) == ["images.json"]
    host.images["remote"] = entry
    assert host.converge(guest("web", image="remote")).failures == {}
