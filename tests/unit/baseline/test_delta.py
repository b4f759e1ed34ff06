"""What changed from one audit to the next leads from the one to the other, exactly."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.baseline.delta import FindingsDelta, applied, delta_of
from holdfast_core.baseline.model import Finding, Findings, Outcome
from holdfast_core.kernel.digests import canonical, digest_of

NAMES = [f"{group}-{number:02d}" for group in ("ACC", "NET", "SVC") for number in range(12)]


@st.composite
def audits(draw: st.DrawFn) -> Findings:
    names = sorted(draw(st.sets(st.sampled_from(NAMES))))
    entries = tuple(
        Finding(name, draw(st.sampled_from([Outcome.PASS, Outcome.FAIL])), (draw(st.text(max_size=3)),))
        for name in names
    )
    return Findings(digest_of(draw(st.binary(max_size=1))), entries)


@given(audits(), audits())
def test_applied_to_where_it_starts_it_leads_to_where_it_ends(before: Findings, after: Findings) -> None:
    travelled = msgspec.json.decode(canonical(delta_of(before, after)), type=FindingsDelta)
    assert applied(before, travelled) == after


@given(audits())
def test_nothing_changed_says_nothing(audit: Findings) -> None:
    assert delta_of(audit, audit) == FindingsDelta(audit.plan)


def test_one_changed_control_of_a_whole_catalogue_stays_small() -> None:
    wide = tuple(Finding(name, Outcome.PASS, ("x" * 200,)) for name in sorted(NAMES))
    before = Findings(digest_of(b""), wide)
    worst = Finding(NAMES[0], Outcome.FAIL, tuple("y" * 200 for _ in range(8)))
    after = applied(before, FindingsDelta(before.plan, (worst,)))
    assert len(canonical(delta_of(before, after))) <= 2048 < len(canonical(after))
