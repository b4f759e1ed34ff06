"""The control plane of the demo: ``holdfast init`` and ``holdfast serve``, as an operator would run them.

The ports are the usual ones where they are free, and any others where they are not.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from holdfast_core.kernel.errors import WorldError
from holdfast_sim.demo.api import Api
from holdfast_sim.demo.processes import Processes

INIT_SECONDS = 180
READY_SECONDS = 120
STARTS = 3
NAME = "server"
_USUAL = {"device": 8444, "est": 8445, "operator": 8443, "metrics": 9464}


class Founded(msgspec.Struct, frozen=True):
    """What ``holdfast init --json`` printed, as far as the demo needs it."""

    root_fingerprint: str
    verifier_key: str
    token: str


def program(name: str) -> str:
    """A program of the environment this demo runs in."""
    return str(Path(sys.executable).with_name(name))


class Plane:
    """The control plane in `data`; made and started by `open`.

    Args:
        data: its data folder, new.
        address: where devices reach it.
        processes: starts it.
    """

    def __init__(self, data: Path, address: str, processes: Processes) -> None:
        self._processes = processes
        self._address = address
        self.data = data
        self.ports = self._free_ports()

    @property
    def url(self) -> str:
        """Where devices call."""
        return f"https://{self._address}:{self.ports['device']}"

    def _free_ports(self) -> dict[str, int]:
        hosts = {"device": self._address, "est": self._address}
        return {name: _free(hosts.get(name, "127.0.0.1"), usual) for name, usual in _USUAL.items()}

    def found(self) -> Founded:
        """Make the data folder. Raises WorldError ``demo.init``."""
        words = [program("holdfast"), "init", "--data", str(self.data), "--json", "--environment", "demo"]
        for name in dict.fromkeys((self._address, "localhost", "127.0.0.1")):
            words += ["--name", name]
        for name, port in self.ports.items():
            words += [f"--{name}-port", str(port)]
        log = self._processes.log("init")
        with log.open("wb") as errors:
            done = subprocess.run(  # noqa: S603  (our own program and words)
                words,
                stdout=subprocess.PIPE,
                stderr=errors,
                check=False,
                timeout=INIT_SECONDS,
                stdin=subprocess.DEVNULL,
            )
        if done.returncode != 0:
            raise WorldError("demo.init", "holdfast init failed.", remedy=f"It said why in {log}.")
        return msgspec.json.decode(done.stdout, type=Founded)

    def serve(self, token: str) -> Api:
        """Start it and wait until it is ready. Raises WorldError ``demo.server``."""
        for _ in range(STARTS):
            api = self._started(token)
            if api is not None:
                return api
            self.ports = self._free_ports()  # somebody took one between the look and the start
        log = self._processes.log(NAME)
        said = log.read_text(errors="replace").strip().splitlines()[-3:]
        raise WorldError(
            "demo.server", f"The control plane did not become ready: {' '.join(said)}", remedy=f"All of it is in {log}."
        )

    def _started(self, token: str) -> Api | None:
        words = [program("holdfast"), "serve", "--data", str(self.data)]
        log = self._processes.log(NAME)
        # Only the devices of the demo need to reach the port for devices.
        ports = {f"HOLDFAST_{name.upper()}_PORT": str(port) for name, port in self.ports.items()}
        self._processes.start(NAME, words, env={"HOLDFAST_DEVICE_HOST": self._address, "NO_COLOR": "1", **ports})
        api = Api(self.ports["operator"], self.data / "keys" / "root.pem", token, log)
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self._processes.running(NAME):
            with suppress(WorldError):
                api.get("/status")
                return api
            time.sleep(0.1)
        return None


def _free(address: str, usual: int) -> int:
    for port in (usual, 0):
        with suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
            return int(probe.getsockname()[1])
    raise WorldError("demo.port", f"There is no free port on {address}.", remedy="End what holds so many.")
