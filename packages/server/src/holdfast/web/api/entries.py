"""Entries of the record as the operator API shows them."""

from __future__ import annotations

from typing import Any

import msgspec

from holdfast.ports.store import StoredLeaf
from holdfast.web.api.shapes import Json, Shape, Time
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import Instant, rfc3339


class ScopeShape(Shape):
    """Tenant and environment."""

    tenant: str
    environment: str


class EntryShape(Shape):
    """One thing that happened. `data` is as it was recorded, its times in milliseconds since 1970."""

    at: Time
    scope: ScopeShape
    kind: str
    actor: str
    device: str
    data: Json


class IndexedEntry(Shape):
    """An entry in its place in the log."""

    index: int
    entry: EntryShape


class EntryList(Shape):
    """Entries; `next` is what to send as `start` for more, null where there are none."""

    items: list[IndexedEntry]
    next: int | None


class _Leaf(msgspec.Struct, frozen=True):
    """A leaf, read leniently: a kind that a newer server recorded is shown too."""

    at: Instant
    scope: Scope
    kind: str
    actor: str
    device: str = ""
    data: dict[str, Any] = {}


_decode = msgspec.json.Decoder(_Leaf).decode


def scope_of(leaf: StoredLeaf) -> Scope:
    """Whose the leaf is."""
    return _decode(leaf.data).scope


def shown(leaf: StoredLeaf) -> IndexedEntry:
    """The leaf as it is sent."""
    value = _decode(leaf.data)
    return IndexedEntry(
        index=leaf.index,
        entry=EntryShape(
            at=rfc3339(value.at),
            scope=ScopeShape(tenant=value.scope.tenant, environment=value.scope.environment),
            kind=value.kind,
            actor=value.actor,
            device=value.device,
            data=value.data,
        ),
    )
