"""Local secrets on the wire: the directive that one waits, and the answer that tells it.

1. A directive is kept, shown and logged, so it names account and version only.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from holdfast_core.kernel.limits import LIMITS
from holdfast_core.wire.frame import Whole

DIRECTIVE = "rotate-secrets"
PATH = "/v1/secrets/"
"""``POST PATH{account}`` tells the secret, ``POST PATH{account}/confirmed`` says that it is in force."""
ACCOUNTS = 64
"""Accounts that a device takes in one directive."""

Account = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$")]


class Ordered(msgspec.Struct, frozen=True):
    """An account, and the version that waits for it."""

    account: Account
    version: Whole


class SecretsArgs(msgspec.Struct, frozen=True):
    """The arguments of the directive."""

    secrets: Annotated[tuple[Ordered, ...], msgspec.Meta(min_length=1, max_length=ACCOUNTS)]


class SecretTold(msgspec.Struct, frozen=True):
    """The answer to a device that fetches a secret."""

    account: Account
    version: Whole
    secret: Annotated[str, msgspec.Meta(min_length=1, max_length=LIMITS.text)]

    def __repr__(self) -> str:
        """Without the secret, wherever this ends up."""
        return f"SecretTold({self.account!r}, {self.version})"
