"""Renewal: the next certificate, on a new key, before the present one ends (RFC 7030, section 4.2.2).

1. The new key is durable before the request is sent, and requests are of that key until one is answered: the server
   renews a certificate once, and takes a second key for a thief's.
2. Key and certificate come into force in one rename; the old ones speak until then.
3. Where the chip cannot make another key, the server says so, and the request is of the present one.
4. A key in the TPM is renewed by the exchange that enrolled it: only that proves where the next one lies.
5. What the server sends is checked as at enrollment: for our key and our name, and leading to the pinned root.
"""

from __future__ import annotations

import base64

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from holdfast_agent.enroll import EST, certificates_in, chain_for
from holdfast_agent.state import ATTESTATION, IDENTITY, QUOTING, RENEWAL, ROOT, Config, Folder, KeyPlace
from holdfast_agent.transport import Channel
from holdfast_core.kernel.errors import HostileData, WorldError


class RenewArgs(msgspec.Struct, frozen=True):
    """The arguments of a ``renew`` directive: the digest of the certificate meant, and whose key the next one has."""

    credential: str = ""
    key: str = "new"


def renew(folder: Folder, config: Config, channel: Channel, args: RenewArgs) -> bool:
    """Get the next certificate over `channel`, which shows the present one, and put it in force.

    Returns:
        Whether there is a new one; `False` when the certificate meant is not the present one any more.

    Raises:
        Failed: the server could not be reached, or refused.
        Distrusted: ``enroll.*``; nothing was changed.
        WorldError: ``agent.disk``, ``agent.identity_unusable``.
    """
    present = _chain_in(folder)
    if args.credential and args.credential != "sha256:" + present[0].fingerprint(hashes.SHA256()).hex():
        folder.remove(RENEWAL)
        return False
    answer, public, pem = _NEXT[config.key](folder, config, channel, args)
    root = x509.load_pem_x509_certificate((folder.path / ROOT).read_bytes())
    issued = certificates_in(answer)
    try:
        chain = chain_for(issued, present[1:], public, config.device, root)
    except HostileData:
        # Another authority issued it than the last one: the server tells which there are.
        others = certificates_in(channel.call("GET", f"{EST}/cacerts"))
        chain = chain_for(issued, others, public, config.device, root)
    folder.write(IDENTITY, pem + b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain))
    folder.remove(RENEWAL)
    return True


def _in_file(
    folder: Folder, config: Config, channel: Channel, args: RenewArgs
) -> tuple[bytes, ec.EllipticCurvePublicKey, bytes]:
    """The answer for a key in a file, that key's public half, and the key as it is kept (PEM)."""
    present = _key_in(folder)
    key = present if args.key == "same" else _next_key(folder, present)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return _simplereenroll(config, channel, key), key.public_key(), pem


def _in_tpm(
    folder: Folder, config: Config, channel: Channel, _args: RenewArgs
) -> tuple[bytes, ec.EllipticCurvePublicKey, bytes]:
    """The same for a key in the TPM, which proves itself anew; a lost answer costs a key in the chip, nothing else."""
    from holdfast_agent.tpm_enroll import after, ask_with_tpm, remove_earlier  # noqa: PLC0415  (only where there is a chip)

    made = ask_with_tpm(channel, config.device, "", config.tcti)
    folder.write(ATTESTATION, made.attestation_file.encode())
    folder.write(QUOTING, msgspec.json.encode(after(folder.quoting(), made.quoting)))
    remove_earlier(folder, config.tcti)
    return made.answer, made.public, made.key_file.encode()


def _in_token(
    _folder: Folder, config: Config, channel: Channel, _args: RenewArgs
) -> tuple[bytes, ec.EllipticCurvePublicKey, bytes]:
    """The same for the one key in a token: the server takes it again where the model says so."""
    from holdfast_agent.token_key import token_key  # noqa: PLC0415  (only where there is a token)

    key = token_key(config.token)
    return _simplereenroll(config, channel, key), key.public_key(), b""


_NEXT = {KeyPlace.FILE: _in_file, KeyPlace.TPM: _in_tpm, KeyPlace.TOKEN: _in_token}


def _simplereenroll(config: Config, channel: Channel, key: ec.EllipticCurvePrivateKey) -> bytes:
    return channel.call(
        "POST",
        f"{EST}/simplereenroll",
        base64.b64encode(_request(config.device, key).public_bytes(Encoding.DER)),
        {"Content-Type": "application/pkcs10", "Content-Transfer-Encoding": "base64"},
    )


def _chain_in(folder: Folder) -> list[x509.Certificate]:
    """The certificates in force, the device's first."""
    try:
        return x509.load_pem_x509_certificates((folder.path / IDENTITY).read_bytes())
    except (OSError, ValueError) as error:
        raise _unusable(error) from error


def _key_in(folder: Folder) -> ec.EllipticCurvePrivateKey:
    """The key in force."""
    try:
        key = load_pem_private_key((folder.path / IDENTITY).read_bytes(), None)
    except (OSError, ValueError) as error:
        raise _unusable(error) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _unusable("its key is of another kind than this agent makes")
    return key


def _next_key(folder: Folder, present: ec.EllipticCurvePrivateKey) -> ec.EllipticCurvePrivateKey:
    """The key of the next certificate: the one of a request that was not answered yet, or a new one."""
    path = folder.path / RENEWAL
    if path.exists():
        try:
            waiting = load_pem_private_key(path.read_bytes(), None)
        except ValueError:
            waiting = None  # damaged; nothing was certified under it, or its holder could not be told from a thief
        if isinstance(waiting, ec.EllipticCurvePrivateKey) and _public(waiting) != _public(present):
            return waiting
    key = ec.generate_private_key(ec.SECP256R1())
    folder.write(RENEWAL, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key


def _request(device: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateSigningRequest:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device)])
    return x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())


def _public(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _unusable(why: object) -> WorldError:
    return WorldError(
        "agent.identity_unusable",
        f"The device's key and certificate cannot be read: {why}.",
        remedy="Ask an operator for a new claim and enroll the device again.",
    )
