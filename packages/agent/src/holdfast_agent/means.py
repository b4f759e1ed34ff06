"""What a device could attest with, and where it cannot, why: told to the server in a word and to a person in a line.

1. Nothing is started and no command goes to the chip to find out.
2. The TPM comes before a token where the server takes both: it speaks of what was booted.
"""

from __future__ import annotations

import importlib.util
import os
from enum import StrEnum

import msgspec

from holdfast_agent.state import Config, Folder, KeyPlace, QuotingKey
from holdfast_core.wire.attestation import Ask


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


NO_TPM, NO_KEY, NO_TOOLS, NO_TOKEN = "no-tpm", "no-key", "no-tools", "no-token"
_WORDS = {
    NO_TPM: "this device was not enrolled with a TPM",
    NO_KEY: "its attestation key is not in the state folder; enroll it again (some models ask for a claim)",
    NO_TOOLS: "neither tpm2-tools nor tpm2-pytss is installed",
    NO_TOKEN: "the server asks for a token, and no program is configured that makes one",
}


def means_of(folder: Folder, config: Config, ask: Ask | None = None) -> Means:
    """What this device attests with, where the server asks for `ask`. Raises WorldError ``agent.state_damaged``."""
    chip = _tpm(folder, config)
    wants_quote, wants_token = (bool(ask.registers), ask.token) if asks(ask) and ask else (True, True)
    if wants_quote and not chip.why:
        return chip
    if wants_token and config.attest_token:
        return Means(token=True)
    return chip if wants_quote else Means(why=NO_TOKEN)


def asks(ask: Ask | None) -> bool:
    """Whether the server asks for evidence, as far as it is known: one that was not heard yet does."""
    return ask is None or bool(ask.registers) or ask.token


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


def in_words(folder: Folder, config: Config, ask: Ask | None = None) -> str:
    """The same for a person."""
    means = means_of(folder, config, ask)
    if means.token:
        return f"a token from {config.attest_token[0]}"
    if means.key is None:
        return f"none: {_WORDS[means.why]} ({means.why})"
    if means.key.handle:
        return f"{means.way}, the key stays in the chip at {means.key.handle:#x}"
    return f"{means.way}, the key is loaded anew by each process: {means.key.why}"
