"""Changes to an audit that do not lead where they say, from a device that is enrolled."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from builders import DeviceInTest, enrolled, new_plane
from holdfast.ports.store import Body
from holdfast_core.baseline.delta import FindingsDelta, applied, delta_of
from holdfast_core.baseline.model import Finding, Findings, Outcome
from holdfast_core.kernel.digests import Digest, canonical, digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import Instant
from holdfast_core.trust.posture import SectionState
from holdfast_core.wire.frame import Section

pytestmark = pytest.mark.anyio
TOLD = "ACC-05"


def audit_of(device: DeviceInTest) -> Findings:
    return msgspec.json.decode(device.findings(), type=Findings)


async def first(device: DeviceInTest) -> None:
    """The device's first audit, in the form that an agent sends."""
    await device.check_in(sections={"baseline": Section(body=msgspec.Raw(canonical(audit_of(device))))})


def both(device: DeviceInTest) -> tuple[Findings, Findings]:
    """The audit that the server holds, and the next one."""
    before = audit_of(device)
    worse = Finding(TOLD, Outcome.FAIL, ("toor has uid 0",))
    return before, applied(before, FindingsDelta(before.plan, (worse,)))


def changes(before: Findings, after: Findings, *, base: Digest | None = None, digest: Digest | None = None) -> Section:
    return Section(
        digest=digest or digest_of(canonical(after)),
        base=base or digest_of(canonical(before)),
        body=msgspec.Raw(canonical(delta_of(before, after))),
    )


async def outcome(device: DeviceInTest) -> Outcome:
    report = await device.plane.baseline.report(device.key)
    assert report is not None
    return next(entry.outcome for entry in report.judged if entry.control == TOLD)


async def test_changes_alone_tell_the_server_of_the_whole(tmp_path: Path) -> None:
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await first(device)
        assert await outcome(device) is Outcome.PASS
        section = changes(*both(device))
        reply = await device.check_in(sections={"baseline": section})
        assert reply.wants == ()
        assert len(msgspec.json.encode(section)) < 2048
        assert await outcome(device) is Outcome.FAIL
        reply = await device.check_in(sections={"baseline": Section(digest=section.digest)})
        assert reply.wants == (), "the whole is held, so its digest is enough from now on"


@pytest.mark.parametrize("fault", ["a base that is not held", "a digest they do not lead to"])
async def test_changes_that_lead_elsewhere_are_not_taken_and_the_whole_is_asked_for(tmp_path: Path, fault: str) -> None:
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await first(device)
        before, after = both(device)
        wrong = digest_of(b"another")
        section = changes(before, after, base=wrong) if "base" in fault else changes(before, after, digest=wrong)
        reply = await device.check_in(sections={"baseline": section})
        assert reply.wants == ("baseline",)
        assert await outcome(device) is Outcome.PASS


async def test_many_small_changes_never_grow_an_audit_beyond_what_may_travel(tmp_path: Path) -> None:
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await first(device)
        grown, rounds = audit_of(device), 0
        wants = tuple[str, ...]()
        while not wants:
            rounds += 1
            group = f"X{chr(64 + rounds)}"
            more = tuple(Finding(f"{group}-{n:02d}", Outcome.PASS, ("x" * 500,) * 8) for n in range(10))
            before, grown = grown, applied(grown, FindingsDelta(grown.plan, more))
            wants = (await device.check_in(sections={"baseline": changes(before, grown)})).wants
        assert wants == ("baseline",)
        assert rounds == 4, "three rounds of 40 KB fit into 128 KB"
        assert await plane.store.body(device.key, "baseline", digest_of(canonical(grown))) is None


@pytest.mark.parametrize("left_out", ["digest", "body"])
async def test_a_base_without_its_changes_or_their_end_is_refused(tmp_path: Path, left_out: str) -> None:
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await first(device)
        whole = changes(*both(device))
        parts = {"digest": whole.digest, "base": whole.base, "body": whole.body}
        del parts[left_out]
        with pytest.raises(HostileData) as refused:
            await device.check_in(sections={"baseline": Section(**parts)})  # type: ignore[arg-type]  # one is missing on purpose
        assert refused.value.code == "checkin.delta_incomplete"


@pytest.mark.parametrize("section", ["boot-log", "attestation", "health"])
async def test_changes_of_a_section_that_only_ever_comes_whole_are_not_taken(tmp_path: Path, section: str) -> None:
    """The digest of changes is not that of their bytes: nobody but the audit's reader computes what they lead to."""
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await first(device)
        held, chosen = b'{"ok":true}', Digest("sha256:" + "ab" * 32)
        posture = plane.store.posture(device.key)
        assert posture is not None
        known = SectionState(digest_of(held), Instant(0))
        posture = msgspec.structs.replace(posture, sections={**posture.sections, section: known})
        await plane.store.commit([posture, Body(device.key, section, digest_of(held), held, Instant(0))])
        bent = Section(digest=chosen, base=digest_of(held), body=msgspec.Raw(b"[]"))
        reply = await device.check_in(sections={section: bent})
        assert reply.wants == (section,)
        posture = plane.store.posture(device.key)
        assert posture is not None
        assert posture.sections[section].digest == digest_of(held)
