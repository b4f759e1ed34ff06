"""The drill: it says what the real thresholds hold, and where they do not."""

from __future__ import annotations

import pytest

from holdfast.update.drill import drill
from repository_builders import ACTOR, MODEL, SCOPE, People, Plant, a_release

pytestmark = pytest.mark.anyio


async def played(people, product=None):
    plant = await Plant(people).found()
    if product is not None:
        await plant.releasing.propose_delegation(SCOPE, MODEL, product.holders, actor=ACTOR)
        await plant.sign_all()
    else:
        await plant.publish(a_release())
    return {each.loss: each for each in drill(plant.images.ceremony(SCOPE, whole=True), plant.now)}


async def test_two_of_three_hold_the_loss_of_any_one_key():
    losses = await played(People(3, 2))
    assert set(losses) == {"director", "timestamp", "snapshot", "targets", "exemptions", MODEL, "root"}
    for each in losses.values():
        assert each.held, each
        assert each.could_not
        assert each.ends
    assert "knows no" in losses["director"].could_not[0]
    assert "was signed by 1/2 keys" in losses["targets"].could_not[0]
    assert "was signed by 0/2 keys" in losses[MODEL].afterwards


async def test_control_one_of_one_is_said_not_to_hold():
    losses = await played(People(1, 1))
    for name in ("targets", "exemptions", MODEL, "root"):
        assert not losses[name].held, name
        assert not losses[name].could_not
        assert losses[name].could
    assert losses["director"].held


async def test_two_of_two_hold_a_thief_and_not_the_loss_itself():
    root = (await played(People(2, 2)))["root"]
    assert not root.held
    assert root.could_not
    assert "too few signers are left" in root.afterwards


async def test_a_models_own_signers_are_played_too_though_they_published_nothing_yet():
    losses = await played(People(3, 2), product=People(2, 1))
    assert not losses[MODEL].held
    assert losses["targets"].held
