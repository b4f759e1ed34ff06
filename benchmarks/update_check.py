"""What a device spends to find that there is nothing new: the agent's check beside python-tuf's own client.

Method: whole processes, interpreter and imports included; CPU time and peak memory as the kernel counts them, the best
of several. The image repository holds 10, 1,000 and 100,000 releases, each of 100 models with a role of its own (of the
10, each release has a model). Both have verified everything once; then nothing changed. The agent asks once for both
repositories, director and image. The peer is ``tuf.ngclient.Updater.refresh()`` with its own HTTP, on the image
repository alone. Both over plain HTTP on loopback: the TLS that the agent has on top costs what it costs a check-in
(`agent`). Requests are counted at the server.
"""

from __future__ import annotations

import http.server
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]  # exported without saying so
from tuf.api.metadata import (  # type: ignore[attr-defined]  # same
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.ngclient.updater import Updater

from benchmarks.process import Used, run
from holdfast.adapters.system import SystemClock
from holdfast_agent.update.trust import Trust
from holdfast_core.kernel.instants import DAY, Instant, to_datetime
from holdfast_core.supply.model import Nature, Offer, PayloadKind
from holdfast_core.update.agreement import DEVICE, ISSUED, OFFER
from holdfast_core.wire.update_metadata import Brought, Holding

SIZES = (10, 1_000, 100_000)
MODELS, ROUNDS, ID = 100, 5, "bench-1"
PATH = "model-0/1.0.0/image.raucb"
_AGENT = """
import sys, time
from pathlib import Path
from holdfast_agent.update.site_cache import cache_line
from holdfast_agent.update.trust import Trust
trust = Trust(Path(sys.argv[1]), sys.argv[3], wall=lambda: int(time.time() * 1000), up=lambda: 60_000)
line = cache_line(sys.argv[2])
assert trust.refresh(line).named == sys.argv[3]
line.close()
"""
_PEER = """
import sys
from pathlib import Path
from tuf.ngclient import Updater
folder = sys.argv[1]
updater = Updater(folder, sys.argv[2] + "/metadata/", folder, bootstrap=(Path(folder) / "first.json").read_bytes())
updater.refresh()
"""


def main() -> None:
    """Print the figures."""
    print(__doc__)
    bare = _best(["-c", "pass"])
    print(f"{'a bare interpreter':<28} {bare.cpu_s:6.2f} s CPU  {bare.peak_mib:5.1f} MiB")
    for size in SIZES:
        with tempfile.TemporaryDirectory() as name:
            _measure(Path(name), size)


def _measure(folder: Path, size: int) -> None:
    image, director = _Files(_roles(size)), _Files({}, device=ID)
    trust = Trust(folder / "agent", ID, wall=_now, up=lambda: 60_000)
    trust.begin(director.files["1.root.json"], image.files["1.root.json"])
    own = {"timestamp.json", "1.snapshot.json", "1.targets.json", "1.model-0.json"}
    trust.take(Brought(director.files, {name: data for name, data in image.files.items() if name in own}))
    peer = folder / "peer"
    peer.mkdir()
    (peer / "first.json").write_bytes(image.files["1.root.json"])
    with _served(image.files) as (url, asked):
        bootstrap = image.files["1.root.json"]
        Updater(str(peer), f"{url}/metadata/", str(peer), bootstrap=bootstrap).refresh()
        for who, code, place in (("the agent", _AGENT, folder / "agent"), ("tuf.ngclient", _PEER, peer)):
            del asked[:]
            used = _best(["-c", code, str(place), url, ID])
            requests = len(asked) / ROUNDS
            print(
                f"{size:>7,} releases, {who:<13} {used.cpu_s:6.2f} s CPU  {used.peak_mib:5.1f} MiB"
                f"  {requests:.0f} requests  {used.wall_s:.2f} s"
            )


def _best(arguments: list[str]) -> Used:
    found = [run([sys.executable, *arguments]) for _ in range(ROUNDS)]
    failed = next((each for each in found if each.exit), None)
    if failed is not None:
        raise RuntimeError(failed.stderr)
    return min(found, key=lambda each: each.cpu_s)


def _now() -> Instant:
    return SystemClock().now()


def _roles(size: int) -> dict[str, dict[str, TargetFile]]:
    """The releases of each model."""
    found: dict[str, dict[str, TargetFile]] = {}
    for number in range(size):
        model, version = f"model-{number % MODELS}", f"1.{number // MODELS}.0"
        path = f"{model}/{version}/image.raucb"
        offer = Offer(f"{model}:{version}", number + 1, 1, PayloadKind.RAUC, (f"{model}-rev2",), Nature.SECURITY)
        found.setdefault(model, {})[path] = _target(path, offer)
    return found


def _target(path: str, offer: Offer) -> TargetFile:
    members = {"custom": {OFFER: msgspec.to_builtins(offer)}}
    return TargetFile(100_000_000, {"sha256": sha256(path.encode()).hexdigest()}, path, members)


class _Files:
    """A repository that is signed once; `files` by the names by which it is served."""

    def __init__(self, roles: dict[str, dict[str, TargetFile]], device: str = "") -> None:
        signer = CryptoSigner.generate_ed25519()
        expires = to_datetime(Instant(_now() + 6 * DAY)).replace(microsecond=0)
        self.files: dict[str, bytes] = {}

        def keep(name: str, signed: Root | Targets | Snapshot | Timestamp) -> None:
            metadata: Metadata[Any] = Metadata(signed)
            metadata.sign(signer)
            self.files[name] = metadata.to_bytes()

        root = Root(expires=expires, consistent_snapshot=True)
        for role in ("root", "targets", "snapshot", "timestamp"):
            root.add_key(signer.public_key, role)
        keep("1.root.json", root)
        targets = Targets(expires=expires, delegations=Delegations({}, {}) if roles else None)
        if device:
            targets.unrecognized_fields[DEVICE] = device
            offer = Offer("model-0:1.0.0", 1, 1, PayloadKind.RAUC, ("model-0-rev2",), Nature.SECURITY)
            targets.targets[PATH] = _target(PATH, offer)
        for role, listed in roles.items():
            assert targets.delegations is not None  # noqa: S101  (made for the roles)
            assert targets.delegations.roles is not None  # noqa: S101  (same)
            targets.delegations.roles[role] = DelegatedRole(role, [], 1, True, [f"{role}/*/*"])  # noqa: FBT003  (tuf's)
            targets.add_key(signer.public_key, role)
            keep(f"1.{role}.json", Targets(expires=expires, targets=listed))
        keep("1.targets.json", targets)
        keep("1.snapshot.json", Snapshot(expires=expires, meta={f"{r}.json": MetaFile(1) for r in ("targets", *roles)}))
        stamp = Timestamp(expires=expires)
        stamp.unrecognized_fields[ISSUED] = _now()
        keep("timestamp.json", stamp)


@contextmanager
def _served(files: dict[str, bytes]) -> Iterator[tuple[str, list[str]]]:
    """The repository as a server has it: the address, and what was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = files.get(self.path.rpartition("/")[2])
            self._answer(404 if data is None else 200, data or b"")

        def do_POST(self) -> None:
            held = msgspec.json.decode(self.rfile.read(int(self.headers["Content-Length"])), type=Holding)
            whole = all(each.timestamp and each.snapshot and each.targets for each in (held.director, held.image))
            self._answer(200 if whole and held.image.roles else 500, b"{}")

        def _answer(self, status: int, data: bytes) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Nothing: the figures are the output."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
