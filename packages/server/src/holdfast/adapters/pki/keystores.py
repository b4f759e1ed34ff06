"""The key store that the configuration asks for.

1. Keys lie in files unless ``keys = "pkcs11"``; then the token holds those that sign for devices and ports. The root's
   lies in a file all the same: it is to be taken away.
2. The PIN is looked for like the passphrase: the file that ``HOLDFAST_PKCS11_PIN_FILE`` names, the systemd credential
   ``holdfast-pkcs11-pin``, the variable ``HOLDFAST_PKCS11_PIN``. It is never taken from an argument, nor
   from holdfast.toml.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from holdfast.adapters.pki.authority import ROOT
from holdfast.adapters.pki.files import read
from holdfast.adapters.pki.keyfiles import FileKeyStore
from holdfast.adapters.pki.passphrase import CREDENTIALS, Passphrase
from holdfast.config import Config
from holdfast.ports.keystore import KeyAlgorithm, KeyStore, PrivateKey
from holdfast_core.kernel.errors import WorldError

PIN_FILE, PIN, PIN_CREDENTIAL = "HOLDFAST_PKCS11_PIN_FILE", "HOLDFAST_PKCS11_PIN", "holdfast-pkcs11-pin"
LONGEST_PIN = 255


def open_key_store(config: Config, keys: Path, passphrase: Passphrase, environ: Mapping[str, str]) -> KeyStore:
    """The store of the authorities' keys. A token is not looked for before its first use.

    Raises:
        WorldError: ``keystore.not_installed``.
    """
    if config.keys == "files":
        return FileKeyStore(keys, passphrase)
    try:
        from holdfast.adapters.pki.pkcs11 import Pkcs11KeyStore  # noqa: PLC0415  (an extra: who has none needs none)
    except ModuleNotFoundError as error:
        raise WorldError(
            "keystore.not_installed",
            "The configuration keeps keys in a PKCS#11 token, but what talks to tokens is not installed.",
            remedy="Install the extra: pip install 'holdfast[pkcs11]'.",
        ) from error
    token = Pkcs11KeyStore(config.pkcs11_module, config.pkcs11_token, lambda: find_pin(environ))
    return DividedKeyStore(FileKeyStore(keys, passphrase), token, in_files=frozenset({ROOT}))


class DividedKeyStore:
    """Implements `holdfast.ports.keystore.KeyStore` over two others: the references in `in_files` lie in the first."""

    def __init__(self, files: KeyStore, others: KeyStore, *, in_files: frozenset[str]) -> None:
        self._files, self._others, self._in_files = files, others, in_files

    def _of(self, reference: str) -> KeyStore:
        return self._files if reference in self._in_files else self._others

    def create(self, reference: str, algorithm: KeyAlgorithm) -> PrivateKey:
        """See the port."""
        return self._of(reference).create(reference, algorithm)

    def load(self, reference: str) -> PrivateKey:
        """See the port."""
        return self._of(reference).load(reference)

    def holds(self, reference: str) -> bool:
        """See the port."""
        return self._of(reference).holds(reference)

    def delete(self, reference: str) -> None:
        """See the port."""
        self._of(reference).delete(reference)


def find_pin(environ: Mapping[str, str]) -> str:
    """The token's user PIN.

    Raises:
        WorldError: ``keystore.pin_missing``, ``files.missing``.
    """
    passed = Path(environ[CREDENTIALS], PIN_CREDENTIAL) if environ.get(CREDENTIALS) else None
    if named := environ.get(PIN_FILE):
        pin = _line(Path(named))
    elif passed is not None and passed.exists():
        pin = _line(passed)
    else:
        pin = environ.get(PIN, "")
    if not 0 < len(pin) <= LONGEST_PIN or not pin.isprintable():
        raise WorldError(
            "keystore.pin_missing",
            "There is no PIN for the token that holds the keys.",
            remedy=f"Name a file with it in {PIN_FILE}, or pass it as the systemd credential {PIN_CREDENTIAL}.",
        )
    return pin


def _line(path: Path) -> str:
    return read(path)[: LONGEST_PIN * 4].split(b"\n", 1)[0].rstrip(b"\r").decode("utf-8", "replace")
