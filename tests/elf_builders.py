"""ELF programs for tests: headers, a dynamic section and undefined symbols, in any width and byte order."""

from __future__ import annotations

import struct
from collections.abc import Sequence

EXECUTABLE, SHARED = 2, 3
HARDENED = ("__stack_chk_fail", "__printf_chk")


def program(
    *,
    kind: int = SHARED,
    stack: int | None = 6,
    relro: bool = True,
    now: bool = True,
    calls: Sequence[str] = HARDENED,
    needed: Sequence[str] = ("libc.so.6",),
    rpath: str = "",
    wide: bool = True,
    order: str = "<",
    machine: int = 62,
) -> bytes:
    """A program that is loaded at 0: every address is an offset in the file."""
    texts = [*calls, *needed, *([rpath] if rpath else [])]
    strings = b"\0" + b"".join(text.encode() + b"\0" for text in texts)
    places = [1 + sum(len(each) + 1 for each in texts[:n]) for n in range(len(texts))]
    segments = [(1, 5), (2, 6), (3, 4)]
    segments += [(0x6474E551, stack)] if stack is not None else []
    segments += [(0x6474E552, 4)] if relro else []
    header, entry = (64, 56) if wide else (52, 32)
    symbols_at = header + entry * len(segments)
    symbol = struct.Struct(order + ("IBBHQQ" if wide else "IIIBBH"))
    symbols = b"".join(
        symbol.pack(*((place, 0x12, 0, 0, 0, 0) if wide else (place, 0, 0, 0x12, 0, 0)))
        for place in [0, *places[: len(calls)]]
    )
    hash_at = symbols_at + len(symbols)
    table = struct.pack(order + "II", 1, len(calls) + 1)
    strings_at = hash_at + len(table)
    dynamic_at = strings_at + len(strings)
    tags = [(1, place) for place in places[len(calls) : len(calls) + len(needed)]]
    tags += [(29, places[-1])] if rpath else []
    tags += [(4, hash_at), (5, strings_at), (6, symbols_at), (10, len(strings)), (30, 8 if now else 0), (0, 0)]
    dynamic = b"".join(struct.pack(order + ("qQ" if wide else "iI"), *tag) for tag in tags)
    size = dynamic_at + len(dynamic)
    heads = b"".join(
        _segment(order, *each, *((dynamic_at, len(dynamic)) if each[0] == 2 else (0, size)), wide=wide)
        for each in segments
    )
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    shape = order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH")
    head = struct.pack(shape, kind, machine, 1, 0, header, 0, 0, header, entry, len(segments), 0, 0, 0)
    return ident + head + heads + symbols + table + strings + dynamic


def _segment(order: str, kind: int, flags: int, start: int, size: int, *, wide: bool) -> bytes:
    if wide:
        return struct.pack(order + "IIQQQQQQ", kind, flags, start, start, start, size, size, 0)
    return struct.pack(order + "IIIIIIII", kind, start, start, start, size, size, flags, 0)
