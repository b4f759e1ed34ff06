"""Simulated rollouts: a seed decides, good releases reach everybody, bad ones are halted, the control does worse."""

from __future__ import annotations

import msgspec
import pytest

from holdfast_core.update.model import Wave
from holdfast_core.update.rollout import Verb
from holdfast_sim.updating.luck import Ills, Setting
from holdfast_sim.updating.naive import Naive, naive
from holdfast_sim.updating.rollouts import a_rollout, simulate

WAVES = (Wave("canary", 10.0), Wave("rest", at_once=50))
GOOD = Setting(300, 900, bad=0.0, away=0.0)
BAD = msgspec.structs.replace(GOOD, bad=50.0)


def test_a_good_release_reaches_everybody_that_is_there():
    done = simulate(GOOD, a_rollout(WAVES), 1)
    assert (done.verb, done.wave, done.bad) == (Verb.FINISH, 1, 0)
    assert done.exposed >= 0.96 * 300
    # Each wave takes a contact at most, an install, its soak of an hour and the next contact.
    assert done.seconds > 2 * 3_600


def test_devices_that_are_away_hang_nothing():
    done = simulate(msgspec.structs.replace(GOOD, away=30.0), a_rollout(WAVES), 1)
    assert done.verb is Verb.FINISH
    assert done.exposed < 0.8 * 300


@pytest.mark.parametrize(
    ("ills", "code"),
    [
        (Ills(early=100.0), "rollout.failures"),
        (Ills(early=0.0, unwell=0.0), "rollout.failures"),
        (Ills(early=0.0, unwell=100.0), "rollout.failures"),
        (Ills(early=0.0, unwell=0.0, mute=100.0), "rollout.silence"),
    ],
)
def test_a_bad_release_is_halted_in_its_first_wave_however_it_shows(ills, code):
    halted = simulate(msgspec.structs.replace(BAD, ills=ills), a_rollout(WAVES), 1)
    assert (halted.verb, halted.wave, halted.code) == (Verb.HALT, 0, code)
    assert halted.exposed <= 30
    assert halted.bad >= 2


def test_a_seed_decides_everything():
    rollout = a_rollout(WAVES)
    assert simulate(BAD, rollout, 7) == simulate(BAD, rollout, 7)
    assert len({simulate(BAD, rollout, seed) for seed in range(5)}) > 1
    assert naive(BAD, (10.0, 100.0), Naive(5.0, of_group=True), 7) == naive(
        BAD, (10.0, 100.0), Naive(5.0, of_group=True), 7
    )


def test_the_control_sees_neither_who_fell_back_nor_who_went_dark():
    unseen = msgspec.structs.replace(BAD, bad=10.0, ills=Ills(early=0.0, unwell=0.0))
    assert naive(unseen, (10.0, 100.0), Naive(5.0, of_group=True), 1).verb is Verb.FINISH
    assert simulate(unseen, a_rollout(WAVES), 1).verb is Verb.HALT
    dark = msgspec.structs.replace(BAD, ills=Ills(early=0.0, unwell=0.0, mute=100.0))
    assert naive(dark, (10.0, 100.0), Naive(5.0, of_group=True), 1).verb is Verb.STAY


def test_the_control_without_a_sample_stops_at_the_first_failure_that_is_reported_early():
    ill = msgspec.structs.replace(GOOD, bad=2.0, ills=Ills(early=100.0))
    rates = [naive(ill, (10.0, 100.0), Naive(5.0, of_group=False), seed).verb for seed in range(20)]
    assert Verb.HALT in rates
