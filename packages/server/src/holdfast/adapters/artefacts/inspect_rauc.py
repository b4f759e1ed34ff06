"""What a RAUC bundle says of itself, as ``rauc info`` tells it.

1. With a keyring the signature is checked; without one it is not, and the answer says so.
2. Names and numbers in the manifest are the bundle's own words: bounded, and escaped where they are shown.

Source: RAUC 1.8 and later, rauc(1), ``info --output-format=json``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from holdfast.adapters.artefacts.tool import Bounds, ask, last_words, malformed, seconds_for, wrong_signature
from holdfast.ports.artefacts import Inspected
from holdfast_core.kernel.printable import printable
from holdfast_core.supply.model import PayloadKind

LONGEST_WORD = 127
MOST_IMAGES = 32
_SIGNATURE = ("signature", "certificate", "CMS")


class _Image(msgspec.Struct):
    filename: str
    checksum: str
    size: int


class _Info(msgspec.Struct):
    compatible: str
    version: str | None = None
    description: str | None = None
    build: str | None = None
    images: list[dict[str, _Image]] = []


def inspect_rauc(path: Path, *, name: str, keyring: str = "", program: str = "rauc") -> Inspected:
    """See `holdfast.ports.artefacts.Inspector`.

    Raises:
        HostileData: ``artefact.malformed``, ``artefact.signature``.
        WorldError: ``artefact.no_tool``, ``artefact.tool``.
    """
    how = f"--keyring={keyring}" if keyring else "--no-verify"
    bounds = Bounds(seconds_for(path.stat().st_size))
    said = ask((program, "info", how, "--output-format=json", str(path.resolve())), bounds)
    if said.code:
        why = last_words(said)
        raise (wrong_signature if any(word in why for word in _SIGNATURE) else malformed)(name, why)
    try:
        info = msgspec.json.decode(said.out, type=_Info)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
        raise malformed(name, "what rauc says of it is not what it should say") from error
    images = [(each, image) for entry in info.images for each, image in entry.items()]
    words: list[Any] = [info.compatible, info.version or "", *(slot for slot, _ in images)]
    if len(images) > MOST_IMAGES or any(len(word) > LONGEST_WORD for word in words):
        raise malformed(name, "its manifest has more images, or longer names, than fit")
    return Inspected(
        PayloadKind.RAUC,
        info.version or "",
        (info.compatible,),
        verified=bool(keyring),
        details=(
            ("signature", "checked with the configured keyring" if keyring else "not checked: no keyring configured"),
            *(
                (f"image {printable(slot)}", f"{image.size} bytes, sha256:{image.checksum[:64]}")
                for slot, image in images
            ),
        ),
    )
