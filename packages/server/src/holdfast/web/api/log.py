"""The record: its checkpoint, its entries, and the export that anybody can verify offline.

1. Entries of another scope are not shown. The export holds the whole log, since a part of it could not be verified:
   it is for whoever runs the server, that is an admin of the server's own scope.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from holdfast.web.api.callers import Admin, Reader, Served
from holdfast.web.api.entries import EntryList, scope_of, shown
from holdfast.web.api.shapes import PAGE, Limit, Shape
from holdfast_core.identity.rules import IdentityRefused

router = APIRouter(prefix="/log", tags=["log"])

EXPORT_TYPE = "application/x-ndjson"
CHUNK_BYTES = 64 * 1024
LARGEST_INDEX = 2**53 - 1


class CheckpointPage(Shape):
    """The newest signed checkpoint, the key that verifies it, and how many leaves it covers."""

    checkpoint: str
    verifier_key: str
    size: int


@router.get("/checkpoint")
async def show_checkpoint(_caller: Reader, services: Served) -> CheckpointPage:
    """Show the newest checkpoint."""
    return CheckpointPage(
        checkpoint=services.record.checkpoint(),
        verifier_key=services.record.verifier_key(),
        size=services.store.log_size(),
    )


@router.get("/leaves")
async def list_leaves(
    caller: Reader,
    services: Served,
    start: Annotated[int, Query(ge=0, le=LARGEST_INDEX, description="The index to start at.")] = 0,
    limit: Limit = PAGE,
) -> EntryList:
    """List entries of the caller's scope in the order of the log; a page may hold fewer than `limit`."""
    leaves = await services.record.leaves(start, limit)
    after = leaves[-1].index + 1 if leaves else start
    return EntryList(
        items=[shown(leaf) for leaf in leaves if scope_of(leaf) == caller.scope],
        next=after if leaves and after < services.store.log_size() else None,
    )


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={200: {"content": {EXPORT_TYPE: {"schema": {"type": "string"}}}, "description": "The whole log."}},
)
async def export_log(caller: Admin, services: Served) -> StreamingResponse:
    """Export the whole log as JSON Lines; holdfast log verify checks it, offline."""
    if caller.scope != services.scope:
        raise IdentityRefused(
            "log.whole",
            "The export holds the entries of every scope of this server.",
            remedy="Export with a token of the server's own scope, or on the server: holdfast log export.",
        )
    lines = services.record.export(caller.scope)
    # The first part is read before the answer starts, so that a store that cannot be read is told as a problem.
    first = await run_in_threadpool(_chunk, lines)
    return StreamingResponse(_rest(first, lines), media_type=EXPORT_TYPE)


def _chunk(lines: Iterator[bytes]) -> bytes:
    """The next lines, some 64 KiB of them; empty at the end."""
    parts: list[bytes] = []
    size = 0
    for line in lines:
        parts.append(line)
        size += len(line)
        if size >= CHUNK_BYTES:
            break
    return b"".join(parts)


async def _rest(first: bytes, lines: Iterator[bytes]) -> AsyncIterator[bytes]:
    chunk = first
    while chunk:
        yield chunk
        chunk = await run_in_threadpool(_chunk, lines)
