"""Signed notes: a text and Ed25519 signatures over it (C2SP signed-note v1.0.0).

1. A note is text ending in a newline, an empty line, then one line a signature: ``— name base64(key id || signature)``.
2. There is one byte form: what would be written differently is refused, down to the spare bits of its base64.
3. A signature of an unknown key is passed over; a wrong signature of a known key refuses the note; a note that no
   known key signed is refused.
4. No private key passes through here: signing takes a function that signs bytes.
5. `cryptography` is imported where a signature is verified and nowhere else: the agent imports this module within
   its memory limit.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence

import msgspec

from holdfast_core.kernel.errors import Bug, HostileData, LimitExceeded
from holdfast_core.kernel.limits import LIMITS, Limits

Sign = Callable[[bytes], bytes]
"""Signs bytes with Ed25519: the `Signer` port's method, seen from here."""

ED25519 = 1
"""The signature type byte of plain Ed25519."""

_KEY_ID_BYTES = 4
_PUBLIC_BYTES = 32
_SIGNATURE_BYTES = 64
_VERIFIER_KEY_CHARS = 512
_DASH = "\u2014 "


class VerifierKey(msgspec.Struct, frozen=True, order=True):
    """A name and the Ed25519 public key (32 bytes) that signs under it."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        """Refuse a name that could not stand in a signature line, and a key that is none."""
        if not _is_key_name(self.name) or len(self.public) != _PUBLIC_BYTES:
            raise _bad_key("A verifier key is a name without spaces or '+', and 32 bytes.")

    @property
    def key_id(self) -> bytes:
        """First 4 bytes of ``SHA256(name || 0x0A || 0x01 || public key)``."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([ED25519]) + self.public).digest()[:_KEY_ID_BYTES]

    def __str__(self) -> str:
        encoded = base64.b64encode(bytes([ED25519]) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"


class Signature(msgspec.Struct, frozen=True):
    """One signature line: who claims to have signed, the 4 byte key id and the signature proper."""

    name: str
    key_id: bytes
    signature: bytes


class Note(msgspec.Struct, frozen=True):
    """A text (ending in a newline) and its signatures, in order; `verified` lists the known keys that signed it."""

    text: str
    signatures: tuple[Signature, ...]
    verified: tuple[VerifierKey, ...] = ()


def parse_verifier_key(text: str) -> VerifierKey:
    """Parse ``name+hash+base64(0x01 || public key)``.

    Raises:
        HostileData: ``note.key_invalid`` (also when the hash does not belong to the key).
    """
    if len(text) > _VERIFIER_KEY_CHARS:
        raise _bad_key("The verifier key is too long to be one.")
    name, _, rest = text.partition("+")
    _, _, encoded = rest.partition("+")
    raw = _unbase64(encoded)
    if raw is None or len(raw) != 1 + _PUBLIC_BYTES or raw[0] != ED25519:
        raise _bad_key("The verifier key does not hold an Ed25519 public key.")
    key = VerifierKey(name, raw[1:])
    if str(key) != text:
        raise _bad_key("The hash in the verifier key is not that of its name and public key.")
    return key


def parse_note(text: str, limits: Limits = LIMITS) -> Note:
    """Split a note into text and signatures; nothing is verified.

    Raises:
        LimitExceeded: ``note.too_large``.
        HostileData: ``note.malformed``.
    """
    if len(text) > limits.note_bytes or len(_utf8(text)) > limits.note_bytes:
        raise LimitExceeded(
            "note.too_large",
            f"The signed note is over {limits.note_bytes} bytes.",
            remedy="Check that this file is a checkpoint; none is ever that long.",
        )
    if any(character < " " and character != "\n" for character in text):
        raise _malformed("it holds a control character")
    body, blank, tail = text.rpartition("\n\n")
    if not blank or not body or not tail.endswith("\n"):
        raise _malformed("it is not a text, an empty line and lines of signatures")
    lines = tail[:-1].split("\n")
    if len(lines) > limits.note_signatures:
        raise LimitExceeded(
            "note.too_many_signatures",
            f"The note carries {len(lines)} signatures; {limits.note_signatures} are allowed.",
            remedy="Leave out signatures of keys that nobody here knows.",
        )
    return Note(body + "\n", tuple(_signature(line) for line in lines))


def open_note(text: str, verifiers: Sequence[VerifierKey], limits: Limits = LIMITS) -> Note:
    """Parse a note and verify it with the known keys.

    Raises:
        LimitExceeded: ``note.too_large``, ``note.too_many_signatures``.
        HostileData: ``note.malformed``; ``note.signature_wrong`` when a known key's signature does not verify;
            ``note.unverified`` when no known key signed.
    """
    note = parse_note(text, limits)
    known = {(key.name, key.key_id): key for key in verifiers}
    verified: list[VerifierKey] = []
    for line in note.signatures:
        key = known.get((line.name, line.key_id))
        if key is None:
            continue
        if not _verifies(key.public, line.signature, note.text.encode()):
            raise HostileData(
                "note.signature_wrong",
                f"The signature of {key.name!r} does not belong to this text.",
                remedy="The text or the signature was changed since it was signed; fetch it again from its origin.",
            )
        if key not in verified:
            verified.append(key)
    if not verified:
        raise HostileData(
            "note.unverified",
            "No key that is trusted here signed this note.",
            remedy="Compare the verifier key you gave with the one that the log's operator publishes.",
        )
    return Note(note.text, note.signatures, tuple(verified))


def sign_note(text: str, key: VerifierKey, sign: Sign) -> Note:
    """`text` with one signature under `key`.

    Args:
        text: what is signed; ends in a newline, no other control character.
        key: the public half; its name and id go into the signature line.
        sign: signs bytes with the private half.

    Raises:
        Bug: ``note.unsignable`` when `text` or what `sign` returned could not stand in a note.
    """
    signature = sign(text.encode())
    note = Note(text, (Signature(key.name, key.key_id, signature),), (key,))
    written = serialise(note)
    if len(signature) != _SIGNATURE_BYTES or not text.endswith("\n") or parse_note(written).text != text:
        raise Bug(
            "note.unsignable",
            "This text or signature cannot stand in a signed note.",
            remedy="Report this with the log of the server.",
        )
    return note


def serialise(note: Note) -> str:
    """The note as text: what `parse_note` reads."""
    lines = [
        f"{_DASH}{line.name} {base64.b64encode(line.key_id + line.signature).decode()}\n" for line in note.signatures
    ]
    return note.text + "\n" + "".join(lines)


def _signature(line: str) -> Signature:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    raw = _unbase64(encoded)
    if not line.startswith(_DASH) or not _is_key_name(name) or raw is None or len(raw) <= _KEY_ID_BYTES:
        raise _malformed("a signature line does not read '— name base64'")
    return Signature(name, raw[:_KEY_ID_BYTES], raw[_KEY_ID_BYTES:])


def _verifies(public: bytes, signature: bytes, data: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - rule 5
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 - rule 5

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except InvalidSignature:
        return False
    return True


def _is_key_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(character.isspace() or character < " " for character in name)


def _unbase64(text: str) -> bytes | None:
    """Strict base64: padding present and spare bits zero, or `None`."""
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    return raw if base64.b64encode(raw).decode() == text else None


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise _malformed("it is not UTF-8") from None


def _malformed(why: str) -> HostileData:
    return HostileData(
        "note.malformed",
        f"This is not a signed note: {why}.",
        remedy="Give the note exactly as it was published, without changing or wrapping its lines.",
    )


def _bad_key(sentence: str) -> HostileData:
    return HostileData(
        "note.key_invalid",
        sentence,
        remedy="Copy the whole verifier key, as 'holdfast log show' prints it: name+hash+base64.",
    )
