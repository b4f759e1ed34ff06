"""From a payload on the disk to a slot that was read back, beside what a person would do: ``cp`` and ``sha256sum``.

Method: the agent's installer for slots in files writes a payload of random bytes to the inactive slot and reads it back
against its digest, in a process of its own, as the driver has it do. The peer copies the same file with ``cp``, has it
written out with ``sync FILE``, and hashes the copy with ``sha256sum``; before it hashes, the copy is dropped from the
page cache, as the installer does, so that both read the medium. ``sha256sum`` of Debian 12 does without the processor's
SHA instructions, which Python's has; so ``openssl dgst`` in its place is measured, too. All in turn, several times; the
best of each counts, for the disk is shared. The download is fetched over loopback HTTP by the agent's own downloader in
45 s slices.
"""

from __future__ import annotations

import http.server
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from holdfast_agent.transport import Server, Timed
from holdfast_core.kernel.digests import Digest
from holdfast_core.supply.model import Nature, Offer, Payload, PayloadKind

SIZE = 300 * 1024 * 1024
PIECE = 1024 * 1024
ROUNDS = 4
Row = tuple[str, str]

_INSTALL = """
import json, resource, sys, time
from pathlib import Path
from benchmarks.install import stated
from holdfast_agent.update.installers.file_ab import FileAB
folder, digest = Path(sys.argv[1]), sys.argv[2]
offer, payload = stated(digest)
installer = FileAB(folder / "slots")
began = time.perf_counter()
installer.write(folder / "payload", offer, payload, lambda percent: None)
wrote = time.perf_counter()
installer.read_back(folder / "payload", offer, payload)
ended = time.perf_counter()
rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([wrote - began, ended - wrote, rss]))
"""
_FETCH = """
import json, resource, sys, time
from pathlib import Path
from benchmarks.install import line, stated
from holdfast_agent.update.download import Download, Rate
from holdfast_core.update.agreement import Target
folder, digest, port = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
offer, payload = stated(digest)
target = Target("bench/2/payload", payload.size, payload.digest, offer)
download = Download(folder / "payload.part", target)
began = time.perf_counter()
while not download.slice(line(port), Rate()).whole:
    pass
print(json.dumps([time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
"""


def stated(digest: str) -> tuple[Offer, Payload]:
    """What is signed of the payload."""
    offer = Offer("bench:2", 2, 0, PayloadKind.FILE, ("bench",), Nature.FEATURE)
    return offer, Payload(PayloadKind.FILE, "payload", SIZE, Digest(digest))


def line(port: int):  # noqa: ANN201  (its type is of a module that only this process loads)
    """A line without TLS."""
    import http.client  # noqa: PLC0415  (only the fetching process needs them)

    from holdfast_agent.update.line import DirectLine  # noqa: PLC0415  (same)

    class Plain(http.client.HTTPConnection):
        def connect(self) -> None:
            super().connect()
            self.sock = Timed(self.sock)

        def deadline(self, at: float) -> None:
            self.sock.at = at

    return DirectLine(Server("127.0.0.1", port), connection=Plain("127.0.0.1", port))


def _made(folder: Path) -> str:
    """A payload of random bytes, and a device to install it on; the payload's digest."""
    from holdfast_sim.updating import bootloader  # noqa: PLC0415  (only the first process needs it)

    with (folder / "payload").open("wb") as file:
        for _ in range(SIZE // PIECE):
            file.write(os.urandom(PIECE))
    bootloader.found(folder / "slots", b"what runs", release="bench:1", counter=1)
    said = subprocess.run(["sha256sum", folder / "payload"], capture_output=True, text=True, check=True).stdout
    return "sha256:" + said.split()[0]


def _run(code: str, *arguments: str) -> list[float]:
    import json  # noqa: PLC0415  (for this only)

    ended = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    found: list[float] = json.loads(ended.stdout)
    return found


def _forget(path: Path) -> None:
    handle = os.open(path, os.O_RDWR)
    os.fsync(handle)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(handle)


SHA256SUM, OPENSSL = ("sha256sum",), ("openssl", "dgst", "-sha256")


def _peer(folder: Path, hashing: tuple[str, ...] = SHA256SUM) -> tuple[float, float, float]:
    """Seconds of ``cp``, ``sync`` and ``sha256sum``."""
    copy = folder / "copy"
    began = time.perf_counter()
    subprocess.run(["cp", folder / "payload", copy], check=True)
    copied = time.perf_counter()
    subprocess.run(["sync", copy], check=True)
    _forget(copy)
    synced = time.perf_counter()
    subprocess.run([*hashing, copy], check=True, stdout=subprocess.DEVNULL)
    return copied - began, synced - copied, time.perf_counter() - synced


def _bare(folder: Path) -> float:
    """Seconds of ``cp`` and ``sha256sum`` alone: nothing is synced, and the copy is hashed in the page cache."""
    copy = folder / "copy"
    began = time.perf_counter()
    subprocess.run(["cp", folder / "payload", copy], check=True)
    subprocess.run(["sha256sum", copy], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def rows() -> list[Row]:
    """The figures."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("HOLDFAST_BENCH_FOLDER")) as name:
        folder = Path(name)
        digest = _made(folder)
        ours, peers, quick, bare = [], [], [], []
        for _ in range(ROUNDS):
            ours.append(_run(_INSTALL, name, digest))
            peers.append(_peer(folder))
            quick.append(_peer(folder, OPENSSL))
            bare.append(_bare(folder))
        fetch = _fetched(folder, digest)
    wrote, read, rss = min(ours, key=lambda each: each[0] + each[1])
    cp, sync, hashed = min(peers, key=sum)
    mine, theirs, barely, hasty = wrote + read, cp + sync + hashed, min(bare), min(sum(each) for each in quick)
    mb = SIZE / 1e6
    return [
        ("payload", f"{mb:.0f} MB of random bytes, best of {ROUNDS} in turn"),
        ("write, flushed", f"{wrote:.2f} s"),
        ("read back and hash", f"{read:.2f} s"),
        ("together", f"{mine:.2f} s, {mb / mine:.0f} MB/s"),
        ("cp, sync, sha256sum", f"{cp:.2f} + {sync:.2f} + {hashed:.2f} = {theirs:.2f} s, {mb / theirs:.0f} MB/s"),
        ("speed beside it", f"{100 * theirs / mine:.0f} %"),
        ("cp, sync, openssl dgst (with the processor's own SHA)", f"{hasty:.2f} s ({100 * hasty / mine:.0f} %)"),
        ("cp, sha256sum, neither synced nor read from the medium", f"{barely:.2f} s ({100 * barely / mine:.0f} %)"),
        ("largest memory of the installing process", f"{rss / 1024:.0f} MiB"),
        ("download over loopback, hashed and flushed", f"{fetch[0]:.2f} s, {mb / fetch[0]:.0f} MB/s"),
        ("largest memory of the downloading process", f"{fetch[1] / 1024:.0f} MiB"),
    ]


def _fetched(folder: Path, digest: str) -> list[float]:
    """Seconds and memory of a download, from a server in this process."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(SIZE))
            self.end_headers()
            with (folder / "payload").open("rb") as file:
                self.connection.sendfile(file)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = _run(_FETCH, str(folder), digest, str(server.server_port))
        server.shutdown()
    return found


def main() -> None:
    """Print them."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, figure in rows():
        print(f"{name:<56} {figure}")


if __name__ == "__main__":
    main()
