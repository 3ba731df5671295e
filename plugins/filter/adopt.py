# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A firewall that was read on a host, as variables of the role shorewall."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import yaml
from yaml.emitter import ScalarAnalysis

if TYPE_CHECKING:
    from collections.abc import Mapping

# The role's name for an option of the modules, where it is another one.
_NAMES = {"policy": "policies"}
_HEAD = """\
---
# The firewall of {host}, read from the host. It is yours now: edit it, delete what kvmnet_* variables derive.
# See docs/adopt.md.
"""


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as such, and keeps what looks like a template from being one."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent lists too."""
        super().increase_indent(flow, False)

    def analyze_scalar(self, scalar: str) -> ScalarAnalysis:
        """Take tabs for letters in text of several lines: YAML allows them there, and people align by them."""
        plain = super().analyze_scalar(scalar.replace("\t", "_") if "\n" in scalar else scalar)
        if not plain.allow_block:
            return super().analyze_scalar(scalar)
        plain.scalar = scalar
        return plain


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    tag = "!unsafe" if re.search(r"\{[{%#]", text) else "tag:yaml.org,2002:str"
    return dumper.represent_scalar(tag, text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent)


# What IPv6 has no variable of its own for: units and boot are one for both, and its uplinks cannot share an interface.
_IPV4_ALONE = ("service_defaults", "closed_boot", "pin_gateways", "repin_gateways", "follow_monitor")


def shorewall_host_vars(
    configuration: Mapping[str, Any], host: str, configuration6: Mapping[str, Any] | None = None
) -> str:
    """Return what kvmnet_info read as the text of a file of host_vars."""
    # What comes from a host carries tags that YAML does not know.
    plain = json.loads(json.dumps(configuration))
    variables = {f"shorewall_{_NAMES.get(name, name)}": value for name, value in plain.items()}
    # All of the host's settings are read, so none of the role's is laid under them.
    variables["shorewall_base_settings"] = {}
    if configuration6 is not None:
        six = json.loads(json.dumps(configuration6))
        named = {name: value for name, value in six.items() if name not in _IPV4_ALONE}
        variables["shorewall_ipv6"] = True
        variables |= {f"shorewall_ipv6_{_NAMES.get(name, name)}": value for name, value in named.items()}
        variables["shorewall_ipv6_base_settings"] = {}
    body = yaml.dump(variables, Dumper=_Dumper, sort_keys=False, width=140, allow_unicode=True)
    return _HEAD.format(host=json.dumps(str(host))) + body


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Any]:
        """Return its name and function."""
        return {"shorewall_host_vars": shorewall_host_vars}
