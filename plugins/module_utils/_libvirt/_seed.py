# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""The cloud-init seed of a guest (NoCloud): who it is and who may log in.

The documents are JSON, which is YAML, so that nothing here depends on a YAML library or on how one wraps a line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._iso import files_of, image

USER_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "ssh_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
    "sudo": {"type": "bool", "default": True},
    "groups": {"type": "list", "elements": "str", "default": []},
    "shell": {"type": "str", "default": "/bin/bash"},
}


def _user(user: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "name": user["name"],
        "shell": user.get("shell") or "/bin/bash",
        "lock_passwd": True,
        "ssh_authorized_keys": [key.strip() for key in user.get("ssh_keys") or []],
    }
    if user.get("groups"):
        result["groups"] = list(user["groups"])
    if user.get("sudo", True):
        result["sudo"] = "ALL=(ALL) NOPASSWD:ALL"
    return result


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def seed(
    instance: str,
    hostname: str,
    fqdn: str | None,
    users: Sequence[Mapping[str, Any]],
    user_data: Mapping[str, Any] | None = None,
    network_config: Mapping[str, Any] | None = None,
    meta_data: Mapping[str, Any] | None = None,
) -> bytes:
    """Return the seed image. A key of user_data or meta_data replaces ours of that name.

    Without network_config cloud-init asks for a lease on the first interface, in the way that distribution does it.
    """
    config: dict[str, Any] = {"hostname": hostname}
    if fqdn:
        config["fqdn"] = fqdn
    if users:
        config["users"] = [_user(user) for user in users]
    config.update(user_data or {})
    files = {
        "meta-data": _json({"instance-id": instance, "local-hostname": hostname, **(meta_data or {})}),
        "user-data": b"#cloud-config\n" + _json(config),
    }
    if network_config:
        files["network-config"] = _json(network_config)
    return image("cidata", files)


def options_of(content: bytes) -> dict[str, Any]:
    """Return the options that make a seed of ours the same again; none for one that others made."""
    files = files_of(content)
    try:
        documents = {name: json.loads(text.decode().removeprefix("#cloud-config\n")) for name, text in files.items()}
    except ValueError:
        return {}
    names = {"user-data": "user_data", "meta-data": "meta_data", "network-config": "network_config"}
    return {option: documents[name] for name, option in names.items() if name in documents}


def digest(content: bytes | None) -> str | None:
    """Return what a diff shows of a seed: enough to tell two apart, and no secret."""
    return None if content is None else f"sha256:{hashlib.sha256(content).hexdigest()[:12]}"
