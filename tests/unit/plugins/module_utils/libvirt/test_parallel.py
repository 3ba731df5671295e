# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many guests start at once, and which of them wait for others."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest


@pytest.fixture
def starts(host, monkeypatch):
    """Starts that take their time; each of a batch waits until the whole batch is under way."""
    this = SimpleNamespace(now=set(), most=0, seen=[], batch=threading.Barrier(1))
    lock, start = threading.Lock(), host.backend.start

    def slow(name):
        with lock:
            this.now.add(name)
            this.seen.append((name, frozenset(host.backend.live)))
            this.most = max(this.most, len(this.now))
        # Broken, and the start with it, when not so many are let in
        this.batch.wait(30)
        time.sleep(0.02)
        with lock:
            start(name)
            this.now.remove(name)

    monkeypatch.setattr(host.backend, "start", slow)
    return this


@pytest.mark.parametrize("parallel", [1, 2, 3])
def test_so_many_at_once_and_no_more(host, guest, starts, parallel):
    starts.batch = threading.Barrier(parallel)
    names = [f"g{number}" for number in range(6)]
    assert host.converge(*map(guest, names), parallel=parallel).failures == {}
    assert set(host.backend.live) == set(names)
    assert starts.most == parallel


def test_what_others_depend_on_is_up_before_them_however_many_may_start(host, guest, starts):
    needs = {"a": [], "b": [], "c": ["a"], "d": ["a", "b"], "e": ["d"], "f": ["c", "e"]}
    entries = [guest(name, depends=depends) for name, depends in reversed(needs.items())]
    assert host.converge(*entries, parallel=6).failures == {}
    assert len(starts.seen) == len(needs)
    assert all(set(needs[name]) <= up for name, up in starts.seen)
    # Not one after the other, where nothing says so
    assert starts.most == 2
