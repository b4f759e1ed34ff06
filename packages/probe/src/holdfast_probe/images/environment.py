"""U-Boot's environment: ``name=value`` strings behind a checksum, perhaps with a byte that says which copy is newer.

1. Only a block whose checksum is right counts; the defaults inside a boot loader's program have none.
2. The size is in no header: the sizes that are in use are tried, in one pass over the bytes.

Source: U-Boot's include/env_internal.h (the layout only).
"""

from __future__ import annotations

import re
import zlib

import msgspec

from holdfast_probe.images.source import Source

_SIZES = tuple(sorted({1 << n for n in range(9, 19)} | {0x3000, 0x6000, 0xC000, 0xF000, 0x1F000, 0x3F000}))
_STEP = 0x100
_BACK = 64 * 1024
_NAME = re.compile(rb"[A-Za-z_.#][A-Za-z0-9_.:,#-]{0,127}=")
_VARIABLES = 4096


class Environment(msgspec.Struct, frozen=True):
    """One block of variables."""

    offset: int
    size: int
    flag: int
    """Of two copies the higher one is newer; -1: there is one copy only."""
    variables: dict[str, str]


def find_environment(source: Source, hit: int) -> Environment | None:
    """The block that holds the variable at `hit`, if there is one whose checksum is right."""
    low = max(0, hit - _BACK) // _STEP * _STEP
    around = source.read_at(low, hit - low + _SIZES[-1])
    for start in range((hit - low) // _STEP * _STEP, -1, -_STEP):
        for skip in (4, 5):
            if _NAME.match(around, start + skip) and (size := _checked(around, start, skip)):
                variables = _variables(around[start + skip : start + size])
                flag = around[start + 4] if skip == 5 else -1  # noqa: PLR2004  (checksum and flag)
                return Environment(low + start, size, flag, variables)
    return None


def _checked(data: bytes, start: int, skip: int) -> int:
    """The size of the block at `start` with which its checksum is right; 0: none."""
    wanted = (int.from_bytes(data[start : start + 4], "little"), int.from_bytes(data[start : start + 4], "big"))
    checksum, done = 0, start + skip
    for size in _SIZES:
        if start + size > len(data):
            return 0
        checksum = zlib.crc32(data[done : start + size], checksum)
        done = start + size
        if checksum in wanted:
            return size
    return 0


def _variables(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in data.split(b"\0"):
        if not line or len(found) >= _VARIABLES:
            break
        name, _, value = line.decode("utf-8", "replace").partition("=")
        found[name] = value
    return found
