"""Conversations between a device and a control plane whose clock and randomness are fixed: held, recorded, replayed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from builders import ACTOR, DeviceInTest, FakeClock, enrolled, new_plane
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HoldfastError
from holdfast_core.kernel.instants import MINUTE
from holdfast_core.wire.frame import DirectiveReport, DirectiveState, Section


class Turn(msgspec.Struct, frozen=True, omit_defaults=True):
    """One request and its answer: a reply's bytes, or the code of a refusal. `before`: what the server did first."""

    request: str
    reply: str = ""
    refused: str = ""
    before: str = ""


class Conversation(msgspec.Struct, frozen=True):
    """The turns of one device, one minute apart."""

    name: str
    model: str
    turns: tuple[Turn, ...]


class Line:
    """A device's line to a fresh control plane; keeps what was said."""

    def __init__(self, device: DeviceInTest, clock: FakeClock) -> None:
        self.device, self._clock = device, clock
        self.turns: list[Turn] = []

    async def say(self, request: bytes, before: str = "") -> None:
        self._clock.forward(MINUTE)
        if before == "audit-now":
            await self.device.plane.baseline.audit_now(self.device.key, actor=ACTOR)
        reply, refused = b"", ""
        try:
            reply = await self.device.plane.check_ins.check_in(self.device.fingerprint, request)
        except HoldfastError as error:
            refused = error.code
        self.turns.append(Turn(request.decode(), reply.decode(), refused, before))


Script = Callable[[Line], Awaitable[None]]


async def enroll_first(line: Line) -> None:
    await line.say(line.device.message(audit=False))


async def unchanged(line: Line) -> None:
    device = line.device
    await line.say(device.message())
    digest = digest_of(device.findings())
    sections = {"baseline": Section(digest=digest, age_s=60), "health": Section(digest=digest_of(b'{"ok":true}'))}
    await line.say(device.message(sections=sections))


async def body_on_demand(line: Line) -> None:
    device = line.device
    await line.say(device.message(sections={"baseline": Section(digest=digest_of(device.findings()))}))
    await line.say(device.message())


async def directives(line: Line) -> None:
    device = line.device
    await line.say(device.message())
    accepted = (DirectiveReport(1, DirectiveState.DONE), DirectiveReport(2, DirectiveState.ACCEPTED))
    await line.say(device.message(reports=accepted), before="audit-now")
    refused = (DirectiveReport(2, DirectiveState.REFUSED, "directive.unknown", "This client does not know how."),)
    await line.say(device.message(reports=refused))


async def retry(line: Line) -> None:
    first = line.device.message()
    await line.say(first)
    await line.say(first)
    await line.say(line.device.message())
    await line.say(first)  # by now a replay


async def clone(line: Line) -> None:
    device = line.device
    await line.say(device.message())
    device.seq -= 1
    await line.say(device.message(healthy=False))


SCRIPTS: dict[str, Script] = {
    "enroll-first": enroll_first,
    "unchanged": unchanged,
    "body-on-demand": body_on_demand,
    "directives": directives,
    "retry": retry,
    "clone": clone,
}
MODEL = "door-camera"


async def hold(name: str, folder: Path) -> Conversation:
    """Hold the conversation `name` with a fresh control plane in `folder`."""
    clock = FakeClock()
    async with new_plane(folder, clock=clock) as plane:
        line = Line(await enrolled(plane, "cam-1", MODEL), clock)
        await SCRIPTS[name](line)
    return Conversation(name, MODEL, tuple(line.turns))


async def replay(recorded: Conversation, folder: Path) -> Conversation:
    """Say again what was recorded, to a fresh control plane in `folder`."""
    clock = FakeClock()
    async with new_plane(folder, clock=clock) as plane:
        line = Line(await enrolled(plane, "cam-1", recorded.model), clock)
        for turn in recorded.turns:
            await line.say(turn.request.encode(), turn.before)
    return Conversation(recorded.name, recorded.model, tuple(line.turns))
