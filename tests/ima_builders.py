"""Measurement lists as a kernel writes them: both forms of the same entries."""

from __future__ import annotations

import hashlib
import struct

import msgspec


class Made(msgspec.Struct, frozen=True):
    """An entry to be written. `extra` are the fields behind digest and name; `kind` is of the ngv2 templates."""

    name: bytes = b"/usr/bin/true"
    digest: bytes = hashlib.sha256(b"true").digest()
    algorithm: str = "sha256"
    template: str = "ima-ng"
    kind: str = ""
    extra: tuple[bytes, ...] = ()
    register: int = 10
    violation: bool = False

    @property
    def fields(self) -> tuple[bytes, ...]:
        head = f"{self.kind}:{self.algorithm}:" if self.kind else f"{self.algorithm}:"
        return (head.encode() + b"\0" + self.digest, self.name + b"\0", *self.extra)

    @property
    def data(self) -> bytes:
        if self.template == "ima":
            return self.digest + self.name.ljust(256, b"\0")
        return b"".join(struct.pack("<I", len(field)) + field for field in self.fields)

    def column(self, bank: str = "sha1") -> bytes:
        made = hashlib.new(bank, self.data).digest()
        return bytes(len(made)) if self.violation else made

    def line(self, bank: str = "sha1") -> bytes:
        """As in ascii_runtime_measurements."""
        shown = [self.digest.hex().encode()] if self.template == "ima" else [hexed(self.fields[0])]
        parts = [self.column(bank).hex().encode(), self.template.encode(), *shown, self.name, *map(hexed, self.extra)]
        return f"{self.register:2d} ".encode() + b" ".join(parts) + b"\n"

    def binary(self, bank: str = "sha1") -> bytes:
        """As in binary_runtime_measurements."""
        name = self.template.encode()
        head = struct.pack("<I", self.register) + self.column(bank) + struct.pack("<I", len(name)) + name
        if self.template == "ima":
            return head + self.digest + struct.pack("<I", len(self.name)) + self.name
        return head + struct.pack("<I", len(self.data)) + self.data


def hexed(field: bytes) -> bytes:
    """A field as text: of a digest, the hash's name stays readable."""
    head, colon, value = field.partition(b":\0")
    return head + b":" + value.hex().encode() if colon else field.hex().encode()


def text(*entries: Made, bank: str = "sha1") -> bytes:
    return b"".join(each.line(bank) for each in entries)


def binary(*entries: Made, bank: str = "sha1") -> bytes:
    return b"".join(each.binary(bank) for each in entries)


def extended(entries, bank: str = "sha256", start: bytes | None = None) -> bytes:
    """The register after all of `entries`, computed here once more."""
    size = hashlib.new(bank).digest_size
    value = bytes(size) if start is None else start
    for each in entries:
        by = b"\xff" * size if each.violation else hashlib.new(bank, each.data).digest()
        value = hashlib.new(bank, value + by).digest()
    return value


def many(count: int) -> list[Made]:
    """Entries of different files."""
    return [
        Made(name=f"/usr/lib/x86_64-linux-gnu/lib{at}.so".encode(), digest=hashlib.sha256(str(at).encode()).digest())
        for at in range(count)
    ]
