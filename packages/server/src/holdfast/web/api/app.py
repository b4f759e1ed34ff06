"""The operator API put together: one application for the port of people and programs, one for the local socket.

1. Both are the same routes; they differ in who calls (`callers`).
2. Every error is a problem (RFC 9457): ours, the router's, a body that does not fit, and what nobody foresaw.
"""

from __future__ import annotations

import json
import logging
from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from holdfast.update.uploads import PIECE
from holdfast.web.api import (
    artefacts,
    attestations,
    authority,
    backups,
    brokers,
    claims,
    controls,
    crls,
    device_updates,
    devices,
    enrollments,
    fleet_claims,
    incidents,
    log,
    manufacturers,
    models,
    ownership,
    references,
    releases,
    repositories,
    retirement,
    rollouts,
    sealed_secrets,
    secrets,
    status,
    tokens,
    tpm,
    update_tokens,
    vault,
)
from holdfast.web.api.callers import by_local_user, by_token
from holdfast.web.api.document import completed
from holdfast.web.api.edge import CHALLENGE, Edge
from holdfast.web.api.repositories import LARGEST_SENT
from holdfast.web.api.services import Services
from holdfast.web.problems import rendered
from holdfast_core.formats.dsse import LARGEST_ENVELOPE
from holdfast_core.kernel.errors import Bug, HoldfastError, HostileData

BASE = "/api/v1"
DOCUMENT = f"{BASE}/openapi.json"
LARGEST_ROLLOUT = 2 * 1024 * 1024
"""Bytes of a rollout that names its devices one by one."""
SHOWN_ERRORS = 5
ERROR_CHARACTERS = 200
_log = logging.getLogger("holdfast.api")


def operator_app(services: Services, *, local: bool) -> FastAPI:
    """The application of the operator API.

    Args:
        services: what it is served from.
        local: whether it is for the Unix socket, whose protocol must be `LocalProtocol`; otherwise callers need a
            token.
    """
    app = routed()
    app.state.services = services
    app.add_middleware(
        Edge,
        identify=partial(by_local_user if local else by_token, services),
        public=frozenset({DOCUMENT}),
        body_limit=services.limits.operator_bytes,
        body_limits={
            f"{BASE}/models": services.limits.model_bytes,
            f"{BASE}/devices/import": services.limits.rows_text,
            f"{BASE}/releases": LARGEST_ENVELOPE,
            f"{BASE}/rollouts": LARGEST_ROLLOUT,
            f"{BASE}/artefacts/": PIECE,
            f"{BASE}/update/ceremony": LARGEST_SENT,
        },
    )
    return app


def routed() -> FastAPI:
    """The routes and their errors, with no services behind them yet; enough to describe the API."""
    app = FastAPI(
        title="Holdfast operator API",
        version="1",
        description="What people and programs ask of a Holdfast control plane. Errors are RFC 9457 problems.",
        openapi_url=DOCUMENT,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    for part in (
        status,
        controls,
        models,
        ownership,
        devices,
        retirement,
        attestations,
        references,
        artefacts,
        releases,
        rollouts,
        device_updates,
        repositories,
        update_tokens,
        claims,
        enrollments,
        fleet_claims,
        manufacturers,
        brokers,
        tokens,
        authority,
        crls,
        tpm,
        incidents,
        log,
        backups,
        secrets,
        sealed_secrets,
        vault,
    ):
        app.include_router(part.router, prefix=BASE)
    app.add_exception_handler(HoldfastError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    framework = app.openapi

    def openapi() -> dict[str, Any]:
        return completed(framework())

    app.openapi = openapi  # type: ignore[method-assign]  # how FastAPI documents changing its document
    return app


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HoldfastError)  # noqa: S101  (registered for this class only)
    if isinstance(error, Bug):
        _log.error("our fault: %s", error.code, exc_info=error)
    return rendered(error, CHALLENGE)


async def _invalid(_request: Request, error: Exception) -> Response:
    """A body or parameter of the wrong shape: where and what, never the input itself."""
    assert isinstance(error, RequestValidationError)  # noqa: S101  (registered for this class only)
    problems = error.errors()
    told = "; ".join(_told(problem) for problem in problems[:SHOWN_ERRORS])
    more = f" And {len(problems) - SHOWN_ERRORS} more." if len(problems) > SHOWN_ERRORS else ""
    return rendered(
        HostileData(
            "request.invalid",
            f"The request does not fit: {told}.{more}",
            remedy=f"See {DOCUMENT} for what this operation takes; send JSON as application/json.",
            http_status=422,
        )
    )


def _told(problem: Any) -> str:
    where = ".".join(str(step)[:ERROR_CHARACTERS] for step in problem["loc"])
    return f"{where[:ERROR_CHARACTERS]}: {problem['msg'][:ERROR_CHARACTERS]}"


async def _http(_request: Request, error: Exception) -> Response:
    """What the framework refuses by itself."""
    assert isinstance(error, HTTPException)  # noqa: S101  (registered for this class only)
    code, sentence, remedy = _FRAMEWORK.get(error.status_code, _OTHER)
    response = rendered(HostileData(code, sentence, remedy=remedy, http_status=error.status_code))
    response.headers.update(error.headers or {})
    return response


_FRAMEWORK = {
    400: ("request.unreadable", "The body could not be read.", "Send well-formed JSON in UTF-8."),
    404: ("request.no_such_path", "There is nothing at this path.", f"See {DOCUMENT} for every operation."),
    405: ("request.method", "This path does not take this method.", f"See {DOCUMENT} for every operation."),
}
_OTHER = ("request.refused", "The request was refused.", f"See {DOCUMENT} for every operation.")


def openapi_text() -> str:
    """The API's description as it is committed in ``docs/reference/openapi.json``."""
    return json.dumps(routed().openapi(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
