"""The server's own history is cut or rewritten; the devices, who remember its checkpoints, tell."""

from __future__ import annotations

import msgspec
import pytest

from builders import enrolled, new_plane, pin
from holdfast_core.record.model import Kind, parse_entry
from holdfast_core.response.rules import LOG
from holdfast_core.wire.frame import Conflict, Level, Section

pytestmark = pytest.mark.anyio


async def kinds(plane):
    return [parse_entry(leaf.data).kind for leaf in await plane.record.leaves(0, 10_000)]


def told(plane):
    return [(i.cause, i.reasons[0].code) for i in plane.store.open_incidents(plane.config.scope) if i.cause == LOG]


def conflict(kept, offered):
    return Section(body=msgspec.Raw(msgspec.json.encode({"conflict": Conflict(kept, offered)})))


async def test_control_a_pin_of_the_servers_own_log_is_no_news(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await device.check_in(pin=pin(plane.store.log_size()))
        assert told(plane) == []


async def test_cut_log_is_told_by_the_pin_of_a_device(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        larger = pin(plane.store.log_size() + 40)
        reply = await device.check_in(pin=larger)
        assert told(plane) == [(LOG, "log.truncated")]
        assert reply.verdict.level is Level.TRUSTED  # it accuses the server, not the device
        await device.check_in(pin=larger)
        assert (await kinds(plane)).count(Kind.LOG_TRUNCATION_SEEN) == 1


async def test_rewritten_log_is_told_by_a_device_that_was_shown_both(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await device.check_in()
        both = {"log": conflict(pin(7, "a2VwdA=="), pin(7, "b2ZmZXJlZA=="))}
        reply = await device.check_in(sections=both)
        assert told(plane) == [(LOG, "log.forked")]
        assert reply.wants == ()
        # A device repeats it for as long as it remembers; that is no second fork.
        await device.check_in(sections=both)
        assert (await kinds(plane)).count(Kind.LOG_FORK_SEEN) == 1
        assert len(told(plane)) == 1


async def test_conflict_section_that_is_no_fork_opens_nothing(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await device.check_in(sections={"log": conflict(pin(7), pin(5))})
        assert told(plane) == []
        assert Kind.LOG_FORK_SEEN not in await kinds(plane)
