"""A board as its operating system sees it: a TPM in software, a machine that boots from flash, and the boot's log.

1. The log lies where the kernel of a real device shows it, below the board's own sysfs.
2. A TPM serves one program at a time. Whoever holds it is let go before a boot, as power does on a real board.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from holdfast_agent.boot_log import LOG
from holdfast_sim.boot.artefacts import BootRelease
from holdfast_sim.boot.machine import BootReport, HasTpm, Machine

RELEASE_TOOLS = ("swtpm", "mkimage", "dtc", "veritysetup")
"""What makes releases and TPMs; imgtool comes with this package."""
AGENT_TOOLS = ("tpm2_send", "tpm2_create", "tpm2-abrmd", "dbus-daemon")
"""What an agent with a TPM needs, and a manager that shares the chip, as /dev/tpmrm0 does on a real device."""
PACKAGES = (
    "swtpm u-boot-tools device-tree-compiler cryptsetup-bin tpm2-tools tpm2-openssl tpm2-abrmd "
    "libtss2-tcti-tabrmd0 dbus-daemon"
)
LIBRARIES = ("ossl-modules/tpm2.so", "libtss2-tcti-tabrmd.so.0")
"""What lets OpenSSL use the chip, and programs reach its manager."""
_FOLDERS = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64")


def program_path(name: str) -> str | None:
    """Where a program is, also where only root usually looks."""
    return shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")


def missing_tools() -> tuple[str, ...]:
    """Which programs are missing here to build, boot and attest."""
    missing = [name for name in (*RELEASE_TOOLS, *AGENT_TOOLS) if program_path(name) is None]
    missing += [name for name in LIBRARIES if not any(_found(name))]
    return tuple(missing)


def _found(library: str) -> Iterator[Path]:
    """Where a library is: in one of the usual folders, or in one of a processor's own below."""
    for folder in _FOLDERS:
        yield from Path(folder).glob(library)
        yield from Path(folder).glob(f"*/{library}")


class Board:
    """A board that left the factory with a release.

    Args:
        sys: the folder of its sysfs.
        release: what lies in its flash.
        tpm: its chip.
    """

    def __init__(self, sys: Path, release: BootRelease, tpm: HasTpm) -> None:
        self.sys = sys
        self.machine = Machine.of(release, tpm)
        self._log = sys / LOG
        self._log.parent.mkdir(parents=True, exist_ok=True)

    def boot(self, *, orderly: bool = True) -> BootReport:
        """Start anew; the log of this boot replaces the last one's. Raises WorldError ``boot.tpm``."""
        report = self.machine.boot(orderly=orderly)
        fresh = self._log.with_suffix(".new")
        fresh.write_bytes(report.log)
        fresh.replace(self._log)
        return report

    def flash(self, release: BootRelease) -> None:
        """Write all of a release into the flash; it runs after the next boot."""
        self.machine.flash.clear()
        self.machine.flash.update(release.artefacts)
