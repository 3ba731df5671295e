# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host that obeys its networkd files and the steps of an outcome, so that plans can be run to their end."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge import (
    _links,
    _model,
    _networkd,
    _port_model,
    _ports,
    _state,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._kernel import DefaultRoute, Link

FLAGS = {
    "Isolated": ("isolated", "yes"),
    "HairPin": ("hairpin", "yes"),
    "Learning": ("learning", "yes"),
    "UseBPDU": ("guard", "no"),
    "AllowPortToBeRoot": ("root_block", "no"),
}


class FakeHost(_state.Host):
    """A Debian host with two network cards; C(take) does what the applier would do."""

    @classmethod
    def fresh(cls, **changes: Any) -> FakeHost:
        host = cls()
        host.links = {
            "lo": Link("lo", up=True),
            "eth0": Link("eth0", up=True, carrier=True, addresses=("172.20.1.130/24",)),
            "eth1": Link("eth1"),
        }
        host.routes = [DefaultRoute("eth0", "172.20.1.1", 254)]
        host.files = {
            "/etc/systemd/network/80-wire-eth0.network": "[Match]\nName=eth0\n[Network]\nGateway=172.20.1.1\n"
        }
        for key, value in changes.items():
            setattr(host, key, value)
        return host

    def links_of(self, bridges: Any = None, uplinks: Any = None, exclusive: bool = False) -> _state.Outcome:
        """Plan the bridge module's call."""
        wanted = _model.normalise_links(bridges, uplinks, "machine")
        return _links.plan_links(wanted, self, exclusive).close()

    def ports_of(self, ports: Any, exclusive: Any = (), staged: dict[str, str] | None = None) -> _state.Outcome:
        """Plan the bridge_port module's call."""
        out = _state.Outcome()
        files = {**self.files, **(staged or {})}
        normalised = _port_model.normalise_ports(ports, self.version, out.problems)
        return _ports.plan_ports(
            normalised,
            self,
            exclusive,
            known=lambda name: _networkd.netdev_path(name) in files,
            staged=lambda path: files.get(path, ""),
            out=out,
        ).close()

    def take(self, out: _state.Outcome) -> FakeHost:
        """Carry an outcome out: files, then steps in their order."""
        assert out.problems == []
        for path, text in out.files.items():
            if text is None:
                del self.files[path]
            else:
                self.files[path] = text
        for kind, key, _order, args in sorted(out.steps, key=lambda step: step[2]):
            if kind == "networkd":
                self._networkd()
                assert [name for name in args.get("links", ()) if name not in self.links] == []
            elif kind == "ip":
                for line in args["lines"]:
                    self._ip(line.split())
            elif kind == "unit":
                assert (key, args) == (_state.NETWORKD_UNIT, {"action": "enable"})
                self.enabled = True
            elif kind == "command" and args["argv"][:3] == ["ip", "link", "delete"]:
                del self.links[args["argv"][4]]
            elif kind == "command" and key.startswith("make "):
                name, parent, mac = args["argv"][4:7]
                info = {"mode": "bridge"}
                self.links.setdefault(name, Link(name, kind="macvlan", parent=parent, mac=mac, info=info))
                self._configure()
        return self

    def _networkd(self) -> None:
        """Make the links that are missing, as networkd does; what exists keeps what a .netdev says."""
        for path, text in sorted(self.files.items()):
            values = {(setting.section, setting.key): setting.value for setting in _networkd.parse(text)}
            name = values.get(("NetDev", "Name"), "")
            if not path.endswith(".netdev") or name in self.links:
                continue
            if values["NetDev", "Kind"] == "macvlan":
                self._macvlan(name, values["NetDev", "MACAddress"])
                continue
            if values["NetDev", "Kind"] == "bridge":
                info: dict[str, Any] = {
                    "stp_state": int(values["Bridge", "STP"] == "yes"),
                    "forward_delay": int(values["Bridge", "ForwardDelaySec"]) * 100,
                    "priority": int(values.get(("Bridge", "Priority"), 32768)),
                    "mcast_snooping": 1,
                }
                self.links[name] = Link(name, kind="bridge", mac=values["NetDev", "MACAddress"], info=info)
            else:
                info = {"type": "tap", "multi_queue": values["Tap", "MultiQueue"] == "yes"}
                info |= {key.lower(): values["Tap", key] for key in ("User", "Group") if ("Tap", key) in values}
                self.links[name] = Link(name, kind="tun", info=info)
        self._configure()

    def _configure(self) -> None:
        for path, text in sorted(self.files.items()):
            if path.endswith(".network") and _networkd.owner(text):
                self._network(_networkd.parse(text))

    def _macvlan(self, name: str, mac: str) -> None:
        """Make a macvlan where the file of what it stands on says so."""
        for text in self.files.values():
            settings = _networkd.parse(text)
            if any((setting.key, setting.value) == ("MACVLAN", name) for setting in settings):
                parent = next(setting.value for setting in settings if setting.key == "Name")
                if parent in self.links:
                    info = {"mode": "bridge"}
                    self.links[name] = Link(name, kind="macvlan", parent=parent, mac=mac, info=info)

    def _network(self, settings: list[_networkd.Setting]) -> None:
        values = {(setting.section, setting.key): setting.value for setting in settings}
        name = values["Match", "Name"]
        if name not in self.links:
            return
        link = replace(self.links[name], up=True)
        addresses = tuple(setting.value for setting in settings if setting.key == "Address")
        link = replace(link, addresses=addresses, mtu=int(values.get(("Link", "MTUBytes"), link.mtu)))
        if ("Network", "Bridge") in values:
            port = {ours: (values["Bridge", theirs] == yes) for theirs, (ours, yes) in FLAGS.items()}
            numbers = [key for key in ("Cost", "Priority") if ("Bridge", key) in values]
            port |= {key.lower(): int(values["Bridge", key]) for key in numbers}
            link = replace(link, master=values["Network", "Bridge"], port=port, addresses=())
        self.links[name] = link
        if ("Route", "Gateway") in values:
            self.routes = [route for route in self.routes if route.device != name]
            table = int(values.get(("Route", "Table"), 254))
            self.routes.append(DefaultRoute(name, values["Route", "Gateway"], table))

    def _ip(self, words: list[str]) -> None:
        """Run a line; one that the kernel would refuse fails the test."""
        if words[:2] == ["link", "delete"]:
            del self.links[words[3]]
        elif words[:3] == ["link", "set", "dev"]:
            link = self.links[words[3]]
            for key, value in pairwise(words[4:]):
                if key == "master":
                    assert self.links[value].kind == "bridge"
                    link = replace(link, master=value)
                elif key == "address":
                    link = replace(link, mac=value)
                elif key == "mtu":
                    link = replace(link, mtu=int(value))
                elif key == "stp_state":
                    link = replace(link, info={**link.info, "stp_state": int(value)})
                elif key == "forward_delay":
                    assert int(value) or not link.info["stp_state"], "the kernel answers ERANGE"
                    link = replace(link, info={**link.info, "forward_delay": int(value)})
                elif key in ("isolated", "hairpin", "learning", "guard", "root_block"):
                    assert link.master, "only a port has flags"
                    link = replace(link, port={**link.port, key: value == "on"})
                elif key in ("cost", "priority") and words[5] == "bridge_slave":
                    link = replace(link, port={**link.port, key: int(value)})
            if "nomaster" in words:
                link = replace(link, master=None, port={})
            if "up" in words:
                link = replace(link, up=True)
            self.links[words[3]] = link
        elif words[:2] == ["address", "replace"]:
            link = self.links[words[-1]]
            self.links[words[-1]] = replace(link, addresses=tuple(dict.fromkeys((*link.addresses, words[2]))))
        elif words[:2] == ["route", "flush"]:
            self.routes = [route for route in self.routes if (route.device, route.table) != (words[-1], 254)]
        elif words[:2] == ["route", "replace"]:
            self.routes.append(DefaultRoute(words[6], words[4], 254))
        else:
            pytest.fail(f"unknown line {words}")


@pytest.fixture(name="host")
def fixture_host() -> FakeHost:
    return FakeHost.fresh()
