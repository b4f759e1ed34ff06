"""Attacks on tokens of microcontrollers. Each is refused with its own reason; an honest token is affirmed."""

from __future__ import annotations

import cbor2
import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attest_builders import DEVICE, NONCE, NOW, code_of, judged, policy, statement
from holdfast_core.attestation.facts import Facts
from holdfast_core.attestation.ground import ground
from holdfast_core.attestation.model import DeviceState, Method
from holdfast_core.attestation.quote import Nonce
from holdfast_core.attestation.reference import Standing, TokenComponent
from holdfast_core.attestation.refusals import Effect
from holdfast_core.attestation.rules import appraise
from holdfast_core.formats.psa import instance_id_of
from holdfast_core.kernel.appraisals import Tier
from holdfast_core.kernel.instants import MINUTE, Instant
from holdfast_core.wire.attestation import Claims, Tamper, TokenEvidence, binding
from psa_builders import component, fresh_key, psa_claims, psa_token, sign1

KEY, OTHER = fresh_key(), fresh_key()
BL, PROT = component("BL"), component("PRoT", value=b"\x77" * 32)
RELEASE = statement(
    measurements=(), components=(TokenComponent("BL", "55" * 32), TokenComponent("PRoT", "77" * 32, signer="66" * 32))
)


def spki(key):
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def token(key=KEY, *, nonce=NONCE, device=DEVICE, told=None, **claims):
    return psa_token(key, binding(nonce, device, told or Claims()), **{"components": [BL, PROT], **claims})


def evidence(made=None, *, nonce=NONCE, told=None):
    return TokenEvidence(nonce, token() if made is None else made, told or Claims())


def facts(said, *, before=None, releases=None, used="", **more):
    asked = policy(method=Method.TOKEN, registers=(), **more.pop("asked", {}))
    made = Facts(
        device=DEVICE,
        now=NOW,
        nonce=Nonce(NONCE, Instant(NOW + MINUTE), used),
        key=spki(KEY),
        ground=ground(asked, releases or judged(RELEASE)),
        before=before or DeviceState(),
        evidence=said,
    )
    return msgspec.structs.replace(made, **more)


def affirmed(made):
    outcome = appraise(made)
    assert outcome.result is not None, outcome.reason
    assert outcome.result.tier is Tier.AFFIRMING, outcome.result.reasons
    return outcome


def refused(made, code, effect):
    outcome = appraise(made)
    assert (code_of(outcome), outcome.effect) == (code, effect)
    if effect is Effect.NOTHING:
        assert outcome.result is None
        assert msgspec.structs.replace(outcome.state, refused=None) == made.before
    else:
        assert outcome.result.tier is Tier.CONTRAINDICATED
    return outcome


def test_control_an_honest_token_is_affirmed():
    assert affirmed(facts(evidence())).result.release == "gateway:1.0.0"


def test_a_token_replayed_with_its_used_nonce():
    first = affirmed(facts(evidence()))
    fresh = Nonce("the-second-nonce", Instant(NOW + MINUTE), first.state.nonce_used)
    again = facts(evidence(), before=first.state, nonce=fresh)
    outcome = refused(again, "nonce_used", Effect.NOTHING)
    assert outcome.again
    relabelled = evidence(token(), nonce="the-second-nonce")
    refused(facts(relabelled, before=first.state, nonce=fresh), "binding", Effect.INCIDENT)
    affirmed(facts(evidence(token(nonce="the-second-nonce"), nonce="the-second-nonce"), nonce=fresh))


def test_a_token_after_its_nonce_ran_out():
    refused(facts(evidence(), now=Instant(NOW + MINUTE + 1)), "nonce_expired", Effect.NOTHING)
    affirmed(facts(evidence(), now=Instant(NOW + MINUTE)))


def test_a_token_with_a_nonce_that_was_never_given():
    other = "somebody-elses-nonce"
    refused(facts(evidence(token(nonce=other), nonce=other)), "nonce_foreign", Effect.NOTHING)


def test_another_devices_token_for_the_same_nonce():
    refused(facts(evidence(token(OTHER, device="gate-8"))), "token_signature", Effect.INCIDENT)
    refused(facts(evidence(token(device="gate-8"))), "binding", Effect.INCIDENT)


def test_a_token_over_the_bare_nonce():
    bare = psa_token(KEY, NONCE.encode().ljust(32, b"\0"), components=[BL, PROT])
    refused(facts(evidence(bare)), "binding", Effect.INCIDENT)


def test_a_key_that_was_swapped_while_the_token_names_the_old_instance():
    posing = token(OTHER, instance_id=instance_id_of(KEY.public_key()))
    refused(facts(evidence(posing)), "token_signature", Effect.INCIDENT)


