"""The ELF reader on broken files and in every shape; what it says of real ones is compared in the integration tests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_probe.programs.elf import read_elf


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("wide", [True, False])
def test_reads_both_orders_and_widths(order: str, wide: bool) -> None:  # noqa: FBT001  (a parameter of the table)
    import struct  # noqa: PLC0415  (beside its only use)

    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    shape = "HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"
    head = struct.pack(order + shape, 3, 8, 1, 0, 64 if wide else 52, 0, 0, 0, 56 if wide else 32, 1, 0, 0, 0)
    stack = (0x6474E551, 7, 0, 0, 0, 0, 0, 0) if wide else (0x6474E551, 0, 0, 0, 0, 0, 7, 0)
    data = ident + head + struct.pack(order + ("IIQQQQQQ" if wide else "IIIIIIII"), *stack)
    facts = read_elf(data, lambda at, size: data[at : at + size])
    assert facts is not None
    assert facts.executable_stack is True
    assert not facts.program


@given(st.binary(max_size=400), st.booleans(), st.booleans())
def test_never_raises(noise: bytes, wide: bool, little: bool) -> None:  # noqa: FBT001  (drawn)
    data = b"\x7fELF" + bytes([1 + wide, 2 - little, 1]) + noise
    read_elf(data.ljust(64, b"\0"), lambda at, size: data[at : at + size])
    assert read_elf(noise.ljust(64, b"\0"), lambda at, size: noise[at : at + size]) is None or noise[:4] == b"\x7fELF"


def test_offsets_that_lead_nowhere_are_no_answer() -> None:
    assert read_elf(b"\x7fELF\x02\x01" + b"\xff" * 58, lambda _at, _size: b"") is None
