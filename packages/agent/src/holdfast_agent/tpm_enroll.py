"""Enrollment with the TPM: the exchange of two steps, and what stays on the device.

1. Both steps go to a server that was verified against the pinned authority already.
2. A chip that the server knows needs no claim, so this is also how a device comes back long after its certificate
   expired, and how it renews: each time with a new key.
3. The attestation key stays in the chip, and beside the device's key as the chip's own encrypted blob. The one before
   it is removed from the chip once the new one is durable here; only if it is still the same key.
"""

from __future__ import annotations

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from holdfast_agent.chip_key import ChipKey
from holdfast_agent.state import QUOTING, Folder, Kept, QuotingKey
from holdfast_agent.tpm import Endorsement, opened
from holdfast_agent.transport import Channel
from holdfast_core.formats.tpm.keys import public_key, spki_digest_of
from holdfast_core.formats.tpm.public import parse_public
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.wire.tpm import BEGIN_PATH, FINISH_PATH, MEDIA_TYPE, Begin, Challenge, Finish

MOST_EARLIER = 8
"""Keys that are remembered for removal."""
_JSON = {"Content-Type": MEDIA_TYPE}


class InChip(msgspec.Struct, frozen=True):
    """What an enrollment with the TPM brought: the answer, the public key, and the files of both keys (PEM)."""

    answer: bytes
    public: ec.EllipticCurvePublicKey
    key_file: str
    attestation_file: str
    quoting: QuotingKey


def ask_with_tpm(channel: Channel, device: str, claim: str, tcti: str) -> InChip:
    """Make the device's key in the chip, and have it certified.

    Args:
        channel: a connection to the server, verified.
        device: the device's id.
        claim: the claim's text; empty for a chip that the server knows.
        tcti: how the chip is reached.

    Raises:
        Failed: the server could not be reached, or refused (``tpm.*``, ``claim.*``).
        WorldError: ``agent.tpm``, ``agent.tpm_tools``.
        HostileData: ``enroll.malformed``.
    """
    with opened(tcti) as chip:
        endorsement = chip.endorsement()
        ak, key = chip.make_keys()
        begin = Begin(device, endorsement.public, ak.public, endorsement.certificates, claim)
        challenge = _challenge(channel.call("POST", BEGIN_PATH, msgspec.json.encode(begin), _JSON))
        proof = chip.certify(challenge.nonce)
        public = public_key(parse_public(key.public))
        assert isinstance(public, ec.EllipticCurvePublicKey)  # noqa: S101  (the chip was asked for one)
        finish = Finish(
            challenge.session,
            chip.activate(challenge),
            key.public,
            proof.attestation,
            proof.signature,
            _request(device, ChipKey(public, chip.sign)),
        )
        answer = channel.call("POST", FINISH_PATH, msgspec.json.encode(finish), _JSON)
        handle, why = chip.keep_attestation()
        return InChip(answer, public, key.pem, ak.pem, QuotingKey(ak.public, ak.private, handle, why))


def after(before: QuotingKey | None, made: QuotingKey) -> QuotingKey:
    """The new attestation key, which remembers those before it until they are removed from the chip."""
    if before is None:
        return made
    present = (Kept(before.handle, before.public),) if before.handle else ()
    return msgspec.structs.replace(made, earlier=(*present, *before.earlier)[:MOST_EARLIER])


def remove_earlier(folder: Folder, tcti: str) -> None:
    """Remove from the chip the attestation keys before the present one; what fails is left for the next time."""
    key = folder.quoting()
    if key is None or not key.earlier:
        return
    left = _not_removed(key.earlier, tcti)
    if left != key.earlier:
        folder.write(QUOTING, msgspec.json.encode(msgspec.structs.replace(key, earlier=left)))


def remove_all(folder: Folder, tcti: str) -> None:
    """Remove every attestation key of this device from the chip, as far as that can be done."""
    key = folder.quoting()
    if key is not None:
        _not_removed(((Kept(key.handle, key.public),) if key.handle else ()) + key.earlier, tcti)


def _not_removed(keys: tuple[Kept, ...], tcti: str) -> tuple[Kept, ...]:
    """Those that another try may yet remove: whoever cannot be asked is not gone."""
    left = []
    with opened(tcti) as chip:
        for kept in keys:
            try:
                chip.remove(kept)
            except WorldError:
                left.append(kept)
    return tuple(left)


def endorsement_of(tcti: str) -> tuple[Endorsement, Digest]:
    """The chip's endorsement key, and the digest by which an operator pins it. Raises as `ask_with_tpm`."""
    with opened(tcti) as chip:
        found = chip.endorsement()
        return found, spki_digest_of(parse_public(found.public))


def _challenge(answer: bytes) -> Challenge:
    try:
        return msgspec.json.decode(answer, type=Challenge)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise HostileData(
            "enroll.malformed",
            "The server's answer holds no challenge for the TPM.",
            remedy="Check that the address is Holdfast's device port, and that the server is as new as this agent.",
        ) from error


def _request(device: str, key: ChipKey) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.DER)
