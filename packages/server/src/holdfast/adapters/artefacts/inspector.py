"""Asking the tool of each kind; which keys they check with is the server's configuration."""

from __future__ import annotations

from pathlib import Path

import msgspec

from holdfast.adapters.artefacts.inspect_mcuboot import inspect_mcuboot
from holdfast.adapters.artefacts.inspect_rauc import inspect_rauc
from holdfast.adapters.artefacts.inspect_swupdate import inspect_swupdate
from holdfast.ports.artefacts import Inspected, empty, too_large
from holdfast_core.kernel.errors import WorldError
from holdfast_core.supply.model import LARGEST_PAYLOAD, PayloadKind


class Keys(msgspec.Struct, frozen=True):
    """Files with which payloads are checked; an empty one checks nothing, and what is inspected says so."""

    rauc: str = ""
    """The keyring: certificates as PEM."""
    swupdate: str = ""
    """A certificate or public key as PEM."""
    mcuboot: str = ""
    """A public key as PEM."""


class ToolInspector:
    """Implements `holdfast.ports.artefacts.Inspector`."""

    def __init__(self, keys: Keys | None = None) -> None:
        self._keys = keys or Keys()

    def inspect(self, path: Path, kind: PayloadKind, *, name: str) -> Inspected:
        """See the port."""
        try:
            return self._inspect(path, kind, name)
        except OSError as error:
            raise WorldError(
                "artefact.store",
                f"{path} could not be read: {error.strerror}.",
                remedy="Check the owner of the data folder, and the disk.",
            ) from error

    def _inspect(self, path: Path, kind: PayloadKind, name: str) -> Inspected:
        size = path.stat().st_size
        if not size:
            raise empty()
        if size > LARGEST_PAYLOAD:
            raise too_large(size)
        if kind is PayloadKind.RAUC:
            return inspect_rauc(path, name=name, keyring=self._keys.rauc)
        if kind is PayloadKind.SWUPDATE:
            return inspect_swupdate(path, name=name, key=self._keys.swupdate)
        if kind is PayloadKind.MCUBOOT:
            return inspect_mcuboot(path, name=name, key=self._keys.mcuboot)
        return Inspected(PayloadKind.FILE, details=(("size", f"{size} bytes"),))
