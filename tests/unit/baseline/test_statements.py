"""What a build, a fuse report and a token state, and what becomes of it when they differ."""

from __future__ import annotations

import pytest

from holdfast_core.baseline.model import BuildManifest, Outcome
from holdfast_core.baseline.probes import Manifest, judge_manifest

LOCKED = Manifest(key="debug_port_locked", one_of=("true",))


@pytest.mark.parametrize(
    ("manifest", "outcome"),
    [
        pytest.param(None, Outcome.UNKNOWN, id="nothing is stated"),
        pytest.param(BuildManifest("1", {}), Outcome.UNKNOWN, id="the fact is not stated"),
        pytest.param(BuildManifest("1", {"debug_port_locked": True}), Outcome.PASS, id="the build says yes"),
        pytest.param(BuildManifest("1", {}, {"debug_port_locked": True}), Outcome.PASS, id="the fuses say yes"),
        pytest.param(
            BuildManifest("1", {"debug_port_locked": True}, {"debug_port_locked": False}),
            Outcome.FAIL,
            id="the build says yes and the fuses say no",
        ),
        pytest.param(
            BuildManifest("1", {"debug_port_locked": True}, {}, {"debug_port_locked": "open"}),
            Outcome.FAIL,
            id="the build says yes and the token says otherwise",
        ),
    ],
)
def test_every_source_that_speaks_must_be_right(manifest: BuildManifest | None, outcome: Outcome) -> None:
    assert judge_manifest("PHY-01", LOCKED, manifest).outcome is outcome


def test_a_failure_names_the_source_that_is_wrong() -> None:
    finding = judge_manifest(
        "PHY-01", LOCKED, BuildManifest("1", {"debug_port_locked": True}, {"debug_port_locked": 0})
    )
    assert finding.proof == ("debug_port_locked = 0 (fuses), wanted true",)