def test_an_instance_that_is_another_ones_under_the_bound_key_gains_nothing():
    """The key was bound to the device by a person; what the token calls itself is not asked."""
    affirmed(facts(evidence(token(instance_id=instance_id_of(OTHER.public_key())))))


def test_a_component_removed():
    outcome = appraise(facts(evidence(token(components=[BL]))))
    assert (code_of(outcome), outcome.result.tier) == ("unrecognized_boot", Tier.CONTRAINDICATED)


@pytest.mark.parametrize(
    "components",
    [
        [BL, component("PRoT", value=b"\x01" * 32)],
        [BL, component("PRoT", value=b"\x77" * 32, signer=b"\x01" * 32)],
        [BL, PROT, component("implant", value=b"\x01" * 32)],
        [BL, PROT, component("BL", value=b"\x01" * 32)],
    ],
)
def test_a_component_changed_or_added(components):
    outcome = appraise(facts(evidence(token(components=components))))
    assert (code_of(outcome), outcome.result.tier) == ("unrecognized_boot", Tier.CONTRAINDICATED)


def test_components_of_two_releases():
    other = statement(
        "2.0.0", measurements=(), components=(TokenComponent("BL", "22" * 32), TokenComponent("P", "33" * 32))
    )
    both = judged(RELEASE, other)
    affirmed(facts(evidence(), releases=both))
    mixed = token(components=[BL, component("P", value=b"\x33" * 32)])
    assert code_of(appraise(facts(evidence(mixed), releases=both))) == "unrecognized_boot"


@pytest.mark.parametrize("state", [0x0000, 0x1000, 0x2000, 0x5000, 0x5001, 0x6000])
def test_a_token_of_a_device_whose_root_of_trust_is_open_to_a_debugger(state):
    outcome = appraise(facts(evidence(token(lifecycle=state))))
    assert (code_of(outcome), outcome.result.tier) == ("lifecycle", Tier.CONTRAINDICATED)
    affirmed(facts(evidence(token(lifecycle=0x30FF))))


def test_a_debug_state_talked_away_by_the_agent():
    told = Claims(lifecycle="secured")
    calm = evidence(token(lifecycle=0x5000, told=told), told=told)
    asked = {"lifecycle": ("secured",)}
    assert code_of(appraise(facts(calm, asked=asked))) == "lifecycle"
    affirmed(facts(evidence(token(told=told), told=told), asked=asked))


def test_claims_beside_the_token_changed_on_the_way():
    told = Claims(tampers=(Tamper("case", opened=3),))
    affirmed(facts(evidence(token(told=told), told=told)))
    refused(facts(evidence(token(told=told), told=Claims())), "binding", Effect.INCIDENT)


def test_validly_signed_old_firmware():
    for standing, code in ((Standing.SUPERSEDED, "release_superseded"), (Standing.REVOKED, "release_revoked")):
        outcome = appraise(facts(evidence(), releases=judged(RELEASE, standing=standing)))
        assert (code_of(outcome), outcome.result.tier) == (code, Tier.CONTRAINDICATED)


def test_a_bit_flipped_anywhere_in_a_token():
    whole = token()
    for place in range(len(whole)):
        bent = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        outcome = appraise(facts(evidence(bent)))
        assert code_of(outcome) in {"token_signature", "token_malformed"}, place
        assert outcome.result.tier is Tier.CONTRAINDICATED


@pytest.mark.parametrize(
    "protected",
    [{}, {1: -8}, {1: 5}, {1: -35}, {1: -37}, {1: -7, 2: [99], 99: 0}],
    ids=["none", "eddsa", "hmac", "es384", "ps256", "critical"],
)
def test_a_header_that_names_another_algorithm(protected):
    payload = cbor2.dumps(psa_claims(binding(NONCE, DEVICE, Claims()), components=[BL, PROT]))
    affirmed(facts(evidence(sign1(KEY, payload))))
    outcome = appraise(facts(evidence(sign1(KEY, payload, protected=protected))))
    assert code_of(outcome) in {"token_signature", "token_malformed"}
    assert outcome.result.tier is Tier.CONTRAINDICATED


def test_a_token_without_a_signature_or_with_another_payload_under_a_good_one():
    head, unprotected, payload, signature = cbor2.loads(token()).value
    for parts in (
        [head, unprotected, payload, b""],
        [head, unprotected, payload, bytes(64)],
        [head, unprotected, cbor2.dumps(psa_claims(binding(NONCE, DEVICE, Claims()))), signature],
    ):
        refused(facts(evidence(cbor2.dumps(cbor2.CBORTag(18, parts)))), "token_signature", Effect.INCIDENT)


def test_a_device_of_tokens_that_sends_none_stays_as_it_was():
    first = affirmed(facts(evidence()))
    refused(facts(evidence(), key=None, before=first.state), "key_unknown", Effect.NOTHING)
