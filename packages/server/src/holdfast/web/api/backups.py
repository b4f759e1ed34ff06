"""Backups. The server's own machine makes them (``holdfast backup``); here they are put on record.

1. A backup holds every private key, so none is ever sent over this API.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from holdfast.web.api.callers import Admin, Served
from holdfast.web.api.shapes import Shape
from holdfast_core.kernel.limits import LIMITS

router = APIRouter(prefix="/backups", tags=["backups"])


class BackupMade(Shape):
    """The newest checkpoint of the log that a backup holds."""

    checkpoint: Annotated[str, Field(max_length=LIMITS.note_bytes)]


@router.post("", status_code=204)
async def note_backup(made: BackupMade, caller: Admin, services: Served) -> None:
    """Put on record that a backup was made."""
    await services.record.backup_made(made.checkpoint, scope=caller.scope, actor=caller.actor)
