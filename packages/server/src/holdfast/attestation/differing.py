"""What changed from one release to another: measurements, whole registers, components and files.

1. A value that stands in both is no change, whatever it is called; one with another digest is told as gone and come.
2. The order is for people: by kind, register and name, what is gone before what came.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

import msgspec

from holdfast_core.attestation.explaining import diff
from holdfast_core.attestation.reference import Statement


class Part(StrEnum):
    """What of a release changed."""

    MEASUREMENT = "measurement"
    REGISTER = "register"
    COMPONENT = "component"
    FILE = "file"
    FILE_KEY = "file-key"


class Change(msgspec.Struct, frozen=True):
    """One value that is gone (``-``) or that came (``+``); `register` is `None` where it is in none."""

    sign: str
    part: Part
    register: int | None
    what: str
    digest: str


_Value = tuple[str, str]
"""What something is called, and its digest."""


def differences(before: Statement, after: Statement) -> tuple[Change, ...]:
    """What changed from `before` to `after`."""
    return tuple(_changes(before, after))


def _changes(before: Statement, after: Statement) -> Iterator[Change]:
    for sign, measurement in diff(before.measurements, after.measurements):
        yield Change(sign, Part.MEASUREMENT, measurement.register, measurement.what, measurement.digest)
    old = {(golden.register, golden.value) for golden in before.golden}
    new = {(golden.register, golden.value) for golden in after.golden}
    for register, value in sorted(old ^ new):
        sign = "-" if (register, value) in old else "+"
        yield Change(sign, Part.REGISTER, register, "whole register", value)
    yield from _named(Part.COMPONENT, _components(before), _components(after))
    yield from _named(Part.FILE, _files(before), _files(after))
    yield from _named(Part.FILE_KEY, _file_keys(before), _file_keys(after))


def _components(statement: Statement) -> Iterator[_Value]:
    return ((f"{each.kind} {each.version}".strip(), each.digest) for each in statement.components)


def _files(statement: Statement) -> Iterator[_Value]:
    return ((each.path, each.digest) for each in statement.files)


def _file_keys(statement: Statement) -> Iterator[_Value]:
    return (("key that signs files", each.hex()) for each in statement.file_keys)


def _named(part: Part, before: Iterable[_Value], after: Iterable[_Value]) -> Iterator[Change]:
    old, new = set(before), set(after)
    for what, digest in sorted(old ^ new, key=lambda value: (value[0], value in new)):
        yield Change("-" if (what, digest) in old else "+", part, None, what, digest)
