"""What signers are told: everything that changes, compared with what they can verify."""

from __future__ import annotations

import msgspec
import pytest

from holdfast.update.ceremony import CeremonyFile
from holdfast.update.online_files import key_id
from holdfast.update.tuf_files import read_root
from holdfast.update.wording import NO_ROOT, told
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.update.agreement import Exemption
from holdfast_core.update.repository import Name, Online
from repository_builders import ACTOR, MODEL, SCOPE, People, Plant, a_release

pytestmark = pytest.mark.anyio


def name_of(plant, number=0):
    return key_id(plant.people.keys[number].public_key())


def kept(plant):
    return read_root(plant.images.file(SCOPE, "1.root.json"))


async def test_a_new_release_is_told_with_its_offer_and_nothing_else_is_told_as_new():
    plant = await Plant().found()
    await plant.publish(a_release())
    await plant.releasing.propose_release(SCOPE, a_release("2.0.0", counter=2, svn=3), actor=ACTOR)
    (said,) = told(plant.images.ceremony(SCOPE), name_of(plant), kept(plant))
    assert said.warnings == ()
    (line,) = said.lines
    assert line.startswith(f"+ {MODEL}:2.0.0 (feature) for gw-1: counter 2, security version 3; {MODEL}/2.0.0/rootfs")
    assert (said.counts, said.signed, said.have, said.need) == (True, False, 0, 2)


async def test_without_a_root_that_was_kept_everything_is_told_as_new_with_a_warning():
    plant = await Plant().found()
    await plant.publish(a_release())
    await plant.releasing.propose_release(SCOPE, a_release("2.0.0", counter=2), actor=ACTOR)
    (said,) = told(plant.images.ceremony(SCOPE), name_of(plant), None)
    assert said.warnings == (NO_ROOT,)
    assert len(said.lines) == 2


async def test_a_file_that_lies_about_what_is_in_force_is_found_out():
    plant, thief = await Plant().found(), await Plant().found()
    evil = a_release("6.6.6", counter=666)
    await thief.publish(evil)
    await thief.releasing.propose_release(SCOPE, a_release("6.6.7", counter=667), actor=ACTOR)
    (said,) = told(thief.images.ceremony(SCOPE), name_of(plant), kept(plant))
    assert "not among the roots" in said.warnings[0]
    assert any("6.6.6" in line for line in said.lines), "what the thief says was there is told as new"
    ceremony = plant.images.ceremony(SCOPE, whole=True)
    swapped = thief.images.shelf(SCOPE).state.roles[MODEL]
    lying = msgspec.structs.replace(ceremony, current=(*ceremony.current, CeremonyFile(Name.IMAGE, MODEL, swapped)))
    await plant.releasing.propose_release(SCOPE, a_release(), actor=ACTOR)
    lying = msgspec.structs.replace(lying, files=plant.images.ceremony(SCOPE).files)
    assert all("6.6.6" not in line for each in told(lying, name_of(plant), kept(plant)) for line in each.lines)


async def test_a_withdrawal_a_change_and_an_exemption_are_told():
    plant = await Plant().found()
    await plant.publish(a_release(), a_release("2.0.0", counter=2))
    leave = Exemption(f"{MODEL}:1.0.0", ("cam-1", "cam-2"), Instant(plant.now + DAY), "2.0.0 loses the camera")
    await plant.releasing.propose_exemption(SCOPE, "back", leave, actor=ACTOR)
    await plant.releasing.propose_withdrawal(SCOPE, f"{MODEL}:2.0.0", why="it bricks", actor=ACTOR)
    lines = [line for each in told(plant.images.ceremony(SCOPE), name_of(plant), kept(plant)) for line in each.lines]
    assert any("cam-1, cam-2 may go back to" in line and "loses the camera" in line for line in lines)
    assert any(line.startswith(f"- {MODEL}/2.0.0/rootfs.img") for line in lines)


async def test_a_rotation_tells_keys_and_thresholds():
    plant = await Plant().found()
    new = People(4, 3)
    files = await plant.rotate(Name.IMAGE, fresh=(Online.TIMESTAMP,), people=new)
    ceremony = msgspec.structs.replace(plant.images.ceremony(SCOPE, whole=True), files=tuple(files))
    root, targets = told(ceremony, name_of(plant), kept(plant))
    assert "root: 3 of 4 keys have to sign; before 2 of 3" in root.lines
    assert any("(yours)" in line and line.startswith("root: - key") for line in root.lines)
    assert any(line.startswith("timestamp: + key") for line in root.lines)
    assert any("role exemptions: 3 of 4" in line for line in targets.lines)
    assert (root.counts, root.signed, targets.counts) == (True, True, False)


async def test_a_delegation_tells_the_paths_and_the_signers():
    plant, product = await Plant().found(), People(2, 1)
    await plant.releasing.propose_delegation(SCOPE, MODEL, product.holders, actor=ACTOR)
    await plant.releasing.propose_release(SCOPE, a_release(), actor=ACTOR)
    targets, role = sorted(
        told(plant.images.ceremony(SCOPE), name_of(plant), kept(plant)), key=lambda each: -len(each.role)
    )
    first, second = (targets, role) if targets.role == "targets" else (role, targets)
    assert f"+ role {MODEL} for {MODEL}/*/*" in first.lines
    assert f"role {MODEL}: 1 of 2 keys have to sign" in first.lines
    assert not second.counts, "a model's own signers sign it"
