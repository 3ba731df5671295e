# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of a bad internet: slow, gone half way, not what they should be, larger than the disk."""

from __future__ import annotations

import hashlib
import json
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

ARTICLE = "playbooks/inventories/article"
HERE = Path(__file__).parent
SERVER = HERE.parents[2] / "tests" / "accidents" / "image_server.py"
ADDRESS, PORT = "198.51.100.81", 8088
STORAGE = "/var/lib/libvirt/images/far"
SIZE = 8 << 20


@pytest.fixture(scope="module")
def ursa(managed: Callable[[str], Host]) -> Host:
    return managed("ursa")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: Any) -> Path:
    """Give what is served: a disk with a partition table and nothing that compresses, and a page."""
    found = Path(tmp_path_factory.mktemp("images"))
    content = bytearray(random.Random(1).randbytes(SIZE))
    content[510:512] = b"\x55\xaa"
    (found / "far.img").write_bytes(content)
    (found / "page.img").write_text("<html>Not here any more</html>", encoding="utf-8")
    return found


@pytest.fixture(scope="module")
def server(station: Any, directory: Path, ursa: Host, eventually: Any) -> Iterator[subprocess.Popen[bytes]]:
    argv = [*station("internet").prefix, sys.executable, str(SERVER), str(directory), ADDRESS, str(PORT)]
    with subprocess.Popen(argv) as running:
        assert eventually(lambda: ursa.run(f"nc -z -w 2 {ADDRESS} {PORT}").rc == 0, seconds=60)
        yield running
        running.terminate()


@pytest.fixture
def converge(ansible: Callable[..., str]) -> Callable[..., tuple[str, list[str]]]:
    """Make the guest; return the last words, and how far the image was said to be on its way."""

    def once(path: str, checksum: str | None = None, **more: str) -> tuple[str, list[str]]:
        image = {"url": f"http://{ADDRESS}:{PORT}/{path}", **({"checksum": checksum} if checksum else {})}
        variables = json.dumps({"image": image, "storage": STORAGE, **more})
        said = ansible("ansible-playbook", ARTICLE, str(HERE / "converge_image.yml"), "-e", variables)
        words = " ".join(said.split("SAID ", 1)[1].split("PLAY RECAP", 1)[0].split())
        return words, re.findall(r"^ursa: image far: (\d+) %", said, re.MULTILINE)

    return once


def left(ursa: Host) -> str:
    return ursa.check_output(f"find {STORAGE} -type f") + ursa.check_output("find /run/kvmnet/downloads -type f")


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("path", "checksum", "reason"),
    [
        ("cut/far.img", None, f"{SIZE // 2} of {SIZE} bytes came"),
        ("far.img", f"sha256:{'0' * 64}", "its sha256 is [0-9a-f]{64}, not 0{64}"),
        ("page.img", None, "it is not a disk image"),
    ],
)
def test_a_bad_one_is_told_and_leaves_nothing(
    ursa: Host, converge: Any, path: str, checksum: str | None, reason: str
) -> None:
    said, _progress = converge(path, checksum)
    assert re.search(rf"image far.*{reason}", said), said
    assert left(ursa) == ""


@pytest.mark.usefixtures("server")
def test_one_that_is_larger_than_the_disk(ursa: Host, converge: Any) -> None:
    ursa.check_output(f"mount -t tmpfs -o size={SIZE // 2} tmpfs {STORAGE}")
    try:
        said, _progress = converge("far.img")
        assert re.search(rf"{STORAGE}/images has {SIZE >> 11} KiB left, {SIZE >> 10} KiB are needed", said), said
        assert left(ursa) == ""
    finally:
        ursa.check_output(f"umount {STORAGE}")


def test_a_slow_one_is_told_while_it_comes_and_comes_once(
    ursa: Host, converge: Any, directory: Path, server: subprocess.Popen[bytes]
) -> None:
    digest = hashlib.sha256((directory / "far.img").read_bytes()).hexdigest()
    said, progress = converge("1024/far.img", f"sha256:{digest}")
    assert said.startswith('["image", "guest"]'), said
    assert len(progress) >= 2
    assert progress == sorted(progress, key=int)
    image = f"{STORAGE}/images/{digest[:12]}-far.img"
    assert ursa.check_output(f"stat -c %a {image}") == "444"
    assert ursa.check_output(f"sha256sum {image}").split()[0] == digest
    server.terminate()
    assert converge("1024/far.img", f"sha256:{digest}") == ("[]", [])
    said, _progress = converge("1024/far.img", f"sha256:{digest}", state="absent")
    assert said.startswith('["guest"]'), said
    # The record still names the image
    assert left(ursa).split() == [image, f"{STORAGE}/images/images.json"]
    ursa.check_output(f"rm -r {STORAGE}")
