"""What the agent costs a device: one-shot check-in with no audit due, bytes on the wire, flash writes, wheels.

Method: the real server, the real ``holdfast-agent`` as a process of its own on an empty root. The first check-ins bring
plan and audit; then `TURNS` one-shot check-ins are measured: CPU and peak memory by wait4, bytes on
the wire (TLS handshake included) by a counting relay between the two. The peer beside it is
``python -c 'import ssl, json, http.client'``: what any Python client pays before it says a word. Then the resident
agent on a model with a contact interval of one second, which changes how often it calls and nothing else.
"""

from __future__ import annotations

import http.client
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import msgspec

from benchmarks.ground import Ground, holdfast, prepare
from benchmarks.process import Used, run
from holdfast.adapters.pki.files import certificate_fingerprint
from holdfast.bootstrap import SOCKET
from holdfast.inventory.model_file import example_bytes

TURNS = 10
CONTACTS_PER_DAY = 96
"""At the door camera's contact interval of 15 minutes."""
PEER = "import ssl, json, http.client"


class Relay:
    """Counts what passes between a device and the server."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.clear()
        threading.Thread(target=self._serve, daemon=True).start()

    def clear(self) -> None:
        """Start counting anew."""
        self.calls = self.up = self.down = 0

    def _serve(self) -> None:
        while True:
            client, _ = self._listening.accept()
            self.calls += 1
            server = socket.create_connection(("127.0.0.1", self._target))
            threading.Thread(target=self._pump, args=(client, server, "up"), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, "down"), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, way: str) -> None:
        while data := source.recv(65536):
            setattr(self, way, getattr(self, way) + len(data))
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def _ran(argv: list[str], environ: dict[str, str] | None = None) -> Used:
    used = run(argv, environ)
    if used.exit != 0:
        raise SystemExit(f"{' '.join(argv)} ended with {used.exit}: {used.stderr}")
    return used


def _call(folder: Path, path: str, body: bytes, kind: str = "application/json") -> dict[str, str]:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(folder / SOCKET))
    connection.request("POST", path, body, {"content-type": kind})
    answer: dict[str, str] = json.loads(connection.getresponse().read())
    connection.close()
    return answer


class Device:
    """An enrolled device whose first check-ins, with plan and audit, are behind it."""

    def __init__(self, ground: Ground, relay: Relay, folder: Path, *, name: str, model: str) -> None:
        self.state, self._program = str(folder / name), str(Path(sys.executable).parent / "holdfast-agent")
        root = folder / f"{name}-root"
        root.mkdir()
        _call(ground.folder, "/api/v1/devices", json.dumps({"device": name, "model": model}).encode())
        claim = _call(ground.folder, "/api/v1/claims", json.dumps({"device": name}).encode())["claim"]
        authority = certificate_fingerprint(ground.folder / "keys" / "root.pem")
        url = f"https://localhost:{relay.port}"
        enroll = self.argv("enroll", url, "--device", name, "--ca", authority, "--root", str(root))
        _ran(enroll, {"HOLDFAST_CLAIM": claim})
        for _ in range(2):
            self.check_in()

    def argv(self, *words: str) -> list[str]:
        """The agent's command line."""
        return [self._program, *words, "--state", self.state]

    def check_in(self) -> Used:
        """One one-shot check-in."""
        return _ran(self.argv("check-in", "--now"))

    def written(self) -> int:
        """Bytes written to its state folder so far, by the agent's own account."""
        told = subprocess.run(self.argv("status", "--json"), capture_output=True, check=False)
        return int(json.loads(told.stdout)["written"]["bytes"])


def _costs(how: str, relay: Relay, contacts: int, written: int) -> None:
    flash = written / contacts
    up, down = relay.up / contacts, relay.down / contacts
    print(
        f"{how}: wire, handshake included, {up:,.0f} bytes up and {down:,.0f} down a check-in; flash {flash:,.0f} "
        f"bytes a check-in, {flash * CONTACTS_PER_DAY / 1e6:.2f} MB a day at 15 minutes"
    )


def _figures(runs: list[Used]) -> str:
    return f"CPU {statistics.median(r.cpu_s for r in runs):.2f} s, peak {max(r.peak_mib for r in runs):.1f} MiB"


def _one_shot(ground: Ground, relay: Relay, folder: Path) -> None:
    device = Device(ground, relay, folder, name="one-shot", model="door-camera@1.0.0")
    before = device.written()
    relay.clear()
    runs = [device.check_in() for _ in range(TURNS)]
    peers = [_ran([sys.executable, "-c", PEER]) for _ in range(TURNS)]
    print(f"one-shot: {_figures(runs)}  (targets 0.5 s, 32 MB)")
    print(f"  peer, {PEER!r}: {_figures(peers)}")
    _costs("one-shot", relay, relay.calls, device.written() - before)


def _resident(ground: Ground, relay: Relay, folder: Path) -> None:
    model = msgspec.yaml.decode(example_bytes("door-camera"))
    model["name"], model["constraints"]["contact_interval_s"] = "door-camera-hurried", 1
    reference = _call(ground.folder, "/api/v1/models", msgspec.json.encode(model), "application/yaml")["reference"]
    device = Device(ground, relay, folder, name="resident", model=reference)
    before = device.written()
    relay.clear()
    process = subprocess.Popen(device.argv("run"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while relay.calls < TURNS:
        time.sleep(0.1)
    process.terminate()
    process.wait()
    _costs("resident", relay, relay.calls, device.written() - before)


def _wheels(folder: Path) -> None:
    total = 0
    for package in ("core", "probe", "agent"):
        where = folder / package
        argv = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(where)]
        subprocess.run(argv, cwd=f"packages/{package}", check=True, capture_output=True)
        total += sum(wheel.stat().st_size for wheel in where.glob("*.whl"))
    print(f"wheels of core, probe and agent: {total / 1000:.0f} kB  (target 400 kB)")


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        _wheels(folder)
        ground = prepare(folder / "data", fleet=1, connecting=0)
        server = holdfast(ground)
        try:
            relay = Relay(server.port)
            _one_shot(ground, relay, folder)
            _resident(ground, relay, folder)
        finally:
            server.stop()
