"""Small records and the change feed: kept over a restart, removed for good, told in the order they became durable."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from builders import new_plane, plane_on
from holdfast.bootstrap import DATABASE
from holdfast.ports.store import Removed
from holdfast_core.identity.issuers import IssuerState, Standing
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import Instant

pytestmark = pytest.mark.anyio
ACME, OTHER = Scope("acme", "production"), Scope("acme", "staging")


def state(number, standing=Standing.NEXT, scope=ACME):
    return IssuerState(scope=scope, id=str(number), standing=standing, since=Instant(number))


async def test_a_record_is_there_after_a_restart_and_a_newer_one_replaced_it(tmp_path):
    async with new_plane(tmp_path) as plane:
        await plane.store.commit([state(2), state(2, scope=OTHER), state(3)])
        await plane.store.commit([state(2, Standing.ACTIVE)])
    async with plane_on(tmp_path) as plane:
        assert plane.store.kept(IssuerState, ACME, "2") == state(2, Standing.ACTIVE)
        assert plane.store.all_kept(IssuerState, ACME) == [state(2, Standing.ACTIVE), state(3)]
        assert len(plane.store.all_kept(IssuerState)) == 3
        assert plane.store.kept(IssuerState, OTHER, "3") is None


async def test_a_removed_record_is_gone_after_a_restart_too(tmp_path):
    async with new_plane(tmp_path) as plane:
        await plane.store.commit([state(2), state(2, scope=OTHER)])
        await plane.store.commit([Removed(IssuerState, ACME, "2")])
        assert plane.store.kept(IssuerState, ACME, "2") is None
    async with plane_on(tmp_path) as plane:
        assert plane.store.all_kept(IssuerState) == [state(2, scope=OTHER)]


async def test_a_record_put_and_removed_in_one_commit_ends_as_it_was_said_last(tmp_path):
    async with new_plane(tmp_path) as plane:
        await plane.store.commit([state(2), Removed(IssuerState, ACME, "2")])
        await plane.store.commit([state(3)])
        await plane.store.commit([Removed(IssuerState, ACME, "3"), state(3, Standing.ACTIVE)])
    async with plane_on(tmp_path) as plane:
        assert plane.store.all_kept(IssuerState) == [state(3, Standing.ACTIVE)]


async def test_changes_are_told_once_in_their_order_and_only_when_they_are_durable(tmp_path):
    async with new_plane(tmp_path) as plane:
        told = []

        def watch(changes):
            on_disk = sqlite3.connect(tmp_path / DATABASE).execute("SELECT count(*) FROM kept").fetchone()[0]
            told.extend((change.number, on_disk) for change in changes if isinstance(change, IssuerState))

        plane.store.watch_changes(watch)
        await asyncio.gather(*(plane.store.commit([state(number)]) for number in range(2, 22)))
        assert [number for number, _ in told] == list(range(2, 22))
        assert all(on_disk >= count for count, (_, on_disk) in enumerate(told, start=1))


async def test_changes_of_a_write_that_failed_are_not_told(tmp_path, monkeypatch):
    async with new_plane(tmp_path) as plane:
        told = []
        plane.store.watch_changes(told.extend)
        monkeypatch.setattr("holdfast.adapters.store.schema.BUSY_MS", 1)
        blocker = sqlite3.connect(tmp_path / DATABASE)
        blocker.execute("BEGIN EXCLUSIVE")
        with pytest.raises(WorldError) as refused:
            await plane.store.commit([state(2)])
        blocker.rollback()
        assert refused.value.code == "store.locked"
        assert told == []
        await plane.store.commit([state(2)])
        assert told == [state(2)]
