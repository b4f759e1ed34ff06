"""Why evidence does not count, and what it then does to the device's standing.

1. Evidence that only comes too late, or under a policy that has just changed, says nothing: what was known before
   stands until it lapses by itself.
2. Evidence that contradicts itself, its key or its device is held against the device, and opens an incident: nobody who
   follows the protocol ever makes it.
3. The order of the checks is the order of `rules`; the first that fails names the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from holdfast_core.kernel.reasons import Reason


class Effect(Enum):
    """What a refusal does."""

    NOTHING = "nothing"
    """The evidence says nothing; another one is asked for."""
    AGAINST = "against"
    """It is held against the device."""
    INCIDENT = "incident"
    """So too, and somebody has to look."""


class Refused(Exception):
    """Evidence does not count; `effect` is what follows."""

    def __init__(self, code: str, *, detail: str = "") -> None:
        super().__init__(code)
        effect, sentence, remedy = REFUSALS[code]
        self.effect = effect
        self.reason = Reason(f"attestation.{code}", sentence.format(detail=detail), remedy)


_AGAIN = "Nothing, if it happens once: the device was told to attest again. If it stays so, look at the agent's status."
_FIND = (
    "Find out who speaks for the device: a board may have been swapped, a disk copied, or its identity stolen. "
    "If the chip was changed on purpose, enroll the device again."
)
_CLONED = (
    "Retire the device and enroll it anew with another chip, or, if a virtual TPM was restored from a snapshot on "
    "purpose: holdfast attest reset DEVICE --why …."
)
_AGENT = "Compare what the device sends with the protocol reference; Holdfast's own agent never sends this."

REFUSALS: Mapping[str, tuple[Effect, str, str]] = MappingProxyType(
    {
        "key_unknown": (
            Effect.NOTHING,
            "No attestation key of this device is known here.",
            "Enroll it with its TPM (holdfast-agent enroll --key tpm), or name its token key: holdfast attest key.",
        ),
        "method": (Effect.NOTHING, "The device attests by other means than its model says: {detail}.", _AGENT),
        "malformed": (Effect.AGAINST, "The evidence could not be read: {detail}", _AGENT),
        "signature": (Effect.INCIDENT, "The quote was not signed by this device's attestation key.", _FIND),
        "not_generated": (Effect.INCIDENT, "What was signed was not made inside a TPM.", _FIND),
        "not_a_quote": (Effect.INCIDENT, "What was signed is no quote of registers.", _FIND),
        "bank": (Effect.NOTHING, "The quote is of another bank than the policy's: {detail}.", _AGAIN),
        "selection": (Effect.NOTHING, "The quote is of other registers than the policy's: {detail}.", _AGAIN),
        "nonce_missing": (Effect.NOTHING, "The evidence is bound to no nonce.", _AGAIN),
        "nonce_used": (
            Effect.NOTHING,
            "The evidence is bound to a nonce that was used before: it was replayed.",
            _AGAIN,
        ),
        "nonce_foreign": (Effect.NOTHING, "The evidence is bound to a nonce that this device was never given.", _AGAIN),
        "nonce_expired": (Effect.NOTHING, "The evidence is bound to a nonce that came too long ago.", _AGAIN),
        "binding": (
            Effect.INCIDENT,
            "The signature is not over this nonce, device and claims: it is another's evidence, or was changed.",
            _FIND,
        ),
        "cloned": (
            Effect.INCIDENT,
            "Two TPMs with one attestation key take turns: the chip's state was copied.",
            _CLONED,
        ),
        "log_missing": (Effect.NOTHING, "The event log that the quote speaks of did not come.", _AGAIN),
        "log_malformed": (
            Effect.AGAINST,
            "The device's event log cannot be read: {detail}",
            "Look at it: holdfast attest log FILE. Firmware that writes such a log needs an update of its own.",
        ),
        "log_mismatch": (
            Effect.AGAINST,
            "The event log does not lead to the registers that the TPM signed: it was changed{detail}.",
            "Compare the log with an earlier one: holdfast reference explain DEVICE. Do not trust what the log says.",
        ),
        "ima_gap": (Effect.NOTHING, "The IMA list does not go on from where it was known.", _AGAIN),
        "ima_malformed": (Effect.AGAINST, "The IMA list cannot be read: {detail}", _AGENT),
        "ima_mismatch": (
            Effect.AGAINST,
            "No beginning of the IMA list leads to the register that the TPM signed.",
            "An entry of the list was changed or left out. Look at the device itself; do not trust the list.",
        ),
        "token_signature": (Effect.INCIDENT, "The token was not signed by this device's token key.", _FIND),
        "token_malformed": (Effect.AGAINST, "The token could not be read: {detail}", _AGENT),
        "too_much": (
            Effect.NOTHING,
            "The device sent more evidence today than is kept of one device.",
            "Find out what it sends: no boot and no list of files is that long. It counts again tomorrow.",
        ),
        "unable": (
            Effect.NOTHING,
            "The device says that it cannot attest: {detail}.",
            "Look at 'holdfast-agent status' on the device.",
        ),
    }
)
"""By code: what follows, the sentence (``{detail}`` is filled in), and the remedy."""
