# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""The images that guests start from: found or downloaded once for each host, verified, and never changed afterwards."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.error import URLError
from urllib.parse import urlsplit

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._disks import (
    Disk,
    DiskError,
    image_kind,
    inspect,
    put_in_place,
    run_tool,
    why,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._units import CONTROL, meant_key
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem

IMAGE_SPEC: dict[str, Any] = {
    "path": {"type": "str"},
    "url": {"type": "str"},
    "checksum": {"type": "str"},
    "kernel": {"type": "str"},
    "initrd": {"type": "str"},
    "cmdline": {"type": "str"},
}
_NOT_ONE = "a disk image: qcow2, raw, vmdk, vdi, vhdx or vpc, and not compressed"
_CHUNK = 1 << 20
_DRAFTS = (".part", ".converted")
_CHECKSUM = "sha256:HEX or sha512:HEX, as the publisher's SHA256SUMS or SHA512SUMS says"


class ImageError(Exception):
    """An image could not be had; the message is for the user."""


@dataclass(frozen=True)
class Image:
    """One image.

    Args:
        name: what guests call it.
        path: the disk image on the host, where it is or where it will be; None when it has no disk.
        url: where it is downloaded from.
        checksum: algorithm and hexadecimal digest.
        source: the file that it is converted from, when that is neither qcow2 nor raw.
        kernel: boots the guest directly.
        initrd: goes with the kernel.
        cmdline: goes with the kernel.
        sound: whether all that is said of it is right.
    """

    name: str
    path: str | None = None
    url: str | None = None
    checksum: tuple[str, str] | None = None
    kernel: str | None = None
    initrd: str | None = None
    cmdline: str | None = None
    source: str | None = None
    sound: bool = True


def progress(name: str, done: int, total: int) -> str:
    """Return how far a download is; total is 0 when the server does not say."""
    if not total:
        return f"image {name}: {done >> 20} MiB"
    return f"image {name}: {done * 100 // total} % ({done >> 20} of {total >> 20} MiB)"


def _checksum(text: object) -> tuple[str, str] | None:
    algorithm, _colon, value = str(text).strip().lower().partition(":")
    length = {"sha256": 64, "sha512": 128}.get(algorithm)
    if length == len(value) and all(digit in "0123456789abcdef" for digit in value):
        return algorithm, value
    return None


def read_images(entries: Mapping[str, Any], directory: str) -> tuple[dict[str, Image], list[Problem]]:
    """Return the images that an inventory names, and what is wrong with them."""
    images: dict[str, Image] = {}
    problems: list[Problem] = []

    def wrong(name: str, key: str | None, value: object, allowed: str) -> None:
        problems.append(Problem("images", None, name if key is None else f"{name}.{key}", value, allowed))

    for name, entry in entries.items():
        before = len(problems)
        # Guests of one that is wrong are checked for the rest
        images[name] = Image(name, sound=False)
        if not isinstance(entry, Mapping):
            wrong(name, None, entry, "a dictionary with path, url or kernel")
            continue
        for key in entry:
            if key not in IMAGE_SPEC:
                wrong(name, str(key), str(key), f"no such key; one of {', '.join(IMAGE_SPEC)}")
        said = {key: entry[key] for key in IMAGE_SPEC if entry.get(key)}
        texts = {key: str(value) for key, value in said.items() if isinstance(value, str) and not CONTROL.search(value)}
        for key in said:
            if key not in texts:
                wrong(name, key, entry[key], "a text without control characters")
        path, url, kernel = entry.get("path"), entry.get("url"), entry.get("kernel")
        meant = {meant_key(str(key), IMAGE_SPEC) for key, value in entry.items() if value}
        if not meant & {"path", "url", "kernel"} or (path and url):
            wrong(name, None, dict(entry), "path or url of a disk image, or kernel with initrd, or both")
        for key in ("path", "kernel", "initrd"):
            if key in texts and not texts[key].startswith("/"):
                wrong(name, key, texts.pop(key), "an absolute path on the host")
        for key in ("initrd", "cmdline"):
            if key in texts and not kernel:
                wrong(name, key, texts.pop(key), "only beside kernel")
        checksum = _checksum(texts["checksum"]) if "checksum" in texts else None
        if "checksum" in texts and checksum is None:
            wrong(name, "checksum", texts["checksum"], _CHECKSUM)
        disk, url = texts.get("path"), texts.get("url")
        if url and urlsplit(url).scheme not in ("http", "https", "ftp", "file"):
            wrong(name, "url", url, "a URL that begins with https://, http://, ftp:// or file://")
        elif url:
            sum_of = checksum[1] if checksum else hashlib.sha256(url.encode()).hexdigest()
            disk = f"{directory}/{sum_of[:12]}-{os.path.basename(urlsplit(url).path) or 'image'}"
        kernel, initrd, cmdline = (texts.get(key) for key in ("kernel", "initrd", "cmdline"))
        sound = len(problems) == before
        images[name] = Image(name, disk, url, checksum, kernel, initrd, cmdline, sound=sound)
    return images, problems


class Library:
    """The images of a host, and a note of what each was when a guest's disk was first made on it.

    Args:
        directory: where downloads are kept, and the note.
        fetch: opens a URL.
        say: tells how far a download is.
        run: runs C(qemu-img).
    """

    def __init__(
        self,
        directory: str,
        fetch: Callable[[str], IO[bytes]],
        say: Callable[[str], None] = lambda text: None,
        run: Callable[[list[str]], None] = run_tool,
    ) -> None:
        self.directory = Path(directory)
        self._fetch = fetch
        self.say = say
        self._run = run
        self._notes_path = self.directory / "images.json"
        self._notes: dict[str, dict[str, Any]] = {}
        try:
            self._notes = json.loads(self._notes_path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            pass
        except ValueError as exc:
            raise DiskError(f"{self._notes_path} is damaged ({exc}): remove it, and images are noted anew") from exc

    def disk(self, image: Image) -> Disk | None:
        """Return what an image's disk is, or None while it is not there."""
        return None if image.path is None else inspect(image.path)

    def resolve(self, images: Mapping[str, Image]) -> dict[str, Image]:
        """Return the images with those that libvirt has no format for in their converted form."""
        return {name: self._resolved(image) for name, image in images.items()}

    def _resolved(self, image: Image) -> Image:
        if image.url or image.path is None or image.path in self._notes or not os.path.isfile(image.path):
            return image
        if image_kind(image.path) in (None, "qcow2", "raw"):
            return image
        # Another file of that name is another image
        key = hashlib.sha256(f"{image.path} {self._stat(image.path)}".encode()).hexdigest()[:12]
        converted = f"{self.directory}/{key}-{os.path.basename(image.path)}.qcow2"
        return replace(image, path=converted, source=image.path)

    def missing(self, images: Iterable[Image]) -> list[Image]:
        """Return the images that must be downloaded or converted."""
        made = [image for image in images if (image.url or image.source) and image.path]
        return [image for image in made if not os.path.exists(image.path or "")]

    def unused(self, images: Iterable[Image], used: Iterable[str]) -> list[str]:
        """Return the files made here that no image is any more, and no disk stands on."""
        keep = {str(self._notes_path), *used, *(image.path for image in images)}
        try:
            # Half of an image may be somebody's who is at work on it; whoever downloads next removes what is nobody's
            files = (path for path in self.directory.iterdir() if path.is_file() and path.suffix not in _DRAFTS)
            found = sorted(str(path) for path in files)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [path for path in found if path not in keep]

    def remove(self, path: str) -> None:
        """Remove a file that is not used."""
        Path(path).unlink(missing_ok=True)

    def check(self, image: Image, overlays: list[str]) -> Iterator[Problem]:
        """Yield what is wrong with an image's files.

        Args:
            image: an image that a guest uses.
            overlays: the disks that stand on it; a byte changed under them corrupts their file systems.
        """
        for key, file in (("kernel", image.kernel), ("initrd", image.initrd)):
            if file and not os.path.isfile(file):
                yield Problem("images", None, f"{image.name}.{key}", file, "a file that exists on the host")
        if image.path is None:
            return
        if not os.path.isfile(image.path):
            if not (image.url or image.source):
                yield Problem("images", None, f"{image.name}.path", image.path, "a file that exists on the host")
            return
        note = self._notes.get(image.path)
        if note is None and image_kind(image.path) is None:
            yield Problem("images", None, f"{image.name}.path", image.path, _NOT_ONE)
            return
        if note is None or note["stat"] == self._stat(image.path):
            if note is None and image.checksum and self._digest(image.path, image.checksum[0]) != image.checksum[1]:
                allowed = f"the checksum of {image.path}, which is another one"
                yield Problem("images", None, f"{image.name}.checksum", ":".join(image.checksum), allowed)
            return
        if note["sha256"] == self._digest(image.path, "sha256") or not overlays:
            return
        allowed = (
            f"the image that it was: it changed under the disks of {', '.join(overlays)}. Put the old file back, "
            "and give a new image a new path"
        )
        yield Problem("images", None, f"{image.name}.path", image.path, allowed)

    def lock(self, wait: bool) -> int | None:
        """Return the lock of those who download to this directory, a descriptor; None when somebody else holds it.

        What an interrupted download left goes: nobody is at work on it.
        """
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o711)
        # The directory itself: no file is left behind
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(descriptor)
            return None
        for path in self.directory.iterdir():
            if path.suffix in _DRAFTS:
                path.unlink()
        return descriptor

    def download_all(self, images: Iterable[Image]) -> None:
        """Download what is missing, or wait until somebody else has."""
        try:
            lock = self.lock(wait=True)
        except OSError as exc:
            raise ImageError(f"{self.directory}: {why(exc, self.directory)}") from exc
        try:
            for image in images:
                self.download(image)
        finally:
            if lock is not None:
                os.close(lock)

    def download(self, image: Image) -> None:
        """Download or convert an image, verified, under its final name only when it is whole. Needs the lock."""
        if image.path is None or os.path.exists(image.path):
            return
        part = Path(f"{image.path}.part")
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o711)
            if image.url is not None:
                self._receive(image.url, part, image.checksum, image.name)
            self._convert(image, part)
            part.chmod(0o444)
            put_in_place(str(part), image.path)
        except DiskError as exc:
            raise ImageError(f"image {image.name}: {exc}") from exc
        except (OSError, URLError, HTTPException) as exc:
            # A URLError wraps what happened
            cause = getattr(exc, "reason", exc)
            reason = why(cause, part) if isinstance(cause, OSError) else cause
            raise ImageError(f"image {image.name} from {image.url}: {reason}") from exc
        finally:
            part.unlink(missing_ok=True)

    def _convert(self, image: Image, part: Path) -> None:
        source = image.source or str(part)
        kind = image_kind(source)
        if kind is None:
            raise ImageError(f"image {image.name} from {image.url}: it is not {_NOT_ONE}")
        if kind in ("qcow2", "raw"):
            return
        self.say(f"image {image.name}: converting {kind} to qcow2")
        other = part.with_suffix(".converted")
        free = shutil.disk_usage(self.directory).free
        try:
            self._run(["qemu-img", "convert", "-q", "-f", kind, "-O", "qcow2", source, str(other)])
            other.rename(part)
        except DiskError as exc:
            size = f"{os.path.getsize(source) >> 10} KiB of {kind}"
            raise DiskError(f"{self.directory} had {free >> 10} KiB left to convert {size} into qcow2: {exc}") from exc
        finally:
            other.unlink(missing_ok=True)

    def _receive(self, url: str, part: Path, checksum: tuple[str, str] | None, name: str) -> None:
        hasher = hashlib.new(checksum[0]) if checksum else None
        with self._fetch(url) as source, part.open("wb") as target:
            total = int(getattr(source, "headers", {}).get("Content-Length") or 0)
            free = shutil.disk_usage(self.directory).free
            if total > free:
                raise ImageError(
                    f"image {name}: {self.directory} has {free >> 10} KiB left, {total >> 10} KiB are needed"
                )
            done = 0
            while chunk := source.read(_CHUNK):
                target.write(chunk)
                if hasher:
                    hasher.update(chunk)
                done += len(chunk)
                self.say(progress(name, done, total))
            if total and done != total:
                raise ImageError(f"image {name} from {url}: {done} of {total} bytes came")
        if checksum and hasher and hasher.hexdigest() != checksum[1]:
            raise ImageError(f"image {name} from {url}: its {checksum[0]} is {hasher.hexdigest()}, not {checksum[1]}")

    def remember(self, images: Iterable[Image]) -> None:
        """Note what images are now, before the first disk stands on them."""
        before = dict(self._notes)
        for image in images:
            if image.path is None or not os.path.isfile(image.path):
                continue
            stat = self._stat(image.path)
            if self._notes.get(image.path, {}).get("stat") != stat:
                self._notes[image.path] = {"stat": stat, "sha256": self._digest(image.path, "sha256")}
        if self._notes == before:
            return
        part = self._notes_path.with_suffix(".part")
        text = json.dumps(self._notes, indent=1, sort_keys=True) + "\n"
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o711)
            part.write_text(text, encoding="utf-8")
            put_in_place(str(part), str(self._notes_path))
        except OSError as exc:
            part.unlink(missing_ok=True)
            raise ImageError(f"{self._notes_path}: {why(exc, self._notes_path, len(text))}") from exc

    def _stat(self, path: str) -> list[int]:
        """Not the inode's own time: libvirt changes the owner of an image."""
        found = os.stat(path)
        return [found.st_size, found.st_mtime_ns]

    def _digest(self, path: str, algorithm: str) -> str:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest()
