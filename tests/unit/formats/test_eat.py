"""The claims of an Entity Attestation Token: each in its form, none believed in another."""

from __future__ import annotations

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.formats.eat import (
    MOST_CONTENTS,
    MOST_NONCES,
    MOST_SUBMODULES,
    Content,
    Debug,
    Detached,
    EatClaims,
    Submodule,
    Version,
    parse_eat_claims,
    verify_eat,
)
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from psa_builders import fresh_key, sign1

NONCE = b"\x0a" * 8
FULL = {
    10: NONCE,
    256: b"\x01" + bytes(16),
    257: {"tls": b"\x02" + bytes(6)},
    258: b"\x89\x48\x23",
    259: b"model",
    260: ["1.3.4", 1],
    261: 3600,
    262: True,
    263: 3,
    264: {1: 52.5, 2: -0.1},
    265: "https://example.com/profile",
    266: {"modem": {10: NONCE, 271: ["2"]}, "tee": b"\xd2\x84", "js": '["JWT", "e30"]', "far": [-16, b"\x01" * 32]},
    267: 7,
    268: b"\x05" * 32,
    269: [["https://example.com", "registrar"]],
    270: "firmware",
    271: ["3.1.4"],
    272: [[258, b"coswid"]],
    273: [[259, b"evidence"], [260, b""]],
    274: "passed over",
    275: 1,
    -70000: cbor2.undefined,
    "mine": {b"x": [1.5, None]},
}


def read(claims: object) -> EatClaims:
    return parse_eat_claims(cbor2.dumps(claims))


def refusal_of(claims: object) -> str:
    with pytest.raises(HostileData) as refused:
        read(claims)
    return refused.value.code


def test_every_claim_is_read():
    assert read(FULL) == EatClaims(
        profile="https://example.com/profile",
        nonces=(NONCE,),
        ueid=b"\x01" + bytes(16),
        sueids=(("tls", b"\x02" + bytes(6)),),
        oem=b"\x89\x48\x23",
        hardware_model=b"model",
        hardware_version=Version("1.3.4", 1),
        software_name="firmware",
        software_version=Version("3.1.4"),
        oem_boot=True,
        debug=Debug.DISABLED_PERMANENTLY,
        uptime_s=3600,
        boots=7,
        boot_seed=b"\x05" * 32,
        manifests=(Content(258, digest_of(b"coswid"), 6),),
        measurements=(Content(259, digest_of(b"evidence"), 8), Content(260, digest_of(b""), 0)),
        submodules=(
            Submodule("modem", EatClaims(nonces=(NONCE,), software_version=Version("2"))),
            Submodule("tee", b"\xd2\x84"),
            Submodule("js", '["JWT", "e30"]'),
            Submodule("far", Detached(-16, b"\x01" * 32)),
        ),
    )


def test_nothing_claimed_is_nothing_read():
    assert read({}) == EatClaims()


@pytest.mark.parametrize(
    ("claim", "value", "expected"),
    [
        (10, [NONCE, NONCE * 8], {"nonces": (NONCE, NONCE * 8)}),
        (258, 76543, {"oem": 76543}),
        (258, bytes(16), {"oem": bytes(16)}),
        (260, ["1", "semver"], {"hardware_version": Version("1", "semver")}),
        (262, False, {"oem_boot": False}),
        (263, 0, {"debug": Debug.ENABLED}),
        (265, b"\x2a\x03", {"profile": "urn:oid:2a03"}),
        (266, {"far": ["sha-256", b"\x01"]}, {"submodules": (Submodule("far", Detached("sha-256", b"\x01")),)}),
    ],
)
def test_other_forms_of_a_claim(claim, value, expected):
    assert read({claim: value}) == EatClaims(**expected)


