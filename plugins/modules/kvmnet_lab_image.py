#!/usr/bin/python
# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kvmnet_lab_image
short_description: Build an image of the lab, once
version_added: "0.1.0"
author:
  - ursa.kvmnet contributors (@ursa-kvmnet)
description:
  - Used by the role P(ursa.kvmnet.lab#role), on the machine that runs Ansible. Installs a host or
    a guest from Debian's packages into a cache.
  - An image is named by a hash of what it is made of. It is there complete or not at all; one that is there is never
    built again.
  - For the lab only; no use on a host.
options:
  name:
    description:
      - V(tiny) is a Debian kernel with a busybox initrd that takes an address by DHCP and answers HTTP.
      - V(debian-12) and V(debian-13) are disk images with cloud-init and an SSH server.
      - Any other name is the root of a host.
    type: str
    required: true
  suite:
    description: Debian suite of a host.
    type: str
    choices: [bookworm, trixie]
  packages:
    description: Packages of a host.
    type: list
    elements: str
  cache_dir:
    description: Absolute path of the directory with the images.
    type: path
    required: true
  mirror:
    description: The Debian mirror to install from.
    type: str
    default: http://deb.debian.org/debian
extends_documentation_fragment:
  - ursa.kvmnet.attributes
  - ursa.kvmnet.attributes.actiongroup
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
seealso:
  - module: ursa.kvmnet.kvmnet_lab
"""

EXAMPLES = r"""
- name: Build the small guest
  ursa.kvmnet.kvmnet_lab_image:
    name: tiny
    cache_dir: /home/me/.cache/ursa.kvmnet
"""

RETURN = r"""
path:
  description: Directory of the image.
  returned: success
  type: str
changes:
  description: What was, or would be, built.
  returned: success
  type: list
  elements: dict
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.ursa.kvmnet.plugins.module_utils._lab._images import build_image, image_path
from ansible_collections.ursa.kvmnet.plugins.module_utils._lab._system import LabFailedError
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Change, Plan


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "suite": {"type": "str", "choices": ["bookworm", "trixie"]},
            "packages": {"type": "list", "elements": "str"},
            "cache_dir": {"type": "path", "required": True},
            "mirror": {"type": "str", "default": "http://deb.debian.org/debian"},
        },
        required_together=[("suite", "packages")],
        supports_check_mode=True,
    )
    image = {key: module.params[key] for key in ("name", "suite", "packages")}
    cache = Path(module.params["cache_dir"])
    path = image_path(cache, image)
    plan = Plan([] if path.exists() else [Change("create", "image", image["name"])])
    try:
        if not module.check_mode:
            build_image(cache, image, module.params["mirror"])
    except LabFailedError as failure:
        module.fail_json(msg=str(failure))
    module.exit_json(path=str(path), **plan.to_result())


if __name__ == "__main__":
    main()
