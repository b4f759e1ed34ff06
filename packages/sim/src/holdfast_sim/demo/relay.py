"""Somebody who has the gateway's disk, and another board of the same kind with a clean chip of its own.

1. What the chip holds is not on the disk: a copy of all files speaks for nobody.
2. On the gateway itself, a program in front of the real one hands what is to be quoted to the twin's chip. Only the key
   tells the two apart, and the server knows whose is whose.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import msgspec

from holdfast_agent.state import Folder
from holdfast_agent.tpm import opened
from holdfast_core.kernel.errors import WorldError
from holdfast_sim.board import Board, program_path
from holdfast_sim.boot.artefacts import BootRelease
from holdfast_sim.boot.swtpm import Swtpm
from holdfast_sim.demo.bench import TOOL_SECONDS
from holdfast_sim.demo.plane import program
from holdfast_sim.demo.processes import Processes
from holdfast_sim.demo.watching import NotObserved

_CONFIG = "config.json"


class Relay:
    """The twin, which booted `release` and has an attestation key like the gateway's.

    Args:
        folder: what the intruder keeps; new.
        release: a clean one.
        processes: ends the twin's chip.

    Raises:
        WorldError: ``boot.*``, ``agent.tpm``.
    """

    def __init__(self, folder: Path, release: BootRelease, processes: Processes) -> None:
        folder.mkdir(mode=0o700)
        self._folder = folder
        self._tpm = Swtpm()
        processes.hold("twin-chip", self._tpm)
        Board(folder / "sys", release, self._tpm).boot()
        with opened(self._tpm.tcti) as chip:
            chip.make_keys()
            self._handle, _ = chip.keep_attestation()

    def try_the_disk(self, state: Path) -> str:
        """Start the agent on a copy of the gateway's state, with the twin's chip; what it says.

        Raises:
            NotObserved: ``demo.not_observed``: it could call.
        """
        copy = self._folder / "disk"
        shutil.copytree(state, copy)
        config = msgspec.structs.replace(Folder(copy).config(), tcti=self._tpm.tcti)
        (copy / _CONFIG).write_bytes(msgspec.json.encode(config))
        words = [program("holdfast-agent"), "check-in", "--state", str(copy)]
        done = subprocess.run(  # noqa: S603  (our own program and words)
            words, check=False, capture_output=True, timeout=TOOL_SECONDS, stdin=subprocess.DEVNULL
        )
        said = done.stderr.decode(errors="replace").strip().splitlines()
        if done.returncode == 0 or not said:
            raise NotObserved("the copied disk to be of no use", "it checked in", str(copy), 0)
        return said[0]

    def environment(self, state: Path) -> dict[str, str]:
        """What makes the gateway's agent ask the twin's chip for quotes. Raises WorldError ``demo.relay``."""
        key = Folder(state).quoting()
        if key is None or key.handle != self._handle:
            raise WorldError("demo.relay", "The twin's key is not where the gateway's is.", remedy="Run the demo anew.")
        real = program_path("tpm2_send")
        front = self._folder / "bin" / "tpm2_send"
        front.parent.mkdir()
        front.write_text(f"#!/bin/sh\nexec {real} -T {self._tpm.tcti}\n")
        front.chmod(0o755)
        return {"PATH": f"{front.parent}:{os.environ.get('PATH', os.defpath)}"}
