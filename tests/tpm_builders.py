"""Real TPMs in software: chips with a maker, started and ended by the test that uses them."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from builders import request_for
from holdfast_agent.chip_key import ChipKey
from holdfast_agent.tpm import Chip, Endorsement, KeyFiles, opened
from holdfast_core.formats.tpm.credential import make_credential
from holdfast_core.formats.tpm.keys import spki_of
from holdfast_core.formats.tpm.public import EccPoint, parse_public
from holdfast_core.wire.tpm import Begin, Challenge, Finish

STARTING_SECONDS = 20
PATIENCE = 0.02
BROKER = "tpm2-abrmd"


def need(*commands: str) -> None:
    """Skip where the Debian packages of the tests are missing."""
    for command in commands:
        if shutil.which(command, path=os.environ["PATH"] + ":/usr/sbin") is None:
            pytest.skip(f"{command} is not installed")


class Maker:
    """Somebody who makes TPMs, with an authority that certifies them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        authority = folder / "authority"
        authority.mkdir()
        (folder / "localca.conf").write_text(
            f"statedir = {authority}\nsigningkey = {authority}/key.pem\n"
            f"issuercert = {authority}/issuer.pem\ncertserial = {authority}/serial\n"
        )
        (folder / "localca.options").write_text("--platform-manufacturer Test\n")
        (folder / "setup.conf").write_text(
            f"create_certs_tool = {shutil.which('swtpm_localca')}\n"
            f"create_certs_tool_config = {folder}/localca.conf\n"
            f"create_certs_tool_options = {folder}/localca.options\nactive_pcr_banks = sha256\n"
        )

    @property
    def issuer(self) -> bytes:
        """The certificate (PEM) that certifies the chips; there once a chip was made."""
        _made(1, certified=True)
        return (self._folder / "authority" / "issuer.pem").read_bytes()

    @property
    def root(self) -> bytes:
        """The certificate (PEM) above it."""
        return (self._folder / "authority" / "swtpm-localca-rootca-cert.pem").read_bytes()

    def make(self, folder: Path, *, certified: bool = True) -> Path:
        """A chip's state, as it leaves the factory."""
        folder.mkdir()
        certify = ["--createek", "--create-ek-cert"] if certified else []
        command = ["swtpm_setup", "--tpm2", "--tpmstate", folder, "--config", self._folder / "setup.conf", *certify]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        return folder


@functools.cache
def maker() -> Maker:
    """One maker for all tests of a process."""
    need("swtpm", "swtpm_setup", "swtpm_localca", "tpm2_createek", "certtool")
    return Maker(_scratch())


@functools.cache
def _made(number: int, *, certified: bool) -> Path:
    return maker().make(_scratch() / f"chip-{number}", certified=certified)


def _scratch() -> Path:
    holder = tempfile.TemporaryDirectory(prefix="hf-tpm-")  # short: names of sockets are at most 107 characters
    atexit.register(holder.cleanup)
    return Path(holder.name)


@contextmanager
def running_chip(number: int = 1, *, certified: bool = True) -> Iterator[str]:
    """A chip that runs; its TCTI. The same `number` is the same chip again, as it left the factory: a clone."""
    with tempfile.TemporaryDirectory(prefix="hf-tpm-") as name:
        folder = Path(name)
        state, socket = folder / "state", folder / "s"
        shutil.copytree(_made(number, certified=certified), state)
        server = subprocess.Popen(
            ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}", "--server", f"type=unixio,path={socket}",
             "--ctrl", f"type=unixio,path={socket}.ctrl", "--flags", "not-need-init,startup-clear"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _wait(lambda: socket.exists() and Path(f"{socket}.ctrl").exists(), server)
            yield f"swtpm:path={socket}"
        finally:
            server.terminate()
            server.wait(30)


@contextmanager
def managed(tcti: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The chip behind a resource manager, as the kernel's ``/dev/tpmrm0`` is one; its TCTI."""
    need("dbus-daemon", BROKER)
    bus = subprocess.Popen(
        ["dbus-daemon", "--session", "--nofork", "--print-address"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert bus.stdout is not None
    address = bus.stdout.readline().decode().strip()
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
    environment = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"}
    broker = subprocess.Popen(
        [BROKER, "--session", "--allow-root", "--tcti", tcti],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        there = ["tpm2_getcap", "-T", "tabrmd:bus_type=session", "properties-fixed"]
        _wait(lambda: subprocess.run(there, check=False, capture_output=True).returncode == 0, broker)
        yield "tabrmd:bus_type=session"
    finally:
        for process in (broker, bus):
            process.terminate()
            process.wait(30)
        bus.stdout.close()


def _wait(ready: object, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + STARTING_SECONDS
    while not ready():  # type: ignore[operator]  # a function of the callers above
        assert process.poll() is None, "it ended before it was ready"
        assert time.monotonic() < end, "it did not start"
        time.sleep(PATIENCE)


class Keys(msgspec.Struct, frozen=True):
    """What a chip made for an enrollment."""

    endorsement: Endorsement
    ak: KeyFiles
    key: KeyFiles


@contextmanager
def prepared(tcti: str) -> Iterator[tuple[Chip, Keys]]:
    """The chip opened, with the keys of an enrollment."""
    with opened(tcti) as chip:
        endorsement = chip.endorsement()
        ak, key = chip.make_keys()
        yield chip, Keys(endorsement, ak, key)


def chip_key(chip: Chip, key: KeyFiles) -> ChipKey:
    """The device's key, as `cryptography` asks for one."""
    public = load_der_public_key(spki_of(parse_public(key.public)))
    assert isinstance(public, ec.EllipticCurvePublicKey)
    return ChipKey(public, chip.sign)


def first_step(keys: Keys, name: str, **other: object) -> Begin:
    """What an honest device begins with; `other` replaces parts of it."""
    honest = Begin(name, keys.endorsement.public, keys.ak.public, keys.endorsement.certificates)
    return msgspec.structs.replace(honest, **other)


def second_step(chip: Chip, keys: Keys, name: str, challenge: Challenge, **other: object) -> Finish:
    """What an honest device answers to `challenge`; `other` replaces parts of it."""
    proof = chip.certify(challenge.nonce)
    honest = Finish(
        challenge.session,
        chip.activate(challenge),
        keys.key.public,
        proof.attestation,
        proof.signature,
        request_for(name, chip_key(chip, keys.key)),
    )
    return msgspec.structs.replace(honest, **other)


def wrapped(ek: bytes, name: bytes, secret: bytes, seed: bytes = b"s" * 32) -> Challenge:
    """A challenge for the object `name` in the chip of `ek` (TPM2B_PUBLIC)."""
    public = parse_public(ek)
    key = load_der_public_key(spki_of(public))
    ephemeral = ec.generate_private_key(key.curve) if isinstance(key, ec.EllipticCurvePublicKey) else None
    assert (ephemeral is not None) is isinstance(public.unique, EccPoint)
    made = make_credential(public, name, secret, seed=seed, ephemeral=ephemeral)
    return Challenge("", made.blob, made.secret, b"")
