"""Enrollment: from a pinned digest and a claim to a certificate (RFC 7030, EST, over TLS).

1. The first connection verifies nothing and fetches one thing: the authority. Its digest must be the one the operator
   wrote into the command; everything after that is verified against it.
2. The claim is a secret: it goes into no argument, no file and no message.
3. The private key is made here, or in the TPM, and never leaves; key and certificate become the identity in one rename.
4. The count of check-ins goes on after a new enrollment; it never starts again.
5. Beside `renewal` the only module that imports `cryptography`; a check-in that renews nothing imports neither.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, pkcs7
from cryptography.x509.oid import NameOID

from holdfast_agent.state import ROOT, Config, Enrollment, Folder, KeyPlace, QuotingKey, Stored
from holdfast_agent.transport import Client, Failed, Server, parse_server, pinned_context, unverified_context
from holdfast_core.identity.pending import readable
from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.kernel.ids import parse_device_id
from holdfast_core.wire.device import enrolled_again

EST = "/.well-known/est"
ANSWER_BYTES = 64 * 1024
MAX_CHAIN = 8
ACCEPTED = 202
"""A person has to approve the request first (RFC 7030, section 4.2.3)."""
Waiting = Callable[[str, int], None]
"""Told the fingerprint of the key, and after how many seconds the server wants to be asked again."""
_BAD = (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, binascii.Error)


class Distrusted(HostileData):
    """What the server sent does not fit the pin, the key or the name."""


def enroll(folder: Folder, config: Config, *, ca: Digest, claim: str, waiting: Waiting | None = None) -> None:
    """Enroll the device and write its identity, authority and configuration.

    Args:
        folder: where to keep them; locked by the caller.
        config: which server, which device, which root.
        ca: the digest of the authority's certificate (DER), as the operator gave it.
        claim: the claim's text; empty where something else admits.
        waiting: told each time that a person has to approve the key first; returns when it is time to ask again.

    Raises:
        Failed: the server could not be reached, or refused the claim (``claim.*``).
        Distrusted: ``enroll.*``; nothing was kept.
        WorldError: ``agent.disk``.
    """
    device = parse_device_id(config.device)
    server = parse_server(config.server)
    root, others = _authority(server, ca)
    pinned = root.public_bytes(Encoding.PEM).decode("ascii")
    client = Client(server, pinned_context(pinned), limit=ANSWER_BYTES)
    try:
        made = _MAKERS[config.key](client, config, claim, waiting)
    finally:
        client.close()
    chain = chain_for(certificates_in(made.answer), others, made.public, device, root)
    identity = made.key_file + "".join(certificate.public_bytes(Encoding.PEM).decode("ascii") for certificate in chain)
    stored = _state_after(folder, same_root=_same_root(folder, root))
    quoting = _quoting_after(folder, config, made.quoting)
    folder.enroll(Enrollment(pinned, identity, config, stored, made.attestation_file, quoting))
    if quoting is not None:
        from holdfast_agent.tpm_enroll import remove_earlier  # noqa: PLC0415  (only where there is a chip)

        remove_earlier(folder, config.tcti)


def _quoting_after(folder: Folder, config: Config, made: QuotingKey | None) -> QuotingKey | None:
    """The new attestation key with those before it; of another chip's, and of damaged files, nothing is kept."""
    if made is None:
        return None
    from holdfast_agent.tpm_enroll import after  # noqa: PLC0415  (only where there is a chip)

    try:
        before = folder.quoting() if folder.enrolled and folder.config().tcti == config.tcti else None
    except WorldError:
        before = None
    return after(before, made)


def _state_after(folder: Folder, *, same_root: bool) -> Stored:
    """The state under the new certificate. A damaged one cannot go on counting: the server starts anew with us."""
    try:
        before = folder.state()
    except WorldError:
        return Stored()
    return Stored(enrolled_again(before.protocol, same_root=same_root), before.audit)


def _same_root(folder: Folder, root: x509.Certificate) -> bool:
    path = folder.path / ROOT
    return path.exists() and path.read_bytes() == root.public_bytes(Encoding.PEM)


def _authority(server: Server, ca: Digest) -> tuple[x509.Certificate, list[x509.Certificate]]:
    """The root that has the pinned digest, and the other certificates that came with it."""
    client = Client(server, unverified_context(), limit=ANSWER_BYTES)
    try:
        certificates = certificates_in(client.call("GET", f"{EST}/cacerts"))
    finally:
        client.close()
    for certificate in certificates:
        if digest_of(certificate.public_bytes(Encoding.DER)) == ca:
            if not _issued(certificate, certificate):
                raise Distrusted(
                    "enroll.not_a_root",
                    "The certificate with the pinned digest is not a root: it did not sign itself.",
                    remedy="Pin the digest of the authority's root, as 'holdfast claim create' prints it.",
                )
            return certificate, [other for other in certificates if other is not certificate]
    raise Distrusted(
        "enroll.pin_mismatch",
        "The server's authority is not the one that was pinned; the claim was not sent.",
        remedy="Compare the digest after --ca with the one the server prints; if it is right, somebody is in between.",
    )


