"""The attestation key of a chip that had no room for it: loaded once, quoting through the tools.

1. What the tools keep of a loaded key is the chip's own encrypted context, in a private folder that ends with us.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterable
from pathlib import Path

from holdfast_agent.state import QuotingKey
from holdfast_agent.tpm import Chip, KeyFiles
from holdfast_agent.tpm_commands import Quote


class LoadedKey:
    """The key, loaded at its first use.

    Args:
        key: its public area and the chip's encrypted blob.
        tcti: how the chip is reached.
    """

    def __init__(self, key: QuotingKey, tcti: str) -> None:
        folder = tempfile.mkdtemp(prefix="holdfast-tpm-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)  # with us, or with the process
        self._chip = Chip(tcti, Path(folder))
        self._files = KeyFiles(key.public, key.private)
        self._ready = False

    def quote(self, qualifying: bytes, bank: str, registers: Iterable[int]) -> Quote:
        """A quote over `registers` of `bank`. Raises WorldError ``agent.tpm``, ``agent.tpm_tools``."""
        if not self._ready:
            self._chip.load_attestation(self._files)
            self._ready = True
        return self._chip.quote(qualifying, bank, registers)
