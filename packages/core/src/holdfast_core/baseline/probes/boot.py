"""The probes of how a device comes up: boot chain, boot environment, kernel, mounts, watchdog, radios."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, TypeAlias

import msgspec

from holdfast_core.baseline.probes.shape import Names, Probe, Values, Wanting
from holdfast_core.kernel.errors import HostileData

Day = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
Branch = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,3}\.[0-9]{1,3}$")]
Option = Annotated[str, msgspec.Meta(pattern=r"^CONFIG_[A-Za-z0-9_]+$", max_length=128)]
Directory = Annotated[str, msgspec.Meta(pattern=r"^/", max_length=512)]


class Sysctl(Wanting, frozen=True, kw_only=True, tag="sysctl"):
    """The kernel parameter `key` (dotted) has an accepted value.

    Live: ``/proc/sys``; no such parameter: not applicable. A folder: ``sysctl.conf`` and ``sysctl.d`` in their
    precedence, as far as something that starts loads them; not set there: what the kernel was built with, if `built`
    says what follows from it; else unknown, since the kernel's own default is not in the folder.
    """

    key: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_*-]+([./][A-Za-z0-9_*-]+)*$", max_length=128)]
    built: Annotated[tuple[tuple[Option, str, str], ...], msgspec.Meta(max_length=8)] = ()
    """A kernel option, its value, and the value that the parameter then starts with."""


class KernelConfig(Wanting, frozen=True, kw_only=True, tag="kernel_config"):
    """`option` (``CONFIG_...``) has an accepted value; ``n`` is what "is not set" says.

    An option the kernel's configuration does not mention is not applicable; no configuration found is unknown.
    """

    option: Option


class KernelBranch(Probe, frozen=True, kw_only=True, tag="kernel_branch"):
    """The kernel is of a branch whose last day of support has not passed; a branch between the listed ones fails.

    Newer than all listed ones: unknown, like a release or a day that nobody can tell. A folder's release is the name of
    its module directory, or else stands in the names of files in ``/boot``; of several, the worst counts.
    """

    ends: Annotated[tuple[tuple[Branch, Day], ...], msgspec.Meta(min_length=1, max_length=64)]
    """Each long-term branch and its last day."""
    known: Day
    """The day on which the list was true."""


class KernelSince(Probe, frozen=True, kw_only=True, tag="kernel_since"):
    """The kernel, or each of those that a root would boot, is of `branch` or a newer one; for conditions.

    No release is told, or one that nobody can read: unknown.
    """

    branch: Branch


class Cmdline(Probe, frozen=True, tag="cmdline"):
    """The kernel command line has none of `forbid` and all of `require`.

    A forbidden word is meant whole, or as a prefix when it ends in ``=`` (``init=``). A required one may name what
    serves as well after a ``|``: ``lockdown=integrity|lockdown=confidentiality``.

    Live: ``/proc/cmdline``. A folder: what its boot loader files pass, and what its container tells; none: unknown.
    """

    forbid: Values = ()
    require: Values = ()

    def __post_init__(self) -> None:
        """Refuse a probe that any command line passes."""
        if not self.forbid and not self.require:
            raise HostileData(
                "probe.wants_nothing",
                "A Cmdline probe has neither 'forbid' nor 'require'.",
                remedy="Say which words decide.",
            )


class Lockdown(Probe, frozen=True, tag="lockdown"):
    """The running kernel is locked down (integrity or confidentiality); a kernel without lockdown: not applicable.

    A folder runs nothing: not applicable.
    """


class Mount(Probe, frozen=True, tag="mount"):
    """`path`, links followed, lies on a mount other than the root's, with all of `options`.

    A path on the root's own mount fails; without `own` it is not applicable. An option that ends in ``=`` (``size=``)
    may have any value. A folder is judged by ``/etc/fstab`` and by the mount units systemd starts; neither: unknown.
    """

    path: Directory
    options: Values = ()
    own: bool = True


class ReadOnlyRoot(Probe, frozen=True, tag="read_only_root"):
    """The root is mounted read-only, is of a kind that nobody can write, or is written in memory only.

    Live: ``/proc/mounts``. A folder: what its container is, else its line in ``/etc/fstab``, else the words of its
    command line; nothing of it: unknown.
    """


class VerifiedRoot(Probe, frozen=True, tag="verified_root"):
    """What is read from the root is verified: dm-verity, or IMA that appraises. No sign: fail; no sight: unknown."""


class Wear(Probe, frozen=True, tag="wear"):
    """Nothing writes flash without need: no swap on it, no mount of it that writes access times or synchronously.

    Flash is what its device's name says (``mmcblk``, ``mtd``, ``ubi``). A folder whose table names a swap device by
    label only is unknown; no table: unknown.
    """


class RootFsDriver(Probe, frozen=True, tag="root_fs_driver"):
    """No modprobe rule disables a file system of the plan's `root_fs_drivers`; none declared: not applicable."""


