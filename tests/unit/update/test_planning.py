"""Plans: a run ahead of time agrees with one that follows every call, and tells exposure, times and what it assumed."""

from __future__ import annotations

from functools import partial

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.update import planning
from holdfast_core.update.calls import NEVER, RINGS, Ring, next_call, roster
from holdfast_core.update.courses import Ground, loud, mute, well
from holdfast_core.update.model import Guards, RolloutState, Thresholds, Wave
from holdfast_core.update.pacing import Kind, Run
from holdfast_core.update.plan_model import Assumptions, Plan, PlanFact
from holdfast_core.update.planning import plan
from holdfast_core.update.rollout import Tally, Verb, judge, may_begin
from holdfast_core.update.windows import second_of_day
from holdfast_core.wire.update import Window
from rollout_builders import START, a_rollout, after

HOUR = 3_600
SMALL = Assumptions(size=1_000_000, kbit_s=8_000)
"""Boots 181 s after it sets out, and proves it 30 s later."""
SOON = 181 + 30


def facts(*sizes: int, every: int = HOUR, away: int = 0, **more) -> list[PlanFact]:
    """So many devices in each wave, of which the last `away` of the last wave are away."""
    total = sum(sizes)
    found, number = [], 0
    for wave, size in enumerate(sizes):
        for _ in range(size):
            seen = after(-(number * 7_919 % every))
            found.append(PlanFact(wave, every, seen, away=number >= total - away, **more))
            number += 1
    return found


def made(*sizes: int, waves=None, assumed=SMALL, thresholds=None, guards=None, **more) -> Plan:
    chosen = waves or tuple(Wave(f"w{n}") for n in range(len(sizes)))
    rollout = a_rollout(*chosen, thresholds=thresholds, guards=guards or Guards(), state=RolloutState.DRAFT)
    return plan(rollout, facts(*sizes, **more), assumed, START)


def test_one_device_goes_its_way_to_the_second():
    rollout = a_rollout(Wave("all", soak_s=600))
    found = plan(rollout, [PlanFact(0, HOUR, after(-3_000))], SMALL, START)
    assert found.waves[0].opens_s == 0
    # It calls after 600 s, has proved itself by 811 s and soaked by 1,411 s; its next call is at 4,200 s.
    assert found.ends_s == found.waves[0].good_s == found.waves[0].ends_s == 4_200
    assert (found.verb, found.bytes, found.peak) == (Verb.FINISH, 1_000_000, 1)
    # Late, it sets out a call later, takes twice as long and is heard of a call later.
    assert found.late_ends_s == 4_200 + 2 * HOUR


def test_a_device_waits_for_its_window_where_it_is():
    begins = second_of_day(START)
    assert begins == 11 * HOUR + 6 * 60 + 40
    window = Window(120, 240)
    for offset, opens in ((0, 26 * HOUR), (600, 16 * HOUR), (-600, 36 * HOUR)):
        fact = PlanFact(0, HOUR, after(-3_000), window, offset)
        ground = Ground(a_rollout(Wave("all")), [fact], SMALL, begins)
        sets_out, _ = well(ground, 0, 0, 600)
        assert sets_out == (opens - begins) % 86_400


@pytest.mark.parametrize(
    ("own", "bound", "seconds"), [(0, 0, 1), (1_000, 0, 8), (1_000, 500, 16), (0, 500, 16), (500, 1_000, 16)]
)
def test_the_slowest_of_line_and_bound_decides(own, bound, seconds):
    rollout = a_rollout(Wave("all"), guards=Guards(kbit_s=bound))
    ground = Ground(rollout, [PlanFact(0, HOUR, kbit_s=own)], SMALL, 0)
    assert ground.booted(0) == seconds + 180


def test_waves_open_one_after_the_other_and_their_points_are_in_order():
    found = made(10, 90, 900)
    assert [wave.devices for wave in found.waves] == [10, 90, 900]
    assert found.bytes == 1_000 * 1_000_000
    for before, wave in zip((None, *found.waves), found.waves, strict=False):
        assert wave.opens_s == (before.good_s if before else 0)
        assert wave.opens_s < wave.half_s <= wave.most_s <= wave.good_s <= wave.ends_s
        assert wave.late_good_s > wave.good_s
    assert found.ends_s == found.waves[-1].good_s
    assert found.verb is Verb.FINISH


def test_at_worst_the_waves_before_and_what_begins_before_somebody_tells():
    found = made(10, 90, 900, waves=(Wave("a"), Wave("b", at_once=20), Wave("c", per_hour=30)))
    first, second, third = found.waves
    assert first.loud.devices <= 10
    assert 10 + 5 <= second.loud.devices <= 10 + 20 + 5
    # What fails falls silent after three intervals and the time to confirm: the whole of what may begin by then.
    assert second.mute.devices == 10 + 20
    assert third.mute.devices == 100 + 30 * 4
    assert third.loud.share == third.loud.devices / 10
    for wave in found.waves:
        assert wave.opens_s < wave.loud.halts_s < wave.mute.halts_s


