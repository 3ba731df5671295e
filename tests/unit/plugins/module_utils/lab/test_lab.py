# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab would do to the machine it runs on, without doing it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._lab import _access, _lab, _machine, _steps, _system
from ansible_collections.ursa.kvmnet.plugins.module_utils._lab._images import host_command, image_path
from ansible_collections.ursa.kvmnet.plugins.module_utils._lab._lab import Lab
from ansible_collections.ursa.kvmnet.plugins.module_utils._lab._machine import Machine
from ansible_collections.ursa.kvmnet.plugins.module_utils._lab._power import Power

ROUTER: dict[str, Any] = {
    "name": "comcast",
    "kind": "router",
    "nics": [
        {"name": "lan", "wire": "w1", "mac": "02:4b:00:00:00:01", "addresses": ["172.20.1.1/24"]},
        {"name": "wan", "wire": "w2", "mac": "02:4b:00:00:00:02", "addresses": ["198.18.0.6/30"]},
    ],
    "routes": ["default via 198.18.0.5 dev wan"],
    "sysctls": {"net.ipv4.ip_forward": "1"},
    "nft": "table ip kvmnet {\n}\n",
    "programs": [],
}
MACHINE: dict[str, Any] = {
    "name": "ursa",
    "image": {"name": "host-bookworm", "suite": "bookworm", "packages": ["systemd"]},
    "machine_id": "0" * 32,
    "address": "172.20.1.130",
    "nics": [{"name": "eth0", "wire": "w1", "mac": "02:4b:00:00:00:03", "addresses": []}],
    "files": {"/etc/systemd/network/80-wire-eth0.network": "[Match]\n"},
    "removed": ["/etc/systemd/system/gone.service"],
    "guest_images": ["tiny"],
    "host_vars": {"kvm_guests_virt_type": "qemu"},
    "users": [{"name": "admin"}],
}
TOPOLOGY: dict[str, Any] = {
    "wires": [{"name": "w1", "label": "172.20.1.0/24"}, {"name": "w2", "label": "line of comcast"}],
    "stations": [ROUTER],
    "machines": [MACHINE],
    "guest_images": ["tiny"],
}


def test_no_command_touches_the_machines_own_network() -> None:
    """Each works inside a namespace of the lab, or makes or removes one, or a cable with both ends in such."""
    record = {"name": "comcast", "cards": ["lan", "wan"]}
    steps = [
        *_steps.make_wires(TOPOLOGY["wires"], with_namespace=True),
        *_steps.make_station(ROUTER),
        *_steps.remove_node(record),
        *_steps.remove_wires(["w1"]),
    ]
    for step in steps:
        argv = step["argv"]
        assert argv[0] == "ip"
        if argv[1] == "-n":
            assert argv[2].startswith("kvmnet-")
        elif argv[1] == "netns":
            assert argv[3].startswith("kvmnet-")
        else:
            for line in step["stdin"].splitlines():
                words = line.split()
                assert words[:2] == ["netns", "add"] or [w for w in words if w == "netns"] == ["netns", "netns"]


def test_names_of_devices_fit_the_kernel() -> None:
    assert len(_steps.port_name("a-host-with-quite-a-long-name.example.com", "enp0s31f6")) <= 15


def test_what_is_made_is_removed() -> None:
    made = " ".join(step["stdin"] for step in _steps.make_node(ROUTER))
    removed = [step["argv"][-1] for step in _steps.remove_node({"name": "comcast", "cards": ["lan", "wan"]})]
    assert removed[-1] == "kvmnet-comcast"
    assert all(f"link add {port} netns kvmnet-wires" in made for port in removed[:-1])


def test_a_cable_is_plugged_in_unless_it_is_not() -> None:
    cards = [{"name": "eth0", "wire": "w1", "mac": "02:00:00:00:00:01"}]
    cards.append({"name": "wlan0", "wire": "w2", "mac": "02:00:00:00:00:02", "plugged": False})
    lines = _steps.make_node({"name": "ursa", "nics": cards})[1]["stdin"].splitlines()
    ports = [_steps.port_name("ursa", card) for card in ("eth0", "wlan0")]
    assert [line for line in lines if "master" in line] == [
        f"link set {ports[0]} master w1 up",
        f"link set {ports[1]} master w2 down",
    ]
    # A name for whoever pulls the plug
    assert f"link property add dev {ports[1]} altname ursa-wlan0" in lines


