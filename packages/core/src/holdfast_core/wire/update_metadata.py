"""Update metadata as it travels: everything that is newer than what a device holds, in one request.

1. The device says which versions it holds of both repositories; the answer brings the files that are newer, under the
   names by which a TUF repository serves them. Nothing newer: an answer without files.
2. The answer is no authority: each file is verified as if it had been fetched by itself.
3. With a nonce the answer brings the time, signed over it (`TIME_TYPE`, DSSE) with the director's online key.
4. Every size and count is bounded here, for both sides.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from holdfast_core.kernel.instants import LATEST, Instant
from holdfast_core.wire.frame import Token, Whole

PATH = "/v1/update/metadata"
TIME_TYPE = "application/vnd.holdfast.time+json"
FILES = 64
"""Files of one repository in one answer; more wait for the next."""
LARGEST_FILE = 512 * 1024
LARGEST_HOLDING = 16 * 1024
LARGEST_BROUGHT = 4 * 1024 * 1024
LARGEST_TIME = 1_024

RoleName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
FileName = Annotated[str, msgspec.Meta(pattern=r"^(targets/)?([A-Za-z0-9._-]{1,200}/){0,2}[A-Za-z0-9._+-]{1,200}$")]


class Versions(msgspec.Struct, frozen=True, omit_defaults=True):
    """The versions that a device holds of one repository; 0 where it holds none. `roles` are delegated ones."""

    root: Whole
    timestamp: Whole = 0
    snapshot: Whole = 0
    targets: Whole = 0
    roles: Annotated[dict[RoleName, Whole], msgspec.Meta(max_length=FILES)] = {}


class Holding(msgspec.Struct, frozen=True, omit_defaults=True):
    """The request."""

    director: Versions
    image: Versions
    nonce: Token | None = None


class Brought(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer: files by name, and the time where it was asked for."""

    director: Annotated[dict[FileName, bytes], msgspec.Meta(max_length=FILES)] = {}
    image: Annotated[dict[FileName, bytes], msgspec.Meta(max_length=FILES)] = {}
    time: Annotated[bytes, msgspec.Meta(max_length=LARGEST_TIME)] = b""


class Time(msgspec.Struct, frozen=True):
    """The payload of the signed time: the moment (milliseconds UTC), the device's nonce, the device."""

    now: Annotated[Instant, msgspec.Meta(ge=0, le=LATEST)]
    nonce: Token
    device: Annotated[str, msgspec.Meta(max_length=63)]
