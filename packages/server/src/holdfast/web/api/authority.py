"""The authorities: issuers and their rollover, who is still on the old one, and the certificates to hand out."""

from __future__ import annotations

from typing import Annotated, Literal

from cryptography.hazmat.primitives.serialization import Encoding
from fastapi import APIRouter
from pydantic import Field

from holdfast.identity.rollover import IssuerView
from holdfast.ports.keystore import KeyAlgorithm
from holdfast.web.api.callers import Admin, Principal, Reader, Served
from holdfast.web.api.services import Services
from holdfast.web.api.shapes import Shape, Text, Time
from holdfast_core.identity.issuers import Rollover
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import rfc3339

router = APIRouter(prefix="/authority", tags=["authority"])

LAGGARDS = 200
"""Devices listed; the count is always of all."""


class IssuerShape(Shape):
    """One issuer of the caller's tenant and environment. `in_force`: certificates that could speak now."""

    number: int
    standing: str
    since: Time
    fingerprint: str
    not_after: Time
    algorithm: str
    in_force: int


class AuthorityPage(Shape):
    """The root, the issuers by number, and the devices whose certificate is still of the retiring one."""

    root_fingerprint: str
    root_key_is_here: bool
    issuers: list[IssuerShape]
    laggards: list[str]
    laggard_count: int


class RolloverStep(Shape):
    """A step; `force` ends an issuer though devices still depend on it, `algorithm` is the next issuer's."""

    step: Rollover
    force: bool = False
    algorithm: KeyAlgorithm = KeyAlgorithm.P256


class NewScope(Shape):
    """A tenant and environment that is to have an issuer of its own."""

    tenant: Annotated[Text, Field(min_length=1)]
    environment: Annotated[Text, Field(min_length=1)]
    algorithm: KeyAlgorithm = KeyAlgorithm.P256


class IssuerList(Shape):
    """The issuers of one tenant and environment."""

    items: list[IssuerShape]


class CertificateExport(Shape):
    """Certificates as PEM."""

    pem: str
    count: int


@router.get("")
async def show_authority(caller: Reader, services: Served) -> AuthorityPage:
    """Show the root, the issuers, and who is still on the retiring one."""
    return _page(caller, services)


@router.post("/rollover")
async def move_rollover(step: RolloverStep, caller: Admin, services: Served) -> AuthorityPage:
    """Begin, switch or end a rollover of the issuer."""
    await services.rollover.move(
        caller.scope, step.step, actor=caller.actor, force=step.force, algorithm=step.algorithm
    )
    return _page(caller, services)


@router.post("/scopes", status_code=201)
async def found_scope(new: NewScope, caller: Admin, services: Served) -> IssuerList:
    """Make the first issuer of another tenant and environment; only administrators of the installation may."""
    if caller.scope != services.scope:
        raise IdentityRefused(
            "authority.not_installation",
            f"A caller of {caller.scope} cannot make authorities of others.",
            remedy=f"Call with a token of {services.scope}, or on the server: holdfast ca init.",
        )
    scope = Scope(new.tenant, new.environment)
    views = await services.rollover.found(scope, actor=caller.actor, algorithm=new.algorithm)
    return IssuerList(items=[_issuer(view) for view in views])


@router.get("/certificates/{which}")
async def export_certificates(
    which: Literal["root", "services", "issuers", "anchors"], caller: Reader, services: Served
) -> CertificateExport:
    """Export certificates as PEM: the root, the services' authority, the issuers, or their anchors for a broker."""
    found = services.rollover.certificates(caller.scope, which)
    pem = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in found)
    return CertificateExport(pem=pem.decode("ascii"), count=len(found))


def _page(caller: Principal, services: Services) -> AuthorityPage:
    late = services.rollover.laggards(caller.scope)
    return AuthorityPage(
        root_fingerprint=services.root_fingerprint,
        root_key_is_here=services.rollover.root_key_is_here,
        issuers=[_issuer(view) for view in services.rollover.show(caller.scope)],
        laggards=[credential.key.device for credential in late[:LAGGARDS]],
        laggard_count=len(late),
    )


def _issuer(view: IssuerView) -> IssuerShape:
    return IssuerShape(
        number=view.number,
        standing=view.standing.value,
        since=rfc3339(view.since),
        fingerprint=view.fingerprint,
        not_after=rfc3339(view.not_after),
        algorithm=view.algorithm,
        in_force=view.in_force,
    )
