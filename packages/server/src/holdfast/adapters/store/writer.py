"""Groups of changes, each group one transaction; and the reads that go to disk.

1. Called from one thread at a time (the store's writer thread); holds the log's frontier between groups.
2. The leaves of a group, the frontier and a checkpoint over them are in the group's own transaction.
3. A device keeps its newest `BODIES_KEPT` bodies of a section; a delivery that is done is removed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import Engine, bindparam, delete, select
from sqlalchemy.dialects.sqlite import insert

from holdfast.adapters.store import tables
from holdfast.adapters.store.failures import translated
from holdfast.ports.signer import LogSigner
from holdfast.ports.store import Blob, Body, Change, Delivery, Leaf, Removed, StoredLeaf
from holdfast_core.kernel.kept import Kept
from holdfast_core.record.checkpoint import issue
from holdfast_core.record.merkle import Frontier, leaf_hash

BODIES_KEPT = 8
LEAF_PAGE = 1_000

_encode = msgspec.msgpack.Encoder().encode


Prepared = tuple[Change, bytes]
"""A change, and the bytes that it is stored as."""


def prepared(changes: Sequence[Change]) -> list[Prepared]:
    """Encode changes, before they join a group: what cannot be encoded must fail for whoever made it, alone."""
    return [(change, _body(change)) for change in changes]


def _body(change: Change) -> bytes:
    if isinstance(change, Leaf):
        return change.data
    if isinstance(change, Removed):
        return b""
    return change.body if isinstance(change, Body | Blob) else _encode(change)


class Writer:
    """The SQL side of the store."""

    def __init__(self, engine: Engine, signer: LogSigner) -> None:
        self._engine = engine
        self._signer = signer
        self._puts = {kind: _upsert(mapping.table) for kind, mapping in tables.MAPPINGS.items()}
        self.frontier, self.checkpoint = self._read_log_state()

    def _read_log_state(self) -> tuple[Frontier, str]:
        with translated(), self._engine.connect() as connection:
            row = connection.execute(select(tables.log_state)).one_or_none()
        if row is None:
            empty = Frontier()
            return empty, self._sign(empty)
        return msgspec.msgpack.decode(row.frontier, type=Frontier), row.checkpoint

    def _sign(self, frontier: Frontier) -> str:
        return issue(self._signer.origin, frontier, self._signer.key, self._signer.sign)

    def write(self, group: Sequence[Prepared]) -> None:
        """Make a group durable, or raise `WorldError` and keep nothing of it."""
        rows, gone, leaves = _sorted_out(group)
        frontier, checkpoint = self.frontier, self.checkpoint
        if leaves:
            frontier = frontier.append(map(leaf_hash, leaves))
            checkpoint = self._sign(frontier)
        with translated(), self._engine.begin() as connection:
            for kind, values in rows.items():
                connection.execute(self._puts[kind], values)
            if gone:
                connection.execute(_REMOVE, gone)
            if Body in rows:
                connection.execute(_PRUNE_BODIES, [_bound(row) for row in rows[Body]])
            if Delivery in rows:
                connection.execute(delete(tables.delivery).where(tables.delivery.c.done == 1))
            if leaves:
                entries = [change.entry for change, _ in group if isinstance(change, Leaf)]
                connection.execute(tables.leaf.insert(), list(_leaf_rows(self.frontier.size, entries, leaves)))
                state = {"id": 1, "frontier": _encode(frontier), "checkpoint": checkpoint}
                connection.execute(_upsert(tables.log_state), [state])
        self.frontier, self.checkpoint = frontier, checkpoint

    def read(self, statement: Any) -> list[Any]:
        """The rows of a select."""
        with translated(), self._engine.connect() as connection:
            return list(connection.execute(statement))

    def every(self, kind: type[Any]) -> Iterator[Prepared]:
        """Every record of one type, decoded and as stored, streamed from disk."""
        decoder = msgspec.msgpack.Decoder(kind)
        table = tables.MAPPINGS[tables.mapping_of(kind)].table
        statement = select(table.c.body)
        if issubclass(kind, Kept):
            statement = statement.where(table.c.kind == tables.KEPT_NAMES[kind])
        with translated(), self._engine.connect() as connection:
            for row in connection.execution_options(yield_per=LEAF_PAGE).execute(statement):
                yield decoder.decode(row.body), row.body

    def every_leaf(self) -> Iterator[StoredLeaf]:
        """The log in order, from one snapshot."""
        with translated(), self._engine.connect() as connection:
            statement = select(tables.leaf.c.index, tables.leaf.c.body).order_by(tables.leaf.c.index)
            for row in connection.execution_options(yield_per=LEAF_PAGE).execute(statement):
                yield StoredLeaf(row[0], row[1])


_Row = dict[str, Any]


def _sorted_out(group: Sequence[Prepared]) -> tuple[dict[type[Any], list[_Row]], list[_Row], list[bytes]]:
    """A group as rows to put by type, keys of small records to remove, and leaves to append.

    A small record may come and go in one group: only its last state is written.
    """
    rows: defaultdict[type[Any], list[dict[str, Any]]] = defaultdict(list)
    small: dict[tuple[Any, ...], dict[str, Any]] = {}
    gone: dict[tuple[Any, ...], dict[str, Any]] = {}
    leaves: list[bytes] = []
    for change, body in group:
        if isinstance(change, Leaf):
            leaves.append(body)
        elif isinstance(change, Kept):
            row = tables.MAPPINGS[Kept].columns(change)
            key = tuple(row.values())
            small[key] = {**row, "body": body}
            gone.pop(key, None)
        elif isinstance(change, Removed):
            row = tables.row_of_kept(change.kind, change.scope, change.id)
            key = tuple(row.values())
            small.pop(key, None)
            gone[key] = {f"of_{name}": value for name, value in row.items()}
        else:
            rows[type(change)].append({**tables.MAPPINGS[type(change)].columns(change), "body": body})
    if small:
        rows[Kept] = list(small.values())
    return rows, list(gone.values()), leaves


def _upsert(table: Any) -> Any:
    statement = insert(table)
    keys = [column.name for column in table.primary_key]
    others = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=others)


def _leaf_rows(start: int, entries: Sequence[Any], leaves: Sequence[bytes]) -> Iterator[dict[str, Any]]:
    for offset, (entry, body) in enumerate(zip(entries, leaves, strict=True)):
        yield {
            "index": start + offset,
            "tenant": entry.scope.tenant,
            "environment": entry.scope.environment,
            "kind": entry.kind.value,
            "device": entry.device,
            "body": body,
        }


def _same_section(table: Any) -> list[Any]:
    return [table.c[name] == bindparam(f"of_{name}") for name in ("tenant", "environment", "device", "section")]


def _bound(row: dict[str, Any]) -> dict[str, Any]:
    return {f"of_{name}": row[name] for name in ("tenant", "environment", "device", "section")}


_REMOVE = delete(tables.kept).where(
    *(tables.kept.c[name] == bindparam(f"of_{name}") for name in ("tenant", "environment", "kind", "id"))
)
_newest = tables.evidence.alias()
_PRUNE_BODIES = delete(tables.evidence).where(
    *_same_section(tables.evidence),
    tables.evidence.c.digest.not_in(
        select(_newest.c.digest).where(*_same_section(_newest)).order_by(_newest.c.kept_at.desc()).limit(BODIES_KEPT)
    ),
)
