"""OCSP answers (RFC 6960), in the profile for many requests (RFC 5019).

1. A request is bounded before it is parsed, asks for one certificate, and has a nonce of 1 to 128 octets or none
   (RFC 9654, section 2.1). A nonce is echoed, and its answer is never kept.
2. Answers are signed by a key of their own, which the issuer certifies for days (id-kp-OCSPSigning, ocsp-nocheck) and
   which never leaves this process's memory. The issuer's key may lie in a chip that signs some tens a second; and who
   steals the key of answers can lie about who is revoked until its certificate ends, but can issue nothing.
3. An answer without a nonce is kept, with the status it tells: it is given again only while that is still the status,
   so an answer that was good is never given once the certificate is revoked, whoever forgot to say so.
4. Who asks about another issuer, or sends what is no request, gets an unsigned refusal: it is no answer about anybody.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from holdfast.adapters.pki.signing import hash_for, signing_only
from holdfast.ports.validity import Issuer, Question
from holdfast_core.identity.model import Revocation
from holdfast_core.identity.validity import ANSWER_LIFE, Ended, Status, Unrevoked, check_serial
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.kernel.instants import DAY, MINUTE, SECOND, Instant, to_datetime
from holdfast_core.kernel.limits import Limits

SIGNER_LIFE = 3 * DAY
SIGNER_RENEWAL = DAY
"""A new key for answers is made when the one in use is so old."""
SIGNER_BACKDATE = timedelta(hours=1)
KEPT_FOR = ANSWER_LIFE // 2
"""An answer is given again until half of its life is over."""
KEPT_ANSWERS = 8192
"""About 9 MB."""
LONGEST_NONCE = 128
_HASHES: dict[str, type[hashes.HashAlgorithm]] = {"sha1": hashes.SHA1, "sha256": hashes.SHA256}
"""What an issuer may be named by. SHA-1 signs nothing here, and is what most clients send (RFC 5019, section 2.1.1)."""
_STATUS = {Unrevoked.GOOD: ocsp.OCSPCertStatus.GOOD, Unrevoked.UNKNOWN: ocsp.OCSPCertStatus.UNKNOWN}
_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    NotImplementedError,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What the parser raises for bytes that are no request; they share no base class."""


