"""Files that releases are made of, sent in pieces: payloads, bills of materials.

1. A file is known by its digest from its first piece on. A piece says where it belongs (``Content-Range``, RFC 9110,
   section 14.4), and is taken only where the one before it ended.
2. Whoever was interrupted asks how much is here and goes on from there.
3. A file alone does nothing: devices get what a release names, and its signers vouch for.
"""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Header, Path, Request

from holdfast.web.api.callers import Operator, Principal, Served
from holdfast.web.api.services import Services
from holdfast.web.api.update_shapes import ArtefactPage
from holdfast_core.kernel.errors import HostileData

router = APIRouter(prefix="/artefacts", tags=["releases"])

DigestName = Annotated[str, Path(description="The file's digest: sha256: and 64 hexadecimal digits.")]
Range = Annotated[str, Header(description="bytes FIRST-LAST/TOTAL", max_length=100)]
_RANGE = re.compile(r"bytes ([0-9]{1,16})-([0-9]{1,16})/([0-9]{1,16})", re.ASCII)
_PIECE = {
    "requestBody": {
        "required": True,
        "description": "At most 4 MiB of the file.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.get("/{digest}")
async def show_artefact(digest: DigestName, caller: Operator, services: Served) -> ArtefactPage:
    """Show how much of a file is here."""
    return await _page(digest, caller, services)


@router.put("/{digest}", openapi_extra=_PIECE)
async def upload_piece(
    request: Request, digest: DigestName, content_range: Range, caller: Operator, services: Served
) -> ArtefactPage:
    """Take one piece of a file; the last one makes it whole, if its digest is the one that it was announced by."""
    piece = await request.body()
    start, total = _range(content_range, len(piece))
    await services.uploads.take(caller.scope, digest, piece, start=start, total=total)
    return await _page(digest, caller, services)


async def _page(digest: str, caller: Principal, services: Services) -> ArtefactPage:
    received, size, whole = await services.uploads.received(caller.scope, digest)
    return ArtefactPage(digest=digest, received=received, size=size, whole=whole)


def _range(text: str, length: int) -> tuple[int, int]:
    """Where a piece begins, and how long the whole is.

    Raises:
        HostileData: ``artefact.range``.
    """
    found = _RANGE.fullmatch(text)
    if found is not None:
        first, last, total = map(int, found.groups())
        if last + 1 - first == length:
            return first, total
    raise HostileData(
        "artefact.range",
        f"{text[:60]!r} does not say where these {length} bytes belong.",
        remedy="Send 'Content-Range: bytes FIRST-LAST/TOTAL' with exactly these bytes.",
    )
