"""An unmodified SWUpdate joins over TLS: it installs what a rollout directs it to, also over a line that is cut."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import holdfast.web.device.ddi as ddi_web
from builders import ACTOR, FakeClock, FakeRandomness, request_for
from ddi_builders import BOARD, Lab
from holdfast.adapters.system import SystemClock
from holdfast.bootstrap import Plane
from holdfast.config import Config
from holdfast.web.device.protocol import bounded
from holdfast.web.listeners import Listener, bind
from holdfast.web.trust import DeviceTrust
from holdfast_core.kernel.instants import HOUR, MINUTE
from holdfast_core.kernel.limits import LIMITS
from served_builders import _folder
from update_tools import MIB, archive, content, need, signer

pytestmark = pytest.mark.anyio
SIZE = 6 * MIB
CONFIG = """
globals : {{ public-key-file = "{folder}/cert.pem"; }};
identify : ( {{ name = "hardware"; value = "{board}"; }}{release} );
suricatta : {{
  tenant = "DEFAULT"; id = "cam-1"; url = "https://127.0.0.1:{port}"; cafile = "{root}";
  polldelay = 1; retry = 10; retrywait = 1; {identity}
}};
"""


class Line:
    """A line to the server that is cut, once, after so many bytes came down on one connection; or that is slow."""

    def __init__(self, target, cut_after=0, *, slow=False):
        self._target, self._cut_after, self._slow = target, cut_after, slow
        self._passing = set()
        self.cuts = 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in self._passing:
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    async def _pass(self, reader, writer):
        self._passing.add(asyncio.current_task())
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        up = asyncio.create_task(self._pump(reader, far_writer, 0))
        try:
            await self._pump(far_reader, writer, self._cut_after)
        finally:
            up.cancel()
            for each in (writer, far_writer):
                each.transport.abort()

    async def _pump(self, reader, writer, cut_after):
        seen = 0
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                seen += len(data)
                if cut_after and seen > cut_after and not self.cuts:
                    self.cuts += 1
                    return
                if self._slow and len(data) > 8_192:
                    await asyncio.sleep(0.2)
                writer.write(data)
                await writer.drain()


class Served(Lab):
    """A lab whose device port is open; it remembers what was asked."""

    def more_routes(self):
        self.asked = []
        return super().more_routes()

    async def __call__(self, scope, receive, send):
        headers = {name.decode(): value.decode() for name, value in scope.get("headers", ())}

        async def noting(message):
            if message["type"] == "http.response.start":
                self.asked.append((scope["method"], scope["path"], headers.get("range", ""), message["status"]))
            await send(message)

        await self.app(scope, receive, noting)

    def said(self, method, ending):
        return [each for each in self.asked if each[0] == method and each[1].endswith(ending)]


@contextlib.asynccontextmanager
async def served(folder):
    clock = FakeClock(SystemClock().now())
    plane = Plane.open(Config(), _folder(folder / "data", clock.now()), clock=clock, randomness=FakeRandomness())
    lab = Served(plane, folder)
    trust = DeviceTrust(plane.folder / "keys", plane.passphrase.reveal(), plane.store, plane.authority)
    lab.listener = Listener(lab, bind("127.0.0.1", 0), tls=trust.device, limits=LIMITS, protocol=bounded(LIMITS))
    listening = asyncio.create_task(lab.listener.listen())
    try:
        await until(lambda: lab.listener.started)
        yield lab
    finally:
        lab.listener.should_exit = True
        await listening
        await plane.close()


async def until(happened, seconds=25.0):
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not happened():  # noqa: ASYNC110  (what is waited for is another process)
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def swupdate(folder, lab, port, *, more="", identity="", release="", name="1"):
    """SWUpdate of a device whose second slot is written."""
    config = folder / f"sw-{name}.cfg"
    root = lab.plane.folder / "keys" / "root.pem"
    config.write_text(
        CONFIG.format(folder=folder, port=port, root=root, identity=identity, board=BOARD, release=release)
    )
    with (folder / f"sw-{name}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            "swupdate", "-f", config, "-l", "6", "-H", "board:1.0", "-e", "stable,copy-2", "-k", folder / "cert.pem",
            "-u", more, stdout=log, stderr=log, cwd=folder, env={"TMPDIR": str(folder), "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


def prepared(folder):
    """A signed archive for the device's two slots; its bytes."""
    need("swupdate", "openssl", "cpio")
    signer(folder)
    for slot in ("a.img", "b.img"):
        (folder / slot).write_bytes(bytes(8 * MIB))
    return archive(folder, "2.0", size=SIZE).read_bytes()


def told(folder, name="1"):
    return Path(folder / f"sw-{name}.log").read_text(errors="replace")[-4000:]


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    monkeypatch.setattr(ddi_web, "sleep_text", lambda _: "00:00:01")


