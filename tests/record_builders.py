"""Logs, keys and exports for tests of the record."""

from __future__ import annotations

import base64
import hashlib

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from holdfast_core.formats.note import Sign, VerifierKey
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import Instant
from holdfast_core.record import checkpoint, merkle
from holdfast_core.record.export import export_lines
from holdfast_core.record.model import Kind, entry, leaf_bytes

ORIGIN = "log.example/acme"


class LogKey:
    """A log's key pair; the same `seed` gives the same key."""

    def __init__(self, seed: str = "the log", name: str = ORIGIN) -> None:
        private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(seed.encode()).digest())
        self.sign: Sign = private.sign
        self.verifier = VerifierKey(name, private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
        self.text = str(self.verifier)


KEY = LogKey()


def leaves(count: int, *, story: str = "as it was") -> list[bytes]:
    scope = Scope("acme", "plant")
    return [
        leaf_bytes(
            entry(
                Kind.VERDICT_CHANGED,
                at=Instant(1_800_000_000_000 + at),
                scope=scope,
                actor="server",
                device=f"cam-{at}",
                data={"to": "trusted", "note": story},
            )
        )
        for at in range(count)
    ]


def sealed(of: list[bytes], key: LogKey = KEY, origin: str = ORIGIN) -> str:
    """A signed checkpoint over these leaves."""
    frontier = merkle.Frontier().append(merkle.leaf_hash(each) for each in of)
    return checkpoint.issue(origin, frontier, key.verifier, key.sign)


def export(of: list[bytes], *, seal: str | None = None, key: LogKey = KEY) -> list[bytes]:
    """An export of these leaves; with `seal`, under that checkpoint instead of the one that belongs to them."""
    return list(export_lines(ORIGIN, key.text, seal or sealed(of, key), of))


def rewritten(line: bytes, **changes: object) -> bytes:
    """A line of an export with some of its fields changed, written as exports are."""
    return msgspec.json.encode(msgspec.json.decode(line) | changes) + b"\n"


def hash_text(leaf: bytes) -> str:
    return base64.b64encode(merkle.leaf_hash(leaf)).decode()
