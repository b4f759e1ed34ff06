"""Looking at how a device comes up: kernel, command line, mounts."""

from __future__ import annotations

from holdfast_core.baseline.probes import Cmdline, KernelConfig, Mount, RootFsDriver, Sysctl
from holdfast_probe.boot.kernel import see_cmdline, see_kernel_config, see_root_fs_driver, see_sysctl
from holdfast_probe.boot.mounts import see_mount
from holdfast_probe.case import Looks
from holdfast_probe.hunt import Hunts

LOOKS: Looks = {
    Sysctl: see_sysctl,
    KernelConfig: see_kernel_config,
    Cmdline: see_cmdline,
    Mount: see_mount,
    RootFsDriver: see_root_fs_driver,
}
HUNTS: Hunts = {}
