"""Durability and its limits: what was acknowledged is there, what could not be kept is said, the disk stays flat."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sqlite3
import subprocess

import msgspec
import pytest

from builders import ACTOR, FakeClock, data_folder, enrolled, new_plane, plane_on
from holdfast.bootstrap import DATABASE, Plane
from holdfast_core.inventory.rows import Row
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.ids import DeviceId, DeviceKey
from holdfast_core.kernel.instants import MINUTE
from holdfast_core.record.merkle import root_of
from holdfast_core.wire.codec import encode
from holdfast_core.wire.frame import CheckIn, Section
from server_process import Caller, ServerProcess, configured, enroll_on_disk

pytestmark = pytest.mark.anyio
HEALTHY = {"health": Section(body=msgspec.Raw(b'{"ok":true}'))}


def check_in(seq):
    return encode(CheckIn(v=1, boot="boot-0001", seq=seq, sections=HEALTHY))


def fill(path):
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(b"\0" * 4096):
            pass


def mounted(disk, size):
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], check=True)


def unmounted(disk):
    subprocess.run(["umount", disk], check=True)


async def prepared(folder):
    config = configured(folder)
    plane = Plane.open(config, folder)
    try:
        return await enroll_on_disk(plane, folder)
    finally:
        await plane.close()


async def test_a_check_in_is_synced_to_the_disk_before_it_is_answered(tmp_path):
    identity = await prepared(tmp_path)
    trace = tmp_path / "trace"
    calls = "trace=fdatasync,fsync,read,recvfrom,recvmsg,write,sendto,sendmsg,writev"
    # -D: the server, not the tracer, is the process we started, and gets our signals
    strace = ("strace", "-D", "-f", "-y", "-tt", "-s", "0", "-e", calls, "-o", str(trace))
    with ServerProcess(tmp_path, before=strace) as server, Caller(server, identity) as caller:
        assert caller.post(check_in(1))[0] == 200
        before = len(trace.read_text(errors="replace").splitlines())
        assert caller.post(check_in(2))[0] == 200
    lines = trace.read_text(errors="replace").splitlines()[before:]
    synced = next(n for n, line in enumerate(lines) if re.search(r"f(data)?sync\(.*holdfast\.db-wal", line))
    answered = next(
        n for n, line in enumerate(lines) if re.search(r"(write|sendto|sendmsg|writev)\(\d+<(TCP|socket)", line)
    )
    assert synced < answered


async def test_nothing_acknowledged_is_lost_when_the_server_is_killed(tmp_path):
    identity = await prepared(tmp_path)
    acknowledged = 0
    for _ in range(2):
        with ServerProcess(tmp_path) as server, Caller(server, identity) as caller:
            for _ in range(20):
                status, reply = caller.post(check_in(acknowledged + 1))
                assert (status, msgspec.json.decode(reply)["seq"]) == (200, acknowledged + 1)
                acknowledged += 1
            server.process.kill()
    with ServerProcess(tmp_path) as server, Caller(server, identity) as caller:
        status, again = caller.post(check_in(acknowledged))
        assert (status, again) == (200, reply), "the reply to the last acknowledged check-in is the stored one"
        assert caller.post(check_in(acknowledged + 1))[0] == 200


async def test_the_log_in_the_database_is_the_one_that_was_signed(tmp_path):
    folder = data_folder(tmp_path)
    async with plane_on(folder) as plane:
        device = await enrolled(plane)
        for failing in ((), ("ACC-05",), ()):
            await device.check_in(failing=failing)
    async with plane_on(folder) as plane:
        leaves = [leaf.data for leaf in plane.store.every_leaf()]
        origin, size, root = plane.record.checkpoint().splitlines()[:3]
        assert (origin, int(size)) == ("localhost/log", len(leaves))
        assert root_of(leaves) == msgspec.json.decode(f'"{root}"', type=bytes)


async def test_unchanged_check_ins_leave_the_disk_flat(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await enrolled(plane)
        await device.check_in()
        digest = digest_of(device.findings())
        sections = {**HEALTHY, "baseline": Section(digest=digest)}

        async def size_after(check_ins):
            for _ in range(check_ins):
                clock.forward(MINUTE)
                await device.check_in(sections=sections)
            with contextlib.closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
                connection.execute("pragma wal_checkpoint(truncate)")
            return (tmp_path / DATABASE).stat().st_size

        settled = await size_after(100)  # the row has its full length and the file its spare pages
        assert await size_after(200) == settled


async def test_changing_audits_leave_the_disk_bounded(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await enrolled(plane)
        controls = [
            line.control for line in plane.baseline.show(plane.store.models(plane.config.scope)[0]).baseline.lines
        ]
        for control in controls * 2:
            clock.forward(MINUTE)
            await device.check_in(failing=(control,))
        with contextlib.closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
            rows = connection.execute("select count(*) from evidence").fetchone()
        assert rows == (8,)


async def test_a_locked_database_is_said_and_nothing_is_half_written(tmp_path, monkeypatch):
    monkeypatch.setattr("holdfast.adapters.store.schema.BUSY_MS", 100)
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await device.check_in()
        before = plane.store.posture(device.key)
        other = sqlite3.connect(tmp_path / DATABASE)
        other.execute("begin immediate")
        message = device.message()
        with pytest.raises(WorldError) as told:
            await device.send(message)
        assert (told.value.code, told.value.http_status) == ("store.locked", 503)
        assert plane.store.posture(device.key) == before
        other.rollback()
        other.close()
        assert (await device.send(message)).seq == device.seq


@pytest.mark.root
async def test_a_full_disk_is_said_and_the_same_bytes_are_taken_once_there_is_room(tmp_path):
    disk = tmp_path / "disk"
    mounted(disk, "3m")
    try:
        async with plane_on(data_folder(disk / "data")) as plane:
            device = await enrolled(plane)
            await device.check_in()
            filler = disk / "filler"
            fill(filler)
            told = None
            for _ in range(2_000):  # until the room that SQLite had already taken is used up
                message = device.message()
                try:
                    await device.send(message)
                except WorldError as error:
                    told = error
                    break
            assert told is not None
            assert (told.code, told.http_status) == ("store.full", 507)
            filler.unlink()
            assert (await device.send(message)).seq == device.seq
    finally:
        unmounted(disk)


async def test_a_second_server_on_the_same_folder_is_refused(tmp_path):
    async with new_plane(tmp_path) as plane:
        with pytest.raises(WorldError) as told:
            Plane.open(plane.config, tmp_path)
        assert told.value.code == "data.in_use"


async def test_a_database_of_a_newer_version_is_not_touched(tmp_path):
    folder = data_folder(tmp_path)
    connection = sqlite3.connect(folder / DATABASE)
    connection.execute("update alembic_version set version_num = '9999'")
    connection.commit()
    connection.close()
    before = (folder / DATABASE).read_bytes()
    with pytest.raises(WorldError) as told:
        async with plane_on(folder):
            pass
    assert told.value.code == "store.newer"
    assert (folder / DATABASE).read_bytes() == before


async def test_many_devices_at_once_share_commits_and_each_gets_its_own_answer(tmp_path):
    async with new_plane(tmp_path) as plane:
        devices = [await enrolled(plane, f"cam-{number}") for number in range(20)]
        replies = await asyncio.gather(*(device.check_in() for device in devices))
        assert [reply.seq for reply in replies] == [1] * 20
        assert len({reply.nonce for reply in replies}) == 20


async def test_devices_are_found_by_their_makers_number_also_after_a_start(tmp_path):
    async with new_plane(tmp_path) as plane:
        scope = plane.config.scope
        for name, serial in (("a-1", "SN1"), ("a-2", "SN1"), ("a-3", "")):
            await plane.inventory.add_device(scope, Row(1, DeviceId(name), serial=serial), actor=ACTOR)
        (_, second) = plane.store.devices_with_serial(scope, "SN1")
        await plane.store.commit([msgspec.structs.replace(second, serial="SN2")])
    async with plane_on(tmp_path) as plane:
        found = {serial: plane.store.devices_with_serial(scope, serial) for serial in ("SN1", "SN2", "SN3", "")}
        assert {serial: [d.key.device for d in devices] for serial, devices in found.items()} == {
            "SN1": ["a-1"],
            "SN2": ["a-2"],
            "SN3": [],
            "": [],
        }


async def test_claims_are_listed_the_oldest_first_also_after_a_start(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await enrolled(plane)
        clock.forward(1)
        _, second = await plane.identity.create_claim(device.key, lifetime=1000, actor=ACTOR)
    async with plane_on(tmp_path) as plane:
        first, last = plane.store.claims(device.key.scope)
        assert first.used_at is not None
        assert last == second
        assert plane.store.claims_of(device.key) == [first, last]
        assert plane.store.claims_of(DeviceKey(device.key.scope, DeviceId("nobody"))) == []
