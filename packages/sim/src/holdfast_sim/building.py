"""What ``holdfast reference build`` is told of a release of a simulated board.

1. What a boot measures as a file is named as that file. What it measures of a setting, a key or the list of parts is
   written into a file of its own first, byte for byte: a builder of real boards does the same.
2. `holdfast_sim.reference` says the same in process; a test holds the two against each other.

Source: `holdfast_sim.boot.measurements`, whose table says what is measured where.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from holdfast_sim.boot.artefacts import CONFIGURATION, FIT, KEYS, ROOT_TREE, SPL, UBOOT, BootRelease
from holdfast_sim.boot.events import authority, secure_boot_variables, version_text
from holdfast_sim.boot.hardware import table
from holdfast_sim.boot.keys import open_table

_VARIABLES = ("SecureBoot", "PK", "KEK", "db", "dbx")
_SIGNERS = ("root", "stage", "fit")
"""Whose keys a boot of the Linux chain relies on, in the order of the key table."""


def build_words(release: BootRelease, folder: Path, *, model: str, key: Path, out: Path) -> list[str]:
    """The arguments of ``holdfast`` that build the reference values of a release of the Linux chain.

    Args:
        release: the release.
        folder: where its files are; what is no file is written beside them.
        model: the name of the device model.
        key: the builder's private key (PEM).
        out: where the signed statement goes.

    Raises:
        HostileData: ``boot.keys``.
    """
    files = [f"{name}=file:{folder / name}@0" for name in (SPL, UBOOT)]
    files += [f"image=file:{folder / FIT}@4", f"image=fit:{folder / FIT}", f"rootfs=verity:{folder / ROOT_TREE}@9"]
    for name, register, data in _told(release):
        path = folder / f"measured-{name}"
        path.write_bytes(data)
        files.append(f"{name}=file:{path}@{register}")
    words = ["reference", "build", "--model", model, "--version", release.version, "--svn", str(release.svn)]
    words += ["--key", str(key), "--out", str(out)]
    return words + [word for each in files for word in ("--artefact", each)]


def _told(release: BootRelease) -> Iterator[tuple[str, int, bytes]]:
    """What a boot measures that is no file: its name, register and bytes."""
    keys = open_table(release.artefacts[KEYS], release.rom.root)
    yield "rom-version", 0, version_text(release.rom.version)
    yield "hardware", 1, table(release.rom.hardware)
    yield "configuration", 1, f"configuration={CONFIGURATION}".encode()
    for name, data in zip(_VARIABLES, secure_boot_variables(keys.certificates, keys.revoked), strict=True):
        yield f"variable-{name}", 7, data
    for name, certificate in zip(_SIGNERS, keys.certificates, strict=False):
        yield f"key-{name}", 7, authority(certificate)
