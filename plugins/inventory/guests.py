# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: guests
author: ["ursa.kvmnet contributors (@ursa-kvmnet)"]
version_added: 0.1.0
short_description: The guests of all KVM hosts as inventory hosts
description:
  - Makes an inventory host of each guest in C(kvmnet_guests) of the hosts of a group, from the inventory alone; no host
    is asked. Right after P(ursa.kvmnet.kvm_guests#role) has made them, C(ansible guests -m ping) reaches them.
  - C(ansible_host) is the guest's reservation, or its name in its network's domain where it has none. SSH goes through
    its KVM host, as that is reached itself, whatever inventory says so.
  - C(ansible_user) is the first user that the guest has, of its own C(users) or of C(kvmnet_users).
  - A guest is in the groups V(guests), V(guests_of_HOST), V(network_NETWORK) for each of its cards, and V(image_IMAGE),
    with the characters that a group's name cannot have replaced by underscores. It has the variables C(kvmnet_host),
    C(kvmnet_network), C(kvmnet_image), C(kvmnet_address) and C(kvmnet_mac).
  - The file's name must end in V(kvmnet_guests.yml) or V(kvmnet_guests.yaml). It must be read after the hosts, so in a
    directory its name must come after theirs.
options:
  plugin:
    description:
      - The plugin's name.
    type: str
    required: true
    choices: [ursa.kvmnet.guests]
  hosts:
    description:
      - The group of KVM hosts.
    type: str
    default: kvm_hosts
  group:
    description:
      - The group that all guests are in.
    type: str
    default: guests
"""

EXAMPLES = r"""
# kvmnet_guests.yml
plugin: ursa.kvmnet.guests
"""

from typing import Any

from ansible.errors import AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.inventory.group import to_safe_group_name
from ansible.inventory.host import Host
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible.template import trust_as_template
from ansible.utils.vars import combine_vars
from ansible.vars.plugins import get_vars_from_inventory_sources

from ansible_collections.ursa.kvmnet.plugins.filter.guests import cards, guest_records


class InventoryModule(BaseInventoryPlugin):
    NAME = "ursa.kvmnet.guests"

    def verify_file(self, path: str) -> bool:
        return super().verify_file(path) and path.endswith(("kvmnet_guests.yml", "kvmnet_guests.yaml"))

    def parse(self, inventory: InventoryData, loader: DataLoader, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        self._data, self._loader = inventory, loader
        group = inventory.groups.get(self.get_option("hosts"))
        self._group = inventory.add_group(self.get_option("group"))
        for host in [] if group is None else group.get_hosts():
            for name in ("kvmnet_guests", "kvmnet_networks", "kvmnet_users"):
                self._check(host, name)
            self._add_guests(host)

    def _variables(self, host: Host) -> dict[str, Any]:
        """Return what a host's variables will be, its groups' included, which have not been read yet."""
        sources = self._data.processed_sources
        groups = sorted({*host.get_groups(), self._data.groups["all"]}, key=lambda group: (group.depth, group.name))
        found: dict[str, Any] = {}
        for entity in (*groups, host):
            found = combine_vars(found, entity.get_vars())
            found = combine_vars(found, get_vars_from_inventory_sources(self._loader, sources, [entity], "all"))
        return found

    def _value(self, host: Host, name: str) -> Any:
        variables = self._variables(host)
        self.templar.available_variables = variables
        return self.templar.template(variables.get(name))

    def _check(self, host: Host, name: str) -> None:
        value = self._value(host, name)
        if value is not None and not (isinstance(value, list) and all(isinstance(row, dict) for row in value)):
            raise AnsibleParserError(f"{host.name}: {name} must be a list of entries")

    def _add_guests(self, host: Host) -> None:
        guests = [guest for guest in self._value(host, "kvmnet_guests") or [] if guest.get("state") != "absent"]
        users = self._value(host, "kvmnet_users") or []
        try:
            records = guest_records(guests, self._value(host, "kvmnet_networks")) or []
        except KeyError as exc:
            raise AnsibleParserError(f"{host.name}: kvmnet_guests or kvmnet_networks: an entry has no {exc}") from exc
        for record in records:
            self._add_guest(host.name, record, users)

    def _add_guest(self, host: str, record: dict[str, Any], users: list[dict[str, Any]]) -> None:
        name, image = record["name"], record["options"].get("image")
        if self._data.get_host(name) is not None:
            raise AnsibleParserError(f"{host}: {record['source']}: {name} is the name of another host")
        self._data.add_host(name, group=self._group)
        address = record["address"] or (f"{name}.{record['domain']}" if record["domain"] else None)
        login = (record["options"].get("users") or users or [{}])[0].get("name")
        variables = {
            "ansible_host": address,
            "ansible_user": login,
            "ansible_ssh_common_args": trust_as_template(f"{{{{ hostvars[{host!r}] | ursa.kvmnet.ssh_jump }}}}"),
            "kvmnet_host": host,
            "kvmnet_network": record["network"],
            "kvmnet_image": image,
            "kvmnet_address": record["address"],
            "kvmnet_mac": record["mac"],
        }
        for key, value in variables.items():
            if value is not None:
                self._data.set_variable(name, key, value)
        networks = [f"network_{card['network']}" for card in cards([record])]
        for group in (f"guests_of_{host}", *networks, *([f"image_{image}"] if image else [])):
            safe = self._data.add_group(to_safe_group_name(group, force=True, silent=True))
            self._data.add_child(safe, name)
