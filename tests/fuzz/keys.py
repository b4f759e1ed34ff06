"""Keys that are the same in every process, so that a corpus made by one is signed for another."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

P256 = ec.derive_private_key(0x1D0FA57, ec.SECP256R1())
P384 = ec.derive_private_key(0x1D0FA57, ec.SECP384R1())
ED25519 = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
RSA_PUBLIC = rsa.RSAPublicNumbers(65537, (1 << 2047) + (1 << 1023) + 1).public_key()
"""Nobody knows its factors: nothing verifies by it, but everything can be tried."""
PUBLIC = (P256.public_key(), P384.public_key(), ED25519.public_key(), RSA_PUBLIC)