def test_what_is_not_begun_before_its_window_is_not_exposed():
    found = made(200, window=Window(120, 121), every=60)
    assert found.peak == 200
    assert found.waves[0].loud.halts_s > 26 * HOUR - second_of_day(START)
    halted = made(200, window=Window(120, 240), waves=(Wave("all", at_once=30),), every=60)
    assert halted.waves[0].loud.devices < 60


def test_bounds_are_kept():
    found = made(100, waves=(Wave("all", at_once=7),))
    assert found.peak == 7
    # Ten an hour, each at the same second of its hour as the one ten before.
    slow = made(100, waves=(Wave("all", per_hour=10, soak_s=0),), every=60)
    assert 9 * HOUR + SOON <= slow.waves[0].ends_s <= 9 * HOUR + SOON + 3 * 60


def test_devices_that_are_away_are_left_out_and_hang_nothing():
    found = made(5, 10, away=10)
    assert (found.verb, found.devices, found.away) == (Verb.FINISH, 5, 10)
    assert found.waves[1].ends_s is None
    assert any("10 devices are away" in sentence for sentence in found.assumed)
    nobody = made(5, away=5)
    assert (nobody.verb, nobody.reason.code, nobody.bytes) == (Verb.HALT, "rollout.away", 0)
    assert nobody.waves[0].loud.devices == 0


def test_a_plan_of_nobody_is_a_plan():
    found = made(0, 0)
    assert (found.verb, found.devices, found.ends_s) == (Verb.FINISH, 0, 0)


def test_what_is_not_known_is_said():
    rollout = a_rollout(Wave("all"))
    some = [PlanFact(0, 60 + n, window=Window(1, 2)) for n in range(RINGS + 1)]
    said = " ".join(plan(rollout, some, SMALL, START).assumed)
    for words in ("never heard of", "maintenance window", "do not say", "rounded up", "battery", "Nobody fails"):
        assert words in said
    known = [PlanFact(0, 60, START, kbit_s=1)]
    quiet = plan(a_rollout(Wave("all"), guards=Guards(battery=0)), known, SMALL, START).assumed
    assert len(quiet) == 4


def test_a_plan_is_shown_as_json():
    found = made(3, 3)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Plan) == found


@pytest.mark.parametrize(
    "fact", [PlanFact(3, HOUR), PlanFact(-1, HOUR), PlanFact(0, 0), PlanFact(0, -5), PlanFact(0, 10**9)]
)
def test_facts_that_cannot_be_are_refused(fact):
    with pytest.raises(HostileData) as refused:
        plan(a_rollout(), [fact], SMALL, START)
    assert refused.value.code == "plan.facts"


@pytest.mark.parametrize("changed", [{"size": -1}, {"kbit_s": 0}, {"missed_calls": 0}, {"reboot_s": -1}])
def test_assumptions_that_cannot_be_are_refused(changed):
    with pytest.raises(HostileData) as refused:
        plan(a_rollout(), [], msgspec.structs.replace(SMALL, **changed), START)
    assert refused.value.code == "plan.assumptions"


def test_too_many_devices_are_refused(monkeypatch):
    monkeypatch.setattr(planning, "PLANNED", 2)
    with pytest.raises(LimitExceeded) as refused:
        made(3)
    assert refused.value.code == "plan.too_many"


# Calls


@given(st.integers(-(10**6), 10**6), st.integers(1, 10**5), st.integers(0, 10**6))
def test_the_next_call_is_the_first_in_step_that_is_not_over(first, interval, now):
    call = next_call(first, interval, now)
    assert now <= call < now + interval
    assert (call - first) % interval == 0


@given(st.integers(1, 50), st.lists(st.integers(0, 49), max_size=30), st.data())
def test_a_ring_finds_who_calls_next(interval, phases, data):
    members = [(phase % interval, number, interval) for number, phase in enumerate(phases)]
    callers = roster(members, 0).callers
    waiting = dict(enumerate(phases))
    rings = [Ring(one) for one in callers]
    now = 0
    while waiting:
        (ring,) = rings
        now += data.draw(st.integers(0, 120))
        if ring.second < now:
            ring.seek(now)
        soonest = min(next_call(phase % interval, interval, now) for phase in waiting.values())
        assert ring.second == max(soonest, now)
        now = ring.second
        number = ring.take()
        assert next_call(waiting.pop(number) % interval, interval, now) == now
    assert all(ring.second == NEVER for ring in rings)


def test_intervals_of_all_sorts_are_rounded_up():
    members = [(0, number, 60 + number) for number in range(100)]
    assert {one.interval for one in roster(members, 0).callers} == {64, 128, 256}
    assert sum(len(one.numbers) for one in roster(members, 3).callers) == 100


# Against a run that follows every call of every device


