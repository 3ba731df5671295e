# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server of images as bad as the internet: slow, or gone half way.

Usage: python3 image_server.py DIRECTORY ADDRESS PORT. /NAME is a file; /KIB/NAME the same at so many KiB in a second;
/cut/NAME half of it, and then the connection ends.
"""

from __future__ import annotations

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CHUNK = 1 << 16


class Images(BaseHTTPRequestHandler):
    """Serves one directory."""

    directory = Path()

    def do_GET(self) -> None:
        """Answer."""
        how, _slash, name = self.path.strip("/").rpartition("/")
        try:
            content = (self.directory / Path(name).name).read_bytes()
        except OSError:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        end = len(content) // 2 if how == "cut" else len(content)
        for start in range(0, end, CHUNK):
            self.wfile.write(content[start : min(end, start + CHUNK)])
            if how.isdigit():
                time.sleep(CHUNK / 1024 / int(how))

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: who downloads says how it goes."""


def main() -> None:
    Images.directory = Path(sys.argv[1])
    ThreadingHTTPServer((sys.argv[2], int(sys.argv[3])), Images).serve_forever()


if __name__ == "__main__":
    main()
