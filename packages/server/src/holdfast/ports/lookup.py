"""Finding a device, with one error for all who do not."""

from __future__ import annotations

from holdfast.ports.store import Store
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceKey
from holdfast_core.trust.posture import Posture


def require_device(store: Store, key: DeviceKey) -> Device:
    """The device, or `HostileData` ``device.unknown`` (404)."""
    device = store.device(key)
    if device is None:
        raise HostileData(
            "device.unknown",
            f"There is no device {key.device!r} in {key.scope}.",
            remedy="Add it first: holdfast device add DEVICE --model MODEL.",
            http_status=404,
        )
    return device


def require_living(store: Store, key: DeviceKey) -> Device:
    """The device, unless its life has ended: `HostileData` ``device.unknown`` (404), ``device.retired`` (409)."""
    device = require_device(store, key)
    if device.lifecycle.is_over:
        raise HostileData(
            "device.retired",
            f"{key.device} is {device.lifecycle.value}: its rights have ended, and nothing is done with it any more.",
            remedy="Nothing is needed.",
            http_status=409,
        )
    return device


def require_posture(store: Store, key: DeviceKey) -> Posture:
    """The device's posture, or `HostileData` ``device.not_enrolled`` (409)."""
    posture = store.posture(key)
    if posture is None:
        raise HostileData(
            "device.not_enrolled",
            f"{key.device} has never enrolled, so there is nothing to act on.",
            remedy="Enroll it first: holdfast claim create DEVICE prints the command.",
            http_status=409,
        )
    return posture
