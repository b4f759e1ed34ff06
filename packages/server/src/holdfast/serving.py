"""Running the control plane: the listeners, the watch that lets verdicts fall, the webhook, and an orderly end.

1. The ports open only when everything is loaded; a port that cannot be had ends the start, not half of the server.
2. On SIGTERM or SIGINT nothing new is taken, what was begun is finished, and the data folder is given back.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from starlette.routing import Route

from holdfast.adapters.heap import keep_trimmed
from holdfast.adapters.pki.files import certificate_fingerprint
from holdfast.adapters.webhook import WebhookNotifier
from holdfast.bootstrap import SOCKET, Plane
from holdfast.config import Config
from holdfast.response.dispatch import Dispatcher
from holdfast.web.api.app import operator_app
from holdfast.web.api.services import Services
from holdfast.web.device.app import device_app, est_app
from holdfast.web.device.ddi import ddi_routes
from holdfast.web.device.endings import end_with_credentials
from holdfast.web.device.protocol import EstProtocol, LocalProtocol, bounded
from holdfast.web.device.sealed import sealed_routes
from holdfast.web.device.targets import PayloadServer, target_routes
from holdfast.web.device.tpm import tpm_routes
from holdfast.web.device.updates import UpdateRoutes, update_routes
from holdfast.web.health import health_app
from holdfast.web.listeners import Listener, bind, bind_local
from holdfast.web.tls import operator_context
from holdfast.web.trust import DeviceTrust
from holdfast.web.validation.app import validation_app
from holdfast.web.validation.protocol import ValidationProtocol
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.limits import Limits

STARTING_SECONDS = 0.01
RESERVED_DESCRIPTORS = 256
"""For the other ports, the database and whoever looks after the server."""
_log = logging.getLogger("holdfast.serving")


def services_of(plane: Plane, device_port: int) -> Services:
    """What the operator API is served from."""
    return Services(
        store=plane.store,
        clock=plane.clock,
        inventory=plane.inventory,
        retirement=plane.retirement,
        replacement=plane.replacement,
        identity=plane.identity,
        renewal=plane.renewal,
        approvals=plane.approvals,
        manufacturers=plane.manufacturers,
        fleet_claims=plane.fleet_claims,
        ownership=plane.ownership,
        rollover=plane.rollover,
        brokers=plane.brokers,
        broker_watches=plane.broker_watches,
        tokens=plane.tokens,
        secrets=plane.secrets,
        sealed=plane.sealed,
        vault=plane.vault_keys,
        chips=plane.chips,
        attestation=plane.attesting.service,
        references=plane.attesting.references,
        uploads=plane.updating.uploads,
        releases=plane.updating.releases,
        rollouts=plane.updating.rollouts,
        planner=plane.updating.planner,
        images=plane.updating.images,
        releasing=plane.updating.releasing,
        update_tokens=plane.updating.tokens,
        bundling=plane.updating.bundling,
        pruning=plane.updating.pruning,
        baseline=plane.baseline,
        inspections=plane.inspections,
        lists=plane.lists,
        relying_parties=plane.relying_parties,
        response=plane.response,
        record=plane.record,
        scope=plane.config.scope,
        limits=plane.limits,
        device_url=f"https://{plane.config.names[0]}:{device_port}",
        root_fingerprint=plane.authority.root_fingerprint,
    )


def updating_routes(plane: Plane) -> list[Route]:
    """What the device port serves of updates: metadata, payloads, and hawkBit's device API."""
    parts, payloads = plane.updating, PayloadServer(plane.updating.artefacts)
    return [
        *update_routes(UpdateRoutes(parts.answers, parts.credentials, plane.clock)),
        *target_routes(parts.callers, parts.payloads.allowed, payloads),
        *ddi_routes(parts.callers, parts.ddi, parts.hashing, payloads),
    ]