@dataclass(frozen=True)
class _Signer:
    """The key of answers for one issuer, and the certificate that says so."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    made_at: Instant


class _Kept(msgspec.Struct, frozen=True):
    """An answer, the status it tells, and until when it may be given again."""

    der: bytes
    status: Status
    made_at: Instant


class OcspResponder:
    """Implements `holdfast.ports.validity.Responder`."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._signers: dict[Digest, _Signer] = {}
        self._ids: dict[tuple[Digest, str], tuple[bytes, bytes]] = {}
        self._kept: OrderedDict[tuple[Digest, str, int], _Kept] = OrderedDict()

    def read(self, der: bytes) -> Question:
        """See the port."""
        if len(der) > self._limits.ocsp_bytes:
            raise LimitExceeded(
                "ocsp.too_large",
                f"The request has {len(der)} bytes; {self._limits.ocsp_bytes} are allowed.",
                remedy="Ask for one certificate in one request (RFC 5019, section 2.1.1).",
            )
        try:
            request = ocsp.load_der_ocsp_request(der)
            algorithm, serial = request.hash_algorithm.name, request.serial_number
            name_hash, key_hash = request.issuer_name_hash, request.issuer_key_hash
            nonce = _nonce(request.extensions)
            check_serial(serial)
        except _UNREADABLE as error:
            raise HostileData(
                "ocsp.malformed",
                "The bytes are no OCSP request for one certificate.",
                remedy="Send the DER of an OCSPRequest with one Request (RFC 6960, section 4.1.1; RFC 5019, 2.1.1).",
            ) from error
        if algorithm not in _HASHES:
            raise HostileData(
                "ocsp.algorithm",
                f"The request names its issuer by {algorithm}.",
                remedy="Use SHA-1 or SHA-256 for the CertID (RFC 5019, section 2.1.1; RFC 6960, section 4.3).",
            )
        return Question(serial, algorithm, name_hash, key_hash, nonce)

    def is_about(self, question: Question, issuer: Issuer) -> bool:
        """See the port."""
        return self._hashes(issuer, question.algorithm) == (question.name_hash, question.key_hash)

    def _hashes(self, issuer: Issuer, algorithm: str) -> tuple[bytes, bytes]:
        """The hashes of the issuer's name and key, as a CertID holds them."""
        known = self._ids.get((issuer.id, algorithm))
        if known is None:
            # The library hashes a key only as part of a request, whichever certificate that is about.
            builder = ocsp.OCSPRequestBuilder()
            one = builder.add_certificate(issuer.certificate, issuer.certificate, _HASHES[algorithm]()).build()
            name = hashes.Hash(_HASHES[algorithm]())
            name.update(issuer.certificate.subject.public_bytes())
            known = self._ids[issuer.id, algorithm] = (name.finalize(), one.issuer_key_hash)
        return known

    def answer(self, issuer: Issuer, question: Question, status: Status, now: Instant) -> bytes:
        """See the port."""
        if question.nonce is not None or status is Unrevoked.UNKNOWN:
            # Whoever makes serial numbers up must not fill what is kept for certificates that are.
            return self._signed(issuer, question, status, now)
        name = (issuer.id, question.algorithm, question.serial)
        kept = self._kept.get(name)
        if kept is not None and kept.status == status and kept.made_at <= now < kept.made_at + KEPT_FOR:
            self._kept.move_to_end(name)
            return kept.der
        der = self._signed(issuer, question, status, now)
        self._kept[name] = _Kept(der, status, now)
        self._kept.move_to_end(name)
        if len(self._kept) > KEPT_ANSWERS:
            self._kept.popitem(last=False)
        return der

    def _signed(self, issuer: Issuer, question: Question, status: Status, now: Instant) -> bytes:
        signer = self._signer(issuer, now)
        second = now - now % SECOND
        revoked = status if isinstance(status, Ended) else None
        builder = ocsp.OCSPResponseBuilder().add_response_by_hash(
            question.name_hash,
            question.key_hash,
            question.serial,
            _HASHES[question.algorithm](),
            ocsp.OCSPCertStatus.REVOKED if isinstance(status, Ended) else _STATUS[status],
            to_datetime(Instant(second)),
            to_datetime(Instant(second + ANSWER_LIFE)),
            to_datetime(revoked.at) if revoked else None,
            _reason(revoked) if revoked else None,
        )
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, signer.certificate)
        builder = builder.certificates([signer.certificate])
        if question.nonce is not None:
            builder = builder.add_extension(x509.OCSPNonce(question.nonce), critical=False)
        return builder.sign(signer.key, hashes.SHA256()).public_bytes(Encoding.DER)

    def _signer(self, issuer: Issuer, now: Instant) -> _Signer:
        """The key of answers in use, made anew in time; also when the clock was set back before it was made."""
        signer = self._signers.get(issuer.id)
        if signer is None or not signer.made_at - MINUTE <= now < signer.made_at + SIGNER_RENEWAL:
            signer = self._signers[issuer.id] = _new_signer(issuer, now)
        return signer

    def malformed(self) -> bytes:
        """See the port."""
        return _refusal(ocsp.OCSPResponseStatus.MALFORMED_REQUEST)

    def unauthorized(self) -> bytes:
        """See the port."""
        return _refusal(ocsp.OCSPResponseStatus.UNAUTHORIZED)


def _nonce(extensions: x509.Extensions) -> bytes | None:
    """The nonce of a request. What is critical and not known must not be passed over (RFC 6960, section 4.4)."""
    nonce = None
    for extension in extensions:
        if isinstance(extension.value, x509.OCSPNonce):
            nonce = extension.value.nonce
            if not 1 <= len(nonce) <= LONGEST_NONCE:
                raise ValueError("a nonce has 1 to 128 octets")
        elif extension.critical:
            raise ValueError("a critical extension that is not known")
    return nonce


def _reason(revoked: Ended) -> x509.ReasonFlags | None:
    return None if revoked.reason is Revocation.UNSPECIFIED else x509.ReasonFlags(revoked.reason.value)


def _refusal(status: ocsp.OCSPResponseStatus) -> bytes:
    return ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)


def _new_signer(issuer: Issuer, now: Instant) -> _Signer:
    """A fresh key, certified by the issuer to answer for it and for nothing else (RFC 6960, section 4.2.2.2)."""
    key = ec.generate_private_key(ec.SECP256R1())
    moment = to_datetime(Instant(now - now % SECOND))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Holdfast OCSP responder")]))
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - SIGNER_BACKDATE)
        .not_valid_after(moment + timedelta(milliseconds=SIGNER_LIFE))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(signing_only(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), critical=True)
        .add_extension(x509.OCSPNoCheck(), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.certificate.public_key()),  # type: ignore[arg-type]  # a certificate's key that signs is one of these
            critical=False,
        )
        .sign(issuer.key, hash_for(issuer.key))
    )
    return _Signer(key, certificate, now)
