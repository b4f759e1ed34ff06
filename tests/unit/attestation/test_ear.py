"""The attestation result for others: what it says, and that only its key makes one."""

from __future__ import annotations

import base64
import json

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from attest_builders import NOW, SoftTpm, facts
from holdfast_core.attestation.ear import LARGEST, PROFILE, open_result, result_claims, signed_result
from holdfast_core.attestation.model import DeviceState, Freshness
from holdfast_core.attestation.rules import appraise
from holdfast_core.formats.note import VerifierKey
from holdfast_core.kernel.appraisals import Appraisal, Tier
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope
from holdfast_core.kernel.instants import DAY, SECOND, Instant

PRIVATE = Ed25519PrivateKey.from_private_bytes(b"\7" * 32)
KEY = VerifierKey("log.example", PRIVATE.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
DEVICE = DeviceKey(Scope("acme", "plant"), DeviceId("gate-7"))
UNTIL = Instant(NOW + DAY)


def outcome():
    tpm = SoftTpm()
    return appraise(facts(tpm, tpm.boot()))


def claims_of(state, freshness=Freshness.FRESH, tier=Tier.AFFIRMING, *, appraised=True):
    appraisal = Appraisal("attestation", tier, (), NOW, UNTIL) if appraised else None
    return result_claims(DEVICE, state, appraisal, freshness, issuer="log.example", now=NOW)


GOOD = claims_of(outcome().state)
TOKEN = signed_result(GOOD, KEY, PRIVATE.sign)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(header=None, payload=None, *, key=PRIVATE, sign=True):
    head = json.dumps(header if header is not None else {"alg": "EdDSA"}).encode()
    body = f"{b64(head)}.{b64(payload if payload is not None else json.dumps(GOOD).encode())}"
    return f"{body}.{b64(key.sign(body.encode()) if sign else b'')}"


def refused(token):
    with pytest.raises(HostileData) as caught:
        open_result(token, KEY)
    return caught.value.code


def test_a_result_opens_to_the_claims_that_were_signed():
    assert open_result(TOKEN, KEY) == GOOD
    assert open_result(f"\n{TOKEN}\n", KEY) == GOOD
    assert len(TOKEN) < 2048


def test_a_result_says_what_the_draft_has_it_say():
    (submodule,) = GOOD["submods"].values()
    assert GOOD["eat_profile"] == PROFILE
    assert set(GOOD["ear.verifier-id"]) == {"developer", "build"}
    assert (GOOD["iat"], GOOD["exp"], GOOD["sub"]) == (NOW // SECOND, UNTIL // SECOND, "acme/plant/gate-7")
    assert submodule["ear.status"] == 2
    assert submodule["ear.trustworthiness-vector"] == {"instance-identity": 2, "executables": 3}
    assert submodule["ear.appraisal-policy-id"].startswith("holdfast:sha256:")
    assert (submodule["holdfast.release"], submodule["holdfast.svn"]) == ("gateway:1.0.0", 1)


@pytest.mark.parametrize(
    ("tier", "status"),
    [(Tier.NONE, 0), (Tier.AFFIRMING, 2), (Tier.WARNING, 32), (Tier.CONTRAINDICATED, 96)],
)
def test_the_status_is_the_tier(tier, status):
    assert claims_of(outcome().state, tier=tier)["submods"]["gate-7"]["ear.status"] == status


@pytest.mark.parametrize("freshness", [Freshness.STALE, Freshness.NEVER])
def test_a_result_that_is_stale_says_nothing_good_whatever_it_was(freshness):
    claims = claims_of(outcome().state, freshness)
    submodule = claims["submods"]["gate-7"]
    assert (submodule["ear.status"], submodule["ear.trustworthiness-vector"]) == (0, {})
    assert "holdfast.release" not in submodule
    assert "exp" not in claims
    assert submodule["holdfast.freshness"] == freshness.value


def test_a_device_that_never_attested_has_a_result_that_says_so():
    submodule = claims_of(DeviceState(), Freshness.NEVER, appraised=False)["submods"]["gate-7"]
    assert (submodule["ear.status"], submodule["ear.appraisal-policy-id"]) == (0, "holdfast")
    assert submodule["holdfast.reasons"] == []


def test_a_pending_boot_counts_and_says_that_it_is_pending():
    submodule = claims_of(outcome().state, Freshness.PENDING)["submods"]["gate-7"]
    assert (submodule["ear.status"], submodule["holdfast.freshness"]) == (2, "pending")


# Forged


def test_the_forms_that_are_forged_below_are_good_where_they_are_signed():
    assert open_result(forged(), KEY) == GOOD


@pytest.mark.parametrize("alg", ["none", "HS256", "ES256", "EDDSA", None, 1])
def test_a_header_that_names_another_algorithm(alg):
    assert refused(forged({"alg": alg})) == "result.malformed"
    assert refused(forged({"alg": alg}, sign=False)) == "result.signature"


def test_a_result_by_another_key():
    assert refused(forged(key=Ed25519PrivateKey.generate())) == "result.signature"


def test_claims_under_another_ones_signature():
    other = forged(payload=json.dumps(GOOD | {"sub": "acme/plant/gate-8"}).encode())
    head, _, signature = TOKEN.split(".")
    assert refused(f"{head}.{other.split('.')[1]}.{signature}") == "result.signature"


def test_a_result_of_another_profile():
    assert refused(forged(payload=json.dumps(GOOD | {"eat_profile": "x"}).encode())) == "result.profile"
    assert refused(forged(payload=b"{}")) == "result.profile"


@pytest.mark.parametrize("payload", [b"", b"[]", b"nothing", b"\xff", b"[" * 9000])
def test_a_signed_payload_that_is_no_claims(payload):
    assert refused(forged(payload=payload)) == "result.malformed"


@pytest.mark.parametrize(
    "token", ["", ".", "..", "a.b", "a.b.c.d", "\u00e9.\u00e9.\u00e9", "\ud800..", "%.%.%", "x" * LARGEST + ".."]
)
def test_what_is_no_result(token):
    assert refused(token) in {"result.malformed", "result.signature"}


@given(st.text(max_size=80))
def test_arbitrary_text_is_no_result(token):
    assert refused(token).startswith("result.")
    assert refused(f"{token}.{token}.{token}").startswith("result.")


@given(st.integers(0, len(TOKEN) - 1), st.sampled_from("ABCxyz019-_."))
def test_a_result_with_a_letter_changed_is_refused_or_the_same(place, letter):
    bent = TOKEN[:place] + letter + TOKEN[place + 1 :]
    try:
        assert open_result(bent, KEY) == GOOD
    except HostileData as error:
        assert error.code in {"result.malformed", "result.signature"}  # noqa: PT017 (the same letter changes nothing)


def test_a_result_truncated_at_every_letter_is_refused():
    for end in range(len(TOKEN)):
        assert refused(TOKEN[:end])


def test_claims_of_any_state_can_be_signed():
    state = msgspec.structs.replace(outcome().state, release="", svn=-1)
    assert "holdfast.release" not in claims_of(state)["submods"]["gate-7"]
