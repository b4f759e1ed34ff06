"""Revocation lists: which there are, their bytes, and what a published one should be like."""

from __future__ import annotations

from typing import Annotated

from cryptography.hazmat.primitives.serialization import Encoding
from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from holdfast.identity.lists import WHOLE, pem
from holdfast.web.api.callers import Reader, Served
from holdfast.web.api.shapes import Shape, Text, Time
from holdfast_core.identity.validity import issuer_name
from holdfast_core.kernel.instants import rfc3339

router = APIRouter(prefix="/crls", tags=["crls"])

CRL_TYPE, PEM_TYPE = "application/pkix-crl", "application/x-pem-file"
IssuerName = Annotated[str, Path(description="The issuer, as the list of lists names it.")]
_BYTES = {"schema": {"type": "string", "format": "binary"}}


class CrlShape(Shape):
    """The whole list of one issuer, and what is needed to check a published one against it.

    `expected_number` is the lowest that a published list may have by now. `canaries` are serial numbers (hexadecimal)
    that it must hold. `address` is where the list is served; empty where no validation port is.
    """

    issuer: str
    digest: str
    number: int
    this_update: Time
    next_update: Time
    entries: int
    size: int
    shards: int
    address: str
    expected_number: int
    canaries: list[str]
    certificate: str


class CrlList(Shape):
    """The whole lists of every issuer of the caller's scope."""

    items: list[CrlShape]


@router.get("")
async def list_crls(caller: Reader, services: Served) -> CrlList:
    """List the revocation lists, one of each issuer."""
    lists = services.lists
    expected = {one.name: one for one in services.relying_parties.expected(caller.scope)}
    items = []
    for issuer in lists.issuers(caller.scope):
        made, name = await lists.current(issuer), issuer_name(issuer.id)
        items.append(
            CrlShape(
                issuer=name,
                digest=issuer.id,
                number=made.stamp.number,
                this_update=rfc3339(made.stamp.this_update),
                next_update=rfc3339(made.stamp.next_update),
                entries=made.entries,
                size=len(made.der),
                shards=lists.shards(issuer.id),
                address=lists.address(issuer.id),
                expected_number=expected[name].number,
                canaries=[f"{serial:x}" for serial in sorted(expected[name].canaries)],
                certificate=issuer.certificate.public_bytes(Encoding.PEM).decode(),
            )
        )
    return CrlList(items=items)


@router.get(
    "/bundle",
    response_class=Response,
    responses={200: {"content": {PEM_TYPE: _BYTES}, "description": "The lists of every issuer, one after another."}},
)
async def bundle_crls(caller: Reader, services: Served) -> Response:
    """Get the whole lists of every issuer as PEM: the file that a broker of the environment checks by."""
    return Response(await services.lists.bundle(caller.scope), media_type=PEM_TYPE)


@router.get(
    "/{issuer}",
    response_class=Response,
    responses={200: {"content": {CRL_TYPE: _BYTES, PEM_TYPE: _BYTES}, "description": "The list."}},
)
async def show_crl(
    issuer: IssuerName,
    caller: Reader,
    services: Served,
    shard: Annotated[int | None, Query(ge=0, description="One shard; without it, the whole list.")] = None,
    form: Annotated[Text, Query(description="pem or der.", pattern="^(pem|der)$")] = "pem",
) -> Response:
    """Get an issuer's list, whole or one shard of it."""
    found = services.lists.named(issuer, caller.scope)
    made = await services.lists.current(found, WHOLE if shard is None else shard)
    if form == "der":
        return Response(made.der, media_type=CRL_TYPE)
    return Response(pem(made.der), media_type=PEM_TYPE)
