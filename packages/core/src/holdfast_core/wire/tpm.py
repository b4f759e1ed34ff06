"""The two steps by which a device enrolls with its TPM, as they travel (JSON; bytes are base64).

1. ``begin``: the device shows its endorsement key and an attestation key; the server answers with a secret that only
   that chip can open, and a nonce.
2. ``finish``: the device shows the secret, its own key, and the attestation key's word for it; the server certifies.
3. Structures of the TPM travel as the TPM wrote them; whoever reads them bounds them.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.kernel.limits import Limits

BEGIN_PATH, FINISH_PATH = "/v1/enroll/tpm/begin", "/v1/enroll/tpm/finish"
MEDIA_TYPE = "application/json"


class Begin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first step. `ek` and `ak` are TPM2B_PUBLIC; `certificates` are DER: the endorsement key's, then others."""

    device: str
    ek: bytes
    ak: bytes
    certificates: tuple[bytes, ...] = ()
    claim: str = ""


class Challenge(msgspec.Struct, frozen=True):
    """The answer: what TPM2_ActivateCredential takes, the nonce to certify with, and `session`, to be given back."""

    session: str
    blob: bytes
    secret: bytes
    nonce: bytes


class Finish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The second step.

    `secret` is what came out of the TPM; `key` the device key's TPM2B_PUBLIC; `attestation` (TPMS_ATTEST) and
    `signature` (TPMT_SIGNATURE) the attestation key's word for it; `request` a PKCS#10 request by the same key (DER).
    """

    session: str
    secret: bytes
    key: bytes
    attestation: bytes
    signature: bytes
    request: bytes


_T = TypeVar("_T", Begin, Finish)


def decode_step(data: bytes, kind: type[_T], limits: Limits) -> _T:
    """A step, read.

    Raises:
        LimitExceeded: ``tpm.too_large``.
        HostileData: ``tpm.malformed``.
    """
    if len(data) > limits.tpm_bytes:
        raise LimitExceeded(
            "tpm.too_large",
            f"The request has {len(data)} bytes; {limits.tpm_bytes} are allowed.",
            remedy="Send the endorsement key's certificate and at most the few that lead to its maker's root.",
        )
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise HostileData(
            "tpm.malformed",
            f"The request could not be read: {error}.",
            remedy="See the protocol reference for what each step holds (docs/reference/protocol.md).",
        ) from None
