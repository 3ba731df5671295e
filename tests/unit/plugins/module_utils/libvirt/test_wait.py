# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Until guests are up, in their order; and where one hangs."""

from __future__ import annotations

import socket

from ._runs import unchanged


class TestWait:
    def entry(self, guest, **options):
        return guest("web", wait_for=["lease"], address="192.0.2.1", **options)

    def test_a_lease_of_an_earlier_boot_does_not_count(self, host, guest):
        host.converge(self.entry(guest))
        host.silent = {"web"}
        host.backend.live.clear()
        outcome = host.converge(self.entry(guest))
        assert "52:54:00:00:00:3e on tap-web has no lease" in outcome.failures["web"]

    def test_no_tap(self, host, guest):
        nics = [{"mac": "52:54:00:00:00:3e", "tap": "missing"}]
        outcome = host.converge(self.entry(guest, nics=nics))
        assert "its tap missing is missing on the host" in outcome.failures["web"]

    def test_no_carrier_and_the_console(self, host, guest):
        host.silent = {"web"}
        (host.path / "log" / "web-console.log").write_text("booting\r\n\x1b[0mKernel panic\n")
        outcome = host.converge(self.entry(guest))
        assert outcome.failures["web"].endswith("console's last lines:\n    booting\n    [0mKernel panic")
        host.backend.live.clear()
        host.tap("tap-web")
        (host.links / "tap-web" / "carrier").write_text("0\n")
        nics = [{"mac": "52:54:00:00:00:3e", "tap": "down"}]
        (host.links / "down").mkdir()
        outcome = host.converge(self.entry(guest, nics=nics))
        assert "nothing is attached to its tap down (no carrier)" in outcome.failures["web"]

    def test_an_interrupted_wait_goes_on(self, host, guest):
        host.silent = {"web"}
        host.converge(self.entry(guest))
        assert "has no lease" in host.converge(self.entry(guest)).failures["web"]
        host.silent = set()
        host.backend.on_start("web", ["52:54:00:00:00:3e"])
        assert host.converge(self.entry(guest)).failures == {}
        assert unchanged(host, self.entry(guest)).addresses == {}

    def test_an_address_that_moved_is_pending(self, host, guest):
        host.converge(self.entry(guest))
        moved = {**self.entry(guest), "address": "192.0.2.9"}
        assert unchanged(host, moved).steps[0].pending == ["address"]
        host.addresses["web"] = "192.0.2.9"
        outcome = host.converge({**moved, "restart": "if_needed"})
        assert outcome.plan().lines() == ["~ guest web: change, by a restart", "    address: 192.0.2.1 -> 192.0.2.9"]
        assert outcome.failures == {}

    def test_the_agent_and_a_port(self, host, guest):
        entry = {**self.entry(guest), "wait_for": ["lease", "agent", {"port": 22}], "address": "127.0.0.1"}
        host.addresses["web"] = "127.0.0.1"
        assert "guest agent is not there" in host.converge(entry).failures["web"]
        host.backend.agents = {"web"}
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            assert host.converge({**entry, "wait_for": ["agent", {"port": port}]}).failures == {}
        host.backend.live.clear()
        outcome = host.converge({**entry, "wait_for": ["agent", {"port": port}]})
        assert f"port {port} of 127.0.0.1: connection refused" in outcome.failures["web"]

    def test_order(self, host, guest):
        names = ["last", "mid", "a", "early"]
        host.converge(
            guest("last", depends=["mid"]), guest("mid", depends=["a"]), guest("a"), guest("early", start_order=-1)
        )
        starts = [name for what, name in host.backend.log if what == "start"]
        assert starts == ["early", "a", "mid", "last"]
        assert sorted(starts) == sorted(names)
