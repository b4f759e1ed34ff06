"""The log's signing key, in a file."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from holdfast.adapters.pki.files import read, write_private
from holdfast_core.formats.note import VerifierKey


class FileLogSigner:
    """Implements `holdfast.ports.signer.LogSigner` with ``log.key`` (Ed25519, PKCS#8) and ``log.origin``."""

    def __init__(self, folder: Path) -> None:
        key = serialization.load_pem_private_key(read(folder / "log.key"), password=None)
        assert isinstance(key, ed25519.Ed25519PrivateKey)  # noqa: S101  (`create` wrote the file)
        self._private = key
        self.origin = read(folder / "log.origin").decode().strip()
        self.key = VerifierKey(self.origin, key.public_key().public_bytes_raw())

    @classmethod
    def create(cls, folder: Path, origin: str) -> FileLogSigner:
        """Make a key for a new log."""
        key = ed25519.Ed25519PrivateKey.generate()
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_private(folder / "log.key", pem)
        write_private(folder / "log.origin", origin.encode() + b"\n")
        return cls(folder)

    def sign(self, data: bytes) -> bytes:
        """See the port."""
        return self._private.sign(data)
