"""Keys that sign. A file with a key is one; PKCS#11 and a cloud KMS are others."""

from __future__ import annotations

from typing import Protocol

from cryptography import x509

from holdfast_core.formats.note import VerifierKey
from holdfast_core.kernel.ids import DeviceId, Scope
from holdfast_core.kernel.instants import Instant


class LogSigner(Protocol):
    """Signs checkpoints (Ed25519). `origin` names the log for its whole life; `key` is the public half."""

    @property
    def origin(self) -> str:
        """The log's name."""
        ...

    @property
    def key(self) -> VerifierKey:
        """The public key."""
        ...

    def sign(self, data: bytes) -> bytes:
        """The 64-byte signature."""
        ...


class Authority(Protocol):
    """Issues device certificates."""

    def issue(
        self, request: x509.CertificateSigningRequest, device: DeviceId, scope: Scope, *, now: Instant
    ) -> x509.Certificate:
        """A leaf for `device` with the request's public key."""
        ...

    def chain(self) -> list[x509.Certificate]:
        """The authority's own certificates, issuing one first, root last."""
        ...
