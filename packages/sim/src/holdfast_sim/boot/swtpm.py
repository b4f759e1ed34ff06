"""A TPM in software (swtpm) as a process of ours: started in a private folder, ended by its pid.

1. Sockets lie in a folder of their own with a short name, because a socket's path has at most 107 characters.
2. The state is kept where the caller says, so that a TPM that swtpm_setup certified can be used; a state that nobody
   named is made when the TPM starts and goes with it.
3. The TPM waits for TPM2_Startup: its machine sends it, as firmware does.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from holdfast_core.kernel.errors import WorldError
from holdfast_sim.boot.tpm import TpmLink

STARTING_S = 20.0
ENDING_S = 30.0
_PAUSE_S = 0.01


class Swtpm:
    """A running TPM. A context manager.

    Args:
        state: its state's folder, e.g. made by ``swtpm_setup``; `None` for a fresh TPM that nobody certified.

    Raises:
        WorldError: ``boot.no_swtpm``.
    """

    def __init__(self, state: Path | None = None) -> None:
        program = shutil.which("swtpm")
        if program is None:
            raise _not_running("it is not installed")
        self._folder = tempfile.TemporaryDirectory(prefix="hf-swtpm-")
        self.socket = Path(self._folder.name) / "s"
        kept = state or Path(self._folder.name) / "state"
        kept.mkdir(exist_ok=True)
        self._process = subprocess.Popen(  # noqa: S603  (its own program, with paths of ours)
            [
                program, "socket", "--tpm2", "--tpmstate", f"dir={kept.absolute()}",
                "--server", f"type=unixio,path={self.socket}", "--ctrl", f"type=unixio,path={self.socket}.ctrl",
                "--flags", "not-need-init",
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._wait()

    @property
    def tcti(self) -> str:
        """What TPM tools and libraries take to reach it."""
        return f"swtpm:path={self.socket}"

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def link(self) -> TpmLink:
        """A connection for one boot; while it is open, no other program is served."""
        return TpmLink(self.socket)

    def close(self) -> None:
        """End the process and remove its sockets; a second time does nothing."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wait(self) -> None:
        deadline = time.monotonic() + STARTING_S
        while not (self.socket.exists() and Path(f"{self.socket}.ctrl").exists()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise _not_running("it ended, or opened no socket")
            time.sleep(_PAUSE_S)


def _not_running(why: str) -> WorldError:
    return WorldError(
        "boot.no_swtpm",
        f"The TPM in software could not be started: {why}.",
        remedy="Install swtpm (Debian: apt-get install swtpm), and check that its state's folder can be written.",
    )
