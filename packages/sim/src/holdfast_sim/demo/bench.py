"""The board of the gateway: its releases, its chip, and what shares the chip among programs.

1. The chip is a process of the demo like all others: noted with pid and start time, ended with them, and by the next
   demo if this one was killed.
2. A resource manager shares the chip among the agent's TLS and its quotes, as the kernel's /dev/tpmrm0 does. It goes
   down with every boot, and the agent must before.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from holdfast_core.kernel.errors import WorldError
from holdfast_core.wire.attestation import Claims, Component, Debug, DebugPort, Tamper
from holdfast_sim.board import Board, program_path
from holdfast_sim.boot.artefacts import HARDWARE, RECOVERY, RECOVERY_KEYS, BootRelease, make_release, manifest_of
from holdfast_sim.boot.keys import BootKeys
from holdfast_sim.boot.machine import BootReport
from holdfast_sim.boot.swtpm import Swtpm
from holdfast_sim.building import build_words
from holdfast_sim.demo.plane import program
from holdfast_sim.demo.processes import Processes
from holdfast_sim.reference import REGISTERS, Builder

TCTI = "tabrmd:bus_type=session"
OLD, NEW = "0.9.0", "1.0.0"
PATIENCE_S = 20.0
TOOL_SECONDS = 60
_LOOK_EVERY_S = 0.02
_RECOVERY = (RECOVERY_KEYS, RECOVERY, manifest_of(RECOVERY))


class Bench:
    """A board of the demo, switched off.

    Args:
        name: the device's.
        model: the name of its model.
        folder: where its releases, its sysfs and its claims are kept; new.
        processes: starts what belongs to it.

    Raises:
        WorldError: ``boot.*``, ``demo.reference``.
    """

    def __init__(self, name: str, model: str, folder: Path, processes: Processes) -> None:
        self._name = name
        self._model = model
        self._folder = folder
        self._processes = processes
        self.builder = Builder()
        keys = BootKeys.generate()
        self.old, self.new = (self._release(version, svn, keys) for svn, version in enumerate((OLD, NEW), 1))
        self._tpm = Swtpm()
        processes.hold(f"{name}-chip", self._tpm)
        self.envelopes = tuple(self._stated(release) for release in (self.old, self.new))
        """What is said of both releases, signed; the old one first."""
        self.board = Board(folder / "sys", self.new, self._tpm)
        self._claims = folder / "claims.json"
        self.claim(opened=0)

    def _release(self, version: str, svn: int, keys: BootKeys) -> BootRelease:
        folder = self._folder / version
        folder.mkdir(parents=True)
        return make_release(folder, version=version, svn=svn, keys=keys)

    def _stated(self, release: BootRelease) -> bytes:
        """The release's values, as the builder of a real board makes them: from its files, by Holdfast's command."""
        folder = self._folder / release.version
        key, out = self._folder / "builder.pem", folder / "reference.json"
        key.touch(0o600)
        key.write_bytes(self.builder.private)
        done = self._run(program("holdfast"), *build_words(release, folder, model=self._model, key=key, out=out))
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()
            raise WorldError(
                "demo.reference", f"holdfast reference build failed: {said}", remedy=f"Look into {folder}."
            )
        return out.read_bytes()

    def claim(self, *, opened: int) -> None:
        """Let the maker's own code say what is around the chip: parts, a debug port, how often the case was opened."""
        claims = Claims(
            tampers=(Tamper("case", opened=opened),),
            debug_ports=(DebugPort("debug-header", Debug.LOCKED),),
            components=tuple(Component(part.place, part.identity) for part in HARDWARE),
        )
        self._claims.write_bytes(msgspec.json.encode(claims))

    @property
    def asked(self) -> dict[str, Any]:
        """What the board's model demands of its evidence."""
        parts = [{"place": part.place, "identity": part.identity} for part in HARDWARE]
        return {"registers": list(REGISTERS), "debug_off": True, "tamper_proof": True, "components": parts}

    @property
    def environment(self) -> dict[str, str]:
        """What an agent needs beside this process's own variables."""
        return {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={self._bus}"}

    @property
    def options(self) -> list[str]:
        """What is said when the agent enrolls."""
        told = {"--key": "tpm", "--tcti": TCTI, "--sys": self.board.sys, "--claims-file": self._claims}
        return [str(word) for pair in told.items() for word in pair]

    @property
    def _bus(self) -> Path:
        return self._tpm.socket.with_name("bus")

    def put_back(self, release: BootRelease) -> None:
        """Write a release into the flash, but for the recovery image, which updates leave alone."""
        kept = {name: data for name, data in self.board.machine.flash.items() if name in _RECOVERY}
        self.board.flash(release)
        self.board.machine.flash.update(kept)

    def switch_on(self) -> BootReport:
        """Boot, and share the chip among what runs then. Raises WorldError ``boot.tpm``, ``demo.tpm_manager``."""
        for what in ("manager", "bus"):
            self._processes.end(f"{self._name}-{what}")
        self._bus.unlink(missing_ok=True)
        report = self.board.boot()
        words = ["dbus-daemon", "--session", "--nofork", f"--address=unix:path={self._bus}"]
        self._start("bus", words, self._bus.exists)
        words = [program_path("tpm2-abrmd") or "", "--session", "--allow-root", "--tcti", self._tpm.tcti]
        self._start("manager", words, lambda: self._run("tpm2_getcap", "-T", TCTI, "properties-fixed").returncode == 0)
        return report

    def _start(self, what: str, words: list[str], ready: Callable[[], bool]) -> None:
        name, end = f"{self._name}-{what}", time.monotonic() + PATIENCE_S
        self._processes.start(name, words, env=self.environment)
        while not ready():
            if time.monotonic() > end or not self._processes.running(name):
                sentence = f"What shares the TPM of {self._name} did not start."
                raise WorldError("demo.tpm_manager", sentence, remedy=f"Look into {self._processes.log(name)}.")
            time.sleep(_LOOK_EVERY_S)

    def endorsement(self) -> str:
        """The digest of the chip's endorsement key, as the agent shows it. Raises WorldError ``demo.chip``."""
        done = self._run(program("holdfast-agent"), "tpm", "--tcti", TCTI, "--json")
        try:
            return str(msgspec.json.decode(done.stdout)["digest"])
        except (msgspec.MsgspecError, KeyError) as error:
            said = done.stderr.decode(errors="replace").strip()
            sentence = f"The chip of {self._name} was not shown: {said}"
            raise WorldError("demo.chip", sentence, remedy="Check that tpm2-tools and tpm2-abrmd work here.") from error

    def _run(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        variables = {**os.environ, **self.environment, "TSS2_LOG": "all+NONE"}
        return subprocess.run(  # noqa: S603  (our own words)
            words, env=variables, check=False, capture_output=True, timeout=TOOL_SECONDS, stdin=subprocess.DEVNULL
        )
