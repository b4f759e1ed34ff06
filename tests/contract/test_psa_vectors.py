"""The published vectors of PSA tokens: veraison/psatoken `testvectors/` (Apache-2.0), with Trusted Firmware-M's."""

from __future__ import annotations

import cbor2
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from holdfast_core.formats.cbor import read_cbor
from holdfast_core.formats.cose import parse_sign1, verify_sign1
from holdfast_core.formats.psa import (
    Lifecycle,
    Profile,
    instance_id_of,
    parse_psa_claims,
    read_psa_token,
    verify_psa_token,
)
from holdfast_core.kernel.errors import HostileData
from psa_builders import VECTORS, diagnostic, json_claims

SIGNED = ("tf-m__psa-2_0_0_sign1.bin", "tf-m__psa-iot-1_sign1.bin")
MACED = ("tf-m__psa-2_0_0_mac0.bin", "tf-m__psa-iot-1_mac0.bin")
GOOD = ""
DIAGNOSTIC = {
    "cbor__P1ClaimsAll": GOOD,
    "cbor__P1ClaimsAllNoSwMeasurements": GOOD,
    "cbor__P1ClaimsMandatoryOnly": GOOD,
    "cbor__P1ClaimsMandatoryOnlyNoSwMeasurements": GOOD,
    "cbor__P1ClaimsMissingMandatoryNonce": "psa.nonce_missing",
    "cbor__P1ClaimsTFM": GOOD,
    "cbor__P2ClaimsAll": GOOD,
    "cbor__P2ClaimsInvalidMultiNonce": "psa.nonce_many",
    "cbor__P2ClaimsMandatoryOnly": GOOD,
    "cbor__P2ClaimsMissingMandatoryNonce": "psa.nonce_missing",
    "cbor__P2ClaimsTFM": GOOD,
    "tf-m__psa-2_0_0_claims": GOOD,
}
# What each says read as profile 1, and as 2.0.0: most have the claims of both under the names of both.
JSON = {
    "boot-seed-invalid-long": ("psa.boot_seed", "psa.boot_seed"),
    "boot-seed-invalid-missing": ("psa.boot_seed_missing", GOOD),
    "boot-seed-invalid-short": ("psa.boot_seed", "psa.boot_seed"),
    "client-id-invalid-missing": ("psa.client_id_missing", "psa.client_id_missing"),
    "hardware-version-invalid": ("psa.certification", "psa.certification"),
    "implementation-id-invalid-long": ("psa.implementation_id", "psa.implementation_id"),
    "implementation-id-invalid-missing": ("psa.implementation_id_missing", "psa.implementation_id_missing"),
    "implementation-id-invalid-short": ("psa.implementation_id", "psa.implementation_id"),
    "instance-id-invalid-euid-type": ("psa.instance_id", "psa.instance_id"),
    "instance-id-invalid-long": ("psa.instance_id", "psa.instance_id"),
    "instance-id-invalid-missing": ("psa.instance_id_missing", "psa.instance_id_missing"),
    "instance-id-invalid-short": ("psa.instance_id", "psa.instance_id"),
    "nonce-invalid-long": ("psa.nonce", "psa.nonce"),
    "nonce-invalid-missing": ("psa.nonce_missing", "psa.nonce_missing"),
    "nonce-invalid-short": ("psa.nonce", "psa.nonce"),
    "profile-invalid-missing": (GOOD, "psa.profile_missing"),
    "profile-invalid-unknown": ("psa.profile", "psa.profile"),
    "profile-valid-missing": (GOOD, "psa.profile_missing"),
    "security-lifecycle-invalid-missing": ("psa.lifecycle_missing", "psa.lifecycle_missing"),
    "security-lifecycle-invalid-state": ("psa.lifecycle", "psa.lifecycle"),
    "sw-component-and-no-sw-measurements-missing": ("psa.components_missing", "psa.components_missing"),
    "sw-component-measurement-value-invalid-missing": ("psa.component_value_missing", "psa.component_value_missing"),
    "sw-component-measurement-value-invalid-short": ("psa.component_value", "psa.component_value"),
    "sw-component-signer-id-invalid-missing": ("psa.component_signer_missing", "psa.component_signer_missing"),
    "sw-component-signer-id-invalid-short": ("psa.component_signer", "psa.component_signer"),
    "sw-components-empty": ("psa.components", "psa.components"),
    "sw-components-invalid-combo": ("psa.components", "psa.profile_missing"),
    "sw-components-invalid-missing": ("psa.components_missing", "psa.components_missing"),
    "token-valid-full": (GOOD, GOOD),
    "token-valid-minimalist-no-sw-measurements": (GOOD, "psa.profile_missing"),
    "token-valid-minimalist-p1": (GOOD, "psa.profile_missing"),
    "token-valid-minimalist-p2": ("psa.boot_seed_missing", GOOD),
    "vsi-invalid-empty": ("psa.vsi", "psa.vsi"),
}


