# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Networks for the filters, on netaddr, which the controller needs and no managed host does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleFilterError

if TYPE_CHECKING:
    from netaddr import IPNetwork


def cidr(text: Any) -> IPNetwork:
    """Return the network of an address with its prefix length; without one it is the address alone.

    Raises:
        AnsibleFilterError: netaddr is not installed on the controller.
    """
    # At use, so that the filters' documentation can be read without it.
    try:
        from netaddr import IPNetwork
    except ImportError as error:
        raise AnsibleFilterError("netaddr is missing on the controller: pip install netaddr") from error
    return IPNetwork(str(text)).cidr
