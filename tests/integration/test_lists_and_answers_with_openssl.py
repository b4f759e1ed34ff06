"""What Holdfast signs about validity, as OpenSSL reads it."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from builders import START
from holdfast.adapters.pki.crl import CrlMaker
from holdfast.adapters.pki.ocsp import OcspResponder
from holdfast_core.identity.model import Revocation
from holdfast_core.identity.validity import (
    Ended,
    addresses,
    revocation_of,
    shard_address,
    shard_of,
    stamp,
    status_of,
)
from holdfast_core.kernel.instants import DAY, HOUR, SECOND, Instant
from holdfast_core.kernel.limits import LIMITS
from issuer_builders import a_leaf, an_issuer, pem_file

BASE = "http://pki.example:8080"
KEYS = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
}


def openssl(*words, folder):
    done = subprocess.run(["openssl", *map(str, words)], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def revoked(credential, reason=Revocation.KEY_COMPROMISE, at=START):
    return msgspec.structs.replace(credential, revoked_at=Instant(at), revoked_why="stolen", revoked_code=reason)


@pytest.mark.parametrize("kind", KEYS)
def test_openssl_verify_refuses_what_a_list_holds_and_takes_what_it_does_not(tmp_path, kind):
    issuer = an_issuer(key=KEYS[kind]())
    stolen, _, credential = a_leaf(issuer, "cam-1")
    sound, _, _ = a_leaf(issuer, "cam-2")
    held = [revocation_of(revoked(credential))]
    (tmp_path / "all.crl").write_bytes(CrlMaker().make(issuer, held, stamp(7, START)))
    pem_file(tmp_path / "ca.pem", issuer.certificate)
    pem_file(tmp_path / "stolen.pem", stolen)
    pem_file(tmp_path / "sound.pem", sound)
    code, told = openssl("crl", "-in", "all.crl", "-inform", "DER", "-CAfile", "ca.pem", "-text", folder=tmp_path)
    assert code == 0
    assert "verify OK" in told
    assert "X509v3 CRL Number: \n                7" in told
    assert "Key Compromise" in told
    assert f"{stolen.serial_number:X}" in told
    check = ("verify", "-crl_check", "-CAfile", "ca.pem", "-CRLfile", "all.crl", "-attime", START // SECOND)
    assert openssl(*check, "sound.pem", folder=tmp_path)[0] == 0
    code, told = openssl(*check, "stolen.pem", folder=tmp_path)
    assert code != 0
    assert "certificate revoked" in told


def test_openssl_takes_a_shard_for_the_certificates_that_name_it_and_no_others(tmp_path):
    issuer = an_issuer()
    maker, shards = CrlMaker(), 4
    pem_file(tmp_path / "ca.pem", issuer.certificate)
    leaves = [
        a_leaf(issuer, f"cam-{n}", addresses=addresses(BASE, issuer.id, n, shards), serial=n) for n in range(1, 9)
    ]
    ended = [revocation_of(revoked(credential)) for _, _, credential in leaves[:4]]
    for shard in range(shards):
        mine = [one for one in ended if shard_of(one.serial, shards) == shard]
        der = maker.make(issuer, mine, stamp(1, START), address=shard_address(BASE, issuer.id, shard))
        (tmp_path / f"{shard}.crl").write_bytes(der)
    for number, (certificate, _, _) in enumerate(leaves, 1):
        pem_file(tmp_path / "leaf.pem", certificate)
        mine = shard_of(number, shards)
        for shard in range(shards):
            check = ("verify", "-crl_check", "-CAfile", "ca.pem", "-CRLfile", f"{shard}.crl")
            code, told = openssl(*check, "-attime", START // SECOND, "leaf.pem", folder=tmp_path)
            if shard != mine:
                assert code != 0, "a shard must not speak for another's certificates"
                assert "revoked" not in told
            elif number <= 4:
                assert "certificate revoked" in told
            else:
                assert code == 0, told


def test_openssl_refuses_everybody_once_a_list_lapsed(tmp_path):
    issuer = an_issuer()
    sound, _, _ = a_leaf(issuer)
    made = stamp(1, START)
    (tmp_path / "all.crl").write_bytes(CrlMaker().make(issuer, [], made))
    pem_file(tmp_path / "ca.pem", issuer.certificate)
    pem_file(tmp_path / "leaf.pem", sound)
    check = ("verify", "-crl_check", "-CAfile", "ca.pem", "-CRLfile", "all.crl", "-attime")
    assert openssl(*check, made.next_update // SECOND - 1, "leaf.pem", folder=tmp_path)[0] == 0
    code, told = openssl(*check, (made.next_update + HOUR) // SECOND, "leaf.pem", folder=tmp_path)
    assert code != 0
    assert "CRL has expired" in told


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_openssl_ocsp_agrees_on_good_revoked_and_unknown(tmp_path, kind, algorithm):
    now = Instant(int(datetime.now(UTC).timestamp()) * SECOND)  # noqa: TID251  (openssl ocsp knows no other time)
    issuer = an_issuer(key=KEYS[kind](), now=now)
    responder = OcspResponder(LIMITS)
    pem_file(tmp_path / "ca.pem", issuer.certificate)
    leaves = {name: a_leaf(issuer, name, now=now) for name in ("good", "revoked", "unknown")}
    statuses = {
        "good": status_of(leaves["good"][2], issuer.id),
        "revoked": status_of(revoked(leaves["revoked"][2], Revocation.CESSATION, now - DAY), issuer.id),
        "unknown": status_of(None, issuer.id),
    }
    for name, (certificate, _, _) in leaves.items():
        pem_file(tmp_path / "leaf.pem", certificate)
        asked = ("-issuer", "ca.pem", f"-{algorithm}", "-cert", "leaf.pem")
        assert openssl("ocsp", *asked, "-reqout", "request.der", folder=tmp_path)[0] == 0
        question = responder.read((tmp_path / "request.der").read_bytes())
        assert question.nonce is not None
        assert responder.is_about(question, issuer)
        (tmp_path / "answer.der").write_bytes(responder.answer(issuer, question, statuses[name], now))
        # openssl forgets the request it wrote, and would compare with a nonce it draws now.
        read = ("-no_nonce", "-respin", "answer.der", "-CAfile", "ca.pem")
        code, told = openssl("ocsp", *asked, *read, folder=tmp_path)
        assert code == 0, told
        assert "Response verify OK" in told
        assert f"leaf.pem: {name}" in told
        assert ("Reason: cessationOfOperation" in told) == (name == "revoked")


def test_openssl_takes_answers_for_an_issuer_that_is_constrained_and_under_a_root(tmp_path):
    now = Instant(int(datetime.now(UTC).timestamp()) * SECOND)  # noqa: TID251  (openssl ocsp knows no other time)
    root = an_issuer(0, now=now)
    issuer, responder = an_issuer(1, now=now, root=root), OcspResponder(LIMITS)
    pem_file(tmp_path / "ca.pem", root.certificate)
    pem_file(tmp_path / "issuer.pem", issuer.certificate)
    certificate, _, credential = a_leaf(issuer, now=now)
    pem_file(tmp_path / "leaf.pem", certificate)
    asked = ("-issuer", "issuer.pem", "-cert", "leaf.pem", "-no_nonce")
    openssl("ocsp", *asked, "-reqout", "request.der", folder=tmp_path)
    question = responder.read((tmp_path / "request.der").read_bytes())
    assert question.nonce is None
    assert responder.is_about(question, issuer)
    answer = responder.answer(issuer, question, status_of(credential, issuer.id), now)
    (tmp_path / "answer.der").write_bytes(answer)
    read = ("-respin", "answer.der", "-CAfile", "ca.pem", "-verify_other", "issuer.pem")
    code, told = openssl("ocsp", *asked, *read, folder=tmp_path)
    assert code == 0
    assert "Response verify OK" in told
    assert "leaf.pem: good" in told


def test_a_list_without_a_reason_leaves_it_out_and_one_of_nobody_is_a_list_too():
    issuer, maker = an_issuer(), CrlMaker()
    plain = Ended(5, START, Revocation.UNSPECIFIED, Instant(START + DAY))
    with_reason = msgspec.structs.replace(plain, reason=Revocation.SUPERSEDED)
    sizes = [len(maker.make(issuer, held, stamp(1, START))) for held in ([], [plain], [with_reason])]
    assert sizes == sorted(sizes)
    assert sizes[2] - sizes[1] >= 12


def test_the_certificate_of_answers_can_do_nothing_else(tmp_path):
    issuer, responder = an_issuer(), OcspResponder(LIMITS)
    signer = responder._signer(issuer, START)
    pem_file(tmp_path / "ca.pem", issuer.certificate)
    pem_file(tmp_path / "signer.pem", signer.certificate)
    for purpose in ("sslclient", "sslserver"):
        check = ("verify", "-purpose", purpose, "-CAfile", "ca.pem", "-attime", START // SECOND, "signer.pem")
        assert openssl(*check, folder=tmp_path)[0] != 0
    again = responder._signer(issuer, Instant(START + DAY))
    assert again.certificate.public_bytes(Encoding.DER) != signer.certificate.public_bytes(Encoding.DER)
