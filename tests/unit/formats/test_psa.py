"""The claims of a PSA token: which must be there, in which form, under which profile."""

from __future__ import annotations

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.formats.psa import (
    MOST_COMPONENTS,
    Component,
    Lifecycle,
    Profile,
    PsaClaims,
    instance_id_of,
    parse_psa_claims,
    read_psa_token,
    verify_psa_token,
)
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from psa_builders import KEYS, component, diagnostic, fresh_key, psa_claims, psa_token, sign1

NONCE = b"\x0a" * 32
MANDATORY = ("nonce", "instance_id", "implementation_id", "client_id", "lifecycle", "components")
PROFILES = tuple(Profile)


def read(profile: Profile = Profile.TFM, /, **claims: object) -> PsaClaims:
    return parse_psa_claims(cbor2.dumps(psa_claims(NONCE, profile=profile, **claims)))


def refusal_of(profile: Profile = Profile.TFM, /, **claims: object) -> str:
    with pytest.raises(HostileData) as refused:
        read(profile, **claims)
    assert refused.value.sentence
    assert refused.value.remedy
    return refused.value.code


@pytest.mark.parametrize("profile", PROFILES)
def test_every_claim_is_read(profile):
    assert read(profile) == PsaClaims(
        profile=profile,
        nonce=NONCE,
        instance_id=b"\x01" + b"\x22" * 32,
        implementation_id=b"\x33" * 32,
        lifecycle=Lifecycle.SECURED,
        lifecycle_detail=0,
        client_id=-1,
        components=tuple(Component(b"\x55" * 32, b"\x66" * 32, kind, "1.2.3") for kind in ("BL", "PRoT")),
        boot_seed=b"\x44" * 32,
        certification="0604565272829-10010",
        vsi="https://verifier.example",
    )


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", MANDATORY)
def test_claim_that_must_be_there_is_missed_by_its_name(profile, name):
    assert refusal_of(profile, **{name: None}) == f"psa.{name}_missing"


@pytest.mark.parametrize("profile", PROFILES)
def test_what_is_optional_may_be_absent(profile):
    claims = read(profile, certification=None, vsi=None)
    assert (claims.certification, claims.vsi) == ("", "")
    if profile is Profile.PSA_1:
        assert refusal_of(profile, boot_seed=None) == "psa.boot_seed_missing"
    else:
        assert read(profile, boot_seed=None).boot_seed == b""


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("nonce", [b"", bytes(31), bytes(33), bytes(63), bytes(65), "nonce", 1, True, {}]),
        ("instance_id", [b"", b"\x01" * 32, b"\x01" * 34, b"\x02" + bytes(32), "x" * 33, 1]),
        ("implementation_id", [b"", bytes(31), bytes(33), "x" * 32, [1]]),
        ("client_id", [0, 1 << 31, -(1 << 31) - 1, True, "1", 1.0, b"\x01"]),
        ("lifecycle", [-1, 0x100, 0x3100, 0x7000, 0xFFFF, 1 << 40, True, "secured", 12288.0]),
        ("components", [[], {}, "x", [1], [[]], [component()] * (MOST_COMPONENTS + 1)]),
        ("component_value", [[component(value=value)] for value in (b"", bytes(20), bytes(33), "x" * 32)]),
        ("component_signer", [[component(signer=value)] for value in (b"", bytes(20), "x" * 32, 1)]),
        ("component_type", [[{**component(), 1: value}] for value in (1, b"BL", "x" * 513)]),
        ("component_version", [[{**component(), 4: value}] for value in (1, b"1", ["1"])]),
        ("component_description", [[{**component(), 6: value}] for value in (1, b"1", None)]),
        ("boot_seed", [b"", bytes(7), bytes(33), "x" * 32, 1]),
        (
            "certification",
            ["", "060456527282", "0604565272829-1001", "0604565272829-10010\n", "\u0660" * 13, 604565272829],
        ),
        ("vsi", ["", "x" * 513, b"https://verifier.example", 1]),
    ],
)
def test_claim_in_another_form_is_refused_by_its_name(profile, name, values):
    claim = "components" if name.startswith("component_") else name
    for value in values:
        assert refusal_of(profile, **{claim: value}) == f"psa.{name}", value


