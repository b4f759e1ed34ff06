"""Who brokers admit, when more than one of them asks at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from builders import data_folder, enrolled, plane_on
from holdfast.bootstrap import Plane
from holdfast.identity.admissions import AdmissionBook
from holdfast_core.identity.issuers import FIRST, IssuerState, Standing

pytestmark = pytest.mark.anyio
NAMES = ["cam-1", "cam-2", "cam-3"]


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Plane]:
    async with plane_on(data_folder(tmp_path / "data")) as plane:
        for name in NAMES:
            await enrolled(plane, name)
        yield plane


def book_of(plane: Plane) -> AdmissionBook:
    return AdmissionBook(plane.store, plane.clock, plane.issuers)


def replaced(plane: Plane) -> IssuerState:
    """A change by which every device is looked at again."""
    return IssuerState(scope=plane.config.scope, id=str(FIRST), standing=Standing.ACTIVE, since=plane.clock.now())


async def admitted(book: AdmissionBook, plane: Plane) -> list[str]:
    return [admission.grants.device for admission in await book.admissions(plane.config.scope)]


async def test_two_brokers_of_one_environment_both_get_the_whole_book(plane: Plane) -> None:
    """A half-made one would have the second broker cut off the rest of the fleet."""
    book = book_of(plane)
    assert await asyncio.gather(admitted(book, plane), admitted(book, plane)) == [NAMES, NAMES]
    assert await admitted(book, plane) == NAMES


async def test_a_book_is_whole_while_it_is_made_anew(plane: Plane) -> None:
    book = book_of(plane)
    assert await admitted(book, plane) == NAMES
    book.take([replaced(plane)])
    making = asyncio.create_task(admitted(book, plane))
    await asyncio.sleep(0)
    assert await admitted(book, plane) == NAMES
    assert await making == NAMES


async def test_a_book_that_a_change_overtook_is_made_once_more(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    book, seen = book_of(plane), []
    look = book._look_at
    monkeypatch.setattr(book, "_look_at", lambda held, key: seen.append(key.device) or look(held, key))
    making = asyncio.create_task(admitted(book, plane))
    await asyncio.sleep(0)
    book.take([replaced(plane)])
    assert await making == NAMES
    assert seen == [*NAMES, *NAMES]
