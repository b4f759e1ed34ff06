"""A payload from a real control plane's device port, cut in the middle: each byte crosses the line once."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest

import served_builders
from holdfast.bootstrap import Plane
from holdfast.serving import updating_routes
from holdfast_agent.enroll import enroll
from holdfast_agent.state import Config, Folder
from holdfast_agent.update.download import Download, Interrupted, Rate
from holdfast_agent.update.line import dial
from holdfast_core.kernel.digests import digest_of
from holdfast_core.update.agreement import Target
from release_builders import offered

SIZE = 3 * 1024 * 1024


class Cutting:
    """A wire to the device port that breaks after `after` bytes of an answer, once; `carried` counts them all."""

    def __init__(self, port: int, after: int) -> None:
        self.to, self.after, self.carried = port, after, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.to))
            for source, sink, back in ((near, far, False), (far, near, True)):
                thread = threading.Thread(target=self._carry, args=(source, sink, back))
                self.threads.append(thread)
                thread.start()

    def _carry(self, source: socket.socket, sink: socket.socket, back: bool) -> None:  # noqa: FBT001  (a thread's)
        try:
            while data := source.recv(16_384):
                if back:
                    self.carried += len(data)
                    if self.after and self.carried >= self.after:
                        self.after = 0
                        break
                sink.sendall(data)
        except OSError:
            pass
        for each in (source, sink):
            with contextlib.suppress(OSError):  # the other direction was faster
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(10)


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A served plane whose device port has the routes of updates."""
    planes = []

    class Opening:
        @staticmethod
        def open(*args, **kwargs):
            planes.append(Plane.open(*args, **kwargs))
            return planes[-1]

    usual = served_builders.sealed_routes
    monkeypatch.setattr(served_builders, "Plane", Opening)
    monkeypatch.setattr(served_builders, "sealed_routes", lambda *args: [*usual(*args), *updating_routes(planes[-1])])
    monkeypatch.setattr("release_builders.PAYLOAD", b"\x5a" * (SIZE - 3))
    with served_builders.served(tmp_path / "plane") as server:
        yield server


def test_a_download_that_was_cut_goes_on_where_it_was(served, tmp_path):
    folder = Folder(tmp_path / "agent")
    claim = served.claim("cam-1")
    config = Config(served.url, "cam-1")
    enroll(folder, config, ca=served.root, claim=claim)
    release = served.do(offered(served.plane, "2.0", publish=False))
    payload = release.payload
    assert payload.size == SIZE
    target = Target(f"door-camera/2.0/{payload.name}", payload.size, payload.digest, release.offer)
    wire = Cutting(int(served.url.rpartition(":")[2]), SIZE // 2)
    try:
        through = Config(f"https://127.0.0.1:{wire.port}", "cam-1")
        path = tmp_path / "payload"
        download = Download(path, target)
        with pytest.raises(Interrupted) as cut:
            download.slice(dial(folder, through), Rate())
        assert cut.value.code == "update.cut_off"
        held = download.held
        assert 0 < held < SIZE
        again = Download(path, target)  # another process of the agent
        brought = again.slice(dial(folder, through), Rate())
    finally:
        wire.close()
    assert brought.whole
    assert brought.came == SIZE - held, "what was here did not come again"
    assert wire.carried < SIZE + 256 * 1024, "handshakes and what was in flight are all that is more"
    assert digest_of(path.read_bytes()) == payload.digest
