"""The probes of boot and kernel: parameters, configuration, command line, mounts, drivers."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from holdfast_core.baseline.probes.shape import Names, Probe, Wanting


class Sysctl(Wanting, frozen=True, kw_only=True, tag="sysctl"):
    """The kernel parameter `key` (dotted) has an accepted value.

    Live: ``/proc/sys``; no such parameter: not applicable. A folder: ``sysctl.conf`` and ``sysctl.d`` in their
    precedence; not set there: unknown, since the kernel's own default is not in the folder.
    """

    key: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.*/-]+$", max_length=128)]


class KernelConfig(Wanting, frozen=True, kw_only=True, tag="kernel_config"):
    """`option` (``CONFIG_...``) has an accepted value; ``n`` is what "is not set" says.

    An option the kernel's configuration does not mention is not applicable; no configuration found is unknown.
    """

    option: Annotated[str, msgspec.Meta(pattern=r"^CONFIG_[A-Za-z0-9_]+$", max_length=128)]


class Cmdline(Probe, frozen=True, tag="cmdline"):
    """The kernel command line has none of `forbid`: whole words, or a prefix when it ends in ``=`` (``init=``).

    Live: ``/proc/cmdline``. A folder: what its boot loader files pass; none there: unknown.
    """

    forbid: Names


class Mount(Probe, frozen=True, tag="mount"):
    """`path` is a mount of its own with all of `options`; a folder is judged by ``/etc/fstab`` (none: unknown)."""

    path: Annotated[str, msgspec.Meta(pattern=r"^/", max_length=512)]
    options: Names


class RootFsDriver(Probe, frozen=True, tag="root_fs_driver"):
    """No modprobe rule disables a file system of the plan's `root_fs_drivers`; none declared: not applicable."""


BootProbe: TypeAlias = Sysctl | KernelConfig | Cmdline | Mount | RootFsDriver
"""The probes of this module."""
