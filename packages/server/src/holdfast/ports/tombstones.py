"""What is left of a retired device: whoever tries to bring it back, by whatever belonged to it, is refused and told of.

1. Every way to a certificate asks here before it admits: claim, renewal, approval, manufacturer's certificate, TPM.
2. What was tried becomes an incident of its own, in a commit of its own: the refusal is raised after it is durable.
3. A device that is waited for to erase itself is refused alike, but it may still try by mistake: no incident.
"""

from __future__ import annotations

from holdfast.ports.clock import Clock
from holdfast.ports.events import Emit, RetiredTried, Tried
from holdfast.ports.store import Change, Store
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.inventory.lifecycle import Device, Lifecycle
from holdfast_core.kernel.ids import DeviceKey
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.reasons import Reason

_WORDS = {
    Tried.CERTIFICATE: "one of its old certificates was used",
    Tried.CLAIM: "a claim that was made for it was used",
    Tried.RENEWAL: "somebody tried to renew one of its old certificates",
    Tried.APPROVAL: "somebody asked for a certificate under its name",
    Tried.MANUFACTURER: "its manufacturer's certificate was used to enroll it",
    Tried.TPM: "its TPM was used to enroll a device",
    Tried.FLEET_CLAIM: "a production line's certificate was used to enroll it",
    Tried.ENROLLMENT: "somebody tried to enroll it",
}
_REMEDY = (
    "Find the hardware: it was not erased, was restored from an old image, or somebody copied it. "
    "If it is to live on, add it under a new name, with a new key."
)


class Tombstones:
    """Refuses what belonged to retired devices."""

    def __init__(self, *, store: Store, clock: Clock, emit: Emit) -> None:
        self._store = store
        self._clock = clock
        self._emit = emit

    async def check(self, key: DeviceKey, tried: Tried) -> None:
        """Return if the device `key` is not retired, or nobody knows it.

        Raises:
            IdentityRefused: ``device.retired`` (403).
        """
        device = self._store.device(key)
        if device is None or not device.lifecycle.is_over:
            return
        if changes := tried_again(self._store, self._emit, device, tried, self._clock.now()):
            await self._store.commit(changes)
        raise IdentityRefused(
            "device.retired",
            f"{key.device} was retired; nothing that belonged to it is taken any more.",
            remedy="Stop calling. If the hardware is to live on, an operator adds it under a new name.",
        )


def tried_again(store: Store, emit: Emit, device: Device, tried: Tried, now: Instant) -> list[Change]:
    """The changes that follow from an attempt by what belonged to `device`; none while an incident tells of it."""
    if device.lifecycle is not Lifecycle.RETIRED or store.open_incident(device.key, tried.cause) is not None:
        return []
    reason = Reason(f"retired.{tried.value}", f"{device.key.device} was retired, yet {_WORDS[tried]}.", _REMEDY)
    return list(emit(RetiredTried(device, tried, reason, now)))