class Serving:
    """A running control plane: its ports as they are (0 in the configuration means any), and its parts."""

    def __init__(self, plane: Plane) -> None:
        config, keys = plane.config, plane.folder / "keys"
        limits = plane.limits
        device_socket = bind(config.device_host, config.device_port)
        services = services_of(plane, device_socket.getsockname()[1])
        certificate, key = config.operator_files(keys)
        devices = device_app(
            plane.check_ins,
            plane.enrollment,
            limits,
            plane.secret_delivery,
            [*tpm_routes(plane.tpm, limits), *sealed_routes(plane.sealed, limits), *updating_routes(plane)],
        )
        health, counted = health_app(services, devices)
        self.plane = plane
        for_devices, for_est = bounded(limits), bounded(limits, EstProtocol)
        end_with_credentials(plane.store, for_devices, for_est)
        trust = DeviceTrust(keys, plane.passphrase.reveal(), plane.store, plane.authority)
        self.device = Listener(counted, device_socket, tls=trust.device, limits=limits, protocol=for_devices)
        self.operator = Listener(
            operator_app(services, local=False),
            bind(config.operator_host, config.operator_port),
            tls=operator_context(certificate, key, plane.passphrase.reveal()),
            limits=limits,
            protocol=bounded(limits),
        )
        self.local = Listener(
            operator_app(services, local=True),
            bind_local(plane.folder / SOCKET),
            tls=None,
            limits=limits,
            protocol=bounded(limits, LocalProtocol),
        )
        self.health = Listener(
            health, bind("127.0.0.1", config.metrics_port), tls=None, limits=limits, protocol=bounded(limits)
        )
        self.est = Listener(
            est_app(plane.enrollment, limits),
            bind(config.device_host, config.est_port),
            tls=trust.est,
            limits=limits,
            protocol=for_est,
        )
        self._listeners = [self.device, self.est, self.operator, self.local, self.health]
        self.validation: Listener | None = None
        if config.validation_url:
            self.validation = Listener(
                validation_app(plane.lists, plane.answers, plane.clock, limits),
                bind(config.validation_host, config.validation_port),
                tls=None,
                limits=limits,
                protocol=bounded(limits, ValidationProtocol),
            )
            self._listeners.append(self.validation)
        self._work: list[Coroutine[Any, Any, None]] = [plane.verdicts.watch(), plane.retirement.watch(), keep_trimmed()]
        self._work.extend(
            [plane.ownership.watch(), plane.lists.run(), plane.relying_parties.run(), plane.broker_watches.run()]
        )
        self._work.extend([plane.updating.watch.run(), plane.updating.upkeep.watch()])
        if config.webhook_url:
            notifier = WebhookNotifier(config.webhook_url, plane.webhook_secret.text())
            self._work.append(Dispatcher(store=plane.store, clock=plane.clock, notifier=notifier).run())

    def stop(self) -> None:
        """Ask for an orderly end."""
        for listener in self._listeners:
            listener.should_exit = True

    async def started(self, running: asyncio.Task[None]) -> None:
        """Return once every port is listened on, or `running` ended before that."""
        while not all(listener.started for listener in self._listeners):
            done, _ = await asyncio.wait({running}, timeout=STARTING_SECONDS)
            if done:
                return

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """Work that never ends by itself. If it does, the server ends too: without it verdicts would stand for ever."""
        try:
            await work
        finally:
            self.stop()

    async def run(self) -> None:
        """Serve until `stop`.

        Raises:
            Exception: what ended a part of the work that should never end.
        """
        background = [asyncio.create_task(self._guarded(work)) for work in self._work]
        try:
            await asyncio.gather(*(listener.listen() for listener in self._listeners))
        finally:
            for task in background:
                task.cancel()
            for task in background:
                with contextlib.suppress(asyncio.CancelledError):
                    await task


@asynccontextmanager
async def running(config: Config, folder: Path) -> AsyncIterator[Serving]:
    """A control plane that runs for as long as the block does."""
    async with Plane.open(config, folder) as plane:
        serving = Serving(plane)
        task = asyncio.create_task(serving.run())
        try:
            await serving.started(task)
            yield serving
        finally:
            serving.stop()
            await task


class Addresses(msgspec.Struct, frozen=True):
    """Where a running control plane answers, and the digest of the certificate that people's browsers show."""

    devices: str
    est: str
    people: str
    people_certificate: Digest
    health: str
    validation: str


def addresses(serving: Serving) -> Addresses:
    """The addresses of `serving`, with the ports as they are."""
    config, folder = serving.plane.config, serving.plane.folder
    certificate, _ = config.operator_files(folder / "keys")
    return Addresses(
        devices=f"https://{config.names[0]}:{serving.device.port}",
        est=f"https://{config.names[0]}:{serving.est.port}",
        people=f"https://{config.operator_host}:{serving.operator.port}/api/v1",
        people_certificate=certificate_fingerprint(certificate),
        health=f"http://127.0.0.1:{serving.health.port}/readyz",
        validation=config.validation_url if serving.validation is not None else "",
    )


def raise_descriptors(limits: Limits) -> None:
    """Let this process open as many files as its limits on connections need, as far as it may."""
    needed = limits.connections + limits.handshakes + RESERVED_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < needed:
        _log.warning(
            "only %d files may be open, and %d connections need %d: lower connections in holdfast.toml, or raise "
            "LimitNOFILE",
            allowed, limits.connections, needed,
        )  # fmt: skip


async def serve(config: Config, folder: Path, tell: Callable[[Addresses], object]) -> None:
    """Run the control plane until SIGTERM or SIGINT; `tell` hears where it answers, once it does."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    raise_descriptors(config.limits)
    async with running(config, folder) as serving:
        # What a start loads stays; without this the collector walks the whole fleet again and again.
        gc.collect()
        gc.freeze()
        tell(addresses(serving))
        await ended.wait()
