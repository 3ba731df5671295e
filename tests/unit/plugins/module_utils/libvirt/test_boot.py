# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guests' order when the host boots."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt import _starter, _xml
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._boot import UNIT, Boot

from ._runs import unchanged


@pytest.fixture
def systemctl(host):
    """A host that keeps the order; what systemctl was told."""
    told = []
    wants = host.path / "root/etc/systemd/system/multi-user.target.wants"

    def run(command):
        told.append(command[1])
        if command[1] == "enable":
            wants.mkdir(parents=True, exist_ok=True)
            (wants / UNIT).unlink(missing_ok=True)
            (wants / UNIT).symlink_to(f"../{UNIT}")
        elif command[1] == "disable":
            (wants / UNIT).unlink()

    host.boot = Boot(str(host.path / "root"), run)
    return told


def files(host):
    return sorted(path.name for path in (host.path / "root").rglob("*") if path.is_file() and not path.is_symlink())


class TestFiles:
    def test_no_order_needs_nothing(self, host, guest, systemctl):
        host.converge(guest("web"), guest("db"))
        assert (files(host), systemctl) == ([], [])

    @pytest.mark.parametrize("order", [{"start_order": -1}, {"start_delay": 3}, {"depends": ["db"]}])
    def test_an_order_brings_the_unit_and_its_end_takes_it_away(self, host, guest, systemctl, order):
        predicted = host.converge(guest("web", **order), guest("db"), apply=False).plan().lines()
        assert (files(host), systemctl) == ([], [])
        entries = (guest("web", **order), guest("db"))
        assert host.converge(*entries).plan().lines() == predicted
        assert f"+ unit {UNIT}: create, starts guests in their order" in predicted
        assert files(host) == ["kvmnet-guests.conf", UNIT, "start-guests"]
        unchanged(host, *entries)
        # Of a guest that is not listed it stays, as the guest does
        unchanged(host, guest("db"))
        host.converge(guest("web"), guest("db"))
        assert (files(host), systemctl) == ([], ["enable", "disable", "daemon-reload"])
        unchanged(host, guest("web"), guest("db"))

    def test_it_goes_with_the_last_guest_that_has_one(self, host, guest, systemctl):
        host.converge(guest("web", start_order=1), guest("db"))
        host.converge(guest("db"), exclusive=True, on_timeout="destroy")
        assert files(host) == []

    def test_another_version_of_it_is_replaced(self, host, guest, systemctl):
        host.converge(guest("web", start_order=1))
        program = host.path / "root/usr/local/lib/kvmnet/start-guests"
        program.write_text("old")
        outcome = host.converge(guest("web", start_order=1))
        assert [change.action for change in outcome.plan().changes] == ["change"]
        unchanged(host, guest("web", start_order=1))

    def test_the_program_needs_nothing_of_ours(self, host, guest, systemctl):
        """It says that there is no libvirt where there is none, instead of an error of its own."""
        host.converge(guest("web", start_order=1))
        program = host.path / "root/usr/local/lib/kvmnet/start-guests"
        code = "import sys; sys.modules['libvirt'] = None; exec(compile(open(sys.argv[1]).read(), 'x', 'exec'))"
        done = subprocess.run(
            [sys.executable, "-I", "-c", code, str(program)], capture_output=True, text=True, check=False
        )
        assert "import of libvirt halted" in done.stderr


class RefusedError(Exception):
    pass


class Domain:
    def __init__(self, xml, log, autostart=True, active=False, broken=False):
        self.xml, self.log, self.starts, self.active, self.broken = xml, log, autostart, active, broken

    def name(self):
        return _xml.parse(self.xml).findtext("name")

    # As libvirt calls it
    def XMLDesc(self):  # noqa: N802
        return self.xml

    def autostart(self):
        return self.starts

    def isActive(self):  # noqa: N802
        return self.active

    def create(self):
        if self.broken:
            raise RefusedError("no disk")
        self.log.append(self.name())


class TestStart:
    def start(self, host, monkeypatch, **kinds):
        """Boot the host that the fake hypervisor describes."""
        log = []
        monkeypatch.setattr(_starter.time, "sleep", log.append)
        domains = [
            Domain(_xml.serialise(root), log, autostart=name in host.backend.autostart, **kinds.get(name, {}))
            for name, root in host.backend.persistent.items()
        ]
        connection = type("Connection", (), {"listAllDomains": lambda self: domains})()
        return _starter.start(connection, RefusedError), [entry for entry in log if entry != 0]

    def test_in_their_order_with_their_delays(self, host, guest, monkeypatch):
        host.converge(
            guest("last", start_order=5),
            guest("app", depends=["db"]),
            guest("db", start_delay=3),
            guest("early", start_order=-1, start_delay=2),
            guest("manual", autostart=False, start_order=-9),
        )
        assert self.start(host, monkeypatch) == ([], ["early", 2, "db", 3, "app", "last"])
        # What runs already is left alone, and nothing waits for it
        failed, log = self.start(host, monkeypatch, early={"active": True}, db={"active": True})
        assert (failed, log) == ([], ["app", "last"])

    def test_what_depends_on_a_guest_that_does_not_start_is_not_started(self, host, guest, monkeypatch, capsys):
        host.converge(guest("app", depends=["db"]), guest("db"), guest("top", depends=["app"]), guest("web"))
        assert self.start(host, monkeypatch, db={"broken": True}) == (["db", "app", "top"], ["web"])
        assert "app is not started: it depends on db\n" in capsys.readouterr().out


@pytest.mark.parametrize("failing", ["open", "listAllDomains", "isActive"])
def test_a_libvirt_that_goes_away_is_asked_again(monkeypatch, capsys, failing):
    """The unit is started again after every end but 1, which is that of guests that do not start."""

    def answers(name, value):
        def answer(*_unused):
            if name == failing:
                raise RefusedError("the connection is gone")
            return value

        return answer

    domain = Domain("<domain><name>web</name></domain>", [])
    domain.isActive = answers("isActive", False)
    connection = SimpleNamespace(listAllDomains=answers("listAllDomains", [domain]))
    library = {"open": answers("open", connection), "libvirtError": RefusedError}
    library["registerErrorHandler"] = lambda *_unused: None
    monkeypatch.setitem(sys.modules, "libvirt", SimpleNamespace(**library))
    assert _starter.main() not in (0, 1)
    assert capsys.readouterr().out == "libvirt does not answer: the connection is gone\n"
