"""The files of signing ceremonies: begun, merged, signed; pure but for reading them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ed25519

from holdfast.cli.files import read_bounded
from holdfast.update.ceremony import KIND, LARGEST_CEREMONY, Ceremony, CeremonyFile, decode_ceremony
from holdfast.update.founding import founding_files, read_file, signed_by
from holdfast.update.making import Holders, OnlinePublics, RootPlan
from holdfast.update.rotating import rotation
from holdfast.update.tuf_files import RootFile, assembled, read_root
from holdfast.update.wording import known_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import Instant
from holdfast_core.update.repository import Name


def parse_scope(text: str) -> Scope:
    """``TENANT/ENVIRONMENT``. Raises HostileData ``name.invalid``."""
    tenant, _, environment = text.partition("/")
    return Scope(tenant, environment)


def started(scope: str, online: OnlinePublics, root: Holders, targets: Holders, now: Instant) -> Ceremony:
    """What is signed at the beginning."""
    files = founding_files(parse_scope(scope), RootPlan(root, targets, online), now=now)
    return Ceremony(KIND, scope, files)


def rotated(
    path: Path, scope: str, online: OnlinePublics, now: Instant, *, root: Holders | None, targets: Holders | None
) -> Ceremony:
    """What is signed at a rotation, from a file with everything in force.

    Raises:
        HostileData: ``repository.*``, ``keys.scope``.
    """
    before = decode_ceremony(read_bounded(path, LARGEST_CEREMONY))
    if before.scope != scope:
        raise HostileData(
            "keys.scope",
            f"The server's keys are of {scope[:130]}, and {path} is of {before.scope}.",
            remedy="Fetch both from one server and environment.",
        )
    known = known_of(before, None)
    files = rotation(known.state, known.roles, online, root=root, targets=targets, now=now)
    return Ceremony(KIND, scope, files, before.current)


def newest_root(path: Path) -> RootFile:
    """The newest image root in a file that the signer kept.

    Raises:
        HostileData: ``keys.no_root``, ``repository.*``.
    """
    kept = decode_ceremony(read_bounded(path, LARGEST_CEREMONY))
    roots = [
        read_root(each.metadata)
        for each in (*kept.files, *kept.current)
        if each.repository is Name.IMAGE and each.role == "root"
    ]
    if not roots:
        raise HostileData(
            "keys.no_root", f"{path} holds no root of the image repository.", remedy="Name a file that you signed."
        )
    return max(roots, key=lambda each: each.root.version)


def signed(ceremony: Ceremony, wanted: Sequence[int], key: ed25519.Ed25519PrivateKey) -> Ceremony:
    """A ceremony with the files of these numbers signed."""
    files = [
        msgspec.structs.replace(each, metadata=signed_by(each.metadata, key)) if index in wanted else each
        for index, each in enumerate(ceremony.files)
    ]
    return msgspec.structs.replace(ceremony, files=tuple(files))


def merged(ceremonies: Sequence[Ceremony]) -> Ceremony:
    """Several people's copies as one: the signatures of each file together.

    Raises:
        HostileData: ``keys.scope``, ``repository.*``.
    """
    if len({each.scope for each in ceremonies}) > 1:
        raise HostileData(
            "keys.scope", "These files are of different environments.", remedy="Publish those of each by themselves."
        )
    found: dict[tuple[Name, str, bytes], CeremonyFile] = {}
    for file in (file for each in ceremonies for file in each.files):
        read = read_file(file.role, file.metadata)
        place = (file.repository, file.role, read.signed)
        if place in found:
            known = read_file(file.role, found[place].metadata)
            data = assembled(read, {**known.signatures, **read.signatures})
            found[place] = msgspec.structs.replace(file, metadata=data)
        else:
            found[place] = file
    return Ceremony(KIND, ceremonies[0].scope, tuple(found.values()))


def ceremony_from(told: Any) -> Ceremony:
    """A ceremony as the API told it."""
    return decode_ceremony(msgspec.json.encode(told))
