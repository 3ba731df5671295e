# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""Where domains live: libvirt, or nowhere yet on a host that has no libvirt."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from xml.etree.ElementTree import Element

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt import _mark
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._devices import AGENT_CHANNEL
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._live import LiveOp
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._xml import attribute, parse

Power = Literal["running", "paused", "stopped"]
Metadata = Literal["title", "description", "mark"]
# A guest that is booting, or has no driver, hears nothing; libvirt itself waits as long before it comes back
_LET_GO = 5.0
_POLL = 0.1
NVRAM = "/var/lib/libvirt/qemu/nvram/{}_VARS.fd"
_DAEMONS = ("/usr/sbin/libvirtd", "/usr/sbin/virtqemud")


class BackendError(Exception):
    """libvirt refused something; the message is for the user."""


@dataclass(frozen=True)
class Domain:
    """A domain as it is.

    Args:
        name: its name.
        root: its XML for the next boot.
        live: its XML as it runs; None when it does not.
        power: whether it runs.
        autostart: whether it starts with the host.
    """

    name: str
    root: Element
    live: Element | None = None
    power: Power = "stopped"
    autostart: bool = False


class Backend(Protocol):
    """What the module asks of a hypervisor."""

    def domains(self) -> list[Domain]:
        """Return all domains, ours or not."""

    def power(self, name: str) -> Power:
        """Return whether a domain runs."""

    def define(self, xml: str) -> None:
        """Make a domain, or replace what it will be at its next boot."""

    def rename(self, name: str, new: str) -> None:
        """Rename a domain that does not run."""

    def undefine(self, name: str, keep_nvram: bool) -> None:
        """Remove a domain's definition."""

    def start(self, name: str) -> None:
        """Start a domain, or let it go on when it is paused."""

    def pause(self, name: str) -> None:
        """Halt a domain's processors, and start it for that if it does not run."""

    def shutdown(self, name: str) -> None:
        """Ask the guest to stop, by its agent or by ACPI."""

    def has_agent(self, name: str) -> bool:
        """Return whether the guest's agent is there."""

    def destroy(self, name: str) -> None:
        """Stop a domain at once."""

    def set_autostart(self, name: str, value: bool) -> None:
        """Make a domain start with the host, or not."""

    def set_metadata(self, name: str, kind: Metadata, text: str | None) -> None:
        """Replace metadata of a running domain."""

    def resize(self, name: str, path: str, size: int) -> None:
        """Grow a disk of a running domain to a number of bytes."""

    def change(self, name: str, op: LiveOp) -> None:
        """Change a running domain, not what it is at its next boot."""

    def define_filter(self, xml: str) -> None:
        """Make a network filter that is missing."""


def _guarded(method: Callable[..., Any]) -> Callable[..., Any]:
    """Turn libvirt's own exception into ours: the binding is there at run time only."""

    def call(self: LibvirtBackend, *args: Any) -> Any:
        try:
            return method(self, *args)
        except self.library.libvirtError as exc:
            raise BackendError(exc.get_error_message() or str(exc)) from exc

    return call


