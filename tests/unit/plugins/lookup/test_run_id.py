# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import multiprocessing

from ansible_collections.ursa.kvmnet.plugins.lookup.run_id import run_id


def test_every_worker_of_one_run_agrees() -> None:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert set(pool.starmap(run_id, [()] * 4)) == {run_id()}