@pytest.mark.parametrize("size", [32, 48, 64])
def test_hashes_may_have_three_lengths(size):
    part = component(value=bytes(size), signer=bytes(size))
    claims = read(nonce=bytes(size), components=[part])
    assert len(claims.nonce) == len(claims.components[0].value) == len(claims.components[0].signer) == size


@pytest.mark.parametrize("key", [2, 5])
def test_component_without_measurement_or_signer_is_refused(key):
    part = {each: value for each, value in component().items() if each != key}
    name = {2: "value", 5: "signer"}[key]
    assert refusal_of(components=[component(), part]) == f"psa.component_{name}_missing"


def test_component_may_have_attributes_that_are_not_known():
    assert read(components=[{**component(), 3: 1, "x": [1]}]).components[0].version == "1.2.3"


@pytest.mark.parametrize("profile", PROFILES)
def test_several_nonces_are_refused_by_their_own_code(profile):
    for nonces in ([NONCE], [NONCE, NONCE], []):
        assert refusal_of(profile, nonce=nonces) == "psa.nonce_many"


@pytest.mark.parametrize(("number", "lifecycle"), [*zip(range(0, 0x7000, 0x1000), Lifecycle, strict=True)])
def test_lifecycle_is_named_by_its_high_byte(number, lifecycle):
    for detail in (0, 1, 0xFF):
        claims = read(lifecycle=number + detail)
        assert (claims.lifecycle, claims.lifecycle_detail) == (lifecycle, detail)
    assert refusal_of(lifecycle=number + 0x100) == "psa.lifecycle"


def test_two_states_of_the_lifecycle_can_be_believed():
    assert [state for state in Lifecycle if state.trustworthy] == [Lifecycle.SECURED, Lifecycle.NON_PSA_ROT_DEBUG]


def test_boot_seed_may_be_short_where_the_profile_says_so():
    assert read(Profile.PSA_2, boot_seed=bytes(8)).boot_seed == bytes(8)
    assert read(Profile.TFM, boot_seed=bytes(8)).boot_seed == bytes(8)
    assert refusal_of(Profile.PSA_1, boot_seed=bytes(8)) == "psa.boot_seed"


def test_boot_seed_is_found_under_the_key_of_the_drafts_but_not_under_both():
    assert read(boot_seed=None, **{"2397": bytes(8)}).boot_seed == bytes(8)
    assert refusal_of(**{"2397": bytes(8)}) == "psa.boot_seed"
    assert read(Profile.PSA_2, boot_seed=None, **{"268": bytes(8)}).boot_seed == b""


def test_certification_may_be_the_short_form_under_profile_1_only():
    assert read(Profile.PSA_1, certification="0604565272829").certification == "0604565272829"
    assert refusal_of(Profile.PSA_2, certification="0604565272829") == "psa.certification"


def test_device_may_say_that_it_measures_nothing_under_profile_1_only():
    assert read(Profile.PSA_1, components=None, no_measurements=1).components == ()
    assert refusal_of(Profile.PSA_1, no_measurements=1) == "psa.components"
    assert refusal_of(Profile.PSA_1, components=None, no_measurements=0) == "psa.no_measurements"
    assert refusal_of(Profile.PSA_1, components=None, no_measurements=True) == "psa.no_measurements"
    assert refusal_of(Profile.PSA_2, components=None) == "psa.components_missing"


def test_profile_1_may_be_implicit_and_others_may_not():
    assert read(Profile.PSA_1, **{"-75000": None}).profile is Profile.PSA_1
    assert refusal_of(Profile.PSA_2, **{"265": None}) == "psa.profile_missing"
    with pytest.raises(HostileData) as refused:
        parse_psa_claims(cbor2.dumps({}))
    assert refused.value.code == "psa.profile_missing"


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("named", ["http://UNKNOWN", "", 1, b"PSA_IOT_PROFILE_1", ["PSA_IOT_PROFILE_1"], {}, True])
def test_unknown_profile_is_refused(profile, named):
    claims = psa_claims(NONCE, profile=profile)
    claims[KEYS[profile]["profile"]] = named
    with pytest.raises(HostileData) as refused:
        parse_psa_claims(cbor2.dumps(claims))
    assert refused.value.code == "psa.profile"


