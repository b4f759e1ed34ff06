"""Private keys in files: PKCS#8 (RFC 5958) in PEM, encrypted under the passphrase, so that `openssl` reads them too.

1. A file is its owner's alone from its first byte, and there whole or not at all (`durable`); a name that is taken is
   never written to.
2. A file in the clear is refused, unless the store was told that such files may be there; `protect` encrypts them.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from holdfast.adapters import durable
from holdfast.adapters.pki.files import read
from holdfast.adapters.pki.passphrase import Passphrase
from holdfast.ports.keystore import KeyAlgorithm, PrivateKey, exists, missing, parse_reference
from holdfast_core.kernel.errors import WorldError

SUFFIX = ".key"
LARGEST = 16 * 1024
"""Bytes of a key file; RSA of 4,096 bits needs a quarter of it."""
_LEAST_LINES, _SHORTEST_DER, _SEQUENCE = 3, 8, 0x30
_CLEAR = b"-----BEGIN PRIVATE KEY-----"
_ENCRYPTED = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"


class FileKeyStore:
    """Implements `holdfast.ports.keystore.KeyStore`: the key ``a/b`` is the file ``a/b.key`` under `folder`.

    Args:
        folder: where the keys lie.
        passphrase: what they are encrypted under.
        clear_allowed: whether keys in the clear are read too; none is ever written.
    """

    def __init__(self, folder: Path, passphrase: Passphrase, *, clear_allowed: bool = False) -> None:
        self._folder = folder
        self._passphrase = passphrase
        self._clear_allowed = clear_allowed

    def create(self, reference: str, algorithm: KeyAlgorithm) -> PrivateKey:
        """See the port."""
        path = self.path(reference)
        if path.exists():
            raise exists(reference, str(self._folder))
        key = _generated(algorithm)
        if not durable.put_new(path, self._sealed(key)):
            raise exists(reference, str(self._folder))
        return key

    def load(self, reference: str) -> PrivateKey:
        """See the port.

        Raises:
            WorldError: also ``keystore.clear``, ``keystore.damaged``, ``keystore.open``.
        """
        path = self.path(reference)
        if not path.exists():
            raise missing(reference, str(self._folder))
        data = read(path)[: LARGEST + 1]
        if data.lstrip().startswith(_CLEAR):
            if not self._clear_allowed:
                raise WorldError(
                    "keystore.clear",
                    f"{path} is not encrypted: whoever copies it has the key.",
                    remedy="If an older Holdfast left it so: holdfast vault protect. Else restore a backup.",
                )
            return _opened(path, data, None)
        return _opened(path, data, self._passphrase)

    def holds(self, reference: str) -> bool:
        """See the port."""
        return self.path(reference).exists()

    def delete(self, reference: str) -> None:
        """See the port. Flash and journals may keep the bytes; they are encrypted ones."""
        durable.remove(self.path(reference))

    def path(self, reference: str) -> Path:
        """The file of a key.

        Raises:
            HostileData: ``keystore.reference``.
        """
        *folders, name = parse_reference(reference)
        return self._folder.joinpath(*folders, name + SUFFIX)

    def protect(self, reference: str) -> bool:
        """Encrypt a key that lies in the clear; whether it did.

        Raises:
            WorldError: ``keystore.missing``, ``keystore.damaged``.
        """
        path = self.path(reference)
        if not path.exists():
            raise missing(reference, str(self._folder))
        data = read(path)[: LARGEST + 1]
        if not data.lstrip().startswith(_CLEAR):
            return False
        durable.put(path, self._sealed(_opened(path, data, None)))
        return True

    def reseal(self, reference: str, new: Passphrase) -> None:
        """Encrypt a key under another passphrase. Asked again after an interruption, it finds it done.

        Raises:
            WorldError: as `load`; ``keystore.passphrase_wrong`` when neither passphrase opens it.
        """
        other = FileKeyStore(self._folder, new)
        try:
            key = self.load(reference)
        except WorldError as error:
            if error.code != "keystore.passphrase_wrong":
                raise
            other.load(reference)
            return
        durable.put(self.path(reference), other._sealed(key))

    def _sealed(self, key: PrivateKey) -> bytes:
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(self._passphrase.reveal()))


def _generated(algorithm: KeyAlgorithm) -> PrivateKey:
    match algorithm:
        case KeyAlgorithm.P256:
            return ec.generate_private_key(ec.SECP256R1())
        case KeyAlgorithm.P384:
            return ec.generate_private_key(ec.SECP384R1())
        case KeyAlgorithm.ED25519:
            return ed25519.Ed25519PrivateKey.generate()
        case KeyAlgorithm.RSA3072:
            return rsa.generate_private_key(public_exponent=65_537, key_size=3072)


def _opened(path: Path, data: bytes, passphrase: Passphrase | None) -> PrivateKey:
    if len(data) > LARGEST or (passphrase is not None and not data.lstrip().startswith(_ENCRYPTED)):
        raise _damaged(path)
    try:
        key = load_pem_private_key(data, passphrase.reveal() if passphrase else None)
    except ValueError as error:
        # A wrong passphrase is known only by what comes out: mostly bad padding, once in 256 times other nonsense. So
        # a file that is whole, and does not open, has another passphrase, or was changed inside what is encrypted.
        if passphrase is None or not _is_whole(data):
            raise _damaged(path) from error
        raise WorldError(
            "keystore.passphrase_wrong",
            f"The passphrase does not open {path}.",
            remedy="Give the passphrase that this folder was made with; a backup's keys need the backup's own.",
        ) from error
    except (TypeError, UnsupportedAlgorithm) as error:
        raise _damaged(path) from error
    if not isinstance(key, PrivateKey):
        raise _damaged(path)
    return key


def _is_whole(data: bytes) -> bool:
    """Whether the PEM holds one DER sequence from its first to its last octet."""
    lines = data.strip().splitlines()
    if len(lines) < _LEAST_LINES or not lines[-1].startswith(b"-----END ENCRYPTED PRIVATE KEY-----"):
        return False
    try:
        der = base64.b64decode(b"".join(lines[1:-1]), validate=True)
    except binascii.Error:
        return False
    if len(der) < _SHORTEST_DER or der[0] != _SEQUENCE:
        return False
    octets = der[1] & 0x7F if der[1] & 0x80 else 0
    length = int.from_bytes(der[2 : 2 + octets], "big") if octets else der[1]
    return len(der) == 2 + octets + length


def _damaged(path: Path) -> WorldError:
    return WorldError(
        "keystore.damaged", f"{path} holds no private key that can be read.", remedy="Restore it from a backup."
    )
