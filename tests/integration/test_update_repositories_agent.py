"""The server's repositories and the agent's trust in them, joined as over the wire: JSON to JSON."""

from __future__ import annotations

import msgspec
import pytest

from holdfast_agent.update.trust import Trust
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.supply.model import PayloadKind
from holdfast_core.update.agreement import Board, Exemption, accept
from holdfast_core.update.repository import FIRST_ROOT, Name, Online
from holdfast_core.wire.update_metadata import Brought
from repository_builders import ACTOR, DEVICE, MODEL, SCOPE, Plant, a_release

pytestmark = pytest.mark.anyio
PATH = f"{MODEL}/1.0.0/rootfs.img"


class Joined:
    """A device and the server it asks."""

    def __init__(self, plant, folder):
        self.plant = plant
        self.trust = Trust(
            folder, "cam-1", wall=plant.clock.now, up=lambda: plant.clock.at, built=Instant(plant.now - DAY)
        )
        director = plant.images.shelf(SCOPE).state.roots[Name.DIRECTOR][0].data
        self.trust.begin(director, plant.images.file(SCOPE, "1.root.json"))

    async def ask(self, nonce=None):
        body = msgspec.json.encode(self.trust.holding(nonce))
        answer = await self.plant.answers.answer(DEVICE, body)
        self.trust.take(msgspec.json.decode(answer, type=Brought))
        return answer

    def takes(self, path=PATH, *, floor=0):
        release = path.split("/")[0] + ":" + path.split("/")[1]
        return accept(
            Board("cam-1", MODEL, ("gw-1",), PayloadKind.FILE, 0, floor, 0),
            self.trust.directed(path),
            self.trust.imaged(path),
            named=self.trust.named,
            now=self.trust.sense().now,
            exemptions=self.trust.exemptions(release),
        )


@pytest.fixture
async def joined(tmp_path):
    plant = await Plant().found()
    await plant.publish(a_release())
    await plant.direct(a_release())
    return Joined(plant, tmp_path)


async def test_one_answer_brings_all_that_a_device_needs_and_the_next_brings_nothing(joined):
    await joined.ask("nonce-0001")
    assert joined.takes().path == PATH
    assert await joined.ask() == b"{}"
    assert joined.trust.director_version == joined.plant.director.version(DEVICE)


async def test_a_new_release_costs_one_answer(joined):
    await joined.ask()
    newer = a_release("2.0.0", counter=2)
    await joined.plant.publish(newer)
    joined.plant.clock.forward(1000)
    await joined.plant.direct(newer)
    await joined.ask()
    assert joined.takes(f"{MODEL}/2.0.0/rootfs.img").offer.counter == 2
    assert await joined.ask() == b"{}"


async def test_going_back_needs_an_exemption_and_it_comes_with_the_metadata(joined):
    await joined.ask()
    with pytest.raises(HostileData) as refused:
        joined.takes(floor=9)
    assert refused.value.code == "update.downgrade"
    leave = Exemption(f"{MODEL}:1.0.0", ("cam-1",), Instant(joined.plant.now + DAY), "2.0.0 loses the camera")
    await joined.plant.releasing.propose_exemption(SCOPE, "back", leave, actor=ACTOR)
    await joined.plant.sign_all()
    await joined.ask()
    assert joined.takes(floor=9).path == PATH


async def test_timestamps_that_were_issued_again_are_taken_for_a_year(joined):
    for _ in range(100):
        joined.plant.clock.forward(3 * DAY + DAY // 2)
        await joined.plant.images.refresh_due(joined.plant.now)
        await joined.ask()
        assert not joined.trust.frozen


async def test_a_device_follows_when_every_online_key_is_rotated(joined):
    await joined.ask()
    fresh = (Online.DIRECTOR, Online.SNAPSHOT, Online.TIMESTAMP)
    for _ in range(5):
        files = await joined.plant.rotate(Name.IMAGE, Name.DIRECTOR, fresh=fresh)
        await joined.plant.images.submit(SCOPE, files, actor=ACTOR)
    await joined.ask("nonce-0002")
    assert joined.takes().path == PATH
    assert joined.trust.holding().director.root == FIRST_ROOT[Name.DIRECTOR] + 5
    assert await joined.ask() == b"{}"
