"""Sending a large file to the control plane: in pieces, going on where an interrupted upload stopped."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.errors import HostileData, WorldError

if TYPE_CHECKING:
    from holdfast.cli.connection import Api

PIECE = 4 * 1024 * 1024
"""Bytes of one piece; the server takes no larger one."""
RETRIES = 8
"""How often somebody else may be at the same upload before it is given up."""
_OFFSET = "artefact.offset"


def upload(api: Api, path: Path) -> Digest:
    """Send a file, as far as it is not there yet; its digest.

    Raises:
        WorldError: ``files.unreadable``, ``artefact.disk_full``, ``server.gone``.
        HostileData: ``artefact.*``; ``artefact.empty`` for a file without a byte.
    """
    from holdfast.cli.files import unreadable  # noqa: PLC0415  (rule 3 of the package)

    try:
        with path.open("rb") as file:
            digest, size = _digest(file, path)
            _send(api, file, digest, size, path)
    except OSError as error:
        raise unreadable(path, error) from error
    return digest


def _digest(file: BinaryIO, path: Path) -> tuple[Digest, int]:
    from holdfast.cli.terminal import progress  # noqa: PLC0415  (rule 3 of the package)

    hashed, done = hashlib.sha256(), 0
    with progress(f"Reading {path.name}", path.stat().st_size) as advance:
        while piece := file.read(PIECE):
            hashed.update(piece)
            done += len(piece)
            advance(done)
    if not done:
        raise HostileData("artefact.empty", f"{path} is empty.", remedy="Name the file that devices are to install.")
    return Digest(f"sha256:{hashed.hexdigest()}"), done


def _send(api: Api, file: BinaryIO, digest: Digest, size: int, path: Path) -> None:
    from holdfast.cli.terminal import progress  # noqa: PLC0415  (rule 3 of the package)

    here, retries = api.get(f"/artefacts/{digest}"), 0
    with progress(f"Sending {path.name}", size) as advance:
        while not here["whole"]:
            start = here["received"]
            advance(start)
            file.seek(start)
            piece = file.read(PIECE)
            if not piece:
                raise WorldError("files.changed", f"{path} became shorter.", remedy="Repeat the command.")
            where = f"bytes {start}-{start + len(piece) - 1}/{size}"
            try:
                here = api.put(f"/artefacts/{digest}", piece, content_range=where)
            except HostileData as error:
                if error.code != _OFFSET or retries == RETRIES:
                    raise
                retries += 1
                here = api.get(f"/artefacts/{digest}")