class ModuleOff(Probe, frozen=True, tag="module_off"):
    """None of the kernel modules `names` can be loaded: each is missing, or an ``install`` rule replaces it by a dummy.

    A module that is built in cannot be kept out so: fail. No kernel modules here at all: not applicable.
    """

    names: Names


class SecureBootCheck(StrEnum):
    """What `SecureBoot` asks."""

    ENFORCED = "enforced"
    """Only signed images start."""
    KEY = "key"
    """The key that everything hangs on is enrolled, and cannot be replaced without it."""
    PRODUCTION_KEY = "production_key"
    """That key is none that a firmware maker publishes for tests."""
    REVOCATION = "revocation"
    """Boot loaders that are known to be broken are refused (SBAT level or revocation list)."""


class SecureBoot(Probe, frozen=True, tag="secure_boot"):
    """One `check` of the boot chain, where it can be seen; nothing of the kind: not applicable, for the build to say.

    Live: EFI variables, or a first stage that says in the device tree that it checks signatures. An image: whether what
    its boot loader starts is signed.
    """

    check: SecureBootCheck


class BootEnvironmentCheck(StrEnum):
    """What `BootEnvironment` asks."""

    SHELL_LOCKED = "shell_locked"
    """Nobody stops the boot to type commands: ``bootdelay`` is -2, or stopping it needs a hashed password."""
    GUARDED = "guarded"
    """The running system cannot write it."""


class BootEnvironment(Probe, frozen=True, tag="boot_environment"):
    """One `check` of U-Boot's variables; no sign of U-Boot: not applicable.

    They are read from what the image's container tells, from ``uboot.env`` in a boot partition, or from the file that
    ``/etc/fw_env.config`` names, if their checksum is right. A block that lies on a device is not opened: unknown.
    """

    check: BootEnvironmentCheck


class GrubPassword(Probe, frozen=True, tag="grub_password"):
    """GRUB asks for a hashed password before it edits an entry or opens its shell; no GRUB here: not applicable."""


class FallbackSlot(Probe, frozen=True, tag="fallback_slot"):
    """There is a second system to start when the first does not: RAUC, Mender, OSTree, boot counting.

    An updater that is set up with one slot only fails; no sign of any: not applicable, for the build to say.
    """


class Watchdog(Probe, frozen=True, tag="watchdog"):
    """A hardware watchdog is running, or will be: systemd's or procd's.

    Live: ``/sys/class/watchdog`` decides, and none there fails. A folder with systemd that feeds none fails; a folder
    with neither is unknown.
    """


class Radios(Probe, frozen=True, tag="radios"):
    """No radio is on whose kind is not among the plan's `interfaces`.

    Live: the kernel's list of radios and their switches. A folder: OpenWrt's wireless settings; none: not applicable.
    """


BootProbe: TypeAlias = (
    Sysctl
    | KernelConfig
    | KernelBranch
    | KernelSince
    | Cmdline
    | Lockdown
    | Mount
    | ReadOnlyRoot
    | VerifiedRoot
    | Wear
    | RootFsDriver
    | ModuleOff
    | SecureBoot
    | BootEnvironment
    | GrubPassword
    | FallbackSlot
    | Watchdog
    | Radios
)
"""The probes of this module."""
