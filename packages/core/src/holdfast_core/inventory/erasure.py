"""Erasing a device at the end of its life: what is asked of it, what it says it did, and how much that is worth.

1. The directive ``erase`` names places, never commands. What a device needs to start at all is no such place, so that
   an order that somebody forged cannot brick a fleet.
2. A report names the technique used on each place. Only a technique earns a method of NIST SP 800-88r2: destroying the
   keys of an encrypted container purges where the storage confirms a secure discard of them, and clears where they
   could only be overwritten; removing files and having the storage discard them clears; removing alone earns nothing,
   for what was removed can be read back from the storage.
3. Files are not overwritten: on flash the new bytes go elsewhere and the old ones stay.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from holdfast_core.inventory.model import Sanitizing
from holdfast_core.kernel.limits import LIMITS

ERASE = "erase"
"""The directive's kind."""
SECTION = "erasure"
"""The section that reports it."""

_NEVER = frozenset({"bin", "boot", "efi", "lib", "lib32", "lib64", "proc", "sbin", "sys", "usr"})
"""Nothing below these."""
_NOT_WHOLE = frozenset({"dev", "etc", "root", "run", "var"})
"""Not these themselves."""

Place = Annotated[str, msgspec.Meta(min_length=2, max_length=LIMITS.erased_path, pattern="^/")]


class Technique(StrEnum):
    """What was done to a place."""

    CRYPTOGRAPHIC_ERASE = "cryptographic-erase"
    KEY_OVERWRITE = "key-overwrite"
    DISCARD = "discard"
    REMOVE = "remove"
    FAILED = "failed"


_EARNS = {
    Technique.CRYPTOGRAPHIC_ERASE: Sanitizing.PURGE,
    Technique.KEY_OVERWRITE: Sanitizing.CLEAR,
    Technique.DISCARD: Sanitizing.CLEAR,
}


class EraseArgs(msgspec.Struct, frozen=True):
    """The arguments of the directive."""

    method: Sanitizing
    paths: Annotated[tuple[Place, ...], msgspec.Meta(max_length=LIMITS.erased_paths)]


class Erased(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one place; `why` says why it could not be erased."""

    path: Place
    technique: Technique
    why: Annotated[str, msgspec.Meta(max_length=LIMITS.erased_path)] = ""


class ErasureReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """Section ``erasure``: a device's last word. `key`: whether its own key goes as soon as this was taken."""

    items: Annotated[tuple[Erased, ...], msgspec.Meta(max_length=LIMITS.erased_paths)] = ()
    key: bool = True


def is_erasable(path: str) -> bool:
    """Whether `path` may be erased: absolute, plain, and not what the device starts from."""
    parts = path.split("/")[1:]
    if not path.startswith("/") or len(path) > LIMITS.erased_path or not (path.isascii() and path.isprintable()):
        return False
    if any(part in ("", ".", "..") for part in parts):
        return False
    return parts[0] not in _NEVER and (len(parts) > 1 or parts[0] not in _NOT_WHOLE)


def shortfall(wanted: EraseArgs, report: ErasureReport) -> str:
    """In a sentence, by what `report` falls short of `wanted`; empty when it does not."""
    done = {item.path: item for item in report.items}
    if not report.key:
        return "The device keeps its own key."
    for path in wanted.paths:
        item = done.get(path)
        if item is None:
            return f"The device does not say what became of {path}."
        if item.technique is Technique.FAILED:
            return f"The device could not erase {path}: {item.why or 'it does not say why'}."
        earned = _EARNS.get(item.technique)
        if earned is None or not earned.reaches(wanted.method):
            return f"To {item.technique.value} {path} is less than {wanted.method.value}."
    return ""