def test_a_fingerprint_tells_any_difference() -> None:
    assert _steps.fingerprint(ROUTER) == _steps.fingerprint(json.loads(json.dumps(ROUTER)))
    assert _steps.fingerprint(ROUTER) != _steps.fingerprint({**ROUTER, "nft": ""})


def test_an_image_is_named_by_what_is_in_it(tmp_path: Path) -> None:
    image = MACHINE["image"]
    more = {**image, "packages": ["systemd", "vim"]}
    assert image_path(tmp_path, image) == image_path(tmp_path, dict(image))
    assert image_path(tmp_path, image) != image_path(tmp_path, more)
    assert image_path(tmp_path, {"name": "debian-12"}) != image_path(tmp_path, {"name": "debian-13"})
    argv = host_command(more, "http://mirror.example/debian", tmp_path / "x")
    assert "--include=systemd,vim" in argv
    assert argv[-3:] == ["bookworm", str(tmp_path / "x"), "http://mirror.example/debian"]
    assert "dnsmasq" not in " ".join(argv)


def test_every_ssh_connection_stays_inside(tmp_path: Path) -> None:
    """A host of any name, even one that is not the lab's, is looked for from the controller's namespace."""
    text = _access.ssh_config(tmp_path, [MACHINE])
    common = text[text.index("Host *\n") :]
    assert f"ProxyCommand {tmp_path}/connect %h %p" in common
    assert "StrictHostKeyChecking yes" in common
    assert "Host ursa\n  HostName 172.20.1.130\n" in text
    script = _access.connect_script()
    assert [line for line in script.splitlines() if line.endswith('nc "$1" "$2"')] == [
        '[ "$(id -u)" = 0 ] || exec sudo -n ip netns exec kvmnet-controller nc "$1" "$2"',
        'exec ip netns exec kvmnet-controller nc "$1" "$2"',
    ]


def test_the_labs_variables_win_and_carry_its_key(tmp_path: Path) -> None:
    values = _access.host_vars(tmp_path / "a lab", MACHINE, "ssh-ed25519 KEY")
    assert values["ansible_ssh_common_args"] == f"-F '{tmp_path}/a lab/ssh_config'"
    assert values["kvmnet_users"] == [{"name": "admin", "ssh_keys": ["ssh-ed25519 KEY"]}]
    assert values["kvm_guests_virt_type"] == "qemu"


class World:
    """A machine on which everything the lab's records name is as they say."""

    def __init__(self) -> None:
        self.namespaces: dict[str, str] = {}
        self.masters: dict[str, str] = {}
        self.running: set[int] = set()

    def alive(self, record: Mapping[str, Any] | None) -> bool:
        return bool(record) and record is not None and record["pid"] in self.running


@pytest.fixture(name="world")
def fixture_world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(_lab, "namespace_id", world.namespaces.get)
    monkeypatch.setattr(_lab, "link_masters", lambda _name: world.masters)
    monkeypatch.setattr(_lab, "alive", world.alive)
    return world


@pytest.fixture(name="lab")
def fixture_lab(tmp_path: Path, world: World) -> Lab:
    """A lab that stands."""
    lab = Lab(tmp_path / ".lab", tmp_path / "cache", tmp_path / "programs")
    lab.dir.mkdir()
    world.namespaces |= {"kvmnet-wires": "1:1", "kvmnet-comcast": "1:2", "kvmnet-ursa": "1:3"}
    world.running |= {10, 11}
    world.masters = {"w1": "", "w2": ""}
    for node in (ROUTER, MACHINE):
        world.masters |= {_steps.port_name(node["name"], n["name"]): n["wire"] for n in node["nics"]}
    lab.state = {
        "wires": {"names": ["w1", "w2"], "namespace_id": "1:1"},
        "stations": {
            "comcast": {
                "fingerprint": _steps.fingerprint(ROUTER),
                "cards": ["lan", "wan"],
                "namespace_id": "1:2",
                "processes": [{"pid": 11, "start": 1}],
            }
        },
        "machines": {
            "ursa": {
                "fingerprint": lab._fingerprint("machine", MACHINE),
                "cards": ["eth0"],
                "supply": {"pid": 10, "start": 1},
            }
        },
    }
    return lab


