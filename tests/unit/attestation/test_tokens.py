"""Tokens of microcontrollers: whose, for which nonce, in which state, and of which release."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from attest_builders import DEVICE, NONCE, NOW, code_of, judged, policy, statement
from holdfast_core.attestation.facts import Facts
from holdfast_core.attestation.ground import ground
from holdfast_core.attestation.model import DeviceState, Freshness, Method, Vector
from holdfast_core.attestation.quote import Nonce
from holdfast_core.attestation.reference import Standing, TokenComponent
from holdfast_core.attestation.refusals import Effect
from holdfast_core.attestation.rules import appraise
from holdfast_core.attestation.tokens import BELIEVED, LARGEST_KEY, read_token_key
from holdfast_core.formats.psa import Profile
from holdfast_core.kernel.appraisals import Tier
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import MINUTE, Instant
from holdfast_core.wire.attestation import Claims, Debug, DebugPort, TokenEvidence, binding
from psa_builders import component, fresh_key, psa_token

KEY = fresh_key()
SPKI = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
BOUND = binding(NONCE, DEVICE, Claims())
PARTS = (TokenComponent("BL", "55" * 32), TokenComponent("PRoT", "77" * 32, "1.2.3", "66" * 32))
BOOTED = [component("BL"), component("PRoT", value=b"\x77" * 32)]
RELEASE = statement(measurements=(), components=PARTS)


def facts(token=None, *releases, nonce=NONCE, claims=None, before=None, key=SPKI, **asked):
    on = ground(policy(method=Method.TOKEN, registers=(), **asked), releases or judged(RELEASE))
    made = psa_token(KEY, binding(nonce, DEVICE, claims or Claims()), components=BOOTED) if token is None else token
    return Facts(
        device=DEVICE,
        now=NOW,
        nonce=Nonce(NONCE, Instant(NOW + MINUTE), "used"),
        key=key,
        ground=on,
        before=before or DeviceState(),
        evidence=TokenEvidence(nonce, made, claims or Claims()),
    )


def token(**claims):
    return psa_token(KEY, BOUND, **{"components": BOOTED, **claims})


def result(*args, **more):
    outcome = appraise(facts(*args, **more))
    assert outcome.result is not None, outcome.reason
    return outcome.result, code_of(outcome)


@pytest.mark.parametrize("profile", list(Profile))
def test_a_good_token_of_any_profile_is_affirmed(profile):
    outcome = appraise(facts(token(profile=profile)))
    assert outcome.result.tier is Tier.AFFIRMING
    assert (outcome.state.release, outcome.state.svn) == ("gateway:1.0.0", 1)
    assert (outcome.state.freshness, outcome.state.nonce_used) == (Freshness.FRESH, NONCE)
    assert outcome.result.vector == Vector(instance_identity=2, configuration=2, executables=3)


def test_a_component_that_is_not_of_the_release():
    made, code = result(token(components=[component("BL", value=b"\1" * 32), BOOTED[1]]))
    assert (made.tier, code) == (Tier.CONTRAINDICATED, "unrecognized_boot")
    assert "BL is not of it; its BL is not in the token" in made.reasons[0].sentence


def test_a_component_that_says_not_what_it_is_is_told_by_its_digest():
    nameless = {2: b"\1" * 32, 5: b"\x66" * 32}
    assert "0101010101010101 is not of it" in result(token(components=[*BOOTED, nameless]))[0].reasons[0].sentence
    shown = result(token(components=[*BOOTED, component("\x1b[2J", value=b"\1" * 32)]))[0].reasons[0].sentence
    assert "\\x1b[2J is not of it" in shown


def test_a_component_that_is_missing():
    made, code = result(token(components=BOOTED[:1]))
    assert (made.tier, code) == (Tier.CONTRAINDICATED, "unrecognized_boot")
    assert "its PRoT is not in the token" in made.reasons[0].sentence


def test_a_component_by_another_signer_counts_only_where_the_release_names_none():
    other = b"\x99" * 32
    assert result(token(components=[component("BL", signer=other), BOOTED[1]]))[0].tier is Tier.AFFIRMING
    moved = component("PRoT", value=b"\x77" * 32, signer=other)
    assert result(token(components=[BOOTED[0], moved]))[1] == "unrecognized_boot"


def test_a_token_that_measured_nothing_is_of_no_release():
    bare = psa_token(KEY, BOUND, profile=Profile.PSA_1, components=None, no_measurements=1)
    assert result(bare)[1] == "unrecognized_boot"


@pytest.mark.parametrize(
    ("standing", "tier", "code"),
    [
        (Standing.RETIRED, Tier.WARNING, "release_retired"),
        (Standing.SUPERSEDED, Tier.CONTRAINDICATED, "release_superseded"),
        (Standing.REVOKED, Tier.CONTRAINDICATED, "release_revoked"),
    ],
)
def test_a_token_is_worth_what_its_release_is_worth(standing, tier, code):
    made, told = result(None, *judged(RELEASE, standing=standing))
    assert (made.tier, told, made.release) == (tier, code, "gateway:1.0.0")


def test_of_releases_that_fit_the_best_counts_and_of_others_the_nearest_is_told():
    twin = statement("2.0.0", measurements=(), components=PARTS)
    both = (*judged(RELEASE, standing=Standing.REVOKED), *judged(twin))
    assert result(None, *both)[0].release == "gateway:2.0.0"
    far = statement("3.0.0", measurements=(), components=tuple(TokenComponent(f"c{n}", "01" * 32) for n in range(6)))
    made, _ = result(token(components=BOOTED[:1]), *judged(far, RELEASE))
    assert "compared with gateway:1.0.0" in made.reasons[0].sentence


def test_where_no_release_names_components_nothing_is_known():
    made, code = result(None, *judged(statement()))
    assert (made.tier, code, made.vector.executables) == (Tier.NONE, "no_reference", 0)


@pytest.mark.parametrize("state", range(0, 0x7000, 0x1000))
def test_a_token_counts_only_in_states_in_which_its_key_is_kept(state):
    made, code = result(token(lifecycle=state))
    believed = state in (0x3000, 0x4000)
    assert (made.tier is Tier.AFFIRMING) == believed
    assert believed == (code != "lifecycle")
    assert BELIEVED == ("secured", "non-psa-rot-debug")


def test_a_model_may_say_more_of_the_lifecycle_in_both_directions():
    assert result(token(lifecycle=0x4000), lifecycle=("secured",))[0].tier is Tier.CONTRAINDICATED
    assert result(token(lifecycle=0x1000), lifecycle=("assembly-and-test",))[0].tier is Tier.AFFIRMING


def test_the_agents_claims_beside_a_token_are_looked_at():
    opened = Claims(debug_ports=(DebugPort("swd", Debug.ENABLED),))
    made, _ = result(None, claims=opened, debug_off=True)
    assert made.tier is Tier.WARNING


def test_a_model_that_asks_for_tokens_takes_no_other_key_or_evidence():
    assert code_of(appraise(facts(key=None))) == "key_unknown"
    assert code_of(appraise(facts(key=b"no key"))) == "key_unknown"
    tpm = msgspec.structs.replace(facts(), ground=ground(policy(), judged(statement())))
    assert code_of(appraise(tpm)) == "method"


@pytest.mark.parametrize("data", [b"", b"\xd2", b"\xd2\x84", psa_token(KEY, BOUND)[:-1], b"\x00" * 100])
def test_a_token_that_cannot_be_read_is_held_against_its_device(data):
    outcome = appraise(facts(data))
    assert (code_of(outcome), outcome.effect) == ("token_malformed", Effect.AGAINST)
    assert outcome.result.tier is Tier.CONTRAINDICATED


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_no_token(data):
    assert code_of(appraise(facts(data))) in {"token_malformed", "token_signature"}


def test_a_token_truncated_at_every_byte_is_refused():
    whole = token()
    for end in range(len(whole)):
        assert code_of(appraise(facts(whole[:end]))) == "token_malformed", end


# Keys


def test_a_token_key_is_read_from_both_forms():
    pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert read_token_key(SPKI) == read_token_key(pem) == read_token_key(b"\n " + pem) == SPKI


@pytest.mark.parametrize("data", [b"", b"-----BEGIN PUBLIC KEY-----", SPKI[:-1], bytes(LARGEST_KEY + 1), b"\xff" * 64])
def test_what_is_no_public_key_is_refused(data):
    with pytest.raises(HostileData) as caught:
        read_token_key(data)
    assert caught.value.code == "attestation.token_key"


def test_a_key_on_a_curve_that_no_library_knows_is_refused():
    strange = SPKI.replace(bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a8648ce3d030155"))
    with pytest.raises(HostileData):
        read_token_key(strange)
    assert code_of(appraise(facts(key=strange))) == "key_unknown"


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_no_key(data):
    with pytest.raises(HostileData):
        read_token_key(data)


def test_a_key_that_signs_no_tokens_of_this_profile_verifies_none():
    other = ec.generate_private_key(ec.SECP384R1()).public_key()
    der = other.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert code_of(appraise(facts(key=der))) == "token_signature"
