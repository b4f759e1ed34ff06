"""Sizes, allowances and the status."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_gateway.allowance import Allowance
from holdfast_gateway.meters import Fetching, Meters, Status, in_text, read_status, write_status
from holdfast_gateway.sizes import in_units, parse_size


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("500", 500), ("5kB", 5000), ("2GiB", 2**31), (" 1TB ", 10**12), ("3KiB", 3072)]
)
def test_a_size_is_read_as_it_is_written(text, size):
    assert parse_size(text) == size


@given(st.text(max_size=20))
def test_any_text_is_a_size_or_refused(text):
    with suppress(HostileData):
        assert parse_size(text) >= 0


@pytest.mark.parametrize("text", ["", "-1", "1.5GiB", "2 GiB", "2gib", "1e9", "\u0663", "1" * 16])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(HostileData):
        parse_size(text)


def test_sizes_are_told_in_their_units():
    assert [in_units(size) for size in (0, 1023, 1024, 2**31, 5 * 2**40)] == [
        "0 B", "1023 B", "1.0 KiB", "2.0 GiB", "5.0 TiB",
    ]  # fmt: skip


def test_an_allowance_is_used_up_and_comes_back():
    now = [0.0]
    allowance = Allowance(10, 2, clock=lambda: now[0])
    allowance.charge(11)
    assert allowance.spent
    now[0] = 0.5
    assert allowance.spent
    now[0] = 1.1
    assert not allowance.spent
    now[0] = 1000.0
    allowance.charge(9)
    assert not allowance.spent
    allowance.charge(1)
    assert allowance.spent


def _status(**words):
    numbers = (
        "up_s size files bytes parts part_bytes hits fetches fetched_bytes served_bytes refused turned_away wrong "
        "evicted"
    )
    return Status(**dict.fromkeys(numbers.split(), 7), **words)


def test_the_status_is_written_and_read(tmp_path):
    assert read_status(tmp_path) is None
    meters = Meters()
    for number in range(40):
        meters.trouble("/p", WorldError(f"gateway.t{number}", "It broke.", remedy="Mend it."))
    status = _status(fetching=(Fetching("/q", 1024, 2048),), troubles=meters.troubles())
    write_status(tmp_path, status)
    assert read_status(tmp_path) == status
    assert len(status.troubles) == 16
    text = in_text(status)
    assert "not running" in text
    assert "/q: 1.0 KiB of 2.0 KiB" in text
    assert "It broke. [gateway.t39] /p" in text


@given(st.binary(max_size=200))
def test_a_status_that_cannot_be_read_is_none(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("status")
    (folder / "status.json").write_bytes(data)
    assert read_status(folder) is None
