# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traffic of a station until its input ends: long conversations and a steady stream of new connections.

Usage: flows.py CONVERSATIONS CONNECTIONS_PER_SECOND. Prints one JSON object; all times are of the monotonic clock.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import sys
import time
from typing import Any

REQUEST = b"GET / HTTP/1.1\r\nHost: flows.example\r\n\r\n"
EVERY = 0.25
PATIENCE = 20.0
CONNECT = 3.0


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    """Ask the lab's web server once; returns under which address it sees us."""
    writer.write(REQUEST)
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    body = await reader.readexactly(int(length[1]) if length else 0)
    return dict(line.split("=", 1) for line in body.decode().splitlines()).get("client", "")


async def converse(address: str, record: dict[str, Any]) -> None:
    """Hold one connection and ask again and again, until it breaks."""
    record.update(address=address, client="", asked=0, answered=0, worst=0.0, ended="", at=0.0)
    writer = None
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(address, 80)
        while True:
            begun = time.monotonic()
            record["asked"] += 1
            async with asyncio.timeout(PATIENCE):
                record["client"] = await ask(reader, writer)
            record["answered"] += 1
            record["worst"] = max(record["worst"], time.monotonic() - begun)
            await asyncio.sleep(EVERY)
    except asyncio.CancelledError:
        # Whoever waits for its answer when all is over was not cut off
        record["asked"] = record["answered"]
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        record.update(ended=type(error).__name__, at=time.monotonic())
    finally:
        if writer is not None:
            writer.close()


async def connect(address: str, records: list[list[Any]]) -> None:
    """Make one connection, ask once, and end it."""
    begun, client, writer = time.monotonic(), "", None
    try:
        async with asyncio.timeout(CONNECT):
            reader, writer = await asyncio.open_connection(address, 80)
        async with asyncio.timeout(CONNECT):
            client = await ask(reader, writer)
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        pass
    except asyncio.CancelledError:
        return
    finally:
        if writer is not None:
            writer.close()
    records.append([begun, client, time.monotonic() - begun])


async def main(conversations: int, rate: float) -> None:
    """Run until the input ends."""
    flows: list[dict[str, Any]] = [{} for _unused in range(conversations)]
    fresh: list[list[Any]] = []
    tasks = {asyncio.create_task(converse(f"203.1.{number}.1", record)) for number, record in enumerate(flows)}
    over = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for number in itertools.count():
        if over.done():
            break
        task = asyncio.create_task(connect(f"203.2.{number % 250}.{number // 250 % 250 + 1}", fresh))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        await asyncio.sleep(1 / rate)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=5)
    json.dump({"flows": flows, "fresh": sorted(fresh)}, sys.stdout)


asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
