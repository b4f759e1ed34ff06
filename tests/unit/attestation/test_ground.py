"""What evidence is appraised against: the basis names all of it, and only current releases vouch for files."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attest_builders import judged, policy, statement
from holdfast_core.attestation.ground import RELEASES, ground
from holdfast_core.attestation.reference import FileValue, Standing
from holdfast_core.formats.ima.signature import key_id
from holdfast_core.kernel.digests import digest_of


def der(key):
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_the_basis_is_another_for_another_policy_release_or_standing():
    first, second = statement("1.0.0"), statement("2.0.0")
    bases = [
        ground(policy(), judged(first)).basis,
        ground(policy(ima=True), judged(first)).basis,
        ground(policy(), judged(second)).basis,
        ground(policy(), judged(first, second)).basis,
        ground(policy(), judged(first, standing=Standing.RETIRED)).basis,
        ground(policy(), ()).basis,
    ]
    assert len(set(bases)) == len(bases)
    again = ground(policy(), judged(first))
    assert (again.basis, digest_of(again.document)) == (bases[0], bases[0])


def test_only_current_releases_vouch_for_files():
    file, old = FileValue("/a", "aa" * 32), FileValue("/b", "bb" * 32)
    both = (*judged(statement(files=(file,))), *judged(statement("0.9.0", files=(old,)), standing=Standing.RETIRED))
    made = ground(policy(), both)
    assert made.files == {"aa" * 32}
    assert made.judges_files
    assert not ground(policy(), judged(statement())).judges_files


def test_keys_that_sign_files_are_known_by_their_identifier():
    keys = [ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)]
    made = ground(policy(), judged(statement(file_keys=tuple(map(der, keys)))))
    assert set(made.file_keys) == {key_id(key.public_key()) for key in keys}
    assert made.judges_files


@pytest.mark.parametrize("data", [b"", b"no key", der(ed25519.Ed25519PrivateKey.generate())])
def test_a_key_that_signs_no_files_vouches_for_none(data):
    assert not ground(policy(), judged(statement(file_keys=(data,)))).judges_files


def test_what_files_are_compared_with_has_a_digest_of_its_own():
    files = statement(files=(FileValue("/a", "aa" * 32),))
    first = ground(policy(), judged(files))
    with_more = ground(policy(secure_boot=True), (*judged(files), *judged(statement("0.9.0"))))
    assert with_more.files_basis == first.files_basis
    keyed = statement(files=files.files, file_keys=(der(ec.generate_private_key(ec.SECP256R1())),))
    for other in (statement(), statement(files=(FileValue("/a", "ab" * 32),)), keyed):
        assert ground(policy(), judged(other)).files_basis != first.files_basis


def test_a_boot_is_compared_with_so_many_releases_and_with_the_current_ones_first():
    over = judged(*(statement(f"2.0.{n}") for n in range(RELEASES)), standing=Standing.RETIRED)
    current = judged(statement("1.0.0"), statement("1.0.1"))
    made = ground(policy(), (*over, *current))
    assert made.judged == (*over[: RELEASES - 2], *current)
    assert ground(policy(), made.judged).basis == made.basis, "what was kept makes the same ground again"
    assert ground(policy(), over).judged == over
