# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""What stands between Ansible and the flow of kvm_guest."""

from __future__ import annotations

import copy
import fcntl
import importlib.util
import os
import platform
from collections.abc import Callable, Mapping
from typing import IO, Any, NoReturn, cast

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.respawn import has_respawned, probe_interpreters_for_module, respawn_module
from ansible.module_utils.urls import open_url

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._backend import BackendError, EmptyBackend, connect
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._boot import Boot
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._converge import Converger, Outcome, host_memory_mib
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._courier import Courier
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._disks import DiskError, Files
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._guest import Settings
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._images import ImageError, Library
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._options import argument_spec
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._read import in_order, read_call, told_once
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._seed import USER_SPEC
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._wait import LEASE_FILES, Probe
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem, report

_DEFAULTS = Settings()
_DOWNLOAD_TIMEOUT = 30
LOCK = "/run/kvmnet/guests.lock"

SPEC: dict[str, dict[str, Any]] = {
    "guests": {"type": "list", "elements": "dict", "required": True, "options": argument_spec()},
    "images": {"type": "dict", "default": {}},
    "users": {"type": "list", "elements": "dict", "default": [], "options": USER_SPEC},
    "virt_type": {"type": "str", "choices": ["kvm", "qemu"], "default": _DEFAULTS.virt_type},
    "storage": {"type": "path", "default": _DEFAULTS.storage},
    "exclusive": {"type": "bool", "default": False},
    "prune_images": {"type": "bool", "default": False},
    "restart": {"type": "str", "choices": ["never", "if_needed"], "default": _DEFAULTS.restart},
    "stop_timeout": {"type": "int", "default": _DEFAULTS.stop_timeout},
    "on_timeout": {"type": "str", "choices": ["fail", "destroy"], "default": _DEFAULTS.on_timeout},
    "wait_timeout": {"type": "int", "default": _DEFAULTS.wait_timeout},
    "parallel": {"type": "int", "default": _DEFAULTS.parallel},
    "lease_files": {"type": "list", "elements": "str", "default": list(LEASE_FILES)},
    "uri": {"type": "str", "default": "qemu:///system"},
    "token": {"type": "str", "no_log": False},
}


class GuestModule(AnsibleModule):
    """An AnsibleModule that tells all that is wrong with its arguments, where Ansible stops at the first."""

    def _load_params(self) -> None:
        # Ansible's own method, which has no types
        super()._load_params()  # type: ignore[no-untyped-call]
        # As they were given: Ansible leaves out members of a list that it cannot read, and moves the others up
        self.asked = {key: copy.deepcopy(value) for key, value in self.params.items() if not key.startswith("_ansible")}

    def fail_json(self, msg: str, **kwargs: Any) -> NoReturn:
        if self.validation_result.error_messages:
            _with_libvirt()
            problems = _problems(self.asked, self.log)
            if problems:
                found = report(problems)
                msg, kwargs["problems"] = found["msg"], found["problems"]
        super().fail_json(msg=msg, **kwargs)


