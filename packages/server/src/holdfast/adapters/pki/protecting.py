"""Every private key in the folder of keys: encrypting what lies in the clear, changing the passphrase."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from holdfast.adapters.pki.keyfiles import SUFFIX, FileKeyStore
from holdfast.adapters.pki.passphrase import Passphrase


def protect_keys(keys: Path, passphrase: Passphrase) -> list[str]:
    """Encrypt the keys that lie in the clear; return their references.

    Raises:
        WorldError: ``keystore.damaged``, ``files.disk``.
    """
    store = FileKeyStore(keys, passphrase)
    return [reference for reference in _references(keys) if store.protect(reference)]


def reseal_keys(keys: Path, old: Passphrase, new: Passphrase) -> int:
    """Encrypt every key under another passphrase; return how many. After an interruption it can be repeated.

    Raises:
        WorldError: ``keystore.passphrase_wrong``, ``keystore.*``, ``files.disk``.
    """
    store, references = FileKeyStore(keys, old), list(_references(keys))
    for reference in references:
        store.reseal(reference, new)
    return len(references)


def _references(keys: Path) -> Iterator[str]:
    for path in sorted(keys.rglob(f"*{SUFFIX}")):
        yield path.relative_to(keys).with_suffix("").as_posix()
