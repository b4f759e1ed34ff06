"""Working out the changes that meet the probes of this area."""

from __future__ import annotations

from holdfast_core.baseline.probes.boot import Cmdline, ModuleOff, Mount, RootFsDriver, Sysctl, Wear
from holdfast_probe.boot.cmdline import mend_cmdline
from holdfast_probe.boot.modules import mend_module_off, mend_root_fs_driver
from holdfast_probe.boot.mounts import mend_mount
from holdfast_probe.boot.parameters import mend_sysctl
from holdfast_probe.boot.storage import mend_wear
from holdfast_probe.mend import Mends

MENDS: Mends = {
    Cmdline: mend_cmdline,
    ModuleOff: mend_module_off,
    Mount: mend_mount,
    RootFsDriver: mend_root_fs_driver,
    Sysctl: mend_sysctl,
    Wear: mend_wear,
}
