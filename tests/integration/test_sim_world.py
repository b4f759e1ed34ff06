"""The demo's world: device roots from real packages, and a network namespace for every device."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.adapters.system import SystemClock
from holdfast.inventory.model_file import load_examples
from holdfast_core.baseline.model import Judged, Outcome
from holdfast_core.baseline.rules import judge_for
from holdfast_core.baseline.tailoring import compile_plan, tailor
from holdfast_core.kernel.errors import Bug, WorldError
from holdfast_probe.audit import audit
from holdfast_probe.catalogue import shipped_catalogue
from holdfast_probe.roots import FolderRoot
from holdfast_sim import namespaces, roots
from holdfast_sim.packages import PackageStore

CONNECT = "import socket,sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 20).sendall(b'hello')"
LISTEN = """
import socket, sys
s = socket.create_server((sys.argv[1], 0)); print(s.getsockname()[1], flush=True)
print(s.accept()[0].recv(5).decode(), flush=True)
"""
READ_SOCKETS = "print(open('/proc/self/net/tcp').read())"


# The first build fetches the packages, which takes as long as the mirror likes.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="session")
def store(checkout: Path) -> PackageStore:
    """The checkout's packages; fetched once and kept."""
    store = PackageStore(checkout / ".cache" / "debs")
    try:
        store.fetch(["base-files", "base-passwd"])
    except WorldError as error:
        pytest.skip(str(error))
    return store


