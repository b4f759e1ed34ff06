"""TPMs: which chip is in which device, and whose word for a chip is taken."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import StringConstraints

from holdfast.web.api.callers import Admin, Operator, Reader, Served
from holdfast.web.api.shapes import Shape, Text, Time, Why
from holdfast_core.identity.endorsement import LARGEST_CERTIFICATE, EkRoot, TpmBinding
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import rfc3339

router = APIRouter(prefix="/tpm", tags=["tpm"])

_LONGEST_PEM = 2 * LARGEST_CERTIFICATE


class NewChip(Shape):
    """A device, and the digest of the endorsement key of the chip in it (SHA-256 over its SubjectPublicKeyInfo)."""

    device: Text
    digest: Text


class ChipShape(Shape):
    """A chip that is a device's, and who said so: a person, or the device's first enrollment."""

    digest: str
    device: str
    bound_at: Time
    by: str


class ChipList(Shape):
    """Chips by digest."""

    items: list[ChipShape]


class NewRoot(Shape):
    """The certificate (PEM) of an authority that certifies chips.

    With `first_use` its chips bind themselves to devices that are expected, without a claim: only for an authority
    all of whose chips are yours.
    """

    name: Text
    certificate: Annotated[str, StringConstraints(max_length=_LONGEST_PEM)]
    first_use: bool = False


class RootShape(Shape):
    """A trusted authority; `fingerprint` is of its certificate."""

    name: str
    fingerprint: str
    first_use: bool
    added_at: Time


class RootList(Shape):
    """Trusted authorities by name."""

    items: list[RootShape]


@router.get("/chips")
async def list_chips(caller: Reader, services: Served) -> ChipList:
    """List the chips that are bound to devices."""
    return ChipList(items=[_chip(binding) for binding in services.chips.bindings(caller.scope)])


@router.post("/chips", status_code=201)
async def pin_chip(new: NewChip, caller: Operator, services: Served) -> ChipShape:
    """Say that a chip is in a device; it may enroll with it from then on, without a claim."""
    return _chip(await services.chips.pin(caller.key(new.device), new.digest, actor=caller.actor))


@router.post("/chips/{digest}/release")
async def release_chip(digest: Annotated[str, Path()], ended: Why, caller: Operator, services: Served) -> ChipShape:
    """Say that a chip is in no device any more. Its device keeps its certificate, and cannot come back by the chip."""
    return _chip(await services.chips.release(caller.scope, digest, why=ended.why, actor=caller.actor))


@router.get("/roots")
async def list_roots(caller: Reader, services: Served) -> RootList:
    """List the authorities whose word for a chip is taken."""
    return RootList(items=[_root(root) for root in services.chips.roots(caller.scope)])


@router.post("/roots", status_code=201)
async def trust_root(new: NewRoot, caller: Admin, services: Served) -> RootShape:
    """Take an authority's word for chips."""
    try:
        data = new.certificate.encode("ascii")
    except UnicodeEncodeError:
        raise HostileData(
            "tpm.root_invalid", "This is not a certificate.", remedy="Send the certificate as PEM."
        ) from None
    root = await services.chips.trust(caller.scope, new.name, data, first_use=new.first_use, actor=caller.actor)
    return _root(root)


@router.post("/roots/{name}/distrust")
async def distrust_root(name: Annotated[str, Path()], ended: Why, caller: Admin, services: Served) -> RootShape:
    """Take an authority's word no more; chips that are bound stay so."""
    return _root(await services.chips.distrust(caller.scope, name, why=ended.why, actor=caller.actor))


def _chip(binding: TpmBinding) -> ChipShape:
    return ChipShape(
        digest=f"sha256:{binding.id}", device=binding.device, bound_at=rfc3339(binding.bound_at), by=binding.by
    )


def _root(root: EkRoot) -> RootShape:
    return RootShape(
        name=root.id,
        fingerprint=digest_of(root.certificate),
        first_use=root.first_use,
        added_at=rfc3339(root.added_at),
    )
