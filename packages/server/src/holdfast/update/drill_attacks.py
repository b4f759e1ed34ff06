"""What the thieves of a drill put together from the keys they have."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric import ed25519

from holdfast.update import making
from holdfast.update.director import signed_set
from holdfast.update.drill_twin import DrillClient, Team, Twin
from holdfast.update.online_files import OnlineSigner, snapshot_file, timestamp_file
from holdfast.update.shelf import role_file
from holdfast.update.state import loaded_file
from holdfast.update.tuf_files import read_targets
from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.supply.model import Nature, Offer, PayloadKind
from holdfast_core.update.agreement import EXEMPTIONS, OFFER, Board, Target, accept
from holdfast_core.update.repository import Direction, Issue, Name, Online, Part

DEVICE, MODEL = "drill", "drill-model"


class Signers(NamedTuple):
    """Whose keys sign snapshot and timestamp."""

    snapshot: OnlineSigner
    timestamp: OnlineSigner


def own_key() -> ed25519.Ed25519PrivateKey:
    """A key that nobody named."""
    return ed25519.Ed25519PrivateKey.generate()


def evil(model: str = MODEL) -> Target:
    """A release of the thief's own."""
    data = b"the thief's own image"
    offer = Offer(f"{model}:6.6.6", 2**40, 2**40, PayloadKind.FILE, ("drill",), Nature.SECURITY)
    return Target(path_of(model), len(data), digest_of(data), offer)


def path_of(role: str) -> str:
    """Where a thief who holds a role puts his own target."""
    if role == EXEMPTIONS:
        return f"{EXEMPTIONS}/evil.json"
    return f"{MODEL if role == 'targets' else role}/6.6.6/evil.img"


def directed(twin: Twin, signer: OnlineSigner, version: int) -> dict[str, bytes]:
    """The director's files for a device that is told to install the thief's release."""
    direction = Direction(twin.scope, DEVICE, version=version, issued=twin.now, timestamp=version, stamped=twin.now)
    made = signed_set(direction, evil(), 7 * DAY, signer)
    files = {f"{version}.targets.json": made.targets, f"{version}.snapshot.json": made.snapshot}
    return {**twin.roots(Name.DIRECTOR), **files, "timestamp.json": made.timestamp}


def refusal(director: DrillClient, image: DrillClient, now: Instant) -> str:
    """Why a device does not install the thief's release by these two; empty where it does."""
    path = evil().path
    board = Board(DEVICE, MODEL, ("drill",), PayloadKind.FILE, 0, 0, 0)
    try:
        accept(board, _target(director, path), _target(image, path), named=DEVICE, now=now)
    except HostileData as error:
        return error.sentence
    return ""


def _target(client: DrillClient, path: str) -> Target | None:
    info = client.target(path)
    if info is None:
        return None
    offer = msgspec.convert(info.custom[OFFER], Offer)
    return Target(path, info.length, Digest(f"sha256:{info.hashes['sha256']}"), offer)


def stamped(twin: Twin, versions: tuple[int, int], signers: Signers, older: Part | None = None) -> dict[str, bytes]:
    """Snapshot and timestamp of these versions by these keys; with `older`, its file instead of the newest."""
    parts = [older if older is not None and older.role == each.role else each for each in twin.state.parts.values()]
    snapshot = snapshot_file(Issue(versions[0], twin.now), 30 * DAY, parts, signers.snapshot)
    stamp = timestamp_file(Issue(versions[1], twin.now), 7 * DAY, snapshot, versions[0], signers.timestamp)
    return {
        **twin.files(versions[0]),
        f"{versions[0]}.snapshot.json": snapshot,
        "timestamp.json": stamp,
    }


def with_evil(twin: Twin, role: str, version: int, thief: Team, count: int) -> dict[str, bytes]:
    """Everything in force, with the thief's target in one role, signed by `count` keys of `thief`.

    The thief has the server's keys too, so that snapshot and timestamp say what he likes.
    """
    made, own = twin.next_of(role), Team((own_key(),), 1)
    state, files = twin.state, {}
    if role == "targets":
        making.with_delegation(made, MODEL, own.holders)
        first = making.first_role(twin.scope, now=twin.now).targets
        making.with_target(first, evil())
        file = read_targets(own.sign(making.finished(first).data))
        state = loaded_file(state, MODEL, file)
        files[f"1.{MODEL}.json"] = file.data
    else:
        target = evil(role)
        making.with_target(made, msgspec.structs.replace(target, path=path_of(role)))
    file = read_targets(thief.sign(making.finished(made).data, count))
    state = loaded_file(state, role, file)
    files[role_file(state.parts[role])] = file.data
    before, twin.state = twin.state, state
    files = {**twin.files(version, path_of(role)), **files}
    twin.state = before
    return files


def signers_of(twin: Twin) -> Signers:
    """The keys in force."""
    return Signers(twin.signer(Online.SNAPSHOT), twin.signer(Online.TIMESTAMP))