class _Made(msgspec.Struct, frozen=True):
    """The server's answer, and the key it is for: public, and as it is kept (PEM)."""

    answer: bytes
    public: ec.EllipticCurvePublicKey
    key_file: str
    attestation_file: str = ""
    quoting: QuotingKey | None = None


def _in_tpm(client: Client, config: Config, claim: str, _waiting: Waiting | None) -> _Made:
    """A key in the chip, certified by the exchange of two steps."""
    from holdfast_agent.tpm_enroll import ask_with_tpm  # noqa: PLC0415  (only where there is a chip)

    made = ask_with_tpm(client, config.device, claim, config.tcti)
    return _Made(made.answer, made.public, made.key_file, made.attestation_file, made.quoting)


def _in_file(client: Client, config: Config, claim: str, waiting: Waiting | None) -> _Made:
    """A key in a file, certified by simpleenroll (RFC 7030, section 4.2)."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return _Made(_simpleenroll(client, config, claim, key, waiting), key.public_key(), pem.decode("ascii"))


def _in_token(client: Client, config: Config, claim: str, waiting: Waiting | None) -> _Made:
    """A key that lies in a PKCS#11 token, certified likewise."""
    from holdfast_agent.token_key import token_key  # noqa: PLC0415  (only where there is a token)

    key = token_key(config.token)
    return _Made(_simpleenroll(client, config, claim, key, waiting), key.public_key(), "")


def _simpleenroll(
    client: Client, config: Config, claim: str, key: ec.EllipticCurvePrivateKey, waiting: Waiting | None
) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, config.device)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    credential = base64.b64encode(f"{config.device}:{claim}".encode()).decode("ascii")
    body = base64.b64encode(request.public_bytes(Encoding.DER))
    headers = {
        "Authorization": f"Basic {credential}",
        "Content-Type": "application/pkcs10",
        "Content-Transfer-Encoding": "base64",
    }
    waits = False
    while True:
        try:
            return client.call("POST", f"{EST}/simpleenroll", body, headers)
        except Failed as failed:
            # Once it waits, a server that is away for a while is waited for too: the key is approved, not the call.
            waits = waits or failed.refusal.status == ACCEPTED
            if waiting is None or not waits or not (failed.refusal.passing or failed.refusal.status == ACCEPTED):
                raise
            public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            waiting(readable(digest_of(public)), failed.refusal.retry_after_s)


_MAKERS: Mapping[KeyPlace, Callable[[Client, Config, str, Waiting | None], _Made]] = MappingProxyType(
    {KeyPlace.FILE: _in_file, KeyPlace.TPM: _in_tpm, KeyPlace.TOKEN: _in_token}
)


def certificates_in(body: bytes) -> list[x509.Certificate]:
    """The certificates in a base64 certs-only PKCS#7 (RFC 7030, section 4.1.3)."""
    try:
        certificates = pkcs7.load_der_pkcs7_certificates(base64.b64decode(body))
    except _BAD as error:
        raise Distrusted(
            "enroll.malformed",
            "The server's answer holds no certificates.",
            remedy="Check that the address is Holdfast's device port.",
        ) from error
    return certificates[: 2 * MAX_CHAIN]


def chain_for(
    answer: Sequence[x509.Certificate],
    others: Sequence[x509.Certificate],
    key: ec.EllipticCurvePublicKey,
    device: str,
    root: x509.Certificate,
) -> list[x509.Certificate]:
    """The chain to show, leaf first, without the root; every link is checked."""
    ours = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    leaf = next((entry for entry in answer if _spki(entry) == ours), None)
    if leaf is None or [name.value for name in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] != [device]:
        raise _wrong_certificate("it is for another key or another name")
    chain = [leaf]
    while not _issued(chain[-1], root):
        issuer = next((entry for entry in (*answer, *others) if _issued(chain[-1], entry)), None)
        if issuer is None or len(chain) == MAX_CHAIN:
            raise _wrong_certificate("it does not lead to the pinned authority")
        chain.append(issuer)
    return chain


def _spki(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except _BAD:
        return False
    return True


def _wrong_certificate(why: str) -> Distrusted:
    return Distrusted(
        "enroll.wrong_certificate",
        f"The server's certificate for this device cannot be used: {why}.",
        remedy="Report this to who runs the server; ask for a new claim before trying again.",
    )
