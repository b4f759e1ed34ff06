"""Which versions a device says that it holds, and the one request that brings what is newer.

1. A file counts as held only where the file above it lists just that version: what was lost or is out of step comes
   again. To hold less than one has costs a few kilobytes; to hold more would leave a gap for good.
2. The first answer after a change of keys may lack what the server thought to be here; then it is asked once more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from holdfast_agent.transport import Channel
from holdfast_agent.update.metadata_view import SNAPSHOT, TARGETS, TIMESTAMP, View, view
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.wire.update_metadata import FILES, LARGEST_BROUGHT, PATH, Brought, Holding, Versions

_ROLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_JSON = {"Content-Type": "application/json"}


def versions(root: View, files: Mapping[str, bytes]) -> Versions:
    """What is held of a repository: its newest root, and the kept files by name."""
    seen = {name.removesuffix(".json"): _view(data) for name, data in files.items() if "/" not in name}
    timestamp, snapshot = seen.get(TIMESTAMP), seen.get(SNAPSHOT)
    if timestamp is None:
        return Versions(root.version)
    if snapshot is None or snapshot.version != timestamp.listed(SNAPSHOT):
        return Versions(root.version, timestamp.version)
    listed = {name: each.version for name, each in seen.items() if each and each.version == snapshot.listed(name)}
    roles = {name: version for name, version in sorted(listed.items()) if name != TARGETS and _ROLE.fullmatch(name)}
    return Versions(
        root.version, timestamp.version, snapshot.version, listed.get(TARGETS, 0), dict(list(roles.items())[:FILES])
    )


def is_whole(held: Versions) -> bool:
    """Whether every top-level role is held."""
    return bool(held.timestamp and held.snapshot and held.targets)


def fetch(channel: Channel, holding: Holding) -> Brought:
    """What the server has that is newer.

    Raises:
        Failed: as the channel says.
        HostileData: ``update.answer_malformed``, ``update.answer_too_large``.
    """
    return read_brought(channel.call("POST", PATH, msgspec.json.encode(holding), _JSON))


def read_brought(data: bytes) -> Brought:
    """An answer. Raises HostileData ``update.answer_malformed``, ``update.answer_too_large``."""
    if len(data) > LARGEST_BROUGHT:
        raise LimitExceeded(
            "update.answer_too_large",
            f"The server's answer has {len(data)} bytes; {LARGEST_BROUGHT} are allowed.",
            remedy="Check the server's address; Holdfast never answers so much.",
        )
    try:
        return msgspec.json.decode(data, type=Brought)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise HostileData(
            "update.answer_malformed",
            f"The server's answer is no update metadata: {error}.",
            remedy="Check that the address is Holdfast's device port, and that the server is no older than the agent.",
        ) from None


def _view(data: bytes) -> View | None:
    try:
        return view(data)
    except HostileData:
        return None
