"""Which payload a device may fetch: of its own model, or what it is directed to.

1. The path has the payload's digest, so a name that was reused never gives other bytes.
2. What does not exist and what is not for this device read alike.
"""

from __future__ import annotations

import re

from holdfast.ports.lookup import require_living
from holdfast.ports.store import Store
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceKey
from holdfast_core.supply.model import Payload, Release, release_id
from holdfast_core.update.model import Assignment

_FILE = re.compile(r"([0-9a-f]{64})\.([A-Za-z0-9][A-Za-z0-9._+-]{0,127})", re.ASCII)


def target_payload(store: Store, key: DeviceKey, model: str, version: str, file: str) -> Payload:
    """The payload at ``MODEL/VERSION/<sha256hex>.FILE``, for a device.

    Raises:
        HostileData: ``target.unknown`` (404), ``device.unknown`` (404), ``device.retired`` (409).
    """
    device = require_living(store, key)
    found = _FILE.fullmatch(file)
    try:
        name = release_id(model, version)
    except HostileData:
        name = ""
    release = store.kept(Release, key.scope, name) if name and found is not None else None
    payload = release.payload if release is not None else None
    if payload is None or found is None or (payload.digest, payload.name) != (Digest("sha256:" + found[1]), found[2]):
        raise _unknown()
    assignment = store.kept(Assignment, key.scope, key.device)
    directed = assignment is not None and assignment.release == name and assignment.stage.is_exposed
    if device.model.partition("@")[0] != model and not directed:
        raise _unknown()
    return payload


def _unknown() -> HostileData:
    return HostileData(
        "target.unknown",
        "There is no such payload for this device.",
        remedy="Take path and digest from the director's metadata for this device.",
        http_status=404,
    )
