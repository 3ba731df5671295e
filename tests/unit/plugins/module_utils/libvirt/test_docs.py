# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation of a guest's options and the table that they are declared in say the same."""

from __future__ import annotations

import pytest
import yaml

from ansible_collections.ursa.kvmnet.plugins.doc_fragments.guests import ModuleDocFragment
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._options import BY_NAME, argument_spec

DOCUMENTED = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]["guests"]["suboptions"]
EFFECTS = {
    "live": "while the guest runs",
    "next_boot": "Changes at the guest's next boot.",
    "recreate": "Cannot change on an existing guest.",
}


def as_spec(documented):
    """Return documentation as an argument spec."""
    spec = {}
    for name, option in documented.items():
        row = {key: value for key, value in option.items() if key not in ("description", "suboptions")}
        if "suboptions" in option:
            row["options"] = as_spec(option["suboptions"])
        spec[name] = row
    return spec


def test_the_same_options():
    assert as_spec(DOCUMENTED) == argument_spec()


@pytest.mark.parametrize("name", [name for name in argument_spec() if BY_NAME[name].effect is not None])
def test_when_it_takes_effect(name):
    said = " ".join(DOCUMENTED[name]["description"])
    assert EFFECTS[BY_NAME[name].effect] in said
    assert sum(effect in said for effect in EFFECTS.values()) == 1
