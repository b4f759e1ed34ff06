"""Signing keys of people and the files that go around, on the machine of whoever signs.

1. A private key is PKCS#8 in PEM, encrypted under a passphrase, its owner's alone; its public half lies beside it as
   ``NAME.pub``, to be handed out.
2. A passphrase is asked for on the terminal, or read from a file that is named; never taken from an argument. It has to
   be long: PKCS#8 stretches it too little to save a word.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import typer
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from holdfast.adapters.pki.files import write_private
from holdfast.adapters.pki.passphrase import SHORTEST, Passphrase, read_passphrase
from holdfast.adapters.system import SystemRandomness
from holdfast.cli.files import read_bounded, write_whole
from holdfast.update.making import Holders, OnlinePublics, PublicKey
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.update.repository import Online

LARGEST_KEY = 16 * 1024
LARGEST_ONLINE = 16 * 1024
PASSPHRASE_BYTES = 32


class OnlineFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The server's public keys, as ``holdfast keys online`` writes them: PEM by purpose."""

    scope: str
    keys: dict[Online, str]


def make_key(path: Path, passphrase: Passphrase) -> PublicKey:
    """A new signing key in `path`, its public half beside it.

    Raises:
        WorldError: ``files.exists``, ``files.unwritable``.
    """
    key = ed25519.Ed25519PrivateKey.generate()
    write_private(
        path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase.reveal()))
    )
    write_whole(public_path(path), public_pem(key.public_key()).encode())
    return key.public_key()


def team(folder: Path, people: int, passphrase_file: Path | None) -> list[ed25519.Ed25519PrivateKey]:
    """The keys of a team in one folder, ``person-1.pem`` onwards, made where they are not there.

    Raises:
        WorldError: ``passphrase.*``, ``files.*``, ``keys.passphrase_wrong``.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    passphrase = passphrase_file or folder / "passphrase"
    if passphrase_file is None and not passphrase.exists():
        write_private(passphrase, SystemRandomness().token(PASSPHRASE_BYTES).encode() + b"\n")
    paths = [folder / f"person-{number}.pem" for number in range(1, people + 1)]
    for path in paths:
        if not path.exists():
            make_key(path, read_passphrase(passphrase))
    return [read_private(path, passphrase) for path in paths]


def public_path(path: Path) -> Path:
    """Where the public half of a key lies."""
    return path.with_name(f"{path.stem}.pub")


def public_pem(key: PublicKey) -> str:
    """A public key as PEM."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def read_private(path: Path, passphrase_file: Path | None) -> ed25519.Ed25519PrivateKey:
    """A signing key.

    Raises:
        HostileData: ``keys.unfit``; WorldError: ``keys.passphrase_wrong``, ``keys.no_terminal``, ``files.unreadable``,
            ``passphrase.*``.
    """
    data = read_bounded(path, LARGEST_KEY)
    if b"ENCRYPTED PRIVATE KEY" not in data[:100]:
        raise _unfit(path, "It is no encrypted private key.")
    passphrase = find_passphrase(passphrase_file, f"Passphrase of {path}", again=False)
    try:
        key = load_pem_private_key(data, passphrase.reveal())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise WorldError(
            "keys.passphrase_wrong", f"This passphrase does not open {path}.", remedy="Try again."
        ) from None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise _unfit(path, "It is no Ed25519 key.")
    return key


def read_public(path: Path) -> PublicKey:
    """A public key out of a PEM file.

    Raises:
        HostileData: ``keys.unfit``; WorldError: ``files.unreadable``.
    """
    return parse_public(read_bounded(path, LARGEST_KEY), path)


def parse_public(data: bytes, path: Path) -> PublicKey:
    """A public key out of PEM. Raises HostileData ``keys.unfit``."""
    try:
        key = load_pem_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise _unfit(path, "It holds no public Ed25519 key.")
    return key


def read_holders(paths: Sequence[Path], threshold: int) -> Holders:
    """Who holds a role: the keys in these files, each person's once.

    Raises:
        HostileData: ``keys.twice``, ``keys.unfit``.
    """
    keys = [read_public(path) for path in paths]
    if len({key.public_bytes_raw() for key in keys}) < len(keys):
        raise HostileData(
            "keys.twice", "One key was given twice.", remedy="Give each person's key once: it counts once anyway."
        )
    return Holders(tuple(keys), threshold)


def read_online(path: Path) -> tuple[str, OnlinePublics]:
    """The scope and the server's keys out of the file of ``holdfast keys online``.

    Raises:
        HostileData: ``keys.unfit``; WorldError: ``files.unreadable``.
    """
    return parse_online(read_bounded(path, LARGEST_ONLINE), path)


def parse_online(data: bytes, path: Path) -> tuple[str, OnlinePublics]:
    """The same out of bytes."""
    try:
        read = msgspec.json.decode(data, type=OnlineFile)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        read = None
    if read is None or set(read.keys) != set(Online):
        raise _unfit(path, "It does not hold the server's keys.")
    return read.scope, {which: parse_public(pem.encode(), path) for which, pem in read.keys.items()}


def find_passphrase(path: Path | None, question: str, *, again: bool) -> Passphrase:
    """The passphrase in a file, or from the terminal.

    Raises:
        WorldError: ``keys.no_terminal``, ``passphrase.*``; HostileData: ``keys.passphrase_short``.
    """
    if path is not None:
        return read_passphrase(path)
    if not sys.stdin.isatty():
        raise WorldError(
            "keys.no_terminal",
            "There is no terminal to ask for a passphrase.",
            remedy="Run it in a terminal, or name a file that holds it: --passphrase-file FILE.",
        )
    text = typer.prompt(question, hide_input=True, confirmation_prompt=again, err=True)
    if again and len(text) < SHORTEST:
        raise HostileData(
            "keys.passphrase_short",
            f"A signing key's passphrase has at least {SHORTEST} characters.",
            remedy="Take six words or more, chosen by dice, or what a password manager makes.",
        )
    return Passphrase(text)


def _unfit(path: Path, why: str) -> HostileData:
    return HostileData(
        "keys.unfit",
        f"{path} cannot be used here. {why}",
        remedy="Signing keys are made by holdfast keys new; the server's public keys are written by keys online.",
    )
