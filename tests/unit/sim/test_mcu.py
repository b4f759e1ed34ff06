"""The device without an agent: how it counts, when it sends bodies, and what its manifest meets."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from holdfast.adapters.system import SystemClock
from holdfast.inventory.model_file import load_examples
from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.rules import judge_for
from holdfast_core.baseline.tailoring import tailor
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.wire.codec import decode_check_in, encode
from holdfast_core.wire.frame import VERSION, Directive, DirectiveState, Level, Reply, VerdictNotice
from holdfast_probe.catalogue import shipped_catalogue
from holdfast_sim.mcu import FACTS, FUSES, Memory, bodies, compose, heard, manifest

BOOT = "boot-of-a-test"


def reply(seq: int, wants: tuple[str, ...] = (), directives: tuple[Directive, ...] = ()) -> Reply:
    verdict = VerdictNotice(Level.TRUSTED, (), Instant(0))
    return Reply(VERSION, seq, Instant(0), 3, "nonce-of-a-test", verdict, directives, wants)


def test_bodies_travel_once_and_again_only_when_asked_for() -> None:
    sections = bodies()
    first = compose(Memory(), BOOT, sections)
    assert all(section.body is not msgspec.UNSET for section in first.sections.values())

    second = compose(heard(Memory(seq=1), reply(1, wants=("baseline",)), sections), BOOT, sections)
    assert second.sections["baseline"].body is not msgspec.UNSET
    assert second.sections["health"].body is msgspec.UNSET
    assert second.sections["health"].digest is not None


@given(st.integers(0, 2**40))
def test_every_check_in_has_the_next_number_and_can_be_read(seq: int) -> None:
    message = compose(Memory(seq=seq), BOOT, bodies())
    assert message.seq == seq + 1
    assert decode_check_in(encode(message), LIMITS).seq == seq + 1


def test_what_it_cannot_do_is_refused_and_reported() -> None:
    order = Directive(7, "network-profile", msgspec.Raw(b"{}"))
    memory = heard(Memory(seq=1), reply(1, directives=(order,)), bodies())
    (report,) = compose(memory, BOOT, bodies()).reports
    assert (report.id, report.state, report.code) == (7, DirectiveState.REFUSED, "mcu.no_enforcer")


def test_the_manifest_meets_every_control_that_is_asked_of_a_microcontroller() -> None:
    model, catalogue = load_examples()["soil-sensor"], shipped_catalogue()
    now = SystemClock().now()
    report = judge_for(tailor(catalogue, model, now), catalogue).report(manifest(), now)
    asked = {entry.control: entry for entry in report.judged if entry.outcome is not Outcome.NOT_APPLICABLE}
    # What only a person can see is for a person to say.
    inspected = {control.id for control in catalogue.controls if control.inspected}
    not_met = {name for name, entry in asked.items() if entry.outcome is not Outcome.PASS}
    assert asked.keys() - inspected
    assert not_met <= inspected


def test_no_fact_is_stated_twice() -> None:
    assert not FACTS.keys() & FUSES.keys()