@pytest.mark.parametrize(
    ("claim", "values", "code"),
    [
        (
            10,
            [bytes(7), bytes(65), "nonce", [], [NONCE], [NONCE, b""], [NONCE] * (MOST_NONCES + 1), 1],
            "eat.eat_nonce",
        ),
        (256, [bytes(6), bytes(34), "x", None], "eat.ueid"),
        (257, [{}, {1: bytes(8)}, {"a": b""}, [], {"x" * 513: bytes(8)}], "eat.sueids"),
        (258, [bytes(4), b"", True, "oem", 1.0], "eat.oemid"),
        (259, [b"", bytes(33), "model"], "eat.hwmodel"),
        (260, ["1", [], [1], ["1", True], ["1", 1, 1], ["1", None], [b"1"]], "eat.hwversion"),
        (261, [-1, True, 1.0, "1"], "eat.uptime"),
        (262, [0, 1, None], "eat.oemboot"),
        (263, [-1, 5, True, "enabled"], "eat.dbgstat"),
        (265, [1, b"", bytes(65), "x" * 513], "eat.eat_profile"),
        (267, [-1, "1"], "eat.bootcount"),
        (268, [b"", bytes(65), 1], "eat.bootseed"),
        (270, [1, b"name", "x" * 513], "eat.swname"),
        (271, ["1", [[]]], "eat.swversion"),
        (272, [[], b"", [[258]], [[258, "x"]], [[-1, b""]], [[65536, b""]], [[1, b"", 1]], [1]], "eat.manifests"),
        (273, [[[258, b""]] * (MOST_CONTENTS + 1)], "eat.measurements"),
        (
            266,
            [{}, [], {1: {}}, {"a": 1}, {"a": []}, {"a": [-16]}, {"a": [-16, b"", 1]}, {"a": [1.0, b"x"]}],
            "eat.submods",
        ),
        (266, [{"a": {266: {"b": {}}}}, {str(n): {} for n in range(MOST_SUBMODULES + 1)}], "eat.submods"),
        (266, [{"a": {10: b""}}], "eat.eat_nonce"),
    ],
)
def test_claim_in_another_form_is_refused_by_its_name(claim, values, code):
    for value in values:
        assert refusal_of({**FULL, claim: value}) == code, value


def test_too_many_entries_are_a_limit():
    with pytest.raises(LimitExceeded):
        read({10: [NONCE] * (MOST_NONCES + 1)})


@pytest.mark.parametrize("payload", [[], 1, None, b"claims", "claims"])
def test_payload_that_is_no_map_is_refused(payload):
    assert refusal_of(payload) == "eat.malformed"


def test_signed_token_is_verified_before_it_is_believed():
    key, other = fresh_key(), fresh_key()
    token = sign1(key, cbor2.dumps(FULL))
    assert verify_eat(token, key.public_key()) == read(FULL)
    with pytest.raises(HostileData) as refused:
        verify_eat(token, other.public_key())
    assert refused.value.code == "cose.signature"


def test_claims_cut_anywhere_are_refused():
    payload = cbor2.dumps(FULL)
    for size in range(len(payload)):
        with pytest.raises(HostileData):
            parse_eat_claims(payload[:size])


VALUES = st.recursive(
    st.integers(-10, 300) | st.binary(max_size=40) | st.text(max_size=5) | st.booleans() | st.none() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers(0, 300) | st.text(max_size=3), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([key for key in FULL if isinstance(key, int)]), VALUES, max_size=4))
def test_arbitrary_values_of_known_claims_raise_nothing_but_a_refusal(claims):
    try:
        read(claims)
    except HostileData as refused:
        assert refused.code.split(".")[0] in ("eat", "cbor")  # noqa: PT017 (most runs raise; both ways are right)


@given(st.binary(max_size=100))
def test_arbitrary_bytes_raise_nothing_but_a_refusal(data):
    for prefix in (b"", b"\xa1", b"\xa1\x0a", b"\xa1\x19\x01\x0a"):
        try:
            parse_eat_claims(prefix + data)
        except HostileData:
            continue


@given(st.data())
def test_mutated_claims_raise_nothing_but_a_refusal(data):
    payload = bytearray(cbor2.dumps(FULL))
    for _ in range(data.draw(st.integers(1, 5))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        parse_eat_claims(bytes(payload))
    except HostileData as refused:
        assert refused.code.split(".")[0] in ("eat", "cbor")  # noqa: PT017 (most runs raise; both ways are right)
