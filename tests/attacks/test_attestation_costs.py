"""Attacks on the server's time: evidence that is small to send and long to read. What is honest costs what it did."""

from __future__ import annotations

import hashlib
import struct
from unittest import mock

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attest_builders import SoftTpm, a_ground, facts, judged, statement
from holdfast_core.attestation import files
from holdfast_core.attestation.comparison import UNEXPECTED, Measured, gaps
from holdfast_core.attestation.files import WRONG_SIGNATURES
from holdfast_core.attestation.quote import registers_of
from holdfast_core.attestation.rules import appraise
from holdfast_core.formats.ima.signature import key_id, verify_ima_signature
from holdfast_core.wire.attestation import ImaSlice, pack
from ima_builders import Made, binary

KEY = ec.generate_private_key(ec.SECP256R1())
SPKI = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
AGGREGATE = Made(name=b"boot_aggregate", digest=bytes(32))


def signed_file(number: int, *, by: ec.EllipticCurvePrivateKey = KEY, of: bytes | None = None) -> Made:
    """A file under a signature that names the release's key: by that key or another, of this file or another."""
    digest = hashlib.sha256(str(number).encode()).digest()
    signature = by.sign(of or digest, ec.ECDSA(Prehashed(hashes.SHA256())))
    header = struct.pack(">BBB4sH", 3, 2, 4, key_id(KEY.public_key()), len(signature))
    return Made(name=f"/opt/{number}".encode(), digest=digest, template="ima-sig", extra=(header + signature,))


def unknown_of(entries: list[Made]) -> tuple[int, int]:
    """How many files of a proven list are unknown, and how many signatures were looked at for it."""
    ground, tpm = a_ground(*judged(statement(file_keys=(SPKI,))), ima=True), SoftTpm()
    log = tpm.boot()
    for entry in (AGGREGATE, *entries):
        tpm.extend(10, hashlib.sha256(entry.data).digest())
    part = ImaSlice(0, pack(binary(AGGREGATE, *entries)))
    said = tpm.evidence(registers=registers_of(ground.policy), ima=part)
    with mock.patch.object(files, "verify_ima_signature", wraps=verify_ima_signature) as looked:
        outcome = appraise(facts(tpm, log, said, ground=ground))
    assert outcome.result is not None, outcome.reason
    return outcome.state.ima.unknown, looked.call_count


def test_control_a_long_list_of_signed_files_is_looked_at_whole():
    entries = [signed_file(number) for number in range(3 * WRONG_SIGNATURES)]
    assert unknown_of(entries) == (0, len(entries))


def test_a_slice_full_of_signatures_that_do_not_hold():
    bad = signed_file(0, of=bytes(32))
    assert unknown_of([bad] * 4_000) == (4_000, WRONG_SIGNATURES)


def test_wrong_signatures_in_front_do_not_make_the_rest_known():
    """What is not looked at any more is unknown, whether it was seen to hold before or not: a replay says the same."""
    good = signed_file(1)
    assert unknown_of([good]) == (0, 1)
    bad = signed_file(2, of=bytes(32))
    assert unknown_of([*[bad] * WRONG_SIGNATURES, good]) == (WRONG_SIGNATURES + 1, WRONG_SIGNATURES)


def test_files_under_keys_of_others_do_not_use_up_what_the_releases_own_may_cost():
    """A distribution signs its files with its own key, which a release knows by digest or not at all."""
    other = ec.generate_private_key(ec.SECP256R1())
    theirs = signed_file(3, by=other)
    header = theirs.extra[0]
    theirs = Made(name=b"/usr/bin/x", digest=theirs.digest, template="ima-sig",
                  extra=(header[:3] + key_id(other.public_key()) + header[7:],))  # fmt: skip
    assert unknown_of([*[theirs] * 200, signed_file(4)]) == (200, 201)


# The event log


class Looked(frozenset):
    """Digests of a release that count how often they are asked for one."""

    asked = 0

    def __contains__(self, digest):
        Looked.asked += 1
        return super().__contains__(digest)


def strangers(releases: int, events: int) -> int:
    """How often a release was asked for an event, where a boot of many events is of none of many releases."""
    known = judged(*(statement(f"1.0.{number}") for number in range(releases)))
    for each in known:
        each.statement.__dict__["named"] = {r: Looked(digests) for r, digests in each.statement.named.items()}
    made = [Measured(number, 9, f"{number:064x}", "") for number in range(events)]
    Looked.asked = 0
    found = gaps(made, {}, a_ground(*known).policy, known)
    assert len(found) == releases
    assert all(len(gap.unexpected) == UNEXPECTED and gap.size > events for gap in found)
    return Looked.asked


def test_a_log_of_many_events_costs_no_more_per_release_than_a_short_one():
    assert strangers(16, 16_000) == strangers(16, 100)