def lines(lab: Lab, **changes: Any) -> list[str]:
    return lab.plan({**TOPOLOGY, **changes}).lines()


def test_a_lab_that_stands_is_left_alone(lab: Lab) -> None:
    assert lines(lab) == []


def test_everything_is_new_at_first(tmp_path: Path, world: World) -> None:
    lab = Lab(tmp_path / ".lab", tmp_path, tmp_path)
    assert len(lines(lab)) == len(TOPOLOGY["wires"]) + 2
    assert not lab.anything()
    assert world.running == set()


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda w: w.running.discard(10), ["~ machine ursa: change, powered off: boot it"]),
        (lambda w: w.running.discard(11), ["~ station comcast: change, a program of it has ended"]),
        (lambda w: w.namespaces.pop("kvmnet-comcast"), ["~ station comcast: change, its namespace is gone"]),
        (
            lambda w: w.namespaces.update({"kvmnet-comcast": "1:9"}),
            ["~ station comcast: change, its namespace is gone"],
        ),
        (
            lambda w: w.masters.pop(_steps.port_name("ursa", "eth0")),
            ["~ machine ursa: change, eth0 is unplugged"],
        ),
    ],
)
def test_what_broke_is_made_anew_and_nothing_else(lab: Lab, world: World, break_it: Any, said: list[str]) -> None:
    break_it(world)
    assert lines(lab) == said


def test_all_goes_when_the_wires_went(lab: Lab, world: World) -> None:
    world.namespaces["kvmnet-wires"] = "1:7"
    assert len(lines(lab)) == len(TOPOLOGY["wires"]) + 2


def test_what_left_the_inventory_goes(lab: Lab) -> None:
    assert lines(lab, stations=[], wires=TOPOLOGY["wires"][:1]) == [
        "- wire w2: delete",
        "- station comcast: delete",
    ]


def test_guests_and_keys_are_no_reason_to_install_a_host_again(lab: Lab) -> None:
    other = {**MACHINE, "guest_images": ["tiny", "debian-12"], "users": [], "host_vars": {}}
    assert lines(lab, machines=[other]) == []
    assert lines(lab, machines=[{**MACHINE, "files": {}}]) == ["~ machine ursa: change, another now: made anew"]


def test_namespaces_of_somebody_else_are_not_touched(lab: Lab, world: World) -> None:
    assert lab.strangers(TOPOLOGY) == []
    del lab.state["stations"]["comcast"]
    lab.state["wires"] = None
    assert lab.strangers(TOPOLOGY) == ["kvmnet-comcast", "kvmnet-wires"]
    assert world.namespaces["kvmnet-comcast"] == "1:2"


def test_power_knows_its_machines(lab: Lab) -> None:
    with pytest.raises(_system.LabFailedError, match="hosts: moon is wrong; allowed: ursa"):
        Power(lab, ["ursa", "moon"], 1)
    with pytest.raises(_system.LabFailedError, match="hosts: no host is wrong"):
        Power(lab, [], 1)


def test_power_in_check_mode_says_what_it_would_do(lab: Lab) -> None:
    power = Power(lab, ["ursa"], 1)
    assert power.run("powered_on", check_mode=True)["changed"] is False
    for state in ("powered_off", "power_cycled"):
        result = power.run(state, check_mode=True)
        assert [change["name"] for change in result["changes"]] == ["ursa"]


