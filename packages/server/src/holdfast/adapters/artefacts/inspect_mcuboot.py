"""What an MCUboot image says of itself; its signature is checked by ``imgtool verify``.

1. Version, security counter and flags are read by our own parser, which reads nothing that MCUboot would refuse.
2. With a key configured imgtool checks hash and signature; without one neither is, and the answer says so.
3. An image says nothing of the board that it runs on.

Source: MCUboot 2.x, docs/imgtool.md.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from holdfast.adapters.artefacts.tool import Bounds, ask, last_words, malformed, wrong_signature
from holdfast.ports.artefacts import Inspected, too_large
from holdfast_core.formats.mcuboot import LARGEST, McubootImage, parse_mcuboot
from holdfast_core.kernel.errors import HostileData
from holdfast_core.supply.model import PayloadKind


def inspect_mcuboot(path: Path, *, name: str, key: str = "", program: str = "") -> Inspected:
    """See `holdfast.ports.artefacts.Inspector`.

    Raises:
        HostileData: ``artefact.malformed``, ``artefact.signature``.
        LimitExceeded: ``artefact.too_large``.
        WorldError: ``artefact.no_tool``, ``artefact.tool``.
    """
    if (size := path.stat().st_size) > LARGEST:
        raise too_large(size, LARGEST)
    image = _parsed(path, name)
    if key:
        # imgtool wants its name to say what it is: the store's names have no ending, and count as plain images.
        said = ask((program or _imgtool(), "verify", "-k", key, str(path.resolve())), Bounds())
        if said.code:
            raise wrong_signature(name, last_words(said))
    how = "checked with the configured key" if key else "not checked: no key configured"
    return Inspected(
        PayloadKind.MCUBOOT,
        str(image.version),
        svn=image.security_counter,
        verified=bool(key),
        details=(
            ("signature", how),
            ("security counter", "none" if image.security_counter is None else str(image.security_counter)),
            ("load address", f"{image.load_address:#x}"),
            ("image", f"{image.size} of {size} bytes"),
        ),
    )


def _parsed(path: Path, name: str) -> McubootImage:
    try:
        return parse_mcuboot(path.read_bytes())
    except HostileData as error:
        raise malformed(name, error.sentence) from error


def _imgtool() -> str:
    """The tool of this very environment, else the one on the path."""
    return shutil.which("imgtool", path=str(Path(sys.executable).parent)) or "imgtool"
