"""What a device could attest with, and where it cannot, why: told to the server in a word and to a person in a line.

1. Nothing is started and no command goes to the chip to find out.
2. The TPM comes before a token: it speaks of what was booted, a token of what its maker's code says.
"""

from __future__ import annotations

import importlib.util
import os
from enum import StrEnum

import msgspec

from holdfast_agent.state import Config, Folder, KeyPlace, QuotingKey


class Way(StrEnum):
    """How commands reach the chip."""

    TOOLS = "tpm2-tools"
    PYTSS = "tpm2-pytss"


class Means(msgspec.Struct, frozen=True):
    """The way to the chip and the key in it, or a token, or `why` there is neither: a stable word."""

    way: Way | None = None
    key: QuotingKey | None = None
    token: bool = False
    why: str = ""


NO_TPM, NO_KEY, NO_TOOLS = "no-tpm", "no-key", "no-tools"
_WORDS = {
    NO_TPM: "this device was not enrolled with a TPM",
    NO_KEY: "its attestation key is not in the state folder; enroll it again, which needs no claim",
    NO_TOOLS: "neither tpm2-tools nor tpm2-pytss is installed",
}


def means_of(folder: Folder, config: Config) -> Means:
    """What this device attests with. Raises WorldError ``agent.state_damaged``."""
    means = _tpm(folder, config)
    return Means(token=True) if means.why and config.attest_token else means


def _tpm(folder: Folder, config: Config) -> Means:
    if config.key is not KeyPlace.TPM:
        return Means(why=NO_TPM)
    key = folder.quoting()
    if key is None:
        return Means(why=NO_KEY)
    way = way_here()
    if way is None or (way is Way.PYTSS and not key.handle):
        return Means(why=NO_TOOLS)  # only the tools load a key that is not in the chip
    return Means(way, key)


def way_here() -> Way | None:
    """The way to the chip that this device has; nothing is imported or started for the answer."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    if any(os.access(f"{folder}/tpm2_send", os.X_OK) for folder in folders if folder):
        return Way.TOOLS
    return Way.PYTSS if importlib.util.find_spec("tpm2_pytss") is not None else None


def in_words(folder: Folder, config: Config) -> str:
    """The same for a person."""
    means = means_of(folder, config)
    if means.token:
        return f"a token from {config.attest_token[0]}"
    if means.key is None:
        return f"none: {_WORDS[means.why]} ({means.why})"
    if means.key.handle:
        return f"{means.way}, the key stays in the chip at {means.key.handle:#x}"
    return f"{means.way}, the key is loaded anew by each process: {means.key.why}"
