"""What the inventory tests share: an example model with a few places of its document changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest

from holdfast.inventory.model_file import EXAMPLES, example_bytes, load
from holdfast_core.inventory.model import DeviceModel

Edited = Callable[..., DeviceModel]


@pytest.fixture(scope="session")
def edited() -> Edited:
    """`edited(example, {"flows.0.port": 0})`: typed, but neither validated nor free of contradictions."""

    documents = {name: msgspec.json.encode(load(example_bytes(name))) for name in EXAMPLES}

    def build(example: str, edits: Mapping[str, Any]) -> DeviceModel:
        document = msgspec.json.decode(documents[example])
        for path, value in edits.items():
            *steps, last = path.split(".")
            place: Any = document
            for step in steps:
                place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
            if isinstance(place, list):
                place[int(last)] = value
            else:
                place[last] = value
        return msgspec.convert(document, DeviceModel)

    return build
