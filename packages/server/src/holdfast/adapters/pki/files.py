"""Writing and reading key files: 0600 from the first byte, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.errors import WorldError


def write_private(path: Path, data: bytes) -> None:
    """Write a new file that only its owner may read.

    Raises:
        WorldError: ``files.exists``; a key is never overwritten.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise WorldError(
            "files.exists", f"{path} exists already.", remedy="Choose another data folder, or move the file away."
        ) from None
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def certificate_fingerprint(path: Path) -> Digest:
    """SHA-256 over the DER of a PEM file's first certificate, as browsers show it.

    Raises:
        WorldError: ``files.missing``, ``files.no_certificate``.
    """
    try:
        certificate = x509.load_pem_x509_certificate(read(path))
    except ValueError as error:
        raise WorldError(
            "files.no_certificate",
            f"{path} holds no certificate that can be read.",
            remedy="Give a PEM file whose first certificate is the server's own, then its chain.",
        ) from error
    return digest_of(certificate.public_bytes(Encoding.DER))


def read(path: Path) -> bytes:
    """The file's bytes.

    Raises:
        WorldError: ``files.missing``.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise WorldError(
            "files.missing",
            f"{path} could not be read: {error.strerror}.",
            remedy="Check the data folder and its owner; restore it from a backup if it is incomplete.",
        ) from error
