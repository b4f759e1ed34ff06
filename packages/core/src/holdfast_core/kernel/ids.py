"""Identifiers: what they may look like, and the scope that is part of every stored key."""

from __future__ import annotations

import re
from typing import NewType

import msgspec

from holdfast_core.kernel.errors import HostileData

DeviceId = NewType("DeviceId", str)
"""A device's name inside its scope; lower case, so that it can stand in a certificate, a topic and a file name."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")


def parse_name(text: str, *, what: str) -> str:
    """Return `text` if it is a name: 1 to 63 of ``a-z 0-9 . _ -``, starting and ending with a letter or digit.

    Args:
        text: the candidate.
        what: the noun for the error, e.g. ``"device id"``.

    Raises:
        HostileData: ``name.invalid``.
    """
    if not _NAME.fullmatch(text) or ".." in text:
        raise HostileData(
            "name.invalid",
            f"{text[:80]!r} is not a valid {what}.",
            remedy="Use 1 to 63 of a-z, 0-9, '.', '_' and '-', starting and ending with a letter or digit.",
        )
    return text


def parse_device_id(text: str) -> DeviceId:
    """Return `text` as a device id, or raise `HostileData` ``name.invalid``."""
    return DeviceId(parse_name(text, what="device id"))


class Scope(msgspec.Struct, frozen=True, order=True):
    """Tenant and environment: the first two parts of every stored key."""

    tenant: str
    environment: str

    def __post_init__(self) -> None:
        """Refuse a scope whose parts are not names."""
        parse_name(self.tenant, what="tenant")
        parse_name(self.environment, what="environment")

    def __str__(self) -> str:
        return f"{self.tenant}/{self.environment}"


class DeviceKey(msgspec.Struct, frozen=True, order=True):
    """One device, everywhere: its scope and its id."""

    scope: Scope
    device: DeviceId

    def __str__(self) -> str:
        return f"{self.scope}/{self.device}"
