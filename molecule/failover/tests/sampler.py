# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Note every 50 ms what the firewall's policies are and which links are up: one JSON line each.

Runs on the host from early boot on. The kernel is asked through the library, because a program for each sample would
be most of the load.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time

JSON_OUTPUT = 1 << 4
LINK_UP = 1
CHAINS = [(family, hook) for family in ("ip", "ip6") for hook in ("input", "forward")]


def library() -> ctypes.CDLL:
    """The library of nft, with its types."""
    nft = ctypes.CDLL("libnftables.so.1")
    nft.nft_ctx_new.restype = nft.nft_ctx_get_output_buffer.restype = ctypes.c_void_p
    nft.nft_ctx_get_output_buffer.restype = ctypes.c_char_p
    for function in (nft.nft_ctx_output_set_flags, nft.nft_ctx_buffer_output, nft.nft_ctx_get_output_buffer):
        function.argtypes = [ctypes.c_void_p] + ([ctypes.c_uint] if function is nft.nft_ctx_output_set_flags else [])
    nft.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    return nft


def main() -> None:
    """Sample until killed."""
    nft = library()
    context = nft.nft_ctx_new(0)
    nft.nft_ctx_output_set_flags(context, JSON_OUTPUT)
    nft.nft_ctx_buffer_output(context)
    while True:
        now = time.monotonic()
        policies = dict.fromkeys(CHAINS, "accept")
        failed = nft.nft_run_cmd_from_buffer(context, b"list chains")
        listed = json.loads(nft.nft_ctx_get_output_buffer(context) or "{}").get("nftables", [])
        for chain in (entry["chain"] for entry in listed if "chain" in entry):
            place = (chain["family"], chain.get("hook"))
            if chain["table"] == "filter" and place in policies:
                policies[place] = chain.get("policy", "accept")
        links = [name for name in os.listdir("/sys/class/net") if name != "lo" and is_up(name)]
        if not failed:
            sys.stdout.write(json.dumps([round(now, 3), list(policies.values()), links]) + "\n")
            sys.stdout.flush()
        time.sleep(max(0.0, now + 0.05 - time.monotonic()))


def is_up(name: str) -> bool:
    """Whether a link is switched on; not one that is gone by now."""
    try:
        with open(f"/sys/class/net/{name}/flags", encoding="ascii") as flags:
            return bool(int(flags.read(), 16) & LINK_UP)
    except OSError:
        return False


main()
