"""Where payloads lie: large, immutable, known by their digest. A folder is one way, an object store another.

1. A payload is written in pieces and has its name once it is whole: nobody ever reads half of one.
2. Whatever is opened can be read to its end, even where it is deleted meanwhile.
3. Reads are of bounded length; who serves a payload asks for piece after piece. All calls block: on a loop they belong
   into a thread.
4. What is read is not hashed again: who installs a payload checks it against signed metadata. `check` reads one whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import msgspec

from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.errors import HostileData, LimitExceeded, WorldError
from holdfast_core.supply.model import LARGEST_PAYLOAD, PayloadKind

LONGEST_READ = 4 * 1024 * 1024
"""Bytes of one read."""


class Stored(msgspec.Struct, frozen=True):
    """A payload that is whole: its digest and its size in bytes."""

    digest: Digest
    size: int


class Inspected(msgspec.Struct, frozen=True):
    """What a payload says of itself, as far as its form says anything.

    `version` and `compatible` are empty, `svn` is `None`, where it says nothing. `verified` tells whether its own
    signature was checked with a configured key. `details` are for people: pairs of a name and a value.
    """

    kind: PayloadKind
    version: str = ""
    compatible: tuple[str, ...] = ()
    svn: int | None = None
    verified: bool = False
    details: tuple[tuple[str, str], ...] = ()


class Upload(Protocol):
    """A payload under way. One that is neither finished nor abandoned is removed when the store begins anew."""

    @property
    def size(self) -> int:
        """Bytes that were written so far."""
        ...

    def write(self, piece: bytes) -> None:
        """Append a piece.

        Raises:
            LimitExceeded: ``artefact.too_large``.
            WorldError: ``artefact.disk_full``, ``artefact.store``.
        """
        ...

    def finish(self, expected: Digest | None = None) -> Stored:
        """Make it durable under its digest; one that is there already stays.

        Args:
            expected: the digest that it is said to have.

        Raises:
            HostileData: ``artefact.empty``, ``artefact.other_digest``; the upload is abandoned.
            WorldError: ``artefact.disk_full``, ``artefact.store``.
        """
        ...

    def abandon(self) -> None:
        """Throw it away; once it is finished or abandoned this does nothing."""
        ...


class Opened(Protocol):
    """A payload that is being read."""

    @property
    def size(self) -> int:
        """Its size in bytes."""
        ...

    def read(self, start: int, length: int) -> bytes:
        """Its bytes from `start`: `length` of them, at most `LONGEST_READ`, fewer only at its end.

        Raises:
            WorldError: ``artefact.corrupt``, ``artefact.store``.
        """
        ...

    def close(self) -> None:
        """Let it go; twice is as good as once."""
        ...


class ArtefactStore(Protocol):
    """Holds payloads by their digests."""

    def begin(self) -> Upload:
        """A new upload.

        Raises:
            WorldError: ``artefact.disk_full``, ``artefact.store``.
        """
        ...

    def open(self, digest: Digest) -> Opened:
        """Open a payload to read it, piece after piece.

        Raises:
            WorldError: ``artefact.missing``, ``artefact.store``.
        """
        ...

    def read(self, digest: Digest, start: int, length: int) -> bytes:
        """One piece, as `Opened.read`.

        Raises:
            WorldError: ``artefact.missing``, ``artefact.corrupt``, ``artefact.store``.
        """
        ...

    def listed(self) -> Sequence[Stored]:
        """Everything that is here, in the order of the digests.

        Raises:
            WorldError: ``artefact.store``.
        """
        ...

    def holds(self, digest: Digest) -> bool:
        """Whether it is here."""
        ...

    def size(self, digest: Digest) -> int:
        """Its size in bytes.

        Raises:
            WorldError: ``artefact.missing``.
        """
        ...

    def check(self, digest: Digest) -> None:
        """Read it whole and compare it with its digest.

        Raises:
            WorldError: ``artefact.missing``, ``artefact.corrupt``.
        """
        ...

    def local(self, digest: Digest) -> AbstractContextManager[Path]:
        """A file of this machine with its content, for programs that inspect it; read only, gone afterwards.

        Raises:
            WorldError: ``artefact.missing``, ``artefact.store``.
        """
        ...

    def delete(self, digest: Digest) -> None:
        """Remove it; one that is not here is no error.

        Raises:
            WorldError: ``artefact.store``.
        """
        ...


class Inspector(Protocol):
    """Asks the tool of a payload's kind what the payload says of itself."""

    def inspect(self, path: Path, kind: PayloadKind, *, name: str) -> Inspected:
        """See `Inspected`.

        Args:
            path: the payload on this machine.
            kind: what it is said to be.
            name: its file name, for people.

        Raises:
            HostileData: ``artefact.*``: it is not what it is said to be, or is signed by another key.
            WorldError: ``artefact.no_tool``, ``artefact.tool``.
        """
        ...


def too_large(size: int, largest: int = LARGEST_PAYLOAD) -> LimitExceeded:
    """The refusal of a payload over its bound."""
    return LimitExceeded(
        "artefact.too_large",
        f"The payload has {size} bytes or more; {largest} are allowed.",
        remedy="Send a smaller one: leave out what the device can make itself, or compress it.",
    )


def empty() -> HostileData:
    """The refusal of a payload without a byte."""
    return HostileData("artefact.empty", "The payload is empty.", remedy="Send the file that devices are to install.")


def other_digest(found: Digest, expected: Digest) -> HostileData:
    """The refusal of a payload that is not the one that was announced."""
    return HostileData(
        "artefact.other_digest",
        f"The payload has the digest {found}, and {expected} was announced.",
        remedy="Send it again; if it happens twice, the file changed since its digest was taken.",
    )


def missing(digest: Digest) -> WorldError:
    """The error of a payload that is not here."""
    return WorldError(
        "artefact.missing",
        f"The payload {digest} is not here.",
        remedy="Upload it again: holdfast release add.",
        http_status=404,
    )


def corrupt(digest: Digest) -> WorldError:
    """The error of a payload that is not what its name says."""
    return WorldError(
        "artefact.corrupt",
        f"The payload {digest} was changed or shortened where it lies.",
        remedy="Remove its file from artefacts/ in the data folder, upload it again (holdfast release add), and look "
        "after the disk (smartctl).",
        http_status=500,
    )


def disk_full(need: str) -> WorldError:
    """The error of a disk without room."""
    return WorldError(
        "artefact.disk_full",
        f"There is no room for the payload: {need}.",
        remedy="Withdraw releases that no device needs any more and let their payloads go: holdfast release prune. "
        "Or give the server a larger disk.",
        http_status=507,
    )
