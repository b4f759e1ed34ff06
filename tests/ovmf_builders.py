"""A real machine in software (QEMU, OVMF with Secure Boot, a TPM): it boots an image of `ovmf_images` and reports.

1. Emulated is the hardware alone (no KVM is needed): firmware, measurements, kernel and IMA are the ones of the field.
2. The guest has no network, and no disk but a folder with the image. It writes to two serial ports, which are files.
3. A machine ends by itself, or when its firmware says that there is nothing to start, or when its time is up.

``PYTHONPATH=tests python -m ovmf_builders FOLDER`` makes the folder that is kept as ``tests/data/ovmf``.
"""

from __future__ import annotations

import contextlib
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from ovmf_images import STUB, TEST_KEY, kernels, signed, unified_image
from ovmf_reports import Report, report_in, save

CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd")
ENFORCING = Path("/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd")
"""Variables with the test key as PK, KEK and db: Secure Boot is on."""
OPEN = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
"""Variables without any key: Secure Boot is off."""
FILES = {CODE: "ovmf", ENFORCING: "ovmf", OPEN: "ovmf", TEST_KEY: "ovmf", STUB: "systemd-boot-efi"}
COMMANDS = ("qemu-system-x86_64", "swtpm", "sbsign", "objcopy", "cpio", "busybox", "ldd", "openssl")
BOOT_SECONDS = 300
"""After this, a machine that neither powered off nor gave up is ended. A boot takes about 15."""
STARTING_SECONDS = 20
PATIENCE = 0.05
GAVE_UP = "No bootable option or device was found"


class Boot(msgspec.Struct, frozen=True):
    """What one boot said on the console (and what its emulators complained of), and what its first program reported.

    There is no report where that was not started, or did not come to its end.
    """

    console: str
    report: Report | None

    @property
    def refused(self) -> bool:
        """Whether the firmware would not load the image, said so, and found nothing else to start."""
        return self.report is None and ": Access Denied" in self.console and GAVE_UP in self.console

    def reported(self) -> Report:
        """The report of a boot that must have come to its end."""
        assert self.report is not None, f"it did not start: {self.console[-2000:]}"
        return self.report


class Machine:
    """A machine with a folder of its own, where its TPM and its firmware's variables outlast a boot."""

    def __init__(self, folder: Path, variables: Path) -> None:
        self._folder = folder
        (folder / "tpm").mkdir()
        (folder / "esp/EFI/BOOT").mkdir(parents=True)
        shutil.copy(variables, folder / "vars.fd")

    def boot(self, image: Path) -> Boot:
        """Turn it on with `image` as its only operating system, and wait until it is off or has given up."""
        console, report, errors = (self._folder / name for name in ("console", "report", "errors"))
        for each in (console, report, errors):
            each.write_bytes(b"")
        (self._folder / "tpm/s").unlink(missing_ok=True)
        shutil.copy(image, self._folder / "esp/EFI/BOOT/BOOTX64.EFI")
        with _running(self._chip(), errors):
            _until((self._folder / "tpm/s").exists, STARTING_SECONDS)
            with _running(self._board(), errors) as board:
                over = lambda: board.poll() is not None or GAVE_UP.encode() in console.read_bytes()  # noqa: E731 (once)
                _until(over, BOOT_SECONDS)
        said = console.read_text("utf-8", "replace") + errors.read_text("utf-8", "replace")
        return Boot(said, report_in(report.read_text("ascii", "replace")))

    def _chip(self) -> list[str]:
        state = self._folder / "tpm"
        return ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}", "--ctrl", f"type=unixio,path={state}/s"]

    def _board(self) -> list[str]:
        folder = self._folder
        return [
            "qemu-system-x86_64", "-no-user-config", "-nodefaults", "-machine", "q35,smm=on", "-accel", "tcg",
            "-m", "512", "-display", "none", "-nic", "none", "-no-reboot",
            "-serial", f"file:{folder}/console", "-serial", f"file:{folder}/report",
            "-global", "driver=cfi.pflash01,property=secure,value=on",
            "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={CODE}",
            "-drive", f"if=pflash,format=raw,unit=1,file={folder}/vars.fd",
            "-drive", f"format=raw,file=fat:rw:{folder}/esp",
            "-chardev", f"socket,id=chip,path={folder}/tpm/s",
            "-tpmdev", "emulator,id=tpm,chardev=chip", "-device", "tpm-tis,tpmdev=tpm",
        ]  # fmt: skip


@contextlib.contextmanager
def machine(variables: Path = ENFORCING) -> Iterator[Machine]:
    """A new machine, as it leaves the factory; gone with its folder when the block ends."""
    # Short: names of sockets are at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="hf-uefi-") as name:
        yield Machine(Path(name), variables)


@contextlib.contextmanager
def _running(command: list[str], errors: Path) -> Iterator[subprocess.Popen[bytes]]:
    silent = subprocess.DEVNULL
    with errors.open("ab") as told:
        process = subprocess.Popen(command, stdin=silent, stdout=silent, stderr=told)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(30)


def _until(over: Callable[[], bool], seconds: int) -> None:
    end = time.monotonic() + seconds
    while not over():
        assert time.monotonic() < end, "a machine neither went on nor gave up"
        time.sleep(PATIENCE)


def need_machine() -> None:
    """Skip, with what to do, where something of a machine in software is missing."""
    if platform.machine() != "x86_64":
        pytest.skip("the guest's programs are this machine's, and the guest is an x86-64 one")
    for command in COMMANDS:
        if shutil.which(command) is None:
            pytest.skip(f"{command} is not installed")
    for file, package in FILES.items():
        if not file.is_file():
            pytest.skip(f"{file} is missing: install {package}")
    if not kernels():
        pytest.skip("no kernel to boot: unpack Debian's linux-image-cloud-amd64 below .cache/uefi")


def keep(folder: Path) -> None:
    """Boot the machines whose reports are kept for fast tests: one that enforces, twice, and one that does not."""
    with tempfile.TemporaryDirectory(prefix="hf-uefi-") as name:
        image = unified_image(Path(name))
        trusted = signed(image, Path(name) / "signed.efi")
        with machine() as enforcing:
            for boot in ("first", "second"):
                save(enforcing.boot(trusted).reported(), folder / boot)
        with machine(OPEN) as trusting:
            save(trusting.boot(image).reported(), folder / "open")


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
