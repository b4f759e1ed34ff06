"""Statements in files: reading one, with or without keys that vouch for it, and the days that people write."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from holdfast.cli.files import read_bounded
from holdfast_core.attestation.reference import STATEMENT_TYPE, Statement, parse_statement
from holdfast_core.formats.dsse import (
    LARGEST_ENVELOPE,
    LARGEST_KEY,
    VerifyingKey,
    open_envelope,
    parse_envelope,
    read_key,
)
from holdfast_core.inventory.validation import last_day_ends
from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import Instant, parse_rfc3339

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


class Read(msgspec.Struct, frozen=True):
    """A statement out of a file; `signer` is the key that vouches for it, empty where nothing does."""

    statement: Statement
    digest: Digest
    signer: str


def read_statement(path: Path, keys: Mapping[str, VerifyingKey]) -> Read:
    """The statement in `path`: signed by one of `keys` (by name), or, where there are none, as it stands.

    Raises:
        HostileData: ``dsse.*``, ``reference.*``.
        WorldError: ``files.unreadable``.
        LimitExceeded: ``files.too_large``.
    """
    data = read_bounded(path, LARGEST_ENVELOPE)
    try:
        if keys:
            opened = open_envelope(data, STATEMENT_TYPE, keys)
            return Read(parse_statement(opened.payload), digest_of(opened.payload), opened.signer)
        payload = _unsigned(data)
        return Read(parse_statement(payload), digest_of(payload), "")
    except HostileData as error:
        # Several statements can be named at once: say which one it is.
        raise HostileData(error.code, f"{path}: {error.sentence}", remedy=error.remedy) from None


def _unsigned(data: bytes) -> bytes:
    """The payload of an envelope, or a bare statement."""
    try:
        return parse_envelope(data).payload
    except HostileData:
        return data


def read_keys(paths: list[Path] | None) -> dict[str, VerifyingKey]:
    """Public keys by the names of their files. Raises HostileData ``dsse.key``."""
    return {str(path): read_key(read_bounded(path, LARGEST_KEY)) for path in paths or ()}


def end_of(text: str) -> Instant:
    """A time, or the end of a day.

    Raises:
        HostileData: ``model.date``, ``time.invalid``.
    """
    if _DAY.fullmatch(text):
        return last_day_ends(text)
    try:
        return parse_rfc3339(text)
    except HostileData as error:
        remedy = "Write a day (2027-01-31, which counts to its end in UTC), or a time with an offset (RFC 3339)."
        raise HostileData(error.code, error.sentence, remedy=remedy) from None
