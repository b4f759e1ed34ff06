"""The probes of accounts, keys, certificates and secrets."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, TypeAlias

import msgspec

from holdfast_core.baseline.probes.shape import PathGlob, Probe


class AccountCheck(StrEnum):
    """What `Accounts` asks of ``/etc/passwd`` and ``/etc/shadow``."""

    EMPTY_PASSWORD = "empty_password"  # noqa: S105  (the name of a check)
    """No account has an empty password field."""
    DEFAULT_PASSWORD = "default_password"  # noqa: S105  (the name of a check)
    """No account opens with a notorious vendor default or with its own name."""
    UID_ZERO = "uid_zero"
    """Only ``root`` has uid 0."""
    HASH_STRENGTH = "hash_strength"
    """Every password hash is sha256-crypt or stronger."""
    UNEXPECTED_LOGIN = "unexpected_login"
    """Every account that can log in is in the plan's `accounts`."""


class Accounts(Probe, frozen=True, tag="accounts"):
    """One `check` of the accounts; no ``/etc/passwd`` (or ``/etc/shadow`` where needed): not applicable."""

    check: AccountCheck


class PrivateKeys(Probe, frozen=True, tag="private_keys"):
    """No file holds a private key that decodes (PEM, DER, OpenSSH, dropbear), but for matches of `allow`. Walks, reads.

    A program that merely contains the words of a header has no key.
    """

    allow: Annotated[tuple[PathGlob, ...], msgspec.Meta(max_length=64)] = ()


CredentialProbe: TypeAlias = Accounts | PrivateKeys
"""The probes of this module."""
