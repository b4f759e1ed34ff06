"""What lies on disk of attestation: evidence that is appraised again, and releases that are followed as they change."""

from __future__ import annotations

import msgspec
import pytest

from attesting_builders import MODEL, Builder, added, an_attester, stated
from builders import ACTOR, new_plane
from holdfast.attestation.grounds import Grounds
from holdfast.ports.store import Blob, Removed
from holdfast_core.attestation.ground import RELEASES
from holdfast_core.attestation.reference import Reference, statement_bytes
from holdfast_core.kernel.appraisals import Tier
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import Scope

pytestmark = pytest.mark.anyio


async def proved(plane):
    """A device whose boot was proved once, and its newest evidence."""
    await added(plane, Builder(), stated())
    device = await an_attester(plane)
    await device.tell()
    device.log = device.tpm.boot()
    await device.attest(log=device.log)
    (kept, *_) = await plane.attesting.service.evidences(device.key, before=None, limit=1)
    assert kept.taken
    return device, kept


async def replayed(plane, device):
    return await plane.attesting.service.replay(device.key)


async def refusal(plane, device) -> HostileData:
    with pytest.raises(HostileData) as caught:
        await replayed(plane, device)
    assert caught.value.remedy
    return caught.value


async def test_what_nobody_changed_comes_out_the_same(tmp_path):
    async with new_plane(tmp_path) as plane:
        device, _ = await proved(plane)
        again = await replayed(plane, device)
        assert (again.same, again.chained) == (True, True)


@pytest.mark.parametrize(
    "changed",
    [{"before": b""}, {"before": b"\xc1"}, {"body": b""}, {"body": b"\xff"}, {"body": b"[" * 9_999},
     {"public": b"x"}],
)  # fmt: skip
async def test_evidence_whose_row_was_spoilt_is_refused_in_words(tmp_path, changed):
    async with new_plane(tmp_path) as plane:
        device, kept = await proved(plane)
        await plane.store.commit([msgspec.structs.replace(kept, **changed)])
        refused = await refusal(plane, device)
        assert (refused.code, refused.http_status) == ("attestation.evidence_spoilt", 409)
        await plane.store.commit([kept])
        assert (await replayed(plane, device)).same


@pytest.mark.parametrize("spoilt", ["statement", "basis"])
async def test_bytes_that_do_not_have_the_digest_they_are_kept_under_are_not_believed(tmp_path, spoilt):
    """A statement in which another kernel is good would else make another verdict of old evidence."""
    async with new_plane(tmp_path) as plane:
        device, kept = await proved(plane)
        scope, (statement, digest) = device.key.scope, statement_bytes(stated())
        kinder = statement_bytes(msgspec.structs.replace(stated(), measurements=stated().measurements[:1]))[0]
        basis = await plane.store.blob(scope, kept.basis)
        place, put = (digest, kinder) if spoilt == "statement" else (kept.basis, basis.replace(b"current", b"revoked"))
        before = statement if spoilt == "statement" else basis
        assert put != before
        for data in (put, b"{}", b""):
            await plane.store.commit([Blob(scope, place, data)])
            assert (await refusal(plane, device)).code == "attestation.evidence_spoilt"
        await plane.store.commit([Blob(scope, place, before)])
        assert (await replayed(plane, device)).same


async def test_a_release_that_is_removed_in_another_scope_stays_here(tmp_path):
    async with new_plane(tmp_path) as plane:
        await proved(plane)
        scope, grounds = plane.config.scope, Grounds(plane.store)
        (here,) = grounds.releases(scope, MODEL)
        grounds._note([Removed(Reference, Scope("other", "site"), here.id)])
        assert grounds.releases(scope, MODEL) == [here]
        grounds._note([Removed(Reference, scope, here.id)])
        assert grounds.releases(scope, MODEL) == []


async def test_a_release_is_held_against_its_devices_however_many_newer_ones_there_are(tmp_path):
    async with new_plane(tmp_path) as plane:
        device, _ = await proved(plane)
        scope, references = plane.config.scope, plane.attesting.references
        old = f"{MODEL}:1.0.0"
        first = references.require(scope, old)
        newer = [stated(f"2.0.{number}", made_at=first.statement.made_at + 1) for number in range(RELEASES)]
        made = [
            msgspec.structs.replace(first, id=each.id, statement=each, digest=statement_bytes(each)[1])
            for each in newer
        ]
        await plane.store.commit(made)
        assert len(references.listed(scope, MODEL)) == RELEASES + 1
        _, hit = await references.revoke(scope, old, why="it is broken", actor=ACTOR)
        assert hit == 1
        assert plane.store.posture(device.key).appraisal("attestation").tier is Tier.CONTRAINDICATED
