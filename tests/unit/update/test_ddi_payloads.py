"""Payloads are served whole and in parts, to agents and to clients of the DDI API alike."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from ddi_builders import ddi_lab
from holdfast.web.device.targets import PIECE

pytestmark = pytest.mark.anyio
DATA = hashlib.shake_256(b"payload").digest(3 * PIECE + 17)


async def both(lab):
    """An agent's and a client's way to one payload."""
    release = await lab.release(data=DATA)
    agent, client = await lab.certified("cam-9"), await lab.client("cam-1")
    await lab.rollout(release)
    await client.begin()
    digits = release.payload.digest.partition(":")[2]
    return digits, (
        (agent, f"/v1/update/targets/door-camera/2.0/{digits}.fw-2.0.swu"),
        (client, f"{client.root}/softwaremodules/2/artifacts/fw-2.0.swu"),
    )


async def test_a_payload_comes_whole_with_its_digest_as_its_tag(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        digits, ways = await both(lab)
        for caller, path in ways:
            answer = await caller.get(path, absolute=True)
            assert (answer.status_code, answer.content) == (200, DATA)
            assert answer.headers["etag"] == f'"{digits}"'
            assert answer.headers["accept-ranges"] == "bytes"
            assert answer.headers["content-length"] == str(len(DATA))
            assert "content-range" not in answer.headers


@pytest.mark.parametrize("start", [0, 1, PIECE - 1, PIECE, 2 * PIECE + 5, len(DATA) - 1])
async def test_a_download_goes_on_at_any_byte(tmp_path, start):
    async with ddi_lab(tmp_path) as lab:
        digits, ways = await both(lab)
        for caller, path in ways:
            for condition in ({}, {"if-range": f'"{digits}"'}):
                answer = await caller.get(path, absolute=True, headers={"range": f"bytes={start}-", **condition})
                assert (answer.status_code, answer.content) == (206, DATA[start:])
                assert answer.headers["content-range"] == f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"
                assert answer.headers["content-length"] == str(len(DATA) - start)


async def test_a_part_of_another_payload_is_never_continued(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        _, ways = await both(lab)
        for caller, path in ways:
            other = {"range": "bytes=5-", "if-range": '"' + "0" * 64 + '"'}
            answer = await caller.get(path, absolute=True, headers=other)
            assert (answer.status_code, answer.content) == (200, DATA)


async def test_its_size_can_be_asked_for_alone(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        _, ways = await both(lab)
        for caller, path in ways:
            answer = await caller.ask("HEAD", path, absolute=True)
            assert (answer.status_code, answer.content) == (200, b"")
            assert answer.headers["content-length"] == str(len(DATA))


async def test_old_hashes_are_computed_once_for_many_who_ask(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        release = await lab.release(data=DATA)
        computed, really = [], lab.hashing._compute
        lab.hashing._compute = lambda digest: computed.append(digest) or really(digest)
        found = await asyncio.gather(*(lab.hashing.of(lab.scope, release.payload) for _ in range(20)))
        assert len(computed) == 1
        assert {each.sha1 for each in found} == {hashlib.sha1(DATA, usedforsecurity=False).hexdigest()}
        await lab.hashing.of(lab.scope, release.payload)
        assert len(computed) == 1
        assert lab.hashing._tasks == {}


async def test_who_waits_too_long_for_old_hashes_is_told_to_come_back(tmp_path, monkeypatch):
    from holdfast.update import old_hashes  # noqa: PLC0415  (of this test alone)

    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        await lab.rollout(await lab.release(data=DATA))
        links = await client.poll()
        monkeypatch.setattr(old_hashes, "PATIENCE_SECONDS", 0.0)
        answer = await client.get(links["deploymentBase"], absolute=True)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
        monkeypatch.undo()
        assert (await client.get(links["deploymentBase"], absolute=True)).status_code == 200
