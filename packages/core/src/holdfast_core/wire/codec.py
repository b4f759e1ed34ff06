"""Bytes to check-ins and back.

1. Size is checked before parsing, shape by parsing; nothing is repaired.
2. The decoder recurses, also through keys it skips: running out of stack is the sender's doing, and refused as such.
3. Whatever the bytes are, the answer is a value or a `HostileData`; no other exception leaves this module.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.kernel.limits import Limits
from holdfast_core.kernel.printable import printable
from holdfast_core.wire.frame import VERSION, CheckIn, Reply

TOLD = 200
"""Characters of a decoder's complaint that are repeated."""
_CHECK_IN = msgspec.json.Decoder(CheckIn)
_REPLY = msgspec.json.Decoder(Reply)
_ENCODER = msgspec.json.Encoder()

_T = TypeVar("_T")


def encode(message: CheckIn | Reply) -> bytes:
    """The bytes of a message."""
    return _ENCODER.encode(message)


def decode_check_in(data: bytes, limits: Limits) -> CheckIn:
    """Parse a check-in.

    Raises:
        LimitExceeded: ``checkin.too_large`` (413), ``checkin.section_too_large`` (413).
        HostileData: ``checkin.malformed``, ``checkin.too_deep``, ``checkin.version``, ``checkin.empty_section``,
            ``checkin.delta_incomplete`` (400).
    """
    _bound(data, limits)
    try:
        message = _CHECK_IN.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(data, error) from None
    if message.v != VERSION:
        raise _wrong_version(message.v)
    for name, section in message.sections.items():
        if section.body is msgspec.UNSET and section.digest is None:
            raise HostileData(
                "checkin.empty_section",
                f"Section {name!r} has neither a digest nor a body.",
                remedy="Send the section's body, or its digest when the server already has it, or leave it out.",
            )
        if section.base is not None and (section.digest is None or section.body is msgspec.UNSET):
            raise HostileData(
                "checkin.delta_incomplete",
                f"Section {name!r} names a base, but not both the digest it leads to and what changed.",
                remedy="Send digest, base and body together, or the whole body without a base.",
            )
        if section.body is not msgspec.UNSET and len(bytes(section.body)) > limits.section_bytes:
            raise LimitExceeded(
                "checkin.section_too_large",
                f"Section {name!r} is over {limits.section_bytes} bytes.",
                remedy="Send less in it: shorten proofs and lists on the device.",
            )
    return message


def decode_reply(data: bytes, limits: Limits) -> Reply:
    """Parse a reply, with the same bounds; a device distrusts its server's bytes as the server does the device's."""
    _bound(data, limits)
    try:
        reply = _REPLY.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(data, error) from None
    if reply.v != VERSION:
        raise _wrong_version(reply.v)
    return reply


def decode_body(body: msgspec.Raw, decoder: msgspec.json.Decoder[_T], *, section: str) -> _T:
    """Parse one section's body, or raise `HostileData` ``checkin.section_malformed``."""
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise HostileData(
            "checkin.section_malformed",
            f"Section {section!r} is not what it should be: {told(error)}.",
            remedy="Compare it with the protocol reference; an agent of the server's version never sends this.",
        ) from None


def told(error: Exception) -> str:
    """What a decoder says, fit to be shown: it quotes what it was sent, as it is and as long as it is."""
    return printable(str(error))[:TOLD]


def _bound(data: bytes, limits: Limits) -> None:
    if len(data) > limits.check_in_bytes:
        raise LimitExceeded(
            "checkin.too_large",
            f"The message has {len(data)} bytes; {limits.check_in_bytes} are allowed.",
            remedy="Send unchanged sections as digests, and shorten what is left.",
        )


def _malformed(data: bytes, error: Exception) -> HostileData:
    """A version we do not speak explains a message better than the field it broke on."""
    try:
        version = msgspec.json.decode(data, type=_VersionOnly).v
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        version = VERSION
    if version != VERSION:
        return _wrong_version(version)
    if isinstance(error, RecursionError):
        return HostileData(
            "checkin.too_deep",
            "The message nests deeper than any of this protocol.",
            remedy="Send flat structures; no section needs that depth.",
        )
    return HostileData(
        "checkin.malformed",
        f"The message could not be read: {told(error)}.",
        remedy="Check that nothing on the way cut or changed it, then compare it with the protocol reference.",
    )


class _VersionOnly(msgspec.Struct):
    v: int


def _wrong_version(version: int) -> HostileData:
    return HostileData(
        "checkin.version",
        f"This server speaks version {VERSION} of the protocol, the message says {version}.",
        remedy="Use an agent and a server whose versions overlap; the reference lists which speak what.",
    )
