"""The exported record: JSON Lines that anybody can verify offline.

The first line is the header: format, version, the log's origin, its verifier key and a checkpoint. Then one line a
leaf, ``{"index": 0, "hash": "<base64>", "leaf": "<text>"}``: the leaf's text is exactly what was hashed, quoted, so
that any JSON parser gives the bytes back (``jq -r .leaf``).

1. The hash in a line is there to name a bad leaf; what counts is the root that the leaves' texts lead to.
2. There is one byte form: a line that would be written differently is refused, so that no byte goes unchecked.
3. A line is bounded before it is parsed; whatever its bytes are, the answer is a value or a `HostileData`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator

import msgspec

from holdfast_core.kernel.errors import Bug, HostileData
from holdfast_core.kernel.limits import LIMITS, Limits
from holdfast_core.record.merkle import leaf_hash

FORMAT = "holdfast-record"
VERSION = 1


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line: what this is, whose log, and the checkpoint that the leaves must lead to."""

    format: str
    version: int
    origin: str
    key: str
    """The log's verifier key, for whoever has none of their own; see rule 4."""
    checkpoint: str


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One leaf: where it stands, its leaf hash (base64) and its text exactly as hashed."""

    index: int
    hash: str
    leaf: str

    @property
    def data(self) -> bytes:
        """The bytes that were hashed."""
        return self.leaf.encode()


_HEADER = msgspec.json.Decoder(Header)
_LINE = msgspec.json.Decoder(Line)
_ENCODER = msgspec.json.Encoder()


def export_lines(origin: str, key: str, checkpoint: str, leaves: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of an export, each with its newline.

    Args:
        origin: the log's name.
        key: its verifier key as text.
        checkpoint: a signed checkpoint of size n.
        leaves: the first n leaves in order, as hashed (UTF-8).

    Raises:
        Bug: ``record.leaf_not_text``.
    """
    yield _ENCODER.encode(Header(FORMAT, VERSION, origin, key, checkpoint)) + b"\n"
    for index, leaf in enumerate(leaves):
        try:
            text = leaf.decode()
        except UnicodeDecodeError:
            raise Bug(
                "record.leaf_not_text",
                f"Leaf {index} is not text, which no leaf of this log should be.",
                remedy="Report this with the log of the server.",
            ) from None
        yield _ENCODER.encode(Line(index, base64.b64encode(leaf_hash(leaf)).decode(), text)) + b"\n"


def parse_header(line: bytes, limits: Limits = LIMITS) -> Header:
    """The header in the first line of an export.

    Raises:
        HostileData: ``export.header_invalid``, ``export.version``.
    """
    try:
        header = _HEADER.decode(_bounded(line, limits))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        header = None
    if header is None or header.format != FORMAT or _ENCODER.encode(header) != _bare(line):
        raise HostileData(
            "export.header_invalid",
            "The first line is not the header of an exported record.",
            remedy="Give the file that 'holdfast log export' wrote, unchanged from its first byte on.",
        )
    if header.version != VERSION:
        raise HostileData(
            "export.version",
            f"This export has version {header.version}; this verifier reads version {VERSION}.",
            remedy="Verify it with the Holdfast that wrote it, or a newer one.",
        )
    return header


def parse_line(line: bytes, limits: Limits = LIMITS) -> Line:
    """The leaf in a later line of an export.

    Raises:
        HostileData: ``export.line_invalid``.
    """
    try:
        parsed = _LINE.decode(_bounded(line, limits))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        parsed = None
    if parsed is None or parsed.index < 0 or _ENCODER.encode(parsed) != _bare(line):
        raise HostileData(
            "export.line_invalid",
            "A line is not a leaf as exports write it: cut short, damaged or written anew.",
            remedy="Fetch the export again, and pass it on as a binary file so that nothing rewrites its lines.",
        )
    return parsed


def _bare(line: bytes) -> bytes:
    return line.removesuffix(b"\n")


def _bounded(line: bytes, limits: Limits) -> bytes:
    """The line, or nothing (which is no JSON) when it is longer than any line of ours."""
    return _bare(line) if len(line) <= limits.export_line_bytes else b""
