"""What a device would not survive: the effects that tailoring forbids, whatever a catalogue asks (DESIGN.md §3).

1. Decided from the model file alone, with the reason in a sentence.
2. It is asked for every control and every prohibition, so that a careless catalogue cannot brick a fleet.
"""

from __future__ import annotations

from collections.abc import Callable

from holdfast_core.baseline.control import Effect
from holdfast_core.inventory.model import DeviceClass, DeviceModel, RootFilesystem, UpdateKind

NOUNS = {
    DeviceClass.SERVER: "server",
    DeviceClass.GATEWAY: "gateway",
    DeviceClass.LINUX_IOT: "Linux IoT device",
    DeviceClass.OT: "OT device",
    DeviceClass.MCU: "microcontroller",
}
"""A device of each class, as it stands in a sentence."""


def destroyed_by(effects: tuple[Effect, ...], filesystems: tuple[str, ...], model: DeviceModel) -> str:
    """Why `model` would not survive one of `effects`, or nothing when it survives them all.

    Args:
        effects: what meeting a control does to the device.
        filesystems: the drivers that `Effect.DISABLES_FILESYSTEM` touches.
        model: the device's declaration.
    """
    return next((why for effect in effects if (why := _DESTROYS[effect](filesystems, model))), "")


def _disables_filesystem(filesystems: tuple[str, ...], model: DeviceModel) -> str:
    if needed := sorted(set(filesystems) & set(model.expected.root_fs_drivers)):
        return f"The device boots from {' and '.join(needed)}; without the driver the next boot finds no root."
    if model.device_class in {DeviceClass.GATEWAY, DeviceClass.LINUX_IOT, DeviceClass.OT}:
        return (
            "On gateways, Linux IoT and OT devices such file systems usually are the root and its writable layer; "
            "without the driver the next boot finds neither, and recovery means a serial cable."
        )
    return ""


def _verifies_root(_: tuple[str, ...], model: DeviceModel) -> str:
    if model.device_class is DeviceClass.SERVER:
        return "A server's root changes with every package it installs; verified block by block it would not boot."
    if model.constraints.root_filesystem is RootFilesystem.MUTABLE:
        return "The root is declared mutable; verified block by block it would not boot after its first change."
    return ""


def _upgrades_packages(_: tuple[str, ...], model: DeviceModel) -> str:
    if model.constraints.root_filesystem is RootFilesystem.IMMUTABLE:
        return "The root is immutable: a package upgrade fails half-way or is lost; a new image is the only update."
    if model.update.kind is not UpdateKind.PACKAGE_MANAGER:
        return f"The device is updated by {model.update.kind}; packages upgraded beside it would be overwritten."
    return ""


def _reboots(_: tuple[str, ...], model: DeviceModel) -> str:
    if not model.constraints.reboot_allowed:
        return f"It must not reboot: {model.essential_function.name} would stop."
    return ""


_DESTROYS: dict[Effect, Callable[[tuple[str, ...], DeviceModel], str]] = {
    Effect.DISABLES_FILESYSTEM: _disables_filesystem,
    Effect.VERIFIES_ROOT: _verifies_root,
    Effect.UPGRADES_PACKAGES: _upgrades_packages,
    Effect.REBOOTS: _reboots,
}
