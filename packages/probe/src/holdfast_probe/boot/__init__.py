"""Looking at how a device comes up: boot chain, kernel, command line, mounts, watchdog, radios."""

from __future__ import annotations

from holdfast_core.baseline.probes.boot import (
    BootEnvironment,
    Cmdline,
    FallbackSlot,
    GrubPassword,
    KernelBranch,
    KernelConfig,
    KernelSince,
    Lockdown,
    ModuleOff,
    Mount,
    Radios,
    ReadOnlyRoot,
    RootFsDriver,
    SecureBoot,
    Sysctl,
    VerifiedRoot,
    Watchdog,
    Wear,
)
from holdfast_probe.boot.cmdline import see_cmdline, see_lockdown
from holdfast_probe.boot.config import see_kernel_branch, see_kernel_config, see_kernel_since
from holdfast_probe.boot.efi import see_secure_boot
from holdfast_probe.boot.environment import see_boot_environment
from holdfast_probe.boot.loaders import see_grub_password
from holdfast_probe.boot.modules import see_module_off, see_root_fs_driver
from holdfast_probe.boot.mounts import see_mount
from holdfast_probe.boot.parameters import see_sysctl
from holdfast_probe.boot.slots import see_fallback_slot
from holdfast_probe.boot.storage import see_read_only_root, see_verified_root, see_wear
from holdfast_probe.boot.supervision import see_radios, see_watchdog
from holdfast_probe.case import Looks
from holdfast_probe.hunt import Hunts

LOOKS: Looks = {
    BootEnvironment: see_boot_environment,
    Cmdline: see_cmdline,
    FallbackSlot: see_fallback_slot,
    GrubPassword: see_grub_password,
    KernelBranch: see_kernel_branch,
    KernelConfig: see_kernel_config,
    KernelSince: see_kernel_since,
    Lockdown: see_lockdown,
    ModuleOff: see_module_off,
    Mount: see_mount,
    Radios: see_radios,
    ReadOnlyRoot: see_read_only_root,
    RootFsDriver: see_root_fs_driver,
    SecureBoot: see_secure_boot,
    Sysctl: see_sysctl,
    VerifiedRoot: see_verified_root,
    Watchdog: see_watchdog,
    Wear: see_wear,
}
HUNTS: Hunts = {}
