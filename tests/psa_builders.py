"""Tokens of microcontrollers: made with a fresh key, and read out of the forms in which vectors are published."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from holdfast_core.formats.cose import Algorithm
from holdfast_core.formats.psa import Profile, instance_id_of

VECTORS = Path(__file__).resolve().parents[1] / "../shared/vectors/attestation/psatoken"
HASHES = {"secp256r1": hashes.SHA256, "secp384r1": hashes.SHA384, "secp521r1": hashes.SHA512}
ALGORITHMS = {"secp256r1": Algorithm.ES256, "secp384r1": Algorithm.ES384, "secp521r1": Algorithm.ES512}
LATER_KEYS = {
    "profile": 265,
    "nonce": 10,
    "instance_id": 256,
    "client_id": 2394,
    "lifecycle": 2395,
    "implementation_id": 2396,
    "boot_seed": 2397,
    "certification": 2398,
    "components": 2399,
    "vsi": 2400,
}
KEYS = {
    Profile.PSA_1: {
        "profile": -75000,
        "client_id": -75001,
        "lifecycle": -75002,
        "implementation_id": -75003,
        "boot_seed": -75004,
        "certification": -75005,
        "components": -75006,
        "no_measurements": -75007,
        "nonce": -75008,
        "instance_id": -75009,
        "vsi": -75010,
    },
    Profile.PSA_2: LATER_KEYS,
    Profile.TFM: {**LATER_KEYS, "boot_seed": 268},
}
SECURED = 0x3000
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey


def fresh_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def psa_claims(nonce: bytes, /, *, profile: Profile = Profile.TFM, **claims: Any) -> dict[Any, Any]:
    """The claims of a healthy device, by their keys; `claims` change them by name, None leaves one out.

    A claim named by a number is taken as that key: ``psa_claims(nonce, **{"-99": 1})``.
    """
    named = {
        "profile": str(profile),
        "nonce": nonce,
        "instance_id": b"\x01" + b"\x22" * 32,
        "implementation_id": b"\x33" * 32,
        "client_id": -1,
        "lifecycle": SECURED,
        "boot_seed": b"\x44" * 32,
        "components": [component("BL"), component("PRoT")],
        "certification": "0604565272829-10010",
        "vsi": "https://verifier.example",
    } | claims
    keys = KEYS[profile]
    by_key = {keys[name] if name in keys else int(name): value for name, value in named.items()}
    return {key: value for key, value in by_key.items() if value is not None}


def component(kind: str = "PRoT", *, value: bytes = b"\x55" * 32, signer: bytes = b"\x66" * 32) -> dict[int, Any]:
    return {1: kind, 2: value, 4: "1.2.3", 5: signer}


def psa_token(key: ec.EllipticCurvePrivateKey, nonce: bytes, /, **claims: Any) -> bytes:
    """A PSA token signed by `key`; the instance ID is the key's unless `claims` say otherwise."""
    named = {"instance_id": instance_id_of(key.public_key())} | claims
    return sign1(key, cbor2.dumps(psa_claims(nonce, **named)))


def sign1(
    key: Key,
    payload: bytes,
    *,
    protected: Mapping[Any, Any] | bytes | None = None,
    unprotected: Mapping[Any, Any] | None = None,
    tag: int | None = 18,
    external: bytes = b"",
) -> bytes:
    """A COSE_Sign1 over `payload`; `protected` is the header, or its bytes, in place of the key's algorithm alone."""
    header = {1: int(algorithm_of(key))} if protected is None else protected
    head = header if isinstance(header, bytes) else cbor2.dumps(dict(header))
    signature = signed(key, cbor2.dumps(["Signature1", head, external, payload]))
    parts = [head, dict(unprotected or {}), payload, signature]
    return cbor2.dumps(parts if tag is None else cbor2.CBORTag(tag, parts))


def algorithm_of(key: Key) -> Algorithm:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return ALGORITHMS.get(key.curve.name, Algorithm.ES256)
    return Algorithm.PS256 if isinstance(key, rsa.RSAPrivateKey) else Algorithm.EDDSA


def signed(key: Key, data: bytes) -> bytes:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(HASHES.get(key.curve.name, hashes.SHA256)())))
        size = (key.curve.key_size + 7) // 8
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    return key.sign(data)


def json_claims(path: Path, profile: Profile) -> dict[int, Any]:
    """The claims of a published JSON vector, by the keys of `profile`; names of another profile are left out."""
    names = {
        "psa-profile" if profile is Profile.PSA_1 else "eat-profile": "profile",
        "psa-hwver" if profile is Profile.PSA_1 else "psa-certification-reference": "certification",
        "psa-client-id": "client_id",
        "psa-security-lifecycle": "lifecycle",
        "psa-implementation-id": "implementation_id",
        "psa-boot-seed": "boot_seed",
        "psa-software-components": "components",
        "psa-no-software-measurements": "no_measurements",
        "psa-nonce": "nonce",
        "psa-instance-id": "instance_id",
        "psa-verification-service-indicator": "vsi",
    }
    keys = KEYS[profile]
    document = json.loads(path.read_text())
    return {
        keys[names[name]]: _json_value(names[name], value)
        for name, value in document.items()
        if names.get(name) in keys
    }


def _json_value(name: str, value: Any) -> Any:
    if name in ("nonce", "instance_id", "implementation_id", "boot_seed"):
        return base64.b64decode(value)
    if name != "components":
        return value
    keys = {"measurement-type": 1, "measurement-value": 2, "version": 4, "signer-id": 5, "measurement-desc": 6}
    octets = ("measurement-value", "signer-id")
    return [
        {keys[part]: base64.b64decode(each) if part in octets else each for part, each in entry.items()}
        for entry in value
    ]


_DIAGNOSTIC = re.compile(
    r"\s+|/[^/]*/|(?P<bytes>h'[0-9A-Fa-f\s]*')|(?P<text>\"[^\"]*\")|(?P<int>-?\d+)|(?P<sign>[][{},:])"
)


def diagnostic(text: str) -> Any:
    """What CBOR diagnostic notation says: maps, arrays, integers, text without escapes, byte strings in hexadecimal."""
    tokens: list[Any] = []
    at = 0
    while at < len(text):
        match = _DIAGNOSTIC.match(text, at)
        if match is None:
            raise ValueError(text[at : at + 20])
        at = match.end()
        if match["bytes"]:
            tokens.append(bytes.fromhex(match["bytes"][2:-1]))
        elif match["text"]:
            tokens.append(("text", match["text"][1:-1]))
        elif match["int"]:
            tokens.append(int(match["int"]))
        elif match["sign"]:
            tokens.append(match["sign"])
    rest = iter(tokens)
    return _item(next(rest), rest)


def _item(first: Any, tokens: Iterator[Any]) -> Any:
    if first == "[":
        return _listed(tokens, "]")
    if first == "{":
        parts = _listed(tokens, "}")
        return dict(zip(parts[::2], parts[1::2], strict=True))
    return first[1] if isinstance(first, tuple) else first


def _listed(tokens: Iterator[Any], end: str) -> list[Any]:
    parts: list[Any] = []
    for token in tokens:
        if token == end:
            return parts
        if token not in (",", ":"):
            parts.append(_item(token, tokens))
    raise ValueError(end)
