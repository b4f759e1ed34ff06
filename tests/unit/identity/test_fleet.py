from __future__ import annotations

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.identity.fleet import (
    FleetClaim,
    HookAnswer,
    Wanted,
    check_fleet_claim,
    check_hook_answer,
    parse_hook_answer,
    wanted_by,
)
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import HOUR, Instant
from holdfast_core.kernel.limits import LIMITS

CLAIM = FleetClaim(
    scope=Scope("acme", "test"),
    id="hall-3",
    model="cam@1",
    owner="Ada",
    quota=2,
    created_at=Instant(0),
    expires_at=Instant(HOUR),
    created_by="token:ada",
    fingerprint=digest_of(b"a certificate"),
    anchor=b"an authority",
)
KEY = ec.generate_private_key(ec.SECP256R1())


def request(*attributes: tuple[x509.ObjectIdentifier, str]) -> x509.CertificateSigningRequest:
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])
    return x509.CertificateSigningRequestBuilder().subject_name(name).sign(KEY, hashes.SHA256())


@pytest.mark.parametrize(
    ("changed", "now", "code"),
    [
        ({}, HOUR, "fleet.ended"),
        ({"used": 2}, 0, "fleet.quota"),
        ({"used": 3}, 0, "fleet.quota"),
        ({"withdrawn_at": Instant(1)}, 0, "fleet.withdrawn"),
    ],
)
def test_a_claim_that_is_over_admits_nobody(changed: dict[str, int], now: int, code: str) -> None:
    assert check_fleet_claim(CLAIM, Instant(HOUR - 1)) is CLAIM
    over = msgspec.structs.replace(CLAIM, **changed)
    assert over.is_over(Instant(now))
    with pytest.raises(IdentityRefused) as refused:
        check_fleet_claim(over, Instant(now))
    assert refused.value.code == code


def test_a_withdrawn_claim_is_not_handed_to_tls() -> None:
    assert CLAIM.anchors == (b"an authority",)
    assert msgspec.structs.replace(CLAIM, withdrawn_at=Instant(1)).anchors == ()


@pytest.mark.parametrize(
    ("attributes", "wanted"),
    [
        (((NameOID.COMMON_NAME, "cam-1"),), Wanted("cam-1", "")),
        (((NameOID.SERIAL_NUMBER, " SN1 "),), Wanted("", "SN1")),
        (((NameOID.COMMON_NAME, "cam-1"), (NameOID.SERIAL_NUMBER, "SN1")), Wanted("cam-1", "SN1")),
    ],
)
def test_what_a_request_asks_for(attributes: tuple[tuple[x509.ObjectIdentifier, str], ...], wanted: Wanted) -> None:
    assert wanted_by(request(*attributes)) == wanted


@pytest.mark.parametrize(
    "attributes",
    [
        (),
        ((NameOID.COMMON_NAME, "cam-1"), (NameOID.COMMON_NAME, "cam-2")),
        ((NameOID.SERIAL_NUMBER, "SN1"), (NameOID.SERIAL_NUMBER, "SN2")),
        ((NameOID.COMMON_NAME, "claim:hall-3"),),
        ((NameOID.ORGANIZATION_NAME, "acme"),),
    ],
)
def test_a_request_that_names_no_one_device(attributes: tuple[tuple[x509.ObjectIdentifier, str], ...]) -> None:
    with pytest.raises(HostileData):
        wanted_by(request(*attributes))


@given(st.binary(max_size=200))
def test_any_bytes_of_a_hook_are_an_answer_or_refused(data: bytes) -> None:
    with pytest.raises(HostileData) as refused:
        parse_hook_answer(b"\x00" + data, LIMITS)
    assert refused.value.code == "hook.answer"


@given(st.booleans(), st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3))
def test_a_hooks_answer_is_read_as_it_was_written(allow: bool, labels: dict[str, str]) -> None:  # noqa: FBT001
    answer = HookAnswer(allow, labels=labels)
    assert parse_hook_answer(msgspec.json.encode(answer), LIMITS) == answer


def test_only_a_hook_that_says_true_allows() -> None:
    assert check_hook_answer(HookAnswer(allow=True, device="cam-1", labels={"b": "2", "a": "1"})) == (
        "cam-1",
        (("a", "1"), ("b", "2")),
    )
    for answer in (b'{"allow": 1}', b'{"allow": "true"}', b"{}", b"[]", b"null"):
        with pytest.raises(HostileData):
            parse_hook_answer(answer, LIMITS)
    with pytest.raises(IdentityRefused, match="no order"):
        check_hook_answer(HookAnswer(allow=False, why="no order"))
