"""Group KERN: a kernel of a long-term branch, built and started tight."""

from __future__ import annotations

from typing import Any

from hardened.boot import WORDS, extlinux
from hardened.shape import Break
from probe_builders import Files

RELEASE = "6.12.40"
MODULES = f"lib/modules/{RELEASE}"
OPTIONS = {
    "BPF_SYSCALL": "y",
    "BPF_UNPRIV_DEFAULT_OFF": "y",
    "COMPAT_BRK": "n",
    "DEVMEM": "n",
    "FORTIFY_SOURCE": "y",
    "HARDENED_USERCOPY": "y",
    "KEXEC": "n",
    "MODULES": "y",
    "MODULE_SIG_FORCE": "y",
    "PROC_KCORE": "n",
    "RANDOMIZE_BASE": "y",
    "SECURITY_DMESG_RESTRICT": "y",
    "STACKPROTECTOR_STRONG": "y",
    "STRICT_KERNEL_RWX": "y",
    "STRICT_MODULE_RWX": "y",
    "USB_STORAGE": "m",
    "USB_SUPPORT": "y",
    "USER_NS": "y",
}


def config(**options: str) -> Files:
    """The kernel's configuration, with some options set otherwise."""
    lines = [
        f"# CONFIG_{name} is not set" if value == "n" else f"CONFIG_{name}={value}"
        for name, value in (OPTIONS | options).items()
    ]
    return {f"boot/config-{RELEASE}": "\n".join(lines) + "\n"}


def parameters(kptr: str = "1", bpf: str = "2") -> Files:
    """What is set at boot."""
    lines = f"kernel.kptr_restrict = {kptr}\nkernel.unprivileged_bpf_disabled = {bpf}\nuser.max_user_namespaces = 0\n"
    return {"etc/sysctl.d/50-kernel.conf": f"# Kept tight.\n{lines}"}


GOOD: Files = {
    "etc/init.d/S02sysctl": ("#!/bin/sh\nsysctl --system\n", 0o755),
    **config(),
    **parameters(),
    f"{MODULES}/modules.builtin": "kernel/fs/squashfs/squashfs.ko\n",
    f"{MODULES}/modules.dep": "kernel/drivers/usb/storage/usb-storage.ko.xz: kernel/drivers/scsi/scsi_mod.ko.xz\n",
    "proc/sys/kernel/osrelease": f"{RELEASE}\n",
    "proc/sys/kernel/randomize_va_space": "2\n",
    "proc/sys/kernel/modules_disabled": "0\n",
    "proc/sys/kernel/kptr_restrict": "1\n",
    "proc/sys/kernel/dmesg_restrict": "1\n",
    "proc/sys/kernel/unprivileged_bpf_disabled": "2\n",
    "proc/sys/user/max_user_namespaces": "0\n",
    "sys/kernel/security/lockdown": "none [integrity] confidentiality\n",
}
PLAN: dict[str, tuple[Any, ...]] = {"autostart": ("sysctl",)}
FACTS: dict[str, Any] = {"stack_protector": True}
LIVE_ONLY: frozenset[str] = frozenset()
FOLDER_ONLY: frozenset[str] = frozenset()
BREAKS: dict[str, Break] = {
    "KERN-01": Break(
        gone=(f"/{MODULES}",),
        files={"lib/modules/5.4.281/modules.dep": "", "lib/modules/5.4.281/modules.builtin": ""},
    ),
    "KERN-02": Break(files=config(STACKPROTECTOR_STRONG="n")),
    "KERN-03": Break(files=config(STRICT_MODULE_RWX="n")),
    "KERN-04": Break(files=config(RANDOMIZE_BASE="n")),
    "KERN-05": Break(files={"boot/extlinux/extlinux.conf": extlinux(WORDS.replace("lockdown=integrity ", ""))}),
    "KERN-06": Break(files=config(MODULE_SIG_FORCE="n")),
    "KERN-07": Break(files=parameters(kptr="0")),
    "KERN-08": Break(files=parameters(bpf="0")),
    "KERN-09": Break(files=config(PROC_KCORE="y")),
    "KERN-10": Break(files=config(HARDENED_USERCOPY="n")),
}
