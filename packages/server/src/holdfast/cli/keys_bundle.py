"""``holdfast keys bundle``: a file for a USB stick, for a site without a network."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from holdfast.cli.session import Session, command

SiteArgument = Annotated[str, typer.Argument(metavar="SITE", help="Whose devices it is for.")]
OutputOption = Annotated[Path, typer.Option("-o", "--output", metavar="FILE.zip", help="Where to write.")]
ReleaseOption = Annotated[
    str,
    typer.Option("--release", metavar="NAME", help="What all its devices of that model take; default: as directed."),
]
PayloadOption = Annotated[
    list[Path], typer.Option("--payload", metavar="FILE", help="The releases' payloads; found by their digests.")
]
DaysOption = Annotated[int, typer.Option("--days", min=1, max=180, help="How long it counts.")]
CHUNK = 1024 * 1024
EARLIEST = (1980, 1, 1, 0, 0, 0)
"""What zip files call the beginning; the same bundle is the same file."""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    command(app, "bundle")(bundle)


def bundle(
    session: Session,
    *,
    site: SiteArgument,
    output: OutputOption,
    payload: PayloadOption,
    release: ReleaseOption = "",
    days: DaysOption = 180,
) -> None:
    """Write a bundle: metadata that people signed, the director's word for the site's devices, and the payloads.

    Devices take from it what they would take online, until it expires. Carry it within that time.
    """
    import base64  # noqa: PLC0415  (rule 3 of the package)

    from holdfast.cli.connection import connected  # noqa: PLC0415
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.post("/update/bundles", {"site": site, "release": release, "days": days})
    files = {name: base64.b64decode(data) for name, data in told["files"].items()}
    write_bundle(output, files, _matched(told["artefacts"], payload))
    if session.json:
        emit({"file": str(output), "site": site, "expires": told["expires"], "artefacts": told["artefacts"]})
        return
    words(("✓ ", "green"), f"{output} is for {site}, until {told['expires'][:10]}.")
    words("Whoever carries it need not be trusted; the devices check all of it.")


def _matched(artefacts: Sequence[dict[str, Any]], payloads: Sequence[Path]) -> dict[str, Path]:
    """The file of every payload, by its place in the bundle.

    Raises:
        HostileData: ``bundle.payload``; WorldError: ``files.unreadable``.
    """
    from holdfast_core.kernel.errors import HostileData  # noqa: PLC0415  (rule 3 of the package)

    known = {f"sha256:{_sha256(path)}": path for path in payloads}
    missing = [each["name"] for each in artefacts if each["digest"] not in known]
    if missing:
        raise HostileData(
            "bundle.payload",
            f"The payload {missing[0]} is none of the files that were given.",
            remedy="Give the very file that was released: --payload FILE, as often as there are releases.",
        )
    return {each["name"]: known[each["digest"]] for each in artefacts}


def write_bundle(output: Path, files: dict[str, bytes], payloads: dict[str, Path]) -> None:
    """Write the zip file, whole or not at all; stored, never compressed, for a device reads it with little memory.

    Raises:
        WorldError: ``files.unwritable``, ``files.unreadable``.
    """
    from holdfast.cli.files import whole_file  # noqa: PLC0415  (rule 3 of the package)

    with whole_file(output) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, data in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, EARLIEST), data)
        for name, path in sorted(payloads.items()):
            with archive.open(zipfile.ZipInfo(name, EARLIEST), "w", force_zip64=True) as into:
                for chunk in _chunks(path):
                    into.write(chunk)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    for chunk in _chunks(path):
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(path: Path) -> Iterator[bytes]:
    from holdfast.cli.files import unreadable  # noqa: PLC0415  (rule 3 of the package)

    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except OSError as error:
        raise unreadable(path, error) from error
