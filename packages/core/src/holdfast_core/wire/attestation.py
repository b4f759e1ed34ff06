"""Evidence of what a device booted, as it travels: the sections ``attestation`` and ``boot-log`` of a check-in.

1. A device attests with its TPM, with a token of its security processor, or says plainly that it can do neither.
2. The nonce came with the last reply. A device that has none, or whose nonce may be too old, asks: the reply brings
   one, and wants the section again in the same contact.
3. What a quote or token is bound to (`binding`) names this protocol, the nonce, the device and every claim that
   travels beside it: no part of it can be another device's, another moment's, or changed on the way.
4. The event log is a section of its own: it changes with a boot, so it mostly travels as its digest.
5. Of the IMA list only what is new travels, from the entry that the server asked for (`Ask.ima_from`).
6. Logs travel compressed (zlib, RFC 1950); what they become is bounded before it is made.
"""

from __future__ import annotations

import hashlib
import zlib
from enum import StrEnum
from typing import Annotated, TypeAlias

import msgspec

from holdfast_core.kernel.digests import canonical
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.wire.frame import Token, Whole

SECTION = "attestation"
BOOT_LOG = "boot-log"
DOMAIN = b"holdfast.attestation.v1"
LARGEST_LOG = 1024 * 1024
"""Bytes of an event log, or of a slice of an IMA list, unpacked."""
LARGEST_STRUCTURE = 1_024
LARGEST_TOKEN = 8 * 1024
NONCE_GRACE_S = 600
"""How long after the device was due its nonce is still taken."""
REGISTERS = 24

Register = Annotated[int, msgspec.Meta(ge=0, lt=REGISTERS)]
Short = Annotated[str, msgspec.Meta(max_length=120)]
Packed = Annotated[bytes, msgspec.Meta(max_length=LIMITS.section_bytes)]


class Debug(StrEnum):
    """What a debug port is (RFC 9711, section 4.2.9, in three words)."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    LOCKED = "locked"
    """Disabled for good."""


class Tamper(msgspec.Struct, frozen=True, omit_defaults=True):
    """One tamper switch: whether it is open now, and how often it was opened in the device's life."""

    name: Short
    open: bool = False
    opened: Whole = 0


class Component(msgspec.Struct, frozen=True, omit_defaults=True):
    """One part of the hardware: where it is and what it says that it is (``usb:1-1`` ``0bda:8153``)."""

    place: Short
    identity: Short


class DebugPort(msgspec.Struct, frozen=True):
    """One debug port."""

    name: Short
    state: Debug


class Claims(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the agent says of the hardware around it; the quote vouches that this agent said it, not that it is so."""

    tampers: Annotated[tuple[Tamper, ...], msgspec.Meta(max_length=16)] = ()
    debug_ports: Annotated[tuple[DebugPort, ...], msgspec.Meta(max_length=16)] = ()
    lifecycle: Short = ""
    components: Annotated[tuple[Component, ...], msgspec.Meta(max_length=64)] | None = None
    """`None` where the agent does not look."""


class ImaSlice(msgspec.Struct, frozen=True, omit_defaults=True):
    """Entries of the kernel's IMA list (packed), from entry `start` on; `more` when the list goes on."""

    start: Whole
    data: Packed
    more: bool = False


class TpmEvidence(msgspec.Struct, frozen=True, tag="tpm", omit_defaults=True):
    """A quote (TPMS_ATTEST) and its signature (TPMT_SIGNATURE), with what they are bound to.

    `registers` are values in hexadecimal by number, only where there is no event log that explains them.
    """

    nonce: Token
    quote: Annotated[bytes, msgspec.Meta(max_length=LARGEST_STRUCTURE)]
    signature: Annotated[bytes, msgspec.Meta(max_length=LARGEST_STRUCTURE)]
    claims: Claims = Claims()
    ima: ImaSlice | None = None
    registers: Annotated[dict[str, Short], msgspec.Meta(max_length=REGISTERS)] = {}


class TokenEvidence(msgspec.Struct, frozen=True, tag="token", omit_defaults=True):
    """A signed token (COSE_Sign1: EAT or PSA) whose nonce claim is the `binding`."""

    nonce: Token
    token: Annotated[bytes, msgspec.Meta(max_length=LARGEST_TOKEN)]
    claims: Claims = Claims()


class Asking(msgspec.Struct, frozen=True, tag="ask"):
    """The device can attest and needs a nonce."""


class Unable(msgspec.Struct, frozen=True, tag="none"):
    """The device cannot attest, and why: a stable word such as ``no-tpm``."""

    why: Short


Evidence: TypeAlias = TpmEvidence | TokenEvidence | Asking | Unable


class BootLog(msgspec.Struct, frozen=True):
    """The body of section ``boot-log``: the firmware's event log in its own form, packed."""

    log: Packed


class Ask(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the server asks of the next evidence; it travels as the answer of section ``attestation``.

    A nonce is taken until `nonce_s` seconds after the reply it came with. With no `registers` no quote
    is wanted.
    """

    bank: Short = "sha256"
    registers: Annotated[tuple[Register, ...], msgspec.Meta(max_length=REGISTERS)] = ()
    token: bool = False
    """Whether a token is wanted."""
    ima: bool = False
    ima_from: Whole = 0
    nonce_s: Whole = 0


def binding(nonce: str, device: str, claims: Claims) -> bytes:
    """What a quote carries as qualifying data, and a token as its nonce: 32 bytes, SHA-256.

    Each part is hashed by itself first, so that no two inputs lead to the same bytes.
    """
    parts = (DOMAIN, nonce.encode(), device.encode(), canonical(claims))
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()


def pack(data: bytes) -> bytes:
    """A log as it travels."""
    return zlib.compress(data, 9)


def unpack(data: bytes, *, largest: int = LARGEST_LOG) -> bytes:
    """The log that `data` is.

    Raises:
        LimitExceeded: ``attestation.log_too_large``.
        HostileData: ``attestation.log_packed``.
    """
    unpacker = zlib.decompressobj()
    try:
        log = unpacker.decompress(data, largest + 1)
    except zlib.error as error:
        raise _badly_packed(str(error)) from None
    if len(log) > largest:
        raise LimitExceeded(
            "attestation.log_too_large",
            f"The log has more than {largest} bytes.",
            remedy="Send less at once: of an IMA list a shorter slice. An event log of that size is not taken.",
        )
    if not unpacker.eof or unpacker.unused_data:
        raise _badly_packed("it ends too early or too late")
    return log


def _badly_packed(why: str) -> HostileData:
    return HostileData(
        "attestation.log_packed",
        f"The log could not be unpacked: {why}.",
        remedy="Send it as one zlib stream (RFC 1950), whole.",
    )
