"""Changed copies of inputs, for a machine without a fuzzer: the same ones in every run."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

_NUMBERS = (b"\0", b"\1", b"\x7f", b"\x80", b"\xff", b"\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\0\0\0\0")


def mutated(seeds: Sequence[bytes], words: Sequence[bytes], count: int, name: str) -> Iterator[bytes]:
    """`count` inputs, each a seed with one to four changes; `name` decides which."""
    rolled = random.Random(name)  # noqa: S311  (a choice of tests, no secret)
    for _ in range(count):
        data = bytearray(rolled.choice(seeds))
        for _ in range(rolled.randint(1, 4)):
            _change(data, rolled, seeds, words)
        yield bytes(data)


def _change(data: bytearray, rolled: random.Random, seeds: Sequence[bytes], words: Sequence[bytes]) -> None:
    """Overwrite, insert, cut, repeat or splice, somewhere."""
    at = rolled.randint(0, len(data))
    word = rolled.choice((*_NUMBERS, rolled.randbytes(rolled.randint(1, 4)), *words))
    match rolled.randrange(6):
        case 0:
            data[at : at + len(word)] = word
        case 1:
            data[at:at] = word
        case 2:
            del data[at : at + rolled.choice((1, 2, 4, 16, len(data)))]
        case 3:
            data[at:at] = data[at : at + rolled.randint(1, 64)]
        case 4:
            other = rolled.choice(seeds)
            data[at:] = other[rolled.randint(0, len(other)) :]
        case _:
            if at < len(data):
                data[at] ^= 1 << rolled.randrange(8)