def refusal_of(claims: object) -> str:
    try:
        parse_psa_claims(cbor2.dumps(claims))
    except HostileData as refused:
        return refused.code
    return GOOD


def public_key():
    return load_pem_public_key((VECTORS / "tf-m__public.pem").read_bytes())


def test_no_vector_is_forgotten():
    names = {path.name for path in VECTORS.iterdir()}
    diagnostics = {f"{name}.diag" for name in DIAGNOSTIC}
    assert names == {*SIGNED, *MACED, "tf-m__public.pem"} | diagnostics | {f"json__test-{name}.json" for name in JSON}


@pytest.mark.parametrize(("name", "code"), DIAGNOSTIC.items())
def test_claims_in_diagnostic_notation_are_taken_or_refused(name, code):
    claims = diagnostic((VECTORS / f"{name}.diag").read_text())
    assert refusal_of(claims) == code


@pytest.mark.parametrize(("name", "codes"), JSON.items())
def test_claims_in_json_are_taken_or_refused(name, codes):
    path = VECTORS / f"json__test-{name}.json"
    assert tuple(refusal_of(json_claims(path, profile)) for profile in (Profile.PSA_1, Profile.PSA_2)) == codes


@pytest.mark.parametrize("name", SIGNED)
def test_token_of_trusted_firmware_verifies(name):
    token = (VECTORS / name).read_bytes()
    claims = verify_psa_token(token, public_key())
    assert claims.lifecycle is Lifecycle.SECURED
    assert claims.nonce == bytes(64)
    assert [part.kind for part in claims.components] == ["SPE", "NSPE"]
    assert claims.instance_id == instance_id_of(public_key())


def test_token_says_what_its_published_claims_say():
    said = read_cbor(parse_sign1((VECTORS / SIGNED[0]).read_bytes()).payload, "claims")
    published = diagnostic((VECTORS / "tf-m__psa-2_0_0_claims.diag").read_text())
    assert {**said, 2399: list(said[2399])} == published


@pytest.mark.parametrize("name", SIGNED)
def test_no_bit_of_a_token_can_be_flipped(name):
    token, key = (VECTORS / name).read_bytes(), public_key()
    for bit in range(len(token) * 8):
        flipped = bytearray(token)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(HostileData):
            verify_sign1(parse_sign1(bytes(flipped)), key)


@pytest.mark.parametrize("name", MACED)
def test_token_with_a_shared_key_is_refused(name):
    with pytest.raises(HostileData) as refused:
        read_psa_token((VECTORS / name).read_bytes())
    assert refused.value.code == "cose.mac"


@pytest.mark.parametrize("name", [*SIGNED, *MACED])
def test_token_cut_anywhere_is_refused(name):
    token = (VECTORS / name).read_bytes()
    for size in range(len(token)):
        with pytest.raises(HostileData):
            read_psa_token(token[:size])
