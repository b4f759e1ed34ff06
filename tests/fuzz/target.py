"""What a fuzz target is: bytes go in; what comes out is a value or a refusal, and anything else is a finding."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress

import msgspec

from holdfast_core.kernel.errors import HostileData

CODE = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")
LONGEST_SENTENCE = 1_000
"""Characters. What is refused may be quoted, but a mebibyte of it would only fill somebody's screen."""

QUOTING = frozenset({"checkin.section_malformed", "reference.malformed"})
"""Their sentences quote what a JSON decoder says, which quotes the input as it is; it is escaped where it is shown."""


class Target(msgspec.Struct, frozen=True):
    """One place where bytes from outside come in.

    Args:
        run: takes the bytes; may raise `HostileData`.
        words: byte strings of the format, which a fuzzer would be long in finding (magic numbers, names).
        longest: bytes of the longest input that is tried.
    """

    run: Callable[[bytes], object]
    words: tuple[bytes, ...] = ()
    longest: int = 4_096


def strike(target: Target, data: bytes) -> str:
    """The refusal's code, or nothing where the bytes were taken. Any other exception goes through, as do poor ones."""
    try:
        target.run(data)
    except HostileData as error:
        refused = error
    else:
        return ""
    assert CODE.fullmatch(refused.code), refused.code
    assert refused.remedy.isprintable(), refused.code
    if refused.code in QUOTING:
        return refused.code
    assert refused.sentence.isprintable(), f"{refused.code} tells control characters: {refused.sentence!r}"
    assert len(refused.sentence) <= LONGEST_SENTENCE, f"{refused.code} tells {len(refused.sentence)} characters"
    return refused.code


def may_refuse(function: Callable[..., object], *arguments: object) -> None:
    """Call `function`; both an answer and a refusal are fine."""
    with suppress(HostileData):
        function(*arguments)


def yes(*_: object) -> bool:
    """In place of a verification."""
    return True


class Escaped(Exception):
    """A refusal that left a function which promises to leave none."""


def must_answer(function: Callable[..., object], *arguments: object) -> object:
    """What `function` returns; it may not refuse."""
    try:
        return function(*arguments)
    except HostileData as refused:
        raise Escaped(str(refused)) from refused
