"""The vault: AES-256-GCM under random data keys, which lie in a file sealed under the passphrase.

1. A sealed thing is: version (1 byte), data key's id (8), nonce (12, random), ciphertext with tag (16). Version, id and
   context are authenticated with it.
2. ``vault.json`` holds the data keys, each sealed with a key that scrypt (RFC 7914) makes of the passphrase. The last
   one seals; the others only open.
3. The passphrase is stretched when something is first sealed or opened, once; what it opens stays in memory.
4. Under one key a random nonce may serve 2^32 times (NIST SP 800-38D, section 8.3); a server that seals a hundred times
   a second has a year, and rotates long before.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from holdfast.adapters import durable
from holdfast.adapters.pki.passphrase import Passphrase
from holdfast_core.kernel.errors import LimitExceeded, WorldError

FILE = "vault.json"
VERSION = 1
LARGEST = 64 * 1024
"""Bytes that are sealed at once: passwords and keys, not files."""
_ID, _NONCE, _TAG = 8, 12, 16
_HEAD = 1 + _ID
_KEY_BYTES = 32
_SALT_BYTES = 16
_FILE_BYTES = 64 * 1024
_CONTEXT = b"holdfast vault: a data key"


class Cost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What scrypt spends: 128 * n * r bytes of memory. Bounded, for it is read from a file."""

    n: int = 2**15
    r: int = 8
    p: int = 1

    def __post_init__(self) -> None:
        """Refuse what is no power of two, or would take more than a quarter of a GiB."""
        if self.n < 2 or self.n & (self.n - 1) or not 1 <= self.r <= 8 or not 1 <= self.p <= 4 or self.n > 2**18:  # noqa: PLR2004  (the bounds are said here)
            raise ValueError("no cost of scrypt that is used here")


class _DataKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A data key as it lies in the file: nonce, ciphertext and tag."""

    id: bytes
    sealed: bytes


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in ``vault.json``; bytes are base64."""

    v: int
    salt: bytes
    cost: Cost
    keys: tuple[_DataKey, ...]