def test_a_hardened_camera_is_closed_and_a_careless_one_is_not(store: PackageStore, tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    roots.hardened_camera(good, store)
    roots.careless_camera(bad, store)

    assert (good / "bin/busybox").read_bytes()[:4] == b"\x7fELF"
    assert stat.S_IMODE((good / "etc/shadow").stat().st_mode) == 0o640
    assert stat.S_IMODE((bad / "etc/shadow").stat().st_mode) == 0o666
    assert "telnetd" not in (good / "etc/inittab").read_text()
    assert "telnetd" in (bad / "etc/inittab").read_text()
    assert not _open_to_all(good)
    assert "etc/update.conf" in _open_to_all(bad)
    assert not list(good.rglob("*.key"))
    assert b"PRIVATE KEY" in (bad / "etc/ssl/private/server.key").read_bytes()
    bill = msgspec.json.decode((good / "usr/share/sbom/firmware.cdx.json").read_bytes())
    assert "busybox" in {component["name"] for component in bill["components"]}


@pytest.mark.parametrize(
    ("tree", "example", "open_still"),
    [
        ("hardened-camera", "door-camera", set()),
        # Debian links its broker so.
        ("gateway", "site-gateway", {"APP-03"}),
        ("pump-controller", "pump-controller", set()),
    ],
)
def test_a_careful_maker_meets_everything_that_a_tree_can_show(
    store: PackageStore, tmp_path: Path, tree: str, example: str, open_still: set[str]
) -> None:
    judged = _judged(store, tmp_path, tree, example)
    assert {entry.control for entry in judged if entry.outcome is Outcome.FAIL} == open_still
    inspected = {control.id for control in shipped_catalogue().controls if control.inspected}
    assert {entry.control for entry in judged if entry.outcome is Outcome.UNKNOWN} <= inspected


def test_a_careless_maker_leaves_every_door_open(store: PackageStore, tmp_path: Path) -> None:
    judged = _judged(store, tmp_path, "careless-camera", "door-camera")
    failed = {entry.control: entry for entry in judged if entry.outcome is Outcome.FAIL}
    assert failed.keys() >= {"SVC-01", "ACC-01", "ACC-02", "CRY-01", "FS-06", "PHY-02", "LOG-01", "KERN-04"}
    assert all(entry.proof for entry in failed.values() if "stand in" not in entry.reason)


def _judged(store: PackageStore, folder: Path, tree: str, example: str) -> tuple[Judged, ...]:
    roots.BUILDERS[tree](folder / tree, store)
    catalogue, model, now = shipped_catalogue(), load_examples()[example], SystemClock().now()
    baseline = tailor(catalogue, model, now)
    plan = compile_plan(baseline, model, catalogue)
    probes = {control.id: control.probe for control in catalogue.controls}
    found = audit(FolderRoot(folder / tree), [(name, probes[name]) for name in plan.controls], plan, now=now)
    return judge_for(baseline, catalogue).report(found, now).judged


def _open_to_all(root: Path) -> set[str]:
    return {
        str(path.relative_to(root))
        for path in root.rglob("*")
        if not path.is_symlink() and path.stat().st_mode & 0o002 and not path.stat().st_mode & stat.S_ISVTX
    }


def test_a_planted_backdoor_leaves_no_trace_when_removed(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    before = {"passwd": b"root:x:0:0:root:/root:/bin/sh\n", "shadow": b"root:!*:19700:0:99999:7:::\n"}
    for name, content in before.items():
        (tmp_path / "etc" / name).write_bytes(content)
    (tmp_path / "etc/shadow").chmod(0o640)

    roots.plant_backdoor(tmp_path)
    planted = (tmp_path / "etc/passwd").read_text()
    assert [line.split(":")[2] for line in planted.splitlines()] == ["0", "0"]
    with pytest.raises(Bug):
        roots.plant_backdoor(tmp_path)

    roots.remove_backdoor(tmp_path)
    assert {name: (tmp_path / "etc" / name).read_bytes() for name in before} == before
    assert stat.S_IMODE((tmp_path / "etc/shadow").stat().st_mode) == 0o640


def test_a_root_is_never_built_over_something(store: PackageStore, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(WorldError) as caught:
        roots.hardened_camera(tmp_path, store)
    assert caught.value.code == "root.exists"
    assert (tmp_path / "kept").read_text() == "mine"


def test_a_damaged_package_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = PackageStore(tmp_path)
    package = tmp_path / "thing_1_all.deb"
    package.write_bytes(b"as fetched")
    digest = hashlib.sha256(b"as fetched").hexdigest()
    note = {"thing": {"name": "thing", "version": "1", "architecture": "all", "file": package.name, "sha256": digest}}
    (tmp_path / "packages.json").write_bytes(msgspec.json.encode(note))
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))

    assert (
        store.fetch(["thing"])["thing"].version == "1"
    )  # the control: what fits its note needs neither apt nor network
    package.write_bytes(b"as damaged")
    with pytest.raises(WorldError) as caught:
        store.fetch(["thing"])
    assert caught.value.code == "packages.no_tools"


@given(st.lists(st.integers(0, 255), max_size=40), st.integers(1, 200))
def test_a_plan_never_overlaps_a_route(thirds: list[int], count: int) -> None:
    taken = [ipaddress.IPv4Network(f"10.213.{third}.0/24") for third in thirds]
    layout = namespaces.plan("1-2", [f"device-{n}" for n in range(count)], taken)
    addresses = [ipaddress.IPv4Address(seat.address) for seat in layout.seats]
    assert len({*addresses, ipaddress.IPv4Address(layout.server_address)}) == count + 1
    assert not any(address in network for address in addresses for network in taken)
    assert all(address in namespaces.RANGE for address in addresses)
    assert len({seat.interface for seat in layout.seats}) == count
    assert max(len(seat.interface) for seat in layout.seats) <= 15


def test_a_plan_without_room_is_refused() -> None:
    with pytest.raises(WorldError) as caught:
        namespaces.plan("1-2", ["a"], [namespaces.RANGE])
    assert caught.value.code == "world.no_addresses"


def test_without_root_devices_run_on_loopback_and_it_says_so() -> None:
    world = namespaces.NoNamespaces("making network namespaces needs root")
    process = world.start("a", [sys.executable, "-c", "print(1)"], stdout=subprocess.PIPE)
    assert process.communicate()[0] == b"1\n"
    assert not world.isolated
    assert "needs root" in world.explanation
    world.close()


@pytest.mark.root
def test_two_devices_reach_the_server_and_see_only_their_own_sockets() -> None:
    layout = namespaces.plan(namespaces.this_run(), ["one", "two"], namespaces.taken_networks())
    with namespaces.Namespaces(layout) as world:
        server = subprocess.Popen(
            [sys.executable, "-c", LISTEN, world.server_address], stdout=subprocess.PIPE, text=True
        )
        listener = world.start("one", [sys.executable, "-c", LISTEN, "127.0.0.1"], stdout=subprocess.PIPE)
        assert server.stdout is not None
        assert listener.stdout is not None
        port = server.stdout.readline().strip()
        inner = int(listener.stdout.readline())

        connect = world.start("two", [sys.executable, "-c", CONNECT, world.server_address, port])
        assert connect.wait(30) == 0
        assert server.communicate(timeout=300)[0].strip() == "hello"

        sights = {device: _sockets(world, device) for device in ("one", "two")}
        assert f":{inner:04X} " in sights["one"]
        assert f":{inner:04X} " not in sights["two"]
        # One device does not reach another.
        stranger = world.start(
            "two", [sys.executable, "-c", CONNECT, world.address("one"), str(inner)], stderr=subprocess.DEVNULL
        )
        assert stranger.wait(60) != 0
    listener.stdout.close()
    assert listener.wait(10) != 0
    assert not _left(layout)


def _sockets(world: namespaces.Namespaces, device: str) -> str:
    process = world.start(device, [sys.executable, "-c", READ_SOCKETS], stdout=subprocess.PIPE)
    return process.communicate(timeout=300)[0].decode()


def _left(layout: namespaces.NamespacePlan) -> set[str]:
    names = {seat.namespace for seat in layout.seats} & set(namespaces._namespaces())
    return names | {seat.interface for seat in layout.seats if Path("/sys/class/net", seat.interface).exists()}


@pytest.mark.root
def test_what_a_crashed_run_left_is_removed_and_a_living_run_is_not_touched() -> None:
    # This process's pid with another start time: a run that is gone and whose pid was given out again.
    dead = namespaces.plan(f"{os.getpid()}-1", ["gone"], namespaces.taken_networks())
    namespaces.Namespaces(dead)
    alive = namespaces.plan(namespaces.this_run(), ["living"], namespaces.taken_networks())
    with namespaces.Namespaces(alive):
        assert dead.seats[0].namespace in namespaces.remove_stale()
        assert alive.seats[0].namespace in namespaces._namespaces()
        assert dead.seats[0].namespace not in namespaces._namespaces()
    assert not _left(alive)
