"""The log's signing key, in a file under the passphrase."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ed25519

from holdfast.adapters.pki.files import read, write_private
from holdfast.adapters.pki.keyfiles import FileKeyStore
from holdfast.adapters.pki.passphrase import Passphrase
from holdfast.ports.keystore import KeyAlgorithm
from holdfast_core.formats.note import VerifierKey

_REFERENCE = "log"


class FileLogSigner:
    """Implements `holdfast.ports.signer.LogSigner` with ``log.key`` (Ed25519, PKCS#8) and ``log.origin``.

    Raises:
        WorldError: ``keystore.*``, ``files.missing``.
    """

    def __init__(self, folder: Path, passphrase: Passphrase) -> None:
        key = FileKeyStore(folder, passphrase).load(_REFERENCE)
        assert isinstance(key, ed25519.Ed25519PrivateKey)  # noqa: S101  (`create` wrote the file)
        self._private = key
        self.origin = read(folder / "log.origin").decode().strip()
        self.key = VerifierKey(self.origin, key.public_key().public_bytes_raw())

    @classmethod
    def create(cls, folder: Path, origin: str, passphrase: Passphrase) -> FileLogSigner:
        """Make a key for a new log."""
        FileKeyStore(folder, passphrase).create(_REFERENCE, KeyAlgorithm.ED25519)
        write_private(folder / "log.origin", origin.encode() + b"\n")
        return cls(folder, passphrase)

    def sign(self, data: bytes) -> bytes:
        """See the port."""
        return self._private.sign(data)