class LibvirtBackend:
    """libvirt, by its Python binding.

    Args:
        library: the module C(libvirt).
        uri: the hypervisor's URI.
    """

    def __init__(self, library: Any, uri: str) -> None:
        self.library = library
        # libvirt prints every error itself otherwise
        library.registerErrorHandler(lambda _context, _error: None, None)
        try:
            self.connection = library.open(uri)
        except library.libvirtError as exc:
            raise BackendError(f"no connection to {uri}: {exc.get_error_message() or exc}") from exc

    @_guarded
    def domains(self) -> list[Domain]:
        lib = self.library
        flags = lib.VIR_DOMAIN_XML_SECURE
        autostarted = {d.name() for d in self.connection.listAllDomains(lib.VIR_CONNECT_LIST_DOMAINS_AUTOSTART)}
        paused = {d.name() for d in self.connection.listAllDomains(lib.VIR_CONNECT_LIST_DOMAINS_PAUSED)}
        found = []
        for domain in self.connection.listAllDomains(0):
            name = domain.name()
            # Ids are known from the listing; isActive would be a call for each
            active = domain.ID() != -1
            try:
                root = parse(domain.XMLDesc(flags | lib.VIR_DOMAIN_XML_INACTIVE))
                live = parse(domain.XMLDesc(flags)) if active else None
            except lib.libvirtError as exc:
                if exc.get_error_code() == lib.VIR_ERR_NO_DOMAIN:
                    continue
                raise
            power: Power = "paused" if name in paused else "running" if active else "stopped"
            found.append(Domain(name, root, live, power, name in autostarted))
        return found

    def _lookup(self, name: str) -> Any:
        return self.connection.lookupByName(name)

    @_guarded
    def power(self, name: str) -> Power:
        state = self._lookup(name).state()[0]
        if state in (self.library.VIR_DOMAIN_SHUTOFF, self.library.VIR_DOMAIN_CRASHED):
            return "stopped"
        return "paused" if state == self.library.VIR_DOMAIN_PAUSED else "running"

    @_guarded
    def define(self, xml: str) -> None:
        self.connection.defineXML(xml)

    @_guarded
    def rename(self, name: str, new: str) -> None:
        # libvirt names the variables of a guest with UEFI by the domain, and leaves the file behind. It goes first: if
        # a run ends between the two, the next one does both again
        self._move_variables(name, new)
        try:
            self._lookup(name).rename(new, 0)
        except self.library.libvirtError:
            self._move_variables(new, name)
            raise

    @staticmethod
    def _move_variables(old: str, new: str) -> None:
        with suppress(FileNotFoundError):
            os.rename(NVRAM.format(old), NVRAM.format(new))

    @_guarded
    def undefine(self, name: str, keep_nvram: bool) -> None:
        lib = self.library
        domain = self._lookup(name)
        flags = lib.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | lib.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
        flags |= lib.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM if keep_nvram else lib.VIR_DOMAIN_UNDEFINE_NVRAM
        flags |= lib.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
        try:
            domain.undefineFlags(flags)
        except lib.libvirtError as exc:
            # A hypervisor without firmware and snapshots, as libvirt's test driver, knows no such flags
            if exc.get_error_code() not in (lib.VIR_ERR_INVALID_ARG, lib.VIR_ERR_NO_SUPPORT):
                raise
            domain.undefine()

    @_guarded
    def start(self, name: str) -> None:
        domain = self._lookup(name)
        if domain.state()[0] == self.library.VIR_DOMAIN_PAUSED:
            domain.resume()
        else:
            domain.create()

    @_guarded
    def pause(self, name: str) -> None:
        domain = self._lookup(name)
        if domain.isActive():
            domain.suspend()
        else:
            domain.createWithFlags(self.library.VIR_DOMAIN_START_PAUSED)

    @_guarded
    def shutdown(self, name: str) -> None:
        domain = self._lookup(name)
        # One that is halted hears nothing
        if domain.state()[0] == self.library.VIR_DOMAIN_PAUSED:
            domain.resume()
        domain.shutdown()

    @_guarded
    def has_agent(self, name: str) -> bool:
        root = parse(self._lookup(name).XMLDesc(0))
        return root.find(f"devices/channel/target[@name='{AGENT_CHANNEL}'][@state='connected']") is not None

    @_guarded
    def destroy(self, name: str) -> None:
        domain = self._lookup(name)
        if domain.isActive():
            domain.destroy()

    @_guarded
    def set_autostart(self, name: str, value: bool) -> None:
        self._lookup(name).setAutostart(int(value))

    @_guarded
    def set_metadata(self, name: str, kind: Metadata, text: str | None) -> None:
        lib = self.library
        code = {
            "title": lib.VIR_DOMAIN_METADATA_TITLE,
            "description": lib.VIR_DOMAIN_METADATA_DESCRIPTION,
            "mark": lib.VIR_DOMAIN_METADATA_ELEMENT,
        }[kind]
        key, uri = (_mark.PREFIX, _mark.URI) if kind == "mark" else (None, None)
        self._lookup(name).setMetadata(code, text, key, uri, lib.VIR_DOMAIN_AFFECT_LIVE)

    @_guarded
    def change(self, name: str, op: LiveOp) -> None:
        domain, flags = self._lookup(name), self.library.VIR_DOMAIN_AFFECT_LIVE
        if op.kind == "memory":
            domain.setMemoryFlags(op.value * 1024, flags)
        elif op.kind == "vcpus":
            domain.setVcpusFlags(op.value, flags)
        elif op.kind == "attach":
            domain.attachDeviceFlags(op.value, flags)
        elif op.kind == "update":
            domain.updateDeviceFlags(op.value, flags)
        else:
            self._detach(domain, parse(op.value), op.value)

    def _detach(self, domain: Any, device: Element, xml: str) -> None:
        """Take a device out and wait until the guest let go of it."""
        alias = attribute(device, "alias", "name")
        domain.detachDeviceFlags(xml, self.library.VIR_DOMAIN_AFFECT_LIVE)
        deadline = time.monotonic() + _LET_GO
        while time.monotonic() < deadline:
            left = parse(domain.XMLDesc(0)).iterfind(f"devices/{device.tag}/alias")
            if all(found.get("name") != alias for found in left):
                return
            time.sleep(_POLL)
        raise BackendError(f"the guest did not let go of it within {_LET_GO:.0f} s")

    @_guarded
    def define_filter(self, xml: str) -> None:
        try:
            self.connection.nwfilterLookupByName(parse(xml).get("name"))
        except self.library.libvirtError as exc:
            if exc.get_error_code() != self.library.VIR_ERR_NO_NWFILTER:
                raise
            self.connection.nwfilterDefineXML(xml)

    @_guarded
    def resize(self, name: str, path: str, size: int) -> None:
        self._lookup(name).blockResize(path, size, self.library.VIR_DOMAIN_BLOCK_RESIZE_BYTES)


class EmptyBackend:
    """A host without libvirt: no domains. Only check mode meets it, and check mode never writes."""

    def domains(self) -> list[Domain]:
        return []

    def __getattr__(self, name: str) -> Any:
        raise BackendError("libvirt is not installed on this host")


def connect(uri: str, check_mode: bool) -> tuple[Any, bool]:
    """Return the backend, and whether it is a libvirt.

    Without libvirt on the host check mode predicts what a run makes once it is installed; a run fails.
    """
    virgin = uri.startswith("qemu:///") and not any(os.path.exists(daemon) for daemon in _DAEMONS)
    try:
        library = importlib.import_module("libvirt")
    except ImportError:
        if check_mode:
            return EmptyBackend(), False
        raise BackendError("python3-libvirt is not installed on this host, or not for this Python") from None
    if virgin:
        if check_mode:
            return EmptyBackend(), False
        raise BackendError("libvirt's daemon is not installed on this host (package libvirt-daemon-system)")
    return LibvirtBackend(library, uri), True