def test_profile_under_the_key_of_another_is_refused():
    assert refusal_of(Profile.PSA_1, **{"-75000": Profile.PSA_2.value}) == "psa.profile"
    assert refusal_of(Profile.PSA_2, **{"265": Profile.PSA_1.value}) == "psa.profile"
    assert refusal_of(Profile.PSA_1, **{"265": Profile.PSA_1.value}) == "psa.profiles_mixed"


@pytest.mark.parametrize("claims", [[], 1, None, "claims"])
def test_payload_that_is_no_map_is_refused(claims):
    with pytest.raises(HostileData) as refused:
        parse_psa_claims(cbor2.dumps(claims))
    assert refused.value.code == "psa.malformed"


def test_claims_that_are_not_known_are_passed_over():
    assert read(**{"1": "issuer", "-99": [{b"x": 1.5}]}) == read()


def test_too_many_components_are_a_limit():
    assert len(read(components=[component()] * MOST_COMPONENTS).components) == MOST_COMPONENTS
    with pytest.raises(LimitExceeded):
        read(components=[component()] * (MOST_COMPONENTS + 1))


@pytest.mark.parametrize("profile", PROFILES)
def test_token_is_verified(profile):
    key = fresh_key()
    claims = verify_psa_token(psa_token(key, NONCE, profile=profile), key.public_key())
    assert claims.profile is profile
    assert claims.nonce == NONCE
    assert claims.instance_id == instance_id_of(key.public_key())


def test_token_is_read_before_its_key_is_known():
    key = fresh_key()
    token = read_psa_token(psa_token(key, NONCE))
    assert token.claims.instance_id == instance_id_of(key.public_key())
    assert token.sign1.tagged


def test_profile_of_the_rfc_takes_three_algorithms():
    payload = cbor2.dumps(psa_claims(NONCE))
    for key in (fresh_key(), ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP521R1())):
        assert verify_psa_token(sign1(key, payload), key.public_key()).nonce == NONCE
    edwards = ed25519.Ed25519PrivateKey.generate()
    with pytest.raises(HostileData) as refused:
        verify_psa_token(sign1(edwards, payload), edwards.public_key())
    assert refused.value.code == "psa.algorithm"
    older = cbor2.dumps(psa_claims(NONCE, profile=Profile.PSA_2))
    assert verify_psa_token(sign1(edwards, older), edwards.public_key()).nonce == NONCE


def test_diagnostic_notation_is_read_as_it_is_written():
    text = "{ / note / 1: [h'0a0B', -2, \"x: {\"], 2: {}, 3: [], 4: {5: [[6]]}, }"
    assert diagnostic(text) == {1: [b"\x0a\x0b", -2, "x: {"], 2: {}, 3: [], 4: {5: [[6]]}}


ANY = st.recursive(
    st.integers(-(1 << 33), 1 << 33) | st.binary(max_size=70) | st.text(max_size=20) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers(0, 6) | st.text(max_size=3), inner),
    max_leaves=8,
)


@given(st.sampled_from(PROFILES), st.data())
def test_arbitrary_values_of_known_claims_raise_nothing_but_a_refusal(profile, data):
    claims = psa_claims(NONCE, profile=profile)
    for key in data.draw(st.lists(st.sampled_from(sorted(claims)), min_size=1, max_size=3)):
        claims[key] = data.draw(ANY)
    try:
        parse_psa_claims(cbor2.dumps(claims))
    except HostileData as refused:
        assert refused.code.split(".")[0] in ("psa", "cbor")  # noqa: PT017 (most runs raise; both ways are right)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_but_a_refusal(data):
    for prefix in (b"", b"\xaa", b"\xaa\x19\x01\x09"):
        with pytest.raises(HostileData):
            parse_psa_claims(prefix + data)


@given(st.sampled_from(PROFILES), st.data())
def test_mutated_claims_raise_nothing_but_a_refusal(profile, data):
    payload = bytearray(cbor2.dumps(psa_claims(NONCE, profile=profile)))
    for _ in range(data.draw(st.integers(1, 5))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        parse_psa_claims(bytes(payload))
    except HostileData as refused:
        assert refused.code.split(".")[0] in ("psa", "cbor")  # noqa: PT017 (most runs raise; both ways are right)
