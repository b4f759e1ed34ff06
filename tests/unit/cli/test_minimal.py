"""The model that stands for a bare class."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, get_args

import msgspec
import pytest

from holdfast.cli.minimal import compares
from holdfast_core.baseline.probes import Simple

LIST = re.compile(r"the plan's `\w+`")
SETTLED = re.compile(r"none declared: not applicable", re.IGNORECASE)


def comparing() -> Iterator[tuple[type[msgspec.Struct], StrEnum | None]]:
    """Every probe, or one check of it, whose words say that it holds a device against a list that may be empty."""
    for kind in get_args(Simple):
        told = inspect.getdoc(kind) or ""
        if LIST.search(told) and not SETTLED.search(told):
            yield kind, None
        for field in msgspec.structs.fields(kind):
            if isinstance(field.type, type) and issubclass(field.type, StrEnum):
                source = inspect.getsource(field.type)
                for member in field.type:
                    words = source.partition(f"    {member.name} = ")[2].partition('"""\n')[0]
                    if LIST.search(words):
                        yield kind, member


def made(kind: type[msgspec.Struct], check: StrEnum | None) -> Any:
    return kind(check) if check is not None else kind()


FOUND = list(comparing())


@pytest.mark.parametrize(("kind", "check"), FOUND, ids=[f"{kind.__name__}-{check}" for kind, check in FOUND])
def test_a_probe_that_compares_with_a_list_is_known_to(kind: type[msgspec.Struct], check: StrEnum | None) -> None:
    assert compares(made(kind, check))


def test_there_are_such_probes_and_others() -> None:
    assert len(FOUND) >= 8
    known = {kind for kind, _ in FOUND}
    others = [kind for kind in get_args(Simple) if kind not in known and not msgspec.structs.fields(kind)]
    assert others
    assert not any(compares(kind()) for kind in others)
