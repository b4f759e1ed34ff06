"""Which installer a device has, from a file that its owner wrote: one of RAUC, SWUpdate and MCUboot.

1. The file is JSON, at most `LARGEST` bytes; ``kind`` says which one, and every other member must be known.
2. It names programs that run with the agent's rights: it must belong to root or to the agent's user, and nobody else
   may write it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from holdfast_agent.update.installers import Installer
from holdfast_agent.update.installers.mcuboot import McubootInstaller
from holdfast_agent.update.installers.mcuboot_flash import Layout
from holdfast_agent.update.installers.memory import Memory
from holdfast_agent.update.installers.rauc import LONGEST_S, RaucInstaller
from holdfast_agent.update.installers.rauc_bus import Bus
from holdfast_agent.update.installers.swupdate import SwConfig, SwupdateInstaller
from holdfast_core.formats.mcuboot_verify import PublicKey
from holdfast_core.kernel.errors import WorldError

LARGEST = 16 * 1024
MEMORY = "slots.json"


class RaucSetup(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="rauc"):
    """RAUC: the address of its bus (empty: the system bus), its ``mountprefix``, seconds of one installation."""

    bus: str = ""
    mount: str = "/mnt/rauc"
    longest_s: float = LONGEST_S


class SwupdateSetup(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="swupdate"):
    """SWUpdate: see `SwConfig`."""

    swupdate: SwConfig


class McubootSetup(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="mcuboot"):
    """MCUboot: the flash, files of the product's public keys (PEM), the names of the microcontroller's board."""

    flash: Layout
    keys: tuple[str, ...]
    hardware: tuple[str, ...]


Setup = RaucSetup | SwupdateSetup | McubootSetup


def chosen(path: Path, folder: Path) -> Installer:
    """The installer that the file at `path` describes.

    Args:
        path: the file.
        folder: where the installer may remember its slots: the agent's folder for updates.

    Raises:
        WorldError: ``installer.setup``, ``installer.layout``.
    """
    setup = _read(path)
    memory = Memory(folder / MEMORY)
    if isinstance(setup, RaucSetup):
        return RaucInstaller(Bus(setup.bus), memory, mount=Path(setup.mount), longest=setup.longest_s)
    if isinstance(setup, SwupdateSetup):
        return SwupdateInstaller(setup.swupdate, memory)
    return McubootInstaller(setup.flash, [_key(path, Path(each)) for each in setup.keys], setup.hardware, memory)


def _read(path: Path) -> Setup:
    try:
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise _wrong(path, f"it could not be read: {error.strerror}") from error
    if facts.st_uid not in (0, os.geteuid()) or facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _wrong(path, "somebody else than root and the agent's user may write it")
    if len(data) > LARGEST:
        raise _wrong(path, f"it has more than {LARGEST} bytes")
    try:
        setup: Setup = msgspec.json.decode(data, type=Setup)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
        raise _wrong(path, str(error)) from error
    return setup


def _key(path: Path, key: Path) -> PublicKey:
    try:
        found = load_pem_public_key(key.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise _wrong(path, f"{key} is no public key ({type(error).__name__})") from error
    if not isinstance(found, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey)):
        raise _wrong(path, f"{key} is a key that MCUboot does not know")
    return found


def _wrong(path: Path, why: str) -> WorldError:
    return WorldError(
        "installer.setup",
        f"{path} does not describe an installer: {why.rstrip('.')}.",
        remedy="Write it as the page on updating devices shows, owned by root, mode 0644.",
    )