async def test_swupdate_installs_over_a_line_that_is_cut_and_is_done_after_its_restart(tmp_path):
    data = prepared(tmp_path)
    async with served(tmp_path) as lab:
        key = await lab.device(labels=())
        token = f'targettoken = "{await lab.token(key)}";'
        await lab.rollout(await lab.release(data=data))
        async with Line(lab.listener.port, cut_after=len(data) // 2) as line:
            async with swupdate(tmp_path, lab, line.port, identity=token):
                slot = tmp_path / "b.img"
                await until(lambda: lab.known() is not None and lab.known().described_at is not None)
                await until(lambda: "All Chunks Installed" in told(tmp_path))
                await until(lambda: len(lab.said("POST", "/feedback")) > 2)
            with slot.open("rb") as file:
                assert file.read(SIZE) == content("2.0", SIZE), told(tmp_path)
            assert line.cuts == 1
            fetched = lab.said("GET", "fw-2.0.swu")
            assert [status for *_, status in fetched] == [200, 206], fetched
            start = int(fetched[1][2].removeprefix("bytes=").rstrip("-"))
            assert len(data) // 4 < start < len(data)
            # It installed; nothing says that it booted.
            assert (lab.stage(), lab.assignment().percent) == ("installing", 100)
            assert {status for *_, status in lab.asked} <= {200, 206}
            # After its restart, in the new slot, it reports that its test passed.
            async with swupdate(tmp_path, lab, line.port, identity=token, more="-c 2", name="2"):
                await until(lambda: lab.stage() in ("tried", "soaking"))
                await until(lambda: lab.stage() == "soaking")
                lab.clock.forward(11 * MINUTE)
                await until(lambda: lab.stage() == "done")
        assert lab.assignment().weak
        assert lab.known().attribute("hardware") == BOARD


async def test_swupdate_that_names_its_release_is_done_by_what_it_names(tmp_path):
    data = prepared(tmp_path)
    async with served(tmp_path) as lab:
        token = f'targettoken = "{await lab.token(await lab.device(labels=()))}";'
        await lab.rollout(await lab.release(data=data))
        port = lab.listener.port
        old, new = (f', {{ name = "release"; value = "{version}"; }}' for version in ("1.0", "2.0"))
        async with swupdate(tmp_path, lab, port, identity=token, release=old):
            await until(lambda: "All Chunks Installed" in told(tmp_path))
        async with swupdate(tmp_path, lab, port, identity=token, release=old, more="-c 2", name="2"):
            await until(lambda: lab.known().succeeded_at is not None)
            seen = len(lab.said("PUT", "/configData"))
            await until(lambda: len(lab.said("PUT", "/configData")) > seen)
            assert lab.stage() == "installing"
        async with swupdate(tmp_path, lab, port, identity=token, release=new, name="3"):
            await until(lambda: lab.stage() == "soaking")


async def test_swupdate_reports_why_it_failed(tmp_path):
    data = bytearray(prepared(tmp_path))
    data[-2 * MIB] ^= 1
    async with served(tmp_path) as lab:
        token = f'targettoken = "{await lab.token(await lab.device(labels=()))}";'
        await lab.rollout(await lab.release(data=bytes(data)))
        async with swupdate(tmp_path, lab, lab.listener.port, identity=token):
            await until(lambda: lab.stage() == "failed")
        assert lab.assignment().code == "ddi.failure"
        assert lab.assignment().sentence


async def test_swupdate_stops_when_its_rollout_is_called_off(tmp_path):
    data = prepared(tmp_path)
    async with served(tmp_path) as lab:
        key = await lab.device()
        token = f'targettoken = "{await lab.token(key)}";'
        await lab.rollout(await lab.release(data=data))
        await lab.service.poll(key)
        assert lab.stage() == "directed"
        await lab.halt()
        async with swupdate(tmp_path, lab, lab.listener.port, identity=token):
            await until(lambda: lab.stage() == "withdrawn")
        assert lab.said("GET", "fw-2.0.swu") == []


async def test_swupdate_joins_with_the_devices_own_certificate(tmp_path):
    data = prepared(tmp_path)
    async with served(tmp_path) as lab:
        key, private = await lab.device(), ec.generate_private_key(ec.SECP256R1())
        claim, _ = await lab.plane.identity.create_claim(key, lifetime=HOUR, actor=ACTOR)
        chain = await lab.plane.identity.enroll("cam-1", claim, request_for("cam-1", private))
        (tmp_path / "dev.pem").write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in chain))
        secret = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / "dev.key").write_bytes(secret)
        await lab.rollout(await lab.release(data=data))
        identity = f'sslcert = "{tmp_path}/dev.pem"; sslkey = "{tmp_path}/dev.key";'
        async with swupdate(tmp_path, lab, lab.listener.port, identity=identity):
            await until(lambda: "All Chunks Installed" in told(tmp_path))
        assert lab.stage() == "installing"
        (credential,) = lab.store.credentials_of(key)
        assert credential.confirmed_at is not None


async def test_swupdate_stops_in_the_middle_of_a_download_that_is_called_off(tmp_path):
    data = prepared(tmp_path)
    async with served(tmp_path) as lab:
        token = f'targettoken = "{await lab.token(await lab.device(labels=()))}";'
        await lab.rollout(await lab.release(data=data))
        line = Line(lab.listener.port, slow=True)
        async with line, swupdate(tmp_path, lab, line.port, identity=token):
            await until(lambda: lab.said("GET", "fw-2.0.swu"))
            await lab.halt()
            await until(lambda: lab.stage() == "withdrawn")
        assert lab.assignment().code == "ddi.canceled"
        assert "Installed Chunk" not in told(tmp_path)
