# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the monitor's tests that runs inside a throw-away host: compile configurations, print the scripts.

The case is a JSON list of lists: mode, options, whether there is a third uplink.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmark"))

from failover_net import shorewall_files


def main() -> None:
    place = Path("/etc/shorewall")
    conf = Path("/usr/share/shorewall/configfiles/shorewall.conf").read_text(encoding="utf-8")
    scripts = []
    place.mkdir(exist_ok=True)
    for mode, options, third in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        for name, text in shorewall_files(conf, mode, options, third).items():
            (place / name).write_text(text, encoding="utf-8")
        done = subprocess.run(["shorewall", "compile", "/tmp/fw"], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        scripts.append(
            {"script": Path("/tmp/fw").read_text(encoding="utf-8"), "providers": (place / "providers").read_text()}
        )
    sys.stdout.write(json.dumps(scripts))


if __name__ == "__main__":
    main()
