"""The file that goes from the server to the signers, from hand to hand, and back.

1. It holds what is to be signed, and what is in force now, so that a signer's machine can say what would change without
   asking the server. What it says of now proves nothing by itself: it is verified from a root that the signer kept.
2. It is plain JSON, the metadata in it base64, so that it survives mail and chat.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.update.repository import ROLES, ROOTS, Name
from holdfast_core.wire.update_metadata import LARGEST_FILE, RoleName

LARGEST_CEREMONY = 64 * 1024 * 1024
FILES = 512
KIND = "holdfast-ceremony"


class CeremonyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One metadata file: of which repository, of which role."""

    repository: Name
    role: RoleName
    metadata: Annotated[bytes, msgspec.Meta(max_length=LARGEST_FILE)]


class Ceremony(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be signed (`files`), and what is in force (`current`: the chain of roots, and the roles' files)."""

    kind: Annotated[str, msgspec.Meta(pattern=f"^{KIND}$")]
    scope: Annotated[str, msgspec.Meta(max_length=130)]
    files: Annotated[tuple[CeremonyFile, ...], msgspec.Meta(max_length=FILES)]
    current: Annotated[tuple[CeremonyFile, ...], msgspec.Meta(max_length=ROLES + 3 * ROOTS)] = ()


def encode_ceremony(ceremony: Ceremony) -> bytes:
    """The file's bytes."""
    return msgspec.json.format(msgspec.json.encode(ceremony), indent=1) + b"\n"


def decode_ceremony(data: bytes) -> Ceremony:
    """What a file says.

    Raises:
        LimitExceeded: ``repository.too_large``.
        HostileData: ``repository.malformed``.
    """
    if len(data) > LARGEST_CEREMONY:
        raise LimitExceeded(
            "repository.too_large", "The file is too large for what signers pass on.", remedy="Fetch it anew."
        )
    try:
        return msgspec.json.decode(data, type=Ceremony)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise HostileData(
            "repository.malformed",
            f"This is no file of a signing ceremony: {error}.",
            remedy="Give the file that holdfast keys wrote, whole.",
        ) from None
