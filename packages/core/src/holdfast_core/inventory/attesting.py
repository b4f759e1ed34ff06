"""What a model may say of attestation.

1. Registers are those of a PC Client TPM, 0 to 23; 10 is IMA's own, and is asked for by saying ``ima``.
2. Registers 16 and 23 can be reset by whoever runs: what they hold says nothing of the boot, so nobody asks for them.
3. Hardware is named as the agent names it, part by part, each place once.

Source: TCG PC Client Platform TPM Profile for TPM 2.0, table of PCR attributes (reset at locality 0).
"""

from __future__ import annotations

from collections.abc import Iterator

from holdfast_core.inventory.model import DeviceModel

REGISTERS = 24
IMA_REGISTER = 10
RESETTABLE = frozenset({16, 23})
LONGEST_NAME = 120
"""Characters of a place or an identity of a part."""
MOST_PARTS = 64


def faults(model: DeviceModel) -> Iterator[tuple[str, str, str, str]]:
    """What cannot be about what the model asks of evidence: code, path, sentence, remedy."""
    asked = model.attestation
    for index, register in enumerate(asked.registers):
        path = f"$.attestation.registers[{index}]"
        if not 0 <= register < REGISTERS or register == IMA_REGISTER:
            yield (
                "model.register",
                path,
                f"{str(register)[:20]} is no register to ask for.",
                f"Write numbers from 0 to {REGISTERS - 1}; {IMA_REGISTER} is asked for by 'ima: true'.",
            )
        if register in RESETTABLE:
            yield (
                "model.register",
                path,
                f"Register {register} can be reset by the running system, so a quote of it proves nothing.",
                "Leave it out. Measure what has to be proved into a register that only a reboot resets: 0 to 15.",
            )
        if register in asked.registers[:index]:
            yield ("model.duplicate", path, f"{register} appears twice.", "Name each register once.")
    parts = asked.components or ()
    if len(parts) > MOST_PARTS:
        yield (
            "model.too_many",
            "$.attestation.components",
            f"{len(parts)} parts are named.",
            f"Name at most {MOST_PARTS}: those whose change somebody should look at.",
        )
    places = [part.place for part in parts]
    for index, part in enumerate(parts):
        path = f"$.attestation.components[{index}]"
        if not all(1 <= len(text) <= LONGEST_NAME for text in (part.place, part.identity)):
            yield (
                "model.part",
                path,
                "A part has no place or no identity, or a long one.",
                f"Write 1 to {LONGEST_NAME} characters each, such as usb:1-1 and 0bda:8153.",
            )
        if part.place in places[:index]:
            yield ("model.duplicate", f"{path}.place", f"{part.place[:40]!r} appears twice.", "Name each place once.")
