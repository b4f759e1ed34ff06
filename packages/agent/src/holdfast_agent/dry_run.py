"""``holdfast-agent attest``: what would be sent for a nonce, shown to a person and sent to nobody.

1. Nothing is kept and nobody is called; the chip is asked for one quote, or the token's program for one token.
2. Where the server has not said yet what it wants, the registers of the firmware and the boot loader are quoted.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from holdfast_agent.attest import Attester, heard
from holdfast_agent.clock import Clock
from holdfast_agent.means import asks
from holdfast_agent.state import Config, Folder
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.wire.attestation import BOOT_LOG, SECTION, Ask

FIRST_ASK = Ask(registers=(0, 1, 2, 3, 4, 5, 6, 7), token=True, ima=True, nonce_s=1)
"""What is shown before the server asked for anything."""
_NONCE = re.compile(r"[A-Za-z0-9_-]{8,64}\Z")


def dry_run(folder: Folder, config: Config, clock: Clock, nonce: str) -> dict[str, Any]:
    """The sections by name, as they would travel; of the event log, which is long, its digest and size.

    Raises:
        HostileData: ``agent.nonce``.
        WorldError: ``agent.state_damaged``.
    """
    if not _NONCE.match(nonce):
        raise HostileData(
            "agent.nonce",
            f"{nonce[:80]!r} is no nonce.",
            remedy="Write 8 to 64 letters, digits, '-' or '_', such as 32 hexadecimal digits.",
        )
    stored, now, told = folder.state(), clock.now(), list[str]()
    ask = heard(stored.protocol)
    if ask is None or not asks(ask):
        ask = FIRST_ASK
    answers = {**stored.protocol.answers, SECTION: msgspec.json.encode(ask).decode()}
    state = msgspec.structs.replace(stored.protocol, nonce=nonce, answers=answers, answered=now, wants=())
    parts = Attester(folder, config, told.append, stored.ima).parts(state, now)
    sections = {part.name: part.body for part in parts}
    shown: dict[str, Any] = {SECTION: msgspec.json.decode(sections[SECTION])} if SECTION in sections else {}
    if BOOT_LOG in sections:
        shown[BOOT_LOG] = {"digest": digest_of(sections[BOOT_LOG]), "bytes": len(sections[BOOT_LOG])}
    if told:
        shown["trouble"] = told
    return shown
