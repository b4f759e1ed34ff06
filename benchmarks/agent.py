"""What the agent costs a device: one-shot check-in with no audit due, bytes on the wire, flash writes, wheels.

Method: the real server, the real ``holdfast-agent`` as a process of its own on an empty root. The first check-ins bring
plan and audit; then `TURNS` one-shot check-ins are measured: CPU and peak memory by wait4, payload by the agent's own
account, bytes on the wire (TLS handshake included) by a counting relay between the two. The peer beside it is
``python -c 'import ssl, json, http.client'``: what any Python client pays before it says a word.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from benchmarks.ground import Ground, holdfast, prepare
from holdfast.adapters.pki import FileAuthority
from holdfast.bootstrap import SOCKET

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
        self.up = self.down = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            client, _ = self._listening.accept()
            server = socket.create_connection(("127.0.0.1", self._target))
            threading.Thread(target=self._pump, args=(client, server, "up"), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, "down"), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, way: str) -> None:
        while data := source.recv(65536):
            setattr(self, way, getattr(self, way) + len(data))
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def _ran(argv: list[str], environ: dict[str, str] | None = None) -> tuple[float, float]:
    """CPU seconds and peak MiB of a process that must succeed."""
    process = subprocess.Popen(argv, env={**os.environ, **(environ or {})}, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(argv)} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def _call(folder: Path, path: str, body: dict[str, object]) -> dict[str, str]:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(folder / SOCKET))
    connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
    answer: dict[str, str] = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def _measure(ground: Ground, port: int, folder: Path) -> None:
    relay = Relay(port)
    program, state = str(Path(sys.executable).parent / "holdfast-agent"), str(folder / "state")
    root = FileAuthority(ground.folder / "keys").root_fingerprint
    _call(ground.folder, "/api/v1/devices", {"device": "measured", "model": "door-camera@1.0.0"})
    claim = _call(ground.folder, "/api/v1/claims", {"device": "measured"})["claim"]
    (folder / "root").mkdir()
    url = f"https://localhost:{relay.port}"
    enroll = [program, "enroll", url, "--device", "measured", "--ca", root, "--root", str(folder / "root")]
    _ran([*enroll, "--state", state], {"HOLDFAST_CLAIM": claim})
    check_in = [program, "check-in", "--now", "--state", state]
    for _ in range(2):
        _ran(check_in)
    before = _written(program, state)
    relay.up = relay.down = 0
    runs = [_ran(check_in) for _ in range(TURNS)]
    peers = [_ran([sys.executable, "-c", PEER]) for _ in range(TURNS)]
    written = (_written(program, state) - before) / TURNS
    print(
        f"one-shot: CPU {statistics.median(r[0] for r in runs):.2f} s, peak {max(r[1] for r in runs):.1f} MiB", end="  "
    )
    print("(targets 0.5 s, 32 MB)")
    print(
        f"  peer, {PEER!r}: CPU {statistics.median(r[0] for r in peers):.2f} s, peak {max(r[1] for r in peers):.1f} MiB"
    )
    print(f"wire, handshake included: {relay.up / TURNS:,.0f} bytes up, {relay.down / TURNS:,.0f} down a check-in")
    print(
        f"flash: {written:,.0f} bytes a check-in, {written * CONTACTS_PER_DAY / 1e6:.2f} MB a day at 15 minutes", end=""
    )
    print(", one-shot and resident alike: the same two writes")


def _written(program: str, state: str) -> int:
    told = subprocess.run([program, "status", "--json", "--state", state], capture_output=True, check=False)
    return int(json.loads(told.stdout)["written"]["bytes"])


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
            _measure(ground, server.port, folder)
        finally:
            server.stop()
