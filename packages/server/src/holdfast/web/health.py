"""Whether the server is well, for supervisors and Prometheus, on a loopback port of its own.

1. ``/livez`` answers while the process does. ``/readyz`` answers 200 while the store can commit, and says why not.
2. After a failed write ``/readyz`` tries one itself: a server that is sent nothing could never be seen to recover.
3. Metrics carry no device ids, tenants or names: their number must not grow with the fleet.
4. Check-ins are counted around the device application, commits by the store; no service knows of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from holdfast.ports.store import Store
from holdfast.web.api.services import Services
from holdfast_core.kernel import ids
from holdfast_core.kernel.errors import HoldfastError, WorldError

COMMIT_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
COUNTED = {"/v1/check-in": "check_in", "/.well-known/est/simpleenroll": "enrollment"}
"""The device port's paths that are counted, and as what."""


def health_app(services: Services, devices: ASGIApp) -> tuple[ASGIApp, ASGIApp]:
    """The application of the health port, and `devices` with its requests counted for it."""
    registry = CollectorRegistry()
    commits = Commits(registry)
    services.store.watch_commits(commits)
    registry.register(Fleet(services.store, services.scope))
    ProcessCollector(registry=registry)

    async def livez(_request: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def readyz(_request: Request) -> Response:
        if commits.failure is not None:
            await _try_write(services.store, services.scope)
        failure = commits.failure
        if failure is None:
            return JSONResponse({"ready": True, "reasons": []})
        reason = {"code": failure.code, "sentence": failure.sentence, "remedy": failure.remedy}
        return JSONResponse({"ready": False, "reasons": [reason]}, 503)

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    routes = [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)]
    return Starlette(routes=routes), Counted(devices, registry)


async def _try_write(store: Store, scope: ids.Scope) -> None:
    """Write something that is as it was. Only models will do: they never change, so no newer one is overwritten."""
    for model in store.models(scope)[:1]:
        try:
            await store.commit([model])
        except WorldError:
            return  # the store has told its watcher


class Commits:
    """Watches the store's writes; `failure` is what the last one failed with, `None` when it went well."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.failure: WorldError | None = None
        self._seconds = Histogram(
            "holdfast_commit_seconds", "Time of one write to disk.", registry=registry, buckets=COMMIT_BUCKETS
        )
        self._failures = Counter("holdfast_commit_failures", "Writes that failed.", ["code"], registry=registry)

    def __call__(self, seconds: float, error: Exception | None) -> None:
        """See `holdfast.ports.store.CommitWatcher`."""
        self._seconds.observe(seconds)
        if error is not None:
            code = error.code if isinstance(error, HoldfastError) else "unforeseen"
            self._failures.labels(code).inc()
        # Changes that were refused for what they are say nothing of the disk.
        if error is None or isinstance(error, WorldError):
            self.failure = error


class Fleet(Collector):
    """What the store's memory says at the moment of asking."""

    def __init__(self, store: Store, scope: ids.Scope) -> None:
        self._store = store
        self._scope = scope

    def collect(self) -> Iterator[Metric]:
        """The gauges."""
        verdicts = GaugeMetricFamily(
            "holdfast_devices", "Devices by verdict; none: never enrolled.", labels=["verdict"]
        )
        for level, count in sorted(self._store.counts(self._scope).items()):
            verdicts.add_metric([level], count)
        yield verdicts
        yield GaugeMetricFamily("holdfast_log_size", "Leaves of the record.", value=self._store.log_size())
        incidents = len(self._store.open_incidents(self._scope))
        yield GaugeMetricFamily("holdfast_open_incidents", "Incidents not yet closed.", value=incidents)


class Counted:
    """Wraps the device application and counts how its requests end.

    Outcomes: ``accepted`` (2xx), ``refused`` (4xx), ``failed`` (5xx), ``cut_off`` (no answer).
    """

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        outcomes = {2: "accepted", 4: "refused", 5: "failed", 0: "cut_off"}
        self._counters = {}
        for path, what in COUNTED.items():
            counter = Counter(
                f"holdfast_{what}s", f"Requests of kind {what} by outcome.", ["outcome"], registry=registry
            )
            self._counters[path] = {hundred: counter.labels(name) for hundred, name in outcomes.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        counters = self._counters.get(scope.get("path", ""))
        if counters is None:
            await self._app(scope, receive, send)
            return
        hundred = 0

        async def watched(message: Message) -> None:
            nonlocal hundred
            if message["type"] == "http.response.start":
                hundred = message["status"] // 100
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            counters.get(hundred, counters[0]).inc()
