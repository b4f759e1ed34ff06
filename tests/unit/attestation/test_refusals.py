"""Every refusal: what it says, and that something leads to it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from holdfast_core.attestation.refusals import REFUSALS, Effect, Refused
from holdfast_core.attestation.rules import _AGAIN, _CLAIMS

CORE = Path(__file__).resolve().parents[3] / "packages/core/src/holdfast_core/attestation"
SOURCES = "\n".join(file.read_text() for file in CORE.glob("*.py") if file.name != "refusals.py")
TESTS = "\n".join(file.read_text() for file in Path(__file__).resolve().parents[2].rglob("test_*.py"))


@pytest.mark.parametrize("code", REFUSALS)
def test_every_refusal_says_what_happened_and_what_to_do(code):
    refused = Refused(code, detail="D")
    assert refused.reason.code == f"attestation.{code}"
    assert refused.reason.sentence.endswith(("D", "."))
    assert "{" not in refused.reason.sentence
    assert refused.reason.remedy
    assert "\n" not in refused.reason.sentence + refused.reason.remedy


@pytest.mark.parametrize("code", REFUSALS)
def test_every_refusal_is_made_somewhere_and_tested_somewhere(code):
    made = rf'Refused\(\s*"{code}"|"{code}" if |else "{code}"|: "{code}"|, "{code}"\)'
    assert re.search(made, SOURCES), "nothing refuses so"
    assert re.search(rf'"(attestation\.)?{code}"', TESTS), "no test sees it"


def test_only_what_no_honest_device_ever_makes_opens_an_incident():
    incidents = {code for code, (effect, *_) in REFUSALS.items() if effect is Effect.INCIDENT}
    assert incidents == {"signature", "not_generated", "not_a_quote", "binding", "cloned", "token_signature"}


def test_what_only_came_too_late_says_nothing():
    for code in (*_AGAIN - {"ima_pending"}, *(each for each in REFUSALS if each.startswith("nonce_"))):
        assert REFUSALS[code][0] is Effect.NOTHING, code


def test_every_claim_of_a_refusal_is_of_one_that_counts():
    assert Effect.NOTHING not in {REFUSALS[code][0] for code in _CLAIMS}


def test_a_code_that_nobody_knows_is_a_fault_of_ours():
    with pytest.raises(KeyError):
        Refused("surprise")
