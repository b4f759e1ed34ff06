"""When incidents open, change and close."""

from __future__ import annotations

import pytest

from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.reasons import Reason
from holdfast_core.kernel.severity import Severity
from holdfast_core.response.rules import after_verdict
from holdfast_core.trust.model import Verdict
from holdfast_core.wire.frame import Level

KEY = DeviceKey(Scope("default", "production"), DeviceId("cam-1"))
NOW = Instant(1)


def verdict(level):
    return Verdict(level, (Reason("a.code", "a sentence"),), NOW, None)


def after(before, level, current=None):
    told = verdict(before) if before else None
    return after_verdict(KEY, told, verdict(level), current, fresh_id="inc_1", now=NOW)


@pytest.mark.parametrize(
    ("before", "level", "severity"),
    [
        (Level.TRUSTED, Level.QUARANTINED, Severity.CRITICAL),
        (None, Level.QUARANTINED, Severity.CRITICAL),
        (Level.RESTRICTED, Level.QUARANTINED, Severity.CRITICAL),
        (Level.TRUSTED, Level.RESTRICTED, Severity.MEDIUM),
    ],
)
def test_a_fall_opens_an_incident(before, level, severity):
    incident = after(before, level)
    assert (incident.severity, incident.closed_at) == (severity, None)


@pytest.mark.parametrize("before", [None, Level.RESTRICTED])
def test_a_device_that_was_never_trusted_starts_without_an_incident(before):
    assert after(before, Level.RESTRICTED) is None


def test_an_open_incident_is_sharpened_rather_than_doubled():
    first = after(Level.TRUSTED, Level.RESTRICTED)
    second = after(Level.RESTRICTED, Level.QUARANTINED, first)
    assert (second.id, second.severity) == (first.id, Severity.CRITICAL)


@pytest.mark.parametrize("level", [Level.TRUSTED, Level.RETIRED])
def test_trust_or_retirement_closes_it(level):
    incident = after(Level.QUARANTINED, level, after(Level.TRUSTED, Level.QUARANTINED))
    assert incident.closed_at == NOW
    assert level in incident.closed_why


def test_trust_without_an_incident_is_nothing():
    assert after(Level.RESTRICTED, Level.TRUSTED) is None
