"""Checkpoints: the log's signed word on how long it is and what it holds (C2SP tlog-checkpoint).

1. The body is ``origin``, the size in decimal and the root in base64, one a line; extension lines may follow.
2. A checkpoint is a signed note; it counts only when a key that the reader trusts signed it.
3. Two checkpoints of one log that no consistency proof joins are evidence against the log, whoever holds them.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence

import msgspec

from holdfast_core.formats.note import Note, Sign, VerifierKey, open_note, parse_note, serialise, sign_note
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.limits import LIMITS, Limits
from holdfast_core.record.merkle import HASH_BYTES, Frontier

_SIZE = re.compile(r"0|[1-9][0-9]{0,17}")
_ROOT = re.compile(r"[A-Za-z0-9+/]{43}=")
_BODY_LINES = 3


class Checkpoint(msgspec.Struct, frozen=True):
    """A log's name, how many leaves it has, and the Merkle root over them (32 bytes)."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()
    """Lines after the root; none of ours has any, other logs may."""

    def __post_init__(self) -> None:
        """Refuse what could not be written down."""
        lines = (self.origin, *self.extensions)
        bad_line = any(not line or any(character < " " for character in line) for line in lines)
        if bad_line or self.size < 0 or len(self.root) != HASH_BYTES:
            raise _malformed()

    @property
    def body(self) -> str:
        """The text that is signed."""
        encoded = base64.b64encode(self.root).decode()
        return "".join(f"{line}\n" for line in (self.origin, str(self.size), encoded, *self.extensions))


def issue(origin: str, frontier: Frontier, key: VerifierKey, sign: Sign) -> str:
    """A signed checkpoint for the tree of `frontier`.

    Args:
        origin: the log's name, the same for its whole life; C2SP asks that it be the key's name too.
        frontier: the tree.
        key: the public half of the log's key; its name and id go into the signature line.
        sign: signs bytes with the private half.
    """
    return serialise(sign_note(Checkpoint(origin, frontier.size, frontier.root()).body, key, sign))


def read(text: str, verifiers: Sequence[VerifierKey], limits: Limits = LIMITS) -> Checkpoint:
    """The checkpoint in `text`, signed by at least one of `verifiers`.

    Raises:
        LimitExceeded, HostileData: those of `formats.note.open_note`, and ``checkpoint.malformed``.
    """
    return _parse(open_note(text, verifiers, limits))


def unsigned_read(text: str, limits: Limits = LIMITS) -> Checkpoint:
    """The checkpoint in `text`, its signatures unverified: for an agent that only pins what its server told it.

    The reply came over mutual TLS, so it is what the server said; and it is kept as text, signature and all, so that
    whoever holds the key can verify it when it is compared with an export. Never judge a log by this.

    Raises:
        LimitExceeded, HostileData: those of `formats.note.parse_note`, and ``checkpoint.malformed``.
    """
    return _parse(parse_note(text, limits))


def _parse(note: Note) -> Checkpoint:
    lines = note.text[:-1].split("\n")
    if len(lines) < _BODY_LINES or not _SIZE.fullmatch(lines[1]) or not _ROOT.fullmatch(lines[2]):
        raise _malformed()
    checkpoint = Checkpoint(lines[0], int(lines[1]), base64.b64decode(lines[2]), tuple(lines[_BODY_LINES:]))
    if checkpoint.body != note.text:  # spare bits in the base64: there is one byte form
        raise _malformed()
    return checkpoint


def _malformed() -> HostileData:
    return HostileData(
        "checkpoint.malformed",
        "This note is not a checkpoint: origin, size and root, one a line.",
        remedy="Give a checkpoint of the log, as 'holdfast log show' prints it.",
    )
