"""Which payload a device may fetch.

1. A device may fetch the payloads of its own model, whichever it is directed to: what it installs is decided by two
   verified repositories, not by who could read a file.
2. A gateway may fetch those of every model, for it caches them for its site.
3. Whatever else is asked for is told to be unknown, so that nobody learns what others run.
"""

from __future__ import annotations

from holdfast.ports.store import Store
from holdfast_core.inventory.model import DeviceClass
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceKey
from holdfast_core.supply.model import Payload, Release


class Payloads:
    """Finds payloads for devices."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def allowed(self, key: DeviceKey, model: str, version: str, file: str) -> Payload:
        """The payload that ``MODEL/VERSION/<sha256hex>.FILE`` names.

        Raises:
            HostileData: ``update.no_such_payload`` (404).
        """
        release = self._store.kept(Release, key.scope, f"{model}:{version}")
        payload = release.payload if release is not None else None
        if payload is None or file != f"{payload.digest.partition(':')[2]}.{payload.name}" or not self._is(key, model):
            raise HostileData(
                "update.no_such_payload",
                "This device knows of no such payload.",
                remedy="Take the path from the verified metadata.",
                http_status=404,
            )
        return payload

    def _is(self, key: DeviceKey, model: str) -> bool:
        """Whether a device is of a model, or caches for devices that are."""
        device = self._store.device(key)
        stored = self._store.model(key.scope, device.model) if device is not None else None
        if device is None or device.lifecycle.is_over or stored is None:
            return False
        return stored.model.name == model or stored.model.device_class is DeviceClass.GATEWAY