class Slow:
    """The same rollout, call by call; `judge` is asked after everything that happens."""

    def __init__(self, rollout, devices, course) -> None:
        self.rollout, self.devices, self.course = rollout, devices, course
        self.stages = ["waiting"] * len(devices)
        self.opened, self.good = {0: 0}, {}
        self.verdict = self.ended = None
        self.begun: list[list[int]] = [[] for _ in rollout.waves]

    def tallies(self) -> list[Tally]:
        found = []
        for wave in range(len(self.rollout.waves)):
            stages = [s for s, fact in zip(self.stages, self.devices, strict=True) if fact.wave == wave]
            away = sum(fact.away for fact in self.devices if fact.wave == wave)
            counts = {
                name: stages.count(name) for name in ("waiting", "directed", "soaking", "done", "failed", "silent")
            }
            counts["directed"] += stages.count("held")
            found.append(Tally(**counts, held=stages.count("held"), away=away))
        return found

    def judged(self, now: int) -> None:
        while self.verdict is None:
            verdict = judge(self.rollout, self.tallies())
            if verdict.verb is Verb.STAY:
                return
            if verdict.verb is not Verb.HALT:
                self.good[verdict.wave] = now
            if verdict.verb is Verb.OPEN:
                self.rollout = msgspec.structs.replace(self.rollout, wave=verdict.wave + 1)
                self.opened[verdict.wave + 1] = now
            else:
                self.verdict, self.ended = verdict, now

    def go(self, until: int) -> Slow:
        calls = [(next_call((f.seen_at - START) // 1_000, f.contact_s, 0), n) for n, f in enumerate(self.devices)]
        due: list[tuple[int, int, str]] = []
        self.judged(0)
        for now in range(until):
            for _, number, stage in sorted(event for event in due if event[0] == now):
                self.stages[number] = stage
                self.judged(now)
            for number in sorted(range(len(calls)), key=lambda n: (self.devices[n].wave, self.devices[n].contact_s, n)):
                fact = self.devices[number]
                if (now - calls[number][0]) % fact.contact_s == 0 and now >= calls[number][0]:
                    self.call(number, now, due)
        return self

    def call(self, number: int, now: int, due: list[tuple[int, int, str]]) -> None:
        fact, halted = self.devices[number], self.verdict is not None and self.verdict.verb is Verb.HALT
        recent = [second for second in self.begun[fact.wave] if now - second < HOUR]
        if fact.away or halted or self.stages[number] != "waiting":
            return
        if not may_begin(self.rollout, fact.wave, self.tallies()[fact.wave], len(recent)):
            return
        self.begun[fact.wave].append(now)
        sets_out, events = self.course(number, now)
        self.stages[number] = "held" if sets_out > now else "directed"
        names = {Kind.PROVED: "soaking", Kind.DONE: "done", Kind.FAILED: "failed", Kind.SILENT: "silent"}
        due.extend((second, number, names[kind]) for second, kind in events)
        if sets_out > now:
            due.append((sets_out, number, "directed"))


COURSES = {
    "well": lambda ground: (well, ground, 0),
    "late": lambda ground: (well, ground, 1),
    "loud": lambda ground: (loud, ground),
    "mute": lambda ground: (mute, ground),
}
waves = st.builds(
    Wave,
    st.just(""),
    soak_s=st.integers(0, 40),
    at_once=st.sampled_from([0, 0, 1, 3]),
    per_hour=st.sampled_from([0, 5]),
)


@given(
    st.lists(waves, min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from([30, 47]), st.integers(0, 47), st.booleans()), max_size=9),
    st.sampled_from(sorted(COURSES)),
    st.builds(Thresholds, least=st.integers(1, 3), sample=st.integers(1, 5), patience_s=st.integers(1, 90)),
    st.booleans(),
)
def test_a_run_agrees_with_one_that_follows_every_call(some, devices, course, limits, has_window):
    rollout = a_rollout(*some, thresholds=limits, guards=Guards(confirm_s=9))
    window = Window(1, 3) if has_window else None
    found = [
        PlanFact(min(wave, len(some) - 1), every, after(-seen), window, away=seen == 13 and away)
        for wave, every, seen, away in devices
    ]
    assumed = Assumptions(size=0, install_s=5, reboot_s=3, proof_s=2)
    ground = Ground(rollout, found, assumed, 0)
    comes = partial(*COURSES[course](ground))
    rosters = planning._rosters(rollout, found, START)
    fast = Run(rollout, rosters, comes).go()
    slow = Slow(rollout, found, comes).go(1_200)
    if fast.ended is not None and fast.ended < 1_200:
        assert (fast.verdict, fast.ended) == (slow.verdict, slow.ended)
    for number, passed in enumerate(fast.passed):
        for mine, theirs in ((passed.opened, slow.opened.get(number)), (passed.good, slow.good.get(number))):
            assert mine == theirs or (theirs is None and mine >= 1_200)


def test_a_plan_leaves_its_rollout_as_it_was():
    rollout = a_rollout(state=RolloutState.DRAFT)
    before = msgspec.json.encode(rollout)
    plan(rollout, facts(1, 2, 3), SMALL, START)
    assert msgspec.json.encode(rollout) == before
