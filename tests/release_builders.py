"""Releases with a payload over the operator API, and devices that say what they run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx
import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from builders import ACTOR, DeviceInTest, example_bytes, request_for
from holdfast.bootstrap import Plane
from holdfast.ports.artefacts import Inspected
from holdfast.update.ceremony import CeremonyFile
from holdfast.update.founding import founding_files
from holdfast.update.making import RootPlan
from holdfast.update.releases import Declared
from holdfast_core.attestation.reference import Reference
from holdfast_core.inventory.rows import Row
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.kernel.instants import HOUR
from holdfast_core.supply.model import Nature, PayloadKind, Release
from holdfast_core.update.model import Rollout, Selection, Wave
from holdfast_core.wire.frame import DirectiveReport, DirectiveState, Reply, Section
from holdfast_core.wire.update import (
    DIRECTIVE,
    SECTION,
    Attempt,
    Running,
    Slot,
    Step,
    UpdateAnswer,
    UpdateArgs,
    UpdateReport,
)
from repository_builders import People

MODEL, HARDWARE = "door-camera", "camera-rev2"
OLD, NEW = f"{MODEL}:1.0", f"{MODEL}:2.0"
ADDER, APPROVER, WHY = "token:adder", "token:approver", "because the test says so"
NAME = "cameras-2"
COUNTERS = {"": 0, OLD: 1, NEW: 2, f"{MODEL}:3.0": 3, f"{MODEL}:2.4.0": 12}
PAYLOAD = b"a root file system, version 2.0\n" * 64


def declared(version: str = "2.0", payload: bytes = PAYLOAD, **more: Any) -> dict[str, Any]:
    """A release as it is posted, its payload a plain image."""
    return {
        "model": MODEL,
        "version": version,
        "counter": COUNTERS.get(f"{MODEL}:{version}", 9),
        "kind": "file",
        "file": f"rootfs-{version}.img",
        "artefact": digest_of(payload),
        "hardware": [HARDWARE],
        "nature": "security",
        **more,
    }


async def send(client: httpx.AsyncClient, data: bytes, *, piece: int = 1024, digest: str = "") -> httpx.Response:
    """Send a file in pieces; the answer to the last one, or to the first that was refused."""
    path = f"/artefacts/{digest or digest_of(data)}"
    for start in range(0, len(data), piece):
        answer = await put(client, path, data[start : start + piece], start=start, total=len(data))
        if answer.is_error:
            break
    return answer


async def put(client: httpx.AsyncClient, path: str, part: bytes, *, start: int, total: int) -> httpx.Response:
    """Send one piece."""
    where = f"bytes {start}-{start + len(part) - 1}/{total}"
    return await client.put(path, content=part, headers={"content-range": where})


async def release(client: httpx.AsyncClient, version: str = "2.0", **more: Any) -> dict[str, Any]:
    """Send a payload of its own and add the release."""
    payload = PAYLOAD + version.encode()
    assert (await send(client, payload)).is_success
    answer = await client.post("/update/releases", json=declared(version, payload, **more))
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()["release"]
    return told


PEOPLE = People()
"""Who signs what the image repository says; the same for all planes of a test."""


async def founded(plane: Plane) -> None:
    """Found the repositories of the plane's scope, where they are not."""
    scope, images = plane.config.scope, plane.updating.images
    await images.load()
    if images.shelf(scope).state.targets is None:
        plan = RootPlan(PEOPLE.holders, PEOPLE.holders, await images.online(scope))
        await _signed(plane, founding_files(scope, plan, now=plane.clock.now()))


async def published(plane: Plane, name: str) -> None:
    """Have the threshold of signers sign a release."""
    scope = plane.config.scope
    await founded(plane)
    release = plane.updating.releases.require(scope, name)
    if not plane.updating.images.proposals(scope):
        await plane.updating.releasing.propose_release(scope, release, actor=ADDER)
    await _signed(plane, plane.updating.images.ceremony(scope).files)


async def _signed(plane: Plane, files: Sequence[CeremonyFile]) -> None:
    signed = [msgspec.structs.replace(each, metadata=PEOPLE.sign(each.metadata)) for each in files]
    await plane.updating.images.submit(plane.config.scope, signed, actor=ACTOR)


async def offered(
    plane: Plane, version: str, *, model: str = MODEL, actor: str = ACTOR, publish: bool = True
) -> Release:
    """A release whose payload is in the artefact store, added and signed for without the API."""
    upload = plane.updating.artefacts.begin()
    upload.write(PAYLOAD + version.encode())
    stored = upload.finish()
    counter = COUNTERS.get(f"{model}:{version}", 2)
    scope = plane.config.scope
    reference = plane.store.kept(Reference, scope, f"{model}:{version}")
    said = Declared(
        model=model,
        version=version,
        counter=counter,
        kind=PayloadKind.FILE,
        file=f"rootfs-{version}.img",
        artefact=stored.digest,
        hardware=(HARDWARE,),
        nature=Nature.FEATURE,
        svn=reference.statement.svn if reference is not None else 0,
    )
    inspected = Inspected(PayloadKind.FILE)
    added = await plane.updating.releases.add(scope, said, inspected, sbom=b"", actor=actor)
    if publish:
        await published(plane, added.id)
    return added


