"""A gateway that attested, on a data folder that the commands then work on, and the files of its releases."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from click.testing import Result
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from typer.testing import CliRunner

from attest_builders import BOOT, SoftTpm, booted
from attesting_builders import Attester, Builder, added, an_attester, stated
from builders import FakeClock, data_folder, plane_on
from holdfast.adapters.system import SystemClock
from holdfast.cli.app import build
from holdfast_core.formats.eventlog import kinds
from holdfast_core.kernel.instants import HOUR, MINUTE

RUNNER = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "100"})
DEVICE, RELEASE = "gate-1", "site-gateway:1.0.0"
WHY = ("--why", "because the test says so")


class Commands:
    """The command line on one data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *arguments: str, code: int = 0) -> Result:
        """Run a command that must end with `code`."""
        result = RUNNER.invoke(build(), [*arguments, "--data", str(self.folder)])
        assert result.exit_code == code, result.output
        return result

    def told(self, *arguments: str, code: int = 0) -> Any:
        """The JSON document that a command prints."""
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    def says(self, *arguments: str, code: int = 0) -> str:
        """Everything that a command prints, on one line."""
        return " ".join(self.run(*arguments, code=code).output.split())


def attested_folder(
    folder: Path,
    *,
    builder: Builder | None = None,
    versions: tuple[str, ...] = ("1.0.0",),
    runs: str = "1.0.0",
    times: int = 1,
    tampered: bool = False,
) -> Commands:
    """A folder with releases of `versions` and a gateway that booted `runs`, an hour ago at most, and attested."""
    data_folder(folder)
    boot = booted(runs)
    if tampered:
        boot = (*boot[:2], (9, kinds.IPL, b"kernel of a stranger"), *boot[3:])

    async def attest() -> None:
        clock = FakeClock(SystemClock().now() - HOUR)
        async with plane_on(folder, clock=clock) as plane:
            await added(plane, builder or Builder(), *(stated(version) for version in versions))
            device: Attester = await an_attester(plane, DEVICE)
            await device.audit()
            await device.tell()
            device.log = device.tpm.boot(boot)
            for _ in range(times):
                clock.forward(MINUTE)
                await device.attest(log=device.log)

    asyncio.run(attest())
    return Commands(folder)


def key_files(folder: Path, builder: Builder, *, passphrase: bytes = b"") -> tuple[Path, Path]:
    """The builder's private and public key, as files."""
    private, public = folder / "builder.pem", folder / "builder.pub"
    lock = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    private.write_bytes(builder.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
    public.write_bytes(builder.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


def release_files(folder: Path, version: str = "1.0.0") -> tuple[str, ...]:
    """The files of a release that `booted` boots, as arguments of ``holdfast reference build``."""
    arguments: list[str] = []
    for place, (register, _, data) in enumerate(booted(version)):
        file = folder / f"part-{place}"
        file.write_bytes(data)
        arguments += ["--artefact", f"file:{file}@{register}"]
    return tuple(arguments)


def log_file(folder: Path, version: str = "1.0.0") -> Path:
    """The event log of a boot of a release."""
    file = folder / f"log-{version}"
    file.write_bytes(SoftTpm().boot(booted(version)))
    return file


PARTS = len(BOOT)
