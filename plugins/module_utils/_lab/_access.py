# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""How Ansible and people get into the lab: a key, an ssh_config, an inventory that overlays the real one."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._lab._steps import fingerprint, namespace
from ansible_collections.ursa.kvmnet.plugins.module_utils._lab._system import run, write_file

NOTE = "# Written by the lab, of this inventory's lab only; rewritten with it.\n"


def owner_of(lab_dir: Path) -> tuple[int, int]:
    """Whose checkout this is: the lab's builder is root, its user may be somebody else."""
    status = os.stat(lab_dir.parent)
    return status.st_uid, status.st_gid


def ensure_key(lab_dir: Path) -> str:
    """The lab's key pair; returns the public half."""
    key = lab_dir / "id_ed25519"
    if not key.exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "kvmnet-lab", "-f", str(key)])
        for path in (key, key.with_suffix(".pub")):
            os.chown(path, *owner_of(lab_dir))
    return key.with_suffix(".pub").read_text(encoding="utf-8").strip()


def connect_script() -> str:
    """The only way to a host of the lab: through the controller's namespace."""
    command = f'ip netns exec {namespace("controller")} nc "$1" "$2"'
    return (
        "#!/bin/sh\n"
        f"{NOTE}"
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
        f'[ "$(id -u)" = 0 ] || exec sudo -n {command}\n'
        f"exec {command}\n"
    )


def ssh_config(lab_dir: Path, machines: Sequence[Mapping[str, Any]]) -> str:
    """With "Host *", so that not even a mistyped name makes a connection that leaves this machine."""
    lines = [NOTE.strip()]
    for machine in machines:
        lines += [f"Host {machine['name']}", f"  HostName {machine['address']}"]
    lines += [
        "Host *",
        "  User admin",
        f'  IdentityFile "{lab_dir}/id_ed25519"',
        "  IdentitiesOnly yes",
        f'  UserKnownHostsFile "{lab_dir}/known_hosts"',
        "  GlobalKnownHostsFile /dev/null",
        "  StrictHostKeyChecking yes",
        "  ConnectTimeout 10",
        # A host whose plug was pulled never says goodbye
        "  ServerAliveInterval 5",
        "  ServerAliveCountMax 3",
        f"  ProxyCommand {shlex.quote(str(lab_dir / 'connect'))} %h %p",
        "",
    ]
    return "\n".join(lines)


def host_vars(lab_dir: Path, machine: Mapping[str, Any], public_key: str) -> dict[str, Any]:
    """What the lab's inventory says of one host; it wins over the inventory that the lab is a twin of."""
    values = {
        "ansible_user": "admin",
        "ansible_become": True,
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_common_args": f"-F {shlex.quote(str(lab_dir / 'ssh_config'))}",
        # Two labs have the same addresses; one must not talk through the other's connection
        "ansible_control_path": f"%(directory)s/{fingerprint(str(lab_dir))[:10]}-{machine['name']}",
        **machine["host_vars"],
    }
    if machine["guest_images"]:
        values["kvmnet_users"] = [{**user, "ssh_keys": [public_key]} for user in machine["users"]]
    return values


def write_access(
    lab_dir: Path, machines: Sequence[Mapping[str, Any]], host_keys: Mapping[str, str], write: bool
) -> list[str]:
    """The names of the files that differ, and now no longer if written."""
    public_key = ensure_key(lab_dir)
    hosts: dict[str, Any] = {"all": {"hosts": {m["name"]: {} for m in machines}}}
    known = "".join(f"{m['name']},{m['address']} {host_keys[m['name']]}\n" for m in machines)
    files = {
        "connect": (connect_script(), 0o755),
        "ssh_config": (ssh_config(lab_dir, machines), 0o644),
        "known_hosts": (known, 0o644),
        "inventory.yml": (f"---\n{NOTE}{json.dumps(hosts, indent=2)}\n", 0o644),
    }
    for machine in machines:
        values = json.dumps(host_vars(lab_dir, machine, public_key), indent=2)
        files[f"host_vars/{machine['name']}.yml"] = (f"---\n{NOTE}{values}\n", 0o644)
    stale = [f"host_vars/{p.name}" for p in (lab_dir / "host_vars").glob("*.yml")]
    stale = [name for name in stale if name not in files]
    owner = owner_of(lab_dir)
    written = [n for n, (text, mode) in files.items() if write_file(lab_dir / n, text, mode, owner, write)]
    for name in stale if write else []:
        (lab_dir / name).unlink()
    return written + stale