def drafted(plane: Plane, *waves: Wave, model: str = MODEL, release: str = NEW, **more: Any) -> Rollout:
    """A rollout to be kept: a canary, then the rest, where no waves are given."""
    chosen = waves or (Wave("canary", 1.0, soak_s=3_600), Wave("rest", soak_s=3_600))
    return Rollout(
        plane.config.scope,
        NAME,
        release=release,
        selection=Selection(model),
        waves=chosen,
        **more,
    )


async def begun(plane: Plane, *waves: Wave, **more: Any) -> Rollout:
    """A rollout of an approved release that was started."""
    scope = plane.config.scope
    draft = drafted(plane, *waves, **more)
    model, _, version = draft.release.partition(":")
    await offered(plane, version, model=model, actor=ADDER)
    await plane.updating.releases.approve(scope, draft.release, actor=APPROVER)
    await plane.updating.rollouts.create(draft, actor=ADDER)
    return await plane.updating.rollouts.start(scope, NAME, actor=APPROVER)


class Updater(DeviceInTest):
    """A device that says what it runs and does what it is directed to, step by step."""

    runs: str = OLD
    slot: str = "a"
    attempt: Attempt | None = None
    args: UpdateArgs | None = None
    number: int = 0
    order: str = ""

    def report(self) -> UpdateReport:
        """What its section says."""
        other = "b" if self.slot == "a" else "a"
        slots = (Slot(self.slot, self.runs, COUNTERS[self.runs], good=True), Slot(other))
        running = Running(self.slot, self.runs, COUNTERS[self.runs])
        return UpdateReport(running, (HARDWARE,), "file", slots=slots, attempt=self.attempt)

    async def say(self, **about: Any) -> Reply:
        """Check in with it; what it is directed to then, and what it should make of a trial."""
        section = Section(body=msgspec.Raw(msgspec.json.encode(self.report())))
        sections = {"health": Section(body=msgspec.Raw(msgspec.json.encode({"ok": about.pop("healthy", True)})))}
        sections = {**sections, SECTION: section, **about.pop("sections", {})}
        reply = await self.check_in(sections=sections, **about)
        found = [each for each in reply.directives if each.kind == DIRECTIVE]
        self.args = msgspec.json.decode(bytes(found[0].args), type=UpdateArgs) if found else None
        self.number = found[0].id if found else self.number
        self.order = msgspec.json.decode(bytes(reply.answers[SECTION]), type=UpdateAnswer).order.value
        return reply

    def at(self, step: Step, release: str = NEW, **more: Any) -> None:
        """Have come so far with what it was directed to."""
        self.attempt = Attempt(self.number, release, step, counter=COUNTERS[release], **more)

    async def install(self, release: str = NEW) -> None:
        """Fetch, write and boot what it is directed to, and say so after each; it runs on trial then."""
        for step in (Step.FETCHING, Step.WRITTEN):
            self.at(step, release, percent=50)
            await self.say(reports=(DirectiveReport(self.number, DirectiveState.ACCEPTED),))
        self.runs, self.slot = release, "b" if self.slot == "a" else "a"
        self.boot = f"{self.boot}x"
        self.at(Step.BOOTED, release)
        await self.say()

    async def confirm(self, release: str = NEW) -> Reply:
        """Confirm what it runs on trial."""
        self.at(Step.CONFIRMED, release)
        return await self.say(reports=(DirectiveReport(self.number, DirectiveState.DONE),))

    async def fall_back(self, release: str = NEW) -> Reply:
        """Run the release before again, and say so."""
        self.runs, self.slot = OLD, "b" if self.slot == "a" else "a"
        self.at(Step.FELL_BACK, release, code="update.fell_back_self_test", sentence="The self-test failed.")
        return await self.say(reports=(DirectiveReport(self.number, DirectiveState.DONE),))


async def an_updater(plane: Plane, name: str, *, site: str = "", labels: tuple[tuple[str, str], ...] = ()) -> Updater:
    """A camera that enrolled, with its place and labels; it cannot attest."""
    scope = plane.config.scope
    model = await plane.inventory.add_model(scope, example_bytes(MODEL), actor=ACTOR)
    row = Row(1, DeviceId(name), model.reference, site=site, labels=labels)
    device = await plane.inventory.add_device(scope, row, actor=ACTOR)
    claim, _ = await plane.identity.create_claim(device.key, lifetime=HOUR, actor=ACTOR)
    chain = await plane.identity.enroll(name, claim, request_for(name))
    return Updater(plane, device, digest_of(chain[0].public_bytes(Encoding.DER)))