class FileVault:
    """Implements `holdfast.ports.vault.Vault`.

    Args:
        path: the file with the data keys.
        passphrase: what they are sealed under.
    """

    def __init__(self, path: Path, passphrase: Passphrase) -> None:
        self._path = path
        self._passphrase = passphrase
        self._locked = threading.RLock()
        self._opened: tuple[_File, dict[bytes, bytes]] | None = None

    @classmethod
    def create(cls, path: Path, passphrase: Passphrase, *, cost: Cost | None = None) -> FileVault:
        """A new vault with one key.

        Raises:
            WorldError: ``vault.exists``, ``files.disk``.
        """
        salt, cost = os.urandom(_SALT_BYTES), cost or Cost()
        file = _File(VERSION, salt, cost, (_new_key(_stretched(passphrase, salt, cost)),))
        if not durable.put_new(path, msgspec.json.encode(file)):
            raise WorldError(
                "vault.exists",
                f"There is a vault in {path} already.",
                remedy="Use it. What is sealed with it can be opened with nothing else, so it is never overwritten.",
            )
        return cls(path, passphrase)

    def seal(self, data: bytes, context: str) -> bytes:
        """See the port."""
        if len(data) > LARGEST:
            raise LimitExceeded(
                "vault.too_large",
                f"{len(data)} bytes are to be sealed; {LARGEST} are allowed.",
                remedy="Seal a key, and encrypt what is large with that.",
            )
        file, keys = self._open()
        name = file.keys[-1].id
        head, nonce = bytes([VERSION]) + name, os.urandom(_NONCE)
        return head + nonce + AESGCM(keys[name]).encrypt(nonce, data, head + context.encode())

    def unseal(self, sealed: bytes, context: str) -> bytes:
        """See the port."""
        if not _HEAD + _NONCE + _TAG <= len(sealed) <= _HEAD + _NONCE + _TAG + LARGEST or sealed[0] != VERSION:
            raise WorldError(
                "vault.malformed",
                "What should be sealed has a form that this version does not know.",
                remedy="It was cut, changed, or sealed by a newer Holdfast. Restore it from a backup.",
            )
        head, nonce, rest = sealed[:_HEAD], sealed[_HEAD : _HEAD + _NONCE], sealed[_HEAD + _NONCE :]
        _, keys = self._open()
        if head[1:] not in keys:
            raise WorldError(
                "vault.key_unknown",
                f"It was sealed with the key {head[1:].hex()}, which {self._path} does not hold.",
                remedy="Database and keys are of different moments: restore both from one backup.",
            )
        try:
            return AESGCM(keys[head[1:]]).decrypt(nonce, rest, head + context.encode())
        except InvalidTag as error:
            raise WorldError(
                "vault.refused",
                "What was sealed has been changed, or was put in the place of something else.",
                remedy="Somebody or something wrote to the database: find out who, then restore it from a backup.",
            ) from error

    def is_current(self, sealed: bytes) -> bool:
        """See the port."""
        file, _ = self._open()
        return sealed[1:_HEAD] == file.keys[-1].id

    def rotate(self) -> str:
        """See the port."""
        with self._locked:
            file, _ = self._open()
            key = _new_key(_stretched(self._passphrase, file.salt, file.cost))
            self._put(msgspec.structs.replace(file, keys=(*file.keys, key)))
            return key.id.hex()

    def drop_old_keys(self) -> int:
        """See the port."""
        with self._locked:
            file, _ = self._open()
            self._put(msgspec.structs.replace(file, keys=file.keys[-1:]))
            return len(file.keys) - 1

    def change_passphrase(self, new: Passphrase) -> None:
        """Seal the data keys under another passphrase. Asked again after an interruption, it finds it done.

        Raises:
            WorldError: ``vault.passphrase_wrong`` when neither passphrase opens it.
        """
        with self._locked:
            try:
                file, keys = self._open()
            except WorldError as error:
                if error.code != "vault.passphrase_wrong":
                    raise
                self._passphrase = new
                self._open()
                return
            salt = os.urandom(_SALT_BYTES)
            wrapping = _stretched(new, salt, file.cost)
            sealed = tuple(_sealed_key(wrapping, name, key) for name, key in keys.items())
            self._passphrase = new
            self._put(msgspec.structs.replace(file, salt=salt, keys=sealed))

    def _put(self, file: _File) -> None:
        durable.put(self._path, msgspec.json.encode(file))
        self._opened = None

    def _open(self) -> tuple[_File, dict[bytes, bytes]]:
        with self._locked:
            if self._opened is None:
                file = self._read()
                wrapping = _stretched(self._passphrase, file.salt, file.cost)
                self._opened = file, {key.id: self._unwrapped(wrapping, key) for key in file.keys}
            return self._opened

    def _unwrapped(self, wrapping: bytes, key: _DataKey) -> bytes:
        try:
            return AESGCM(wrapping).decrypt(key.sealed[:_NONCE], key.sealed[_NONCE:], _CONTEXT + key.id)
        except (InvalidTag, ValueError) as error:
            raise WorldError(
                "vault.passphrase_wrong",
                f"The passphrase does not open {self._path}.",
                remedy="Give the passphrase that this folder was made with; a backup's vault needs the backup's own.",
            ) from error

    def _read(self) -> _File:
        try:
            data = self._path.read_bytes()[: _FILE_BYTES + 1]
        except OSError as error:
            raise WorldError(
                "vault.missing",
                f"{self._path} could not be read: {error.strerror}.",
                remedy="Restore it from a backup. In a new folder, or one of an older Holdfast: holdfast init.",
            ) from error
        try:
            file = msgspec.json.decode(data, type=_File)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            file = None
        if len(data) > _FILE_BYTES or file is None or file.v != VERSION or not _usable(file):
            raise WorldError(
                "vault.damaged",
                f"{self._path} is no vault that this version can read.",
                remedy="Restore it from a backup, or use the Holdfast that wrote it.",
            )
        return file


def _usable(file: _File) -> bool:
    names = {key.id for key in file.keys}
    return bool(names) and len(names) == len(file.keys) and all(len(name) == _ID for name in names)


def _stretched(passphrase: Passphrase, salt: bytes, cost: Cost) -> bytes:
    return Scrypt(salt=salt, length=_KEY_BYTES, n=cost.n, r=cost.r, p=cost.p).derive(passphrase.reveal())


def _new_key(wrapping: bytes) -> _DataKey:
    return _sealed_key(wrapping, os.urandom(_ID), os.urandom(_KEY_BYTES))


def _sealed_key(wrapping: bytes, name: bytes, key: bytes) -> _DataKey:
    nonce = os.urandom(_NONCE)
    return _DataKey(name, nonce + AESGCM(wrapping).encrypt(nonce, key, _CONTEXT + name))
