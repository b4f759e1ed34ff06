"""Roots on the kernel's command line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.formats.verity_cmdline import LARGEST_COMMAND_LINE, verity_lapses_in, verity_roots_in
from holdfast_core.kernel.errors import HostileData, LimitExceeded

A, B, C = "aa" * 32, "bb" * 32, "cc" * 32


def table(root: str, options: str = "") -> str:
    return f"0 1600 verity 1 PARTLABEL=a PARTLABEL=b 4096 4096 200 1 sha256 {root} 00ff{options}"


@pytest.mark.parametrize(
    ("cmdline", "roots"),
    [
        ("", ()),
        ("ro quiet root=/dev/sda1 xroothash=00", ()),
        (f"ro roothash={A} quiet", (A,)),
        (f"roothash={A.upper()}", (A,)),
        (f"roothash={A} usrhash={B} roothash={C}", (A, B, C)),
        (f"rd.roothash={A} -- roothash={B}", (A, B)),
        (f'"roothash={A}" roothash="{B}" root"hash={C}"', (A, B, C)),
        (f'dm-mod.create="vroot,,,ro,{table(A)}"', (A,)),
        (f'dm_mod.create="a,,,ro,{table(A)};b,,4,rw,0 8 linear /dev/sda 0,{table(B)}" roothash={C}', (C, A, B)),
        ('dm-mod.create="a,,,rw,0 8 linear /dev/sda 0"', ()),
    ],
)
def test_every_root_is_found(cmdline, roots):
    assert verity_roots_in(cmdline) == roots


@pytest.mark.parametrize(
    "cmdline",
    [
        "roothash=",
        "roothash",
        "roothash=xyz",
        f"roothash={A}0",
        "roothash=" + "aa" * 65,
        "usrhash=00",
        f"dm-mod.create={table(A)}",
        'dm-mod.create="a,,,ro,0 8 verity 1"',
    ],
)
def test_a_root_that_is_none_is_refused(cmdline):
    if cmdline.startswith("dm-mod.create=0"):  # without quotes it ends at its first blank, and so names no table
        assert verity_roots_in(cmdline) == ()
        return
    with pytest.raises(HostileData) as refused:
        verity_roots_in(cmdline)
    assert refused.value.code == "verity.root"


@pytest.mark.parametrize(
    ("cmdline", "lapses"),
    [
        (f'roothash={A} systemd.verity=1 dm-mod.create="a,,,ro,{table(A, " 1 restart_on_corruption")}"', ()),
        ("systemd.verity=no", ("systemd.verity=no",)),
        ("rd.systemd.verity=0 ro", ("systemd.verity=0",)),
        (
            "systemd.verity_root_options=panic-on-corruption,ignore-corruption",
            ("systemd.verity_root_options=panic-on-corruption,ignore-corruption",),
        ),
        (f'dm-mod.create="a,,,ro,{table(A, " 1 ignore_corruption")}"', ("ignore_corruption",)),
        ('dm-mod.create="a,,,ro,0 8 verity 1"', ()),
    ],
)
def test_what_lets_corruption_pass_is_named(cmdline, lapses):
    assert verity_lapses_in(cmdline) == lapses


def test_a_command_line_has_an_end():
    for read in (verity_roots_in, verity_lapses_in):
        with pytest.raises(LimitExceeded) as refused:
            read("a" * (LARGEST_COMMAND_LINE + 1))
        assert refused.value.code == "verity.cmdline"


PIECES = [
    "roothash=",
    "usrhash=",
    A,
    B,
    " ",
    '"',
    "'",
    ";",
    ",",
    "dm-mod.create=",
    table(A),
    "verity",
    "--",
    "\n",
    "rd.",
]


@given(st.one_of(st.text(max_size=200), st.lists(st.sampled_from(PIECES), max_size=12).map("".join)))
def test_arbitrary_command_lines_are_read_or_refused(cmdline):
    try:
        roots = verity_roots_in(cmdline)
    except HostileData as refused:
        assert_root(refused)
    else:
        assert all(len(root) >= 40 for root in roots)
    verity_lapses_in(cmdline)


def assert_root(refused: HostileData) -> None:
    assert refused.code == "verity.root"