def test_a_machine_is_switched_on_as_it_was_built(lab: Lab, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the power supply runs must not depend on who switches it on."""
    runs: list[Any] = []

    def spawn(argv: list[str], _log: Path) -> dict[str, int]:
        runs.append(json.loads(Path(argv[-1]).read_text(encoding="utf-8")))
        world.running.add(20)
        return {"pid": 20, "start": 1}

    monkeypatch.setattr(_machine, "spawn", spawn)
    monkeypatch.setattr(_machine, "out_of_session", lambda argv, _name: argv)
    monkeypatch.setattr(_machine.Machine, "_make_tun", lambda _self: None)
    monkeypatch.setattr(_lab, "run_steps", lambda _steps: None)
    monkeypatch.setattr(_lab, "namespace_pids", lambda _name: [])
    monkeypatch.setattr(_lab, "end", lambda *_args: world.running.clear())
    world.running.discard(10)
    assert lab._boot_if_needed(MACHINE, "ssh-ed25519 KEY")
    lab.power_off("ursa")
    assert not lab.running("ursa")
    lab.power_on("ursa")
    assert lab.running("ursa")
    assert runs[0] == runs[1]


def test_a_power_cut_hangs_up(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    commands = {31: ["nc", "172.20.1.130", "22"], 32: ["nc", "172.20.1.254", "22"]}
    pids = {"kvmnet-controller": [{"pid": pid, "start": 1} for pid in commands]}
    monkeypatch.setattr(_lab, "namespace_pids", lambda name: pids.get(name, []))
    monkeypatch.setattr(_lab, "arguments", commands.__getitem__)
    monkeypatch.setattr(_lab, "run_steps", lambda _steps: None)
    monkeypatch.setattr(_lab, "end", lambda record, _patience=0.0: ended.append(record["pid"]) if record else None)
    lab.state["machines"]["ursa"]["address"] = "172.20.1.130"
    lab.power_off("ursa")
    assert ended == [31, 10]


def test_a_process_is_known_by_its_start(tmp_path: Path) -> None:
    record = _system.spawn(["sleep", "30"], tmp_path / "log")
    assert _system.alive(record)
    assert not _system.alive({**record, "start": record["start"] - 1})
    _system.end({**record, "start": record["start"] - 1})
    assert _system.alive(record)
    _system.end(record)
    assert not _system.alive(record)


def test_a_disk_is_only_what_differs_from_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = tmp_path / "image"
    (image / "etc/systemd").mkdir(parents=True, mode=0o750)
    monkeypatch.setattr("os.chown", lambda *_args: None)
    machine = Machine(tmp_path / ".lab", "ursa")
    machine.install(MACHINE, image, "ssh-ed25519 KEY")
    assert (machine.upper / "etc/hostname").read_text(encoding="utf-8") == "ursa\n"
    assert (machine.upper / "etc/systemd/network/80-wire-eth0.network").exists()
    assert (machine.upper / "etc/systemd").stat().st_mode == (image / "etc/systemd").stat().st_mode
    assert machine.host_key().startswith("ssh-ed25519 ")
    command = machine.boot_command(MACHINE, image)
    assert not any("/dev/kvm" in word for word in command), "nothing to try where guests are emulated"
    assert command[:4] == ["unshare", "--mount", "--propagation", "slave"]
    assert "--network-namespace-path=/run/netns/kvmnet-ursa" in command


def test_a_file_is_replaced_only_when_it_differs(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    assert _system.write_file(path, "one", write=False)
    assert not path.exists()
    assert _system.write_file(path, "one")
    assert not _system.write_file(path, "one")
    assert _system.write_file(path, "one", mode=0o600)
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_error_names_the_command_and_what_it_said() -> None:
    with pytest.raises(_system.LabFailedError, match="sh -c echo no >&2; exit 3: no"):
        _system.run(["sh", "-c", "echo no >&2; exit 3"])
    with pytest.raises(_system.LabFailedError, match="no-such-command: command not found"):
        _system.run(["no-such-command"])
    _system.run_steps([_steps.step(["false"], may_fail=True)])
    with pytest.raises(_system.LabFailedError):
        _system.run_steps([_steps.step(["false"])])
