# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Downloads by a real process of their own, from a real server that stops half way until it is told to go on."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import urlopen

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._courier import Courier
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._images import ImageError, Library, read_images

from .conftest import write_qcow2

MIB = 1 << 20


class Slow(ThreadingHTTPServer):
    """Serves one image, the second half of it on request."""

    def __init__(self, content):
        super().__init__(("127.0.0.1", 0), Half)
        self.content = content
        self.go_on = threading.Event()
        self.asked = 0
        self.hangs_up = False


class Half(BaseHTTPRequestHandler):
    def do_GET(self):
        content = self.server.content
        self.server.asked += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])
        self.wfile.flush()
        self.server.go_on.wait(60)
        if not self.server.hangs_up:
            self.wfile.write(content[len(content) // 2 :])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path):
    write_qcow2(tmp_path / "deb.qcow2", 1 << 30)
    server = Slow((tmp_path / "deb.qcow2").read_bytes().ljust(4 * MIB, b"\0"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.go_on.set()
    server.shutdown()


@pytest.fixture
def courier(tmp_path, server):
    """Return a maker of what one task has: its token, its library, and the image that is missing."""

    def make(token, checksum=None):
        digest = checksum or hashlib.sha256(server.content).hexdigest()
        url = f"http://127.0.0.1:{server.server_port}/deb.qcow2"
        images, _problems = read_images({"deb": {"url": url, "checksum": f"sha256:{digest}"}}, str(tmp_path / "images"))
        library = Library(str(tmp_path / "images"), urlopen)
        return Courier(library, token, str(tmp_path / "run")), list(images.values())

    return make


def until(question):
    deadline = time.monotonic() + 60
    while not (answer := question()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return answer


def test_a_download_goes_on_and_says_how_far_it_is(courier, server, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "0-old.qcow2.part").write_text("half")
    mine, images = courier("mine")
    assert mine.fetch(images) == "image deb: the download begins"
    far = until(lambda: " % " in (text := mine.fetch(images)) and text)
    # The second MiB may have come in the half second in which nothing is told
    assert far in ("image deb: 25 % (1 of 4 MiB)", "image deb: 50 % (2 of 4 MiB)")
    other, images = courier("other")
    assert " % " in other.fetch(images)
    server.go_on.set()
    until(lambda: os.path.exists(images[0].path))
    assert (other.arrived(), mine.arrived()) == ([], ["deb"])
    assert server.asked == 1
    mine.forget()
    assert os.listdir(tmp_path / "run") == []
    assert os.listdir(tmp_path / "images") == [os.path.basename(images[0].path)]


@pytest.mark.parametrize("how", ["checksum", "hangs up"])
def test_what_went_wrong_is_told_to_who_asked(courier, server, tmp_path, how):
    server.hangs_up = how == "hangs up"
    mine, images = courier("mine", None if server.hangs_up else "0" * 64)
    mine.fetch(images)
    server.go_on.set()
    with pytest.raises(ImageError, match="2097152 of 4194304 bytes came" if server.hangs_up else "its sha256 is"):
        until(lambda: mine.fetch(images) is None)
    assert os.listdir(tmp_path / "images") == []
    # Another task does not hear of it: it tries again
    other, images = courier("other")
    server.hangs_up = False
    other.fetch(images)
    until(lambda: os.path.exists(images[0].path))


def test_a_download_that_was_killed_is_not_waited_for(courier):
    mine, images = courier("mine")
    assert mine.fetch(images, spawn=lambda work: None).endswith("begins")
    with pytest.raises(ImageError, match="was its process killed"):
        mine.fetch(images)
    assert mine.arrived() == []