def _parallel(params: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with the one number that no guest inherits, and is checked with."""
    count = params["parallel"]
    return [] if count > 0 else [Problem("parallel", None, None, count, "1 or more")]


def _problems(asked: Mapping[str, Any], say: Callable[[str], None]) -> list[Problem]:
    """Return all that is wrong with a call of which Ansible refused something."""
    params, problems = read_call(asked, SPEC)
    problems = [*problems, *_parallel(params)]
    try:
        backend, _libvirt = connect(params["uri"], check_mode=True)
    except BackendError:
        backend = EmptyBackend()
    try:
        outcome = _converger(backend, params, say).plan(params["guests"], params["images"], params["exclusive"])
    except (BackendError, DiskError) as exc:
        return [*problems, Problem("guests", None, None, str(exc), "a host whose guests can be read")]
    return in_order(problems + told_once(outcome.problems, problems))


def _settings(params: Mapping[str, Any]) -> Settings:
    # libvirt's test driver has no machines and no CPUs, and a type of its own
    testing = params["uri"].startswith("test:")
    x86 = platform.machine() == "x86_64" and not testing
    return Settings(
        storage=params["storage"].rstrip("/"),
        virt_type="test" if testing else params["virt_type"],
        machine="q35" if x86 else None,
        cpu={"kvm": "host-passthrough", **({"qemu": "qemu64"} if x86 else {})},
        users=params["users"],
        restart=params["restart"],
        stop_timeout=params["stop_timeout"],
        on_timeout=params["on_timeout"],
        wait_timeout=params["wait_timeout"],
        parallel=params["parallel"],
        prune_images=params["prune_images"],
    )


def _open(url: str) -> IO[bytes]:
    return cast("IO[bytes]", open_url(url, timeout=_DOWNLOAD_TIMEOUT, http_agent="ursa.kvmnet"))


def _converger(backend: Any, params: Mapping[str, Any], say: Callable[[str], None]) -> Converger:
    settings = _settings(params)
    library = Library(f"{settings.storage}/images", _open, say)
    probe = Probe(params["lease_files"])
    # Of other hypervisors libvirt keeps its own account
    boot = Boot() if params["uri"] == SPEC["uri"]["default"] else None
    return Converger(backend, Files(settings.storage), library, probe, settings, host_memory_mib(), boot)


def _with_libvirt() -> None:
    """Go on in another Python of the host if this one has no binding for libvirt."""
    if importlib.util.find_spec("libvirt") is None and not has_respawned():
        interpreter = probe_interpreters_for_module(["/usr/bin/python3"], "libvirt")
        if interpreter:
            respawn_module(interpreter)


def _alone(module: AnsibleModule, lock: str = LOCK) -> IO[bytes] | None:
    """Return what keeps other runs from this host's guests until the end: none changes what another one planned on."""
    if module.check_mode or not module.params["uri"].startswith("qemu:"):
        return None
    try:
        if not os.path.isdir(os.path.dirname(lock)):
            os.makedirs(os.path.dirname(lock), exist_ok=True)
        held = open(lock, "wb")  # noqa: SIM115 - until the process ends
    except OSError as exc:
        module.fail_json(msg=f"{lock}: {exc.strerror}")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | (0 if module.params["token"] is None else fcntl.LOCK_NB))
    except BlockingIOError:
        module.exit_json(changed=False, awaiting="another run is at work on this host's guests")
    return held


def _await_images(module: AnsibleModule, library: Library, outcome: Outcome) -> None:
    """Come back at once while images are on their way, if the one who asks will ask again."""
    if module.params["token"] is None:
        return
    courier = Courier(library, module.params["token"])
    if outcome.downloads:
        module.exit_json(changed=True, awaiting=courier.fetch(outcome.downloads))
    outcome.arrived = [image for name in courier.arrived() if (image := outcome.images.get(name)) is not None]
    courier.forget()


def run(module: AnsibleModule) -> None:
    """Run the module."""
    params = module.params
    held = _alone(module)
    try:
        backend, libvirt = connect(params["uri"], module.check_mode)
        converger = _converger(backend, params, module.log)
        outcome = converger.plan(params["guests"], params["images"], params["exclusive"])
    except (BackendError, DiskError) as exc:
        module.fail_json(msg=str(exc))
    if problems := [*_parallel(params), *outcome.problems]:
        module.fail_json(**report(in_order(problems)))
    if not module.check_mode:
        try:
            _await_images(module, converger.library, outcome)
            converger.apply(outcome)
        except (BackendError, DiskError, ImageError) as exc:
            module.fail_json(msg=str(exc))
    result = outcome.to_result()
    for entry in result["needs_recreate"]:
        module.warn(
            f"guest {entry['name']}: {', '.join(entry['options'])} cannot change on an existing guest; it stays"
        )
    for step in outcome.steps:
        for name, reason in step.refused.items():
            module.warn(f"guest {step.name}: {name} changes at its next boot; now it could not: {reason}")
    if outcome.failures:
        count = "1 guest is" if len(outcome.failures) == 1 else f"{len(outcome.failures)} guests are"
        msg = f"{count} not as asked for:\n{outcome.failure()}"
        module.fail_json(msg=msg, failed_guests=outcome.failures, **result)
    if held is not None:
        held.close()
    module.exit_json(libvirt=libvirt, **result)


def main() -> None:
    """Run the module."""
    # Ansible's own class, whose constructor has no types
    module = GuestModule(argument_spec=SPEC, supports_check_mode=True)  # type: ignore[no-untyped-call]
    _with_libvirt()
    run(module)
