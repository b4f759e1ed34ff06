"""A key that lies in a chip, as `cryptography` asks for one: it signs the certificate request where it lies.

1. What only a key in memory can do is refused with a word: there is nothing to export and nothing to agree on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NoReturn

from cryptography.hazmat.primitives.asymmetric import ec

from holdfast_core.kernel.errors import Bug

Sign = Callable[[bytes], bytes]
"""From a SHA-256 digest to an ECDSA signature over it, in DER."""


class ChipKey(ec.EllipticCurvePrivateKey):
    """The private half of `public`, which signs through `sign_digest`. ECDSA with SHA-256 only."""

    def __init__(self, public: ec.EllipticCurvePublicKey, sign_digest: Sign) -> None:
        self._public = public
        self._sign_digest = sign_digest

    def sign(self, data: object, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Sign `data` in the chip."""
        assert isinstance(signature_algorithm, ec.ECDSA)  # noqa: S101  (the one there is)
        return self._sign_digest(hashlib.sha256(bytes(data)).digest())  # type: ignore[call-overload]  # any buffer

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public half."""
        return self._public

    @property
    def curve(self) -> ec.EllipticCurve:
        """The key's curve."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """In bits."""
        return self._public.key_size

    def exchange(self, *_: object) -> NoReturn:
        """Not for this key."""
        raise _stays_inside()

    def private_numbers(self) -> NoReturn:
        """Not for this key."""
        raise _stays_inside()

    def private_bytes(self, *_: object) -> NoReturn:
        """Not for this key."""
        raise _stays_inside()

    def __copy__(self) -> ChipKey:
        """The same key: there is one."""
        return self

    def __deepcopy__(self, _memo: object) -> ChipKey:
        """The same key: there is one."""
        return self


def _stays_inside() -> Bug:
    return Bug(
        "agent.key_in_chip",
        "Something asked for a private key that lies in a chip.",
        remedy="Report this; the key is where it should be.",
    )
