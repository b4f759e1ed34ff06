"""What every key store promises: files under a passphrase and a PKCS#11 token (SoftHSM2) pass one suite."""

from __future__ import annotations

import copy
import itertools
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID

from holdfast.adapters.pki.keyfiles import FileKeyStore
from holdfast.adapters.pki.passphrase import Passphrase
from holdfast.ports.keystore import LONGEST_REFERENCE, KeyAlgorithm
from holdfast_core.kernel.errors import Bug, HostileData, WorldError
from token_builders import PIN, new_token

NOW = datetime(2026, 11, 1, tzinfo=UTC)
WORDS = Passphrase("correct horse battery staple")
_LABELS = itertools.count(1)


def files(tmp_path):
    return FileKeyStore(tmp_path / "keys", WORDS)


def token(_tmp_path):
    label = f"contract-{next(_LABELS)}"
    module = new_token(label)  # skips where the package is missing, before the module of ours is imported
    from holdfast.adapters.pki.pkcs11 import Pkcs11KeyStore  # noqa: PLC0415

    return Pkcs11KeyStore(module, label, lambda: PIN)


@pytest.fixture(params=[files, token], ids=["files", "softhsm2"])
def store(request, tmp_path):
    return request.param(tmp_path)


def hashed(key):
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def certificate(key, name="root", *, issuer=None, public=None):
    """A CA by `key` for itself, or a leaf of `public` under `issuer`."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(public or key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    return builder.sign(key, hashed(key))


def pem(path, certificate):
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    return path


@pytest.mark.parametrize("algorithm", KeyAlgorithm)
def test_what_a_key_signs_verifies_under_openssl(store, tmp_path, algorithm):
    created = store.create(f"issuers/acme/{algorithm}", algorithm)
    root = certificate(created)
    leaf = certificate(created, "leaf", issuer=root, public=ec.generate_private_key(ec.SECP256R1()).public_key())
    anchor, end = pem(tmp_path / "root.pem", root), pem(tmp_path / "leaf.pem", leaf)
    said = subprocess.run(
        ["openssl", "verify", "-check_ss_sig", "-attime", str(int(NOW.timestamp())), "-CAfile", anchor, anchor, end],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (said.returncode, said.stdout.splitlines()) == (0, [f"{anchor}: OK", f"{end}: OK"]), said.stderr


@pytest.mark.parametrize("algorithm", KeyAlgorithm)
def test_a_key_loaded_again_is_the_same_and_of_its_kind(store, algorithm):
    kinds = {
        KeyAlgorithm.P256: ec.EllipticCurvePrivateKey,
        KeyAlgorithm.P384: ec.EllipticCurvePrivateKey,
        KeyAlgorithm.ED25519: ed25519.Ed25519PrivateKey,
        KeyAlgorithm.RSA3072: rsa.RSAPrivateKey,
    }
    sizes = {KeyAlgorithm.P256: 256, KeyAlgorithm.P384: 384, KeyAlgorithm.RSA3072: 3072}
    created = store.create("one", algorithm)
    loaded = store.load("one")
    assert loaded.public_key() == created.public_key()
    assert isinstance(loaded, kinds[algorithm])
    assert getattr(loaded, "key_size", None) == sizes.get(algorithm)
    assert copy.copy(loaded).public_key() == copy.deepcopy(loaded).public_key() == created.public_key()


@pytest.mark.parametrize("algorithm", KeyAlgorithm)
def test_requests_revocation_lists_and_ocsp_answers_are_signed_with_it(store, algorithm):
    key = store.create("one", algorithm)
    root = certificate(key)
    request = x509.CertificateSigningRequestBuilder().subject_name(root.subject).sign(key, hashed(key))
    assert request.is_signature_valid
    revoked = x509.RevokedCertificateBuilder().serial_number(7).revocation_date(NOW).build()
    lists = x509.CertificateRevocationListBuilder().issuer_name(root.subject).last_update(NOW)
    listed = lists.next_update(NOW + timedelta(days=1)).add_revoked_certificate(revoked).sign(key, hashed(key))
    assert listed.is_signature_valid(root.public_key())
    answers = ocsp.OCSPResponseBuilder().add_response(
        cert=root,
        issuer=root,
        algorithm=hashes.SHA256(),
        cert_status=ocsp.OCSPCertStatus.GOOD,
        this_update=NOW,
        next_update=None,
        revocation_time=None,
        revocation_reason=None,
    )
    answer = answers.responder_id(ocsp.OCSPResponderEncoding.HASH, root).sign(key, hashed(key))
    public = key.public_key()
    how = {
        KeyAlgorithm.RSA3072: (padding.PKCS1v15(), hashes.SHA256()),
        KeyAlgorithm.ED25519: (),
    }.get(algorithm, (ec.ECDSA(hashes.SHA256()),))
    public.verify(answer.signature, answer.tbs_response_bytes, *how)  # raises unless it fits


def test_ecdsa_signs_any_hash_also_one_longer_than_the_curve(store):
    key = store.create("one", KeyAlgorithm.P256)
    for algorithm in (hashes.SHA256(), hashes.SHA384(), hashes.SHA512()):
        key.public_key().verify(key.sign(b"words", ec.ECDSA(algorithm)), b"words", ec.ECDSA(algorithm))


def test_rsa_signs_with_pss_too(store):
    key = store.create("one", KeyAlgorithm.RSA3072)
    for salt in (padding.PSS.DIGEST_LENGTH, 20):
        pss = padding.PSS(padding.MGF1(hashes.SHA384()), salt)
        key.public_key().verify(key.sign(b"words", pss, hashes.SHA384()), b"words", pss, hashes.SHA384())


def test_no_key_is_overwritten(store):
    before = store.create("one", KeyAlgorithm.P256).public_key()
    with pytest.raises(WorldError) as refused:
        store.create("one", KeyAlgorithm.P256)
    assert refused.value.code == "keystore.exists"
    assert store.load("one").public_key() == before


def test_a_deleted_key_is_gone_and_its_name_free(store):
    before = store.create("a/b", KeyAlgorithm.P256).public_key()
    other = store.create("a/c", KeyAlgorithm.P256).public_key()
    assert store.holds("a/b")
    store.delete("a/b")
    store.delete("a/b")  # what is gone already is no error
    assert not store.holds("a/b")
    with pytest.raises(WorldError) as refused:
        store.load("a/b")
    assert refused.value.code == "keystore.missing"
    assert store.create("a/b", KeyAlgorithm.P256).public_key() != before
    assert store.load("a/c").public_key() == other


@pytest.mark.parametrize(
    "reference",
    ["", "/one", "one/", "a//b", "..", "a/../b", ".hidden", "a/./b", "A", "a b", "a\0b", "x" * 64, "a/" * 127 + "ab"],
)
def test_a_reference_names_a_key_and_nothing_else(store, reference):
    for use in (store.load, store.holds, store.delete, lambda text: store.create(text, KeyAlgorithm.P256)):
        with pytest.raises(HostileData) as refused:
            use(reference)
        assert refused.value.code == "keystore.reference"


def test_the_longest_reference_is_taken(store):
    reference = "/".join(["abcdefg"] * 32)
    assert len(reference) == LONGEST_REFERENCE
    made = store.create(reference, KeyAlgorithm.P256).public_key()
    assert store.load(reference).public_key() == made


def test_a_token_never_gives_its_key_away(tmp_path):
    store = token(tmp_path)
    for algorithm in KeyAlgorithm:
        key = store.create(f"a/{algorithm}", algorithm)
        with pytest.raises(Bug) as refused:
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        assert refused.value.code == "keystore.stays"
