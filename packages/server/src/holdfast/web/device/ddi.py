"""The device port's routes for clients of hawkBit's Direct Device Integration API.

All under ``/{tenant}/controller/v1/{device}``; mutual TLS, or the device's update token.

====================================================  =====================================================
``GET``                                               what waits for the device, and when to ask again
``PUT configData``                                    what the client says of its device
``GET deploymentBase/{action}``                       what to install
``POST deploymentBase/{action}/feedback``             how far it is, how it ended
``GET cancelAction/{action}``                         that it is called off
``POST cancelAction/{action}/feedback``               that it stopped, or goes on
``GET installedBase/{action}``                        what it installed last
``GET confirmationBase``                              nothing waits for consent on the device
``GET softwaremodules/{n}/artifacts``                 the files of a release
``GET softwaremodules/{n}/artifacts/{file}``          a payload, or part of it; ``.MD5SUM`` its MD5
====================================================  =====================================================

1. Links repeat the host and the tenant as the client wrote them: some look for parts of them.
2. Bodies are bounded; who calls is judged before one is read.

Source: Eclipse hawkBit, Direct Device Integration API v1.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from holdfast.update.ddi import DdiService
from holdfast.update.ddi_callers import DdiCallers
from holdfast.update.old_hashes import OldHashing
from holdfast.web.device.guarded import Guarded, body_of
from holdfast.web.device.protocol import peer_fingerprint
from holdfast.web.device.targets import PayloadServer
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceKey, Scope
from holdfast_core.supply.model import Payload, PayloadKind, Release
from holdfast_core.update.ddi_parsing import LARGEST_CONFIG, LARGEST_FEEDBACK, sleep_text
from holdfast_core.update.ddi_shapes import (
    Artifact,
    ArtifactLinks,
    Base,
    CancelAction,
    Chunk,
    Config,
    ConfirmationBase,
    Deployment,
    DeploymentBase,
    Handling,
    Hashes,
    Link,
    Links,
    Polling,
    Stop,
)
from holdfast_core.update.ddi_standing import Standing

BASE = "/{tenant}/controller/v1/{device}"
MEDIA_TYPE = "application/json;charset=utf-8"
MD5SUM = ".MD5SUM"
_NUMBER = re.compile(r"[0-9]{1,16}", re.ASCII)
_HOST = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?", re.ASCII)
_ENCODER = msgspec.json.Encoder()
_AVAILABLE, _UNAVAILABLE = "available", "unavailable"
_Handler = Callable[[Request, DeviceKey], Awaitable[Response]]


class DdiRoutes:
    """The routes, over their service."""

    def __init__(self, callers: DdiCallers, service: DdiService, hashing: OldHashing, server: PayloadServer) -> None:
        self._callers = callers
        self._service = service
        self._hashing = hashing
        self._server = server

    def routes(self) -> list[Route]:
        """All of them."""
        named: list[tuple[str, str, _Handler]] = [
            ("", "GET", self._poll),
            ("/configData", "PUT", self._describe),
            ("/deploymentBase/{action}", "GET", self._deployment),
            ("/deploymentBase/{action}/feedback", "POST", self._feedback),
            ("/cancelAction/{action}", "GET", self._cancellation),
            ("/cancelAction/{action}/feedback", "POST", self._cancel_feedback),
            ("/installedBase/{action}", "GET", self._installed),
            ("/confirmationBase", "GET", self._confirmation),
            ("/softwaremodules/{module}/artifacts", "GET", self._artifacts),
            ("/softwaremodules/{module}/artifacts/{file}", "GET", self._artifact),
        ]
        return [Route(BASE + path, Guarded(self._known(handler)), methods=[method]) for path, method, handler in named]

    def _known(self, handler: _Handler) -> Callable[[Request], Awaitable[Response]]:
        async def known(request: Request) -> Response:
            path, authorization = request.path_params, request.headers.get("authorization", "")
            key = await self._callers.admit(
                path["tenant"], path["device"], peer_fingerprint(request.scope), authorization
            )
            return await handler(request, key)

        return known

    async def _poll(self, request: Request, key: DeviceKey) -> Response:
        standing = await self._service.poll(key)
        client, root = standing.client, _root(request)
        deployment = f"{root}/deploymentBase/{client.action}?c={client.trial}"
        links = Links(
            deployment_base=Link(deployment) if standing.offered else None,
            cancel_action=Link(f"{root}/cancelAction/{client.action}") if standing.called_off else None,
            config_data=Link(f"{root}/configData") if standing.asks else None,
            installed_base=Link(f"{root}/installedBase/{client.installed}") if client.installed else None,
        )
        return _document(Base(Config(Polling(sleep_text(standing.sleep_s))), links))

    async def _describe(self, request: Request, key: DeviceKey) -> Response:
        await self._service.describe(key, await body_of(request, LARGEST_CONFIG))
        return Response()

    async def _deployment(self, request: Request, key: DeviceKey) -> Response:
        action = _number(request.path_params["action"])
        standing = await self._service.deployment(key, action)
        release = standing.release
        if release is None:
            raise _nowhere()
        return _document(DeploymentBase(str(action), await self._deployed(request, key.scope, release, standing)))

    async def _feedback(self, request: Request, key: DeviceKey) -> Response:
        action = _number(request.path_params["action"])
        await self._service.feedback(key, action, await body_of(request, LARGEST_FEEDBACK))
        return Response()

    async def _cancellation(self, request: Request, key: DeviceKey) -> Response:
        action = _number(request.path_params["action"])
        await self._service.cancellation(key, action)
        return _document(CancelAction(str(action), Stop(str(action))))

    async def _cancel_feedback(self, request: Request, key: DeviceKey) -> Response:
        action = _number(request.path_params["action"])
        await self._service.cancel_feedback(key, action, await body_of(request, LARGEST_FEEDBACK))
        return Response()

    async def _installed(self, request: Request, key: DeviceKey) -> Response:
        action = _number(request.path_params["action"])
        release = self._service.installed(key, action)
        return _document(DeploymentBase(str(action), await self._deployed(request, key.scope, release)))

    async def _confirmation(self, _request: Request, _key: DeviceKey) -> Response:
        return _document(ConfirmationBase())

    async def _artifacts(self, request: Request, key: DeviceKey) -> Response:
        release = self._service.module(key, _number(request.path_params["module"]))
        return _document((await self._files(request, key.scope, release),))

    async def _artifact(self, request: Request, key: DeviceKey) -> Response:
        release = self._service.module(key, _number(request.path_params["module"]))
        payload, file = _payload(release), request.path_params["file"]
        if file == payload.name:
            return await self._server.answer(request, payload)
        if file == payload.name + MD5SUM:
            old = await self._hashing.of(key.scope, payload)
            return Response(f"{old.md5}  {payload.name}\n", media_type="text/plain")
        raise _nowhere()

    async def _deployed(
        self, request: Request, scope: Scope, release: Release, standing: Standing | None = None
    ) -> Deployment:
        """What to install; `standing` says whether to, where there is something to do."""
        handling = standing.handling if standing is not None else Handling.SKIP
        window = _UNAVAILABLE if handling is Handling.SKIP else _AVAILABLE
        # Zephyr takes nothing but 'bApp', and one chunk of one file.
        part = "bApp" if _payload(release).kind is PayloadKind.MCUBOOT else "os"
        file = await self._files(request, scope, release)
        return Deployment(handling, handling, window, (Chunk(part, release.version, release.model, (file,)),))

    async def _files(self, request: Request, scope: Scope, release: Release) -> Artifact:
        payload = _payload(release)
        old = await self._hashing.of(scope, payload)
        number = release.offer.counter if release.offer is not None else 0
        href = f"{_root(request)}/softwaremodules/{number}/artifacts/{quote(payload.name)}"
        file, md5 = Link(href), Link(href + MD5SUM)
        hashes = Hashes(old.sha1, old.md5, payload.digest.partition(":")[2])
        return Artifact(payload.name, hashes, payload.size, ArtifactLinks(file, md5, file, md5))


def _root(request: Request) -> str:
    """The device's own root of this API, as the client reaches it."""
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        raise HostileData(
            "ddi.host",
            "The header Host is missing or is none.",
            remedy="Call with the name and port that the client is configured with.",
        )
    path = request.path_params
    return f"{request.url.scheme}://{host}/{quote(path['tenant'])}/controller/v1/{quote(path['device'])}"


def _payload(release: Release) -> Payload:
    if release.payload is None:
        raise _nowhere()
    return release.payload


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise _nowhere()
    return int(text)


def _nowhere() -> HostileData:
    return HostileData(
        "ddi.not_found",
        "Nothing is served at this path.",
        remedy="Poll, and take the links from the answer.",
        http_status=404,
    )


def _document(value: object) -> Response:
    return Response(_ENCODER.encode(value), media_type=MEDIA_TYPE, headers={"cache-control": "no-store"})


def ddi_routes(callers: DdiCallers, service: DdiService, hashing: OldHashing, server: PayloadServer) -> list[Route]:
    """The routes of the DDI API."""
    return DdiRoutes(callers, service, hashing, server).routes()
