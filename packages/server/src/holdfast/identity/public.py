"""How a secret is named to people and in the record: by the beginning of its digest."""

from __future__ import annotations

from holdfast_core.kernel.digests import Digest

ID_CHARACTERS = 12


def public_id(digest: Digest) -> str:
    """The part of a secret's digest by which people and the record name it."""
    return digest.removeprefix("sha256:")[:ID_CHARACTERS]
