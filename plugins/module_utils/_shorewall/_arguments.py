# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""The modules' arguments, from the schema.

Nothing is required here: what is missing is reported with all other problems, by its inventory key.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import STAGING_OPTIONS
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._columns import FileSpec, Kind
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._config import ROW_FILES
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._family import FAMILIES, IPV4
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._merge import ABSENT, AFTER, BEFORE, STATE
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._rows import COMMENT, INLINE, ORIGIN, SECTION
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._schema import FILES, SCRIPTS
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._schema_ipv6 import ZONE_TYPES

Spec = dict[str, Any]

# What a row takes besides its columns.
_EXTRA: dict[str, Spec] = {
    "providers": {"gateway_mac": {"type": "list", "elements": "str"}, "network": {"type": "str"}},
    "mangle": {"provider": {"type": "str"}, "headers": {"type": "str"}},
}

_FAMILY: Spec = {"family": {"type": "str", "choices": list(FAMILIES), "default": IPV4.name}}


# What a row among those of others takes.
_PLACE: Spec = {
    STATE: {"type": "str", "choices": ["present", ABSENT], "default": "present"},
    BEFORE: {"type": "dict"},
    AFTER: {"type": "dict"},
}


def _argument(kind: Kind) -> Spec:
    if kind.is_list:
        return {"type": "list", "elements": "str"}
    if kind.is_number:
        return {"type": "int"}
    return {"type": "str", "choices": list(kind.choices)} if kind.choices else {"type": "str"}


def row_arguments(spec: FileSpec) -> Spec:
    """Return the arguments of one row of a file."""
    arguments = {name: _argument(kind) for name, kind in spec.options.items()}
    if spec.sections:
        arguments[SECTION] = {"type": "str", "choices": list(spec.sections)}
    if spec.has_comments:
        arguments[COMMENT] = {"type": "str"}
    if spec.has_inline:
        arguments[INLINE] = {"type": "str"}
    return arguments | _EXTRA.get(spec.name, {}) | {ORIGIN: {"type": "str"}}


def _rows(options: Spec) -> Spec:
    return {"type": "list", "elements": "dict", "options": options}


def zone_arguments() -> Spec:
    """Return the arguments of shorewall_zone."""
    interface = row_arguments(FILES["interfaces"])
    part = {"name": interface["interface"], "options": interface["options"]}
    types = list(dict.fromkeys((*FILES["zones"].options["type"].choices, *ZONE_TYPES)))
    zone = row_arguments(FILES["zones"]) | {
        "type": {"type": "str", "choices": types},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "interfaces": _rows(part),
        "hosts": _rows(
            {key: value for key, value in row_arguments(FILES["hosts"]).items() if key not in ("zone", ORIGIN)}
        ),
    }
    return {
        "zones": _rows(zone) | {"required": True},
        "interfaces": _rows(part),
        "exclusive": {"type": "bool", "default": False},
        **_FAMILY,
        **STAGING_OPTIONS,
    }


def config_arguments() -> Spec:
    """Return the arguments of shorewall_config."""
    return {
        **{name: _rows(row_arguments(FILES[name]) | _PLACE) for name in ROW_FILES},
        "exclusive": {"type": "bool", "default": True},
        "params": {"type": "dict"},
        "settings": {"type": "dict"},
        "scripts": {"type": "dict", "options": {name: {"type": "str"} for name in SCRIPTS}},
        "files": {"type": "dict"},
        "ipsets": _rows({"name": {"type": "str"}, "entries": {"type": "list", "elements": "str"}}),
        "pin_gateways": {"type": "bool", "default": True},
        "repin_gateways": {"type": "bool", "default": False},
        "follow_monitor": {"type": "bool", "default": False},
        "service_defaults": {"type": "dict"},
        "closed_boot": {"type": "bool"},
        "management": {
            "type": "dict",
            "options": {
                "sources": {"type": "list", "elements": "str", "required": True},
                "port": {"type": "int", "default": 22},
            },
        },
        **_FAMILY,
        **STAGING_OPTIONS,
    }
