"""A real device port on loopback: a control plane in a temporary folder, served over TLS from a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from builders import ACTOR, FakeClock, FakeRandomness
from holdfast.adapters.pki import FileAuthority, FileKeyStore, FileLogSigner, make_passphrase
from holdfast.adapters.store import open_engine, upgrade
from holdfast.adapters.system import SystemClock, SystemRandomness
from holdfast.adapters.vault import FILE as VAULT
from holdfast.adapters.vault import Cost, FileVault
from holdfast.bootstrap import DATABASE, Plane
from holdfast.config import Config
from holdfast.inventory.model_file import example_bytes
from holdfast.web.device.app import device_app, est_app
from holdfast.web.device.endings import end_with_credentials
from holdfast.web.device.protocol import EstProtocol, bounded
from holdfast.web.device.sealed import sealed_routes
from holdfast.web.device.tpm import tpm_routes
from holdfast.web.listeners import Listener, bind
from holdfast.web.trust import DeviceTrust
from holdfast_core.inventory.rows import Row
from holdfast_core.kernel.ids import DeviceId, DeviceKey
from holdfast_core.kernel.instants import HOUR, Instant
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.trust.posture import Posture

_T = TypeVar("_T")
STARTING_SECONDS = 0.01


class ServedPlane:
    """A control plane whose device port is open. Its services are called on its own loop with `do`."""

    def __init__(
        self, plane: Plane, listener: Listener, est: Listener, loop: asyncio.AbstractEventLoop, clock: FakeClock
    ) -> None:
        self.plane, self.listeners, self._loop, self.clock = plane, (listener, est), loop, clock
        self.url, self.est_url = f"https://127.0.0.1:{listener.port}", f"https://127.0.0.1:{est.port}"

    def do(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    @property
    def root(self) -> str:
        return self.plane.authority.root_fingerprint

    def key(self, name: str) -> DeviceKey:
        return DeviceKey(self.plane.config.scope, DeviceId(name))

    def posture(self, name: str) -> Posture:
        posture = self.plane.store.posture(self.key(name))
        assert posture is not None
        return posture

    def claim(self, name: str, example: str = "door-camera") -> str:
        """A claim for a device, which is added when it is new."""
        return self.do(self._claim(name, example))

    async def _claim(self, name: str, example: str) -> str:
        plane, scope = self.plane, self.plane.config.scope
        if plane.store.device(self.key(name)) is None:
            model = await plane.inventory.add_model(scope, example_bytes(example), actor=ACTOR)
            await plane.inventory.add_device(scope, Row(1, DeviceId(name), model.reference), actor=ACTOR)
        text, _ = await plane.identity.create_claim(self.key(name), lifetime=HOUR, actor=ACTOR)
        return text


def _folder(folder: Path, now: Instant) -> Path:
    keys = folder / "keys"
    keys.mkdir(parents=True)
    passphrase = make_passphrase(keys, {}, SystemRandomness())
    store = FileKeyStore(keys, passphrase)
    authority = FileAuthority.create(keys, store, organization="Test", scope=Config().scope, now=now)
    authority.certify_server(["localhost", "127.0.0.1"], store, stem="device-port", now=now)
    FileLogSigner.create(keys, "localhost/log", passphrase)
    FileVault.create(keys / VAULT, passphrase, cost=Cost(n=2))
    engine = open_engine(folder / DATABASE)
    upgrade(engine)
    engine.dispose()
    return folder


@contextmanager
def served(folder: Path, *, ahead: int = 0, config: Config = Config()) -> Iterator[ServedPlane]:  # noqa: B008  (frozen)
    """A device port for as long as the block lasts; its time is `ahead` milliseconds ahead of this machine's."""
    clock = FakeClock(SystemClock().now() + ahead)
    ready: list[ServedPlane] = []
    started = threading.Event()
    failures: list[BaseException] = []

    async def serve() -> None:
        plane = Plane.open(config, _folder(folder, clock.now()), clock=clock, randomness=FakeRandomness())
        app = device_app(
            plane.check_ins,
            plane.enrollment,
            LIMITS,
            plane.secret_delivery,
            [*tpm_routes(plane.tpm, LIMITS), *sealed_routes(plane.sealed, LIMITS)],
        )
        for_devices, for_est = bounded(LIMITS), bounded(LIMITS, EstProtocol)
        end_with_credentials(plane.store, for_devices, for_est)
        trust = DeviceTrust(folder / "keys", plane.passphrase.reveal(), plane.store, plane.authority)
        listener = Listener(app, bind("127.0.0.1", 0), tls=trust.device, limits=LIMITS, protocol=for_devices)
        old = est_app(plane.enrollment, LIMITS)
        est = Listener(old, bind("127.0.0.1", 0), tls=trust.est, limits=LIMITS, protocol=for_est)
        listening = asyncio.gather(listener.listen(), est.listen())
        try:
            while not (listener.started and est.started) and not listening.done():  # noqa: ASYNC110  (flags, no event)
                await asyncio.sleep(STARTING_SECONDS)
            ready.append(ServedPlane(plane, listener, est, asyncio.get_running_loop(), clock))
            started.set()
            await listening
        finally:
            await plane.close()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            failures.append(error)
            raise
        finally:
            started.set()

    thread = threading.Thread(target=run)
    thread.start()
    started.wait(60)
    if not ready:
        thread.join(60)
        raise AssertionError(failures)
    try:
        yield ready[0]
    finally:
        for listener in ready[0].listeners:
            listener.should_exit = True
        thread.join(60)
