"""The values of the registers that a quote is of, where no event log explains them.

1. They are read from sysfs, which costs the chip's time but no command of ours; an old kernel does not show them there.
2. A register may change between the reading and the quote: both are made again until they agree, a few times.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from holdfast_agent.quoting import Quoter, registers_of
from holdfast_agent.state import Config
from holdfast_agent.tpm_commands import BANKS, Quote
from holdfast_core.formats.tpm.attest import Quoted, parse_attestation
from holdfast_core.wire.attestation import Ask

READINGS = 3
_HASHES = {32: "sha256", 48: "sha384", 64: "sha512"}
"""Of the quote's digest, by its length: that of the key's scheme, whatever the bank."""


def quoted_with_values(quoter: Quoter, config: Config, bound: bytes, ask: Ask) -> tuple[Quote, dict[str, str]]:
    """A quote that carries `bound`, and the values that it is of in hexadecimal; the last ones if they never agreed.

    Raises:
        WorldError: ``agent.tpm``, ``agent.tpm_tools``, ``agent.tpm_key_gone``.
        HostileData: ``tpm.malformed``.
    """
    for _ in range(READINGS):
        values = _values(config, quoter, ask)
        quote = quoter.quote(bound, ask.bank, ask.registers)
        if _is_of(quote, [values[number] for number in sorted(values)]):
            break
    return quote, {str(number): value.hex() for number, value in sorted(values.items())}


def _values(config: Config, quoter: Quoter, ask: Ask) -> dict[int, bytes]:
    """The registers asked for: from sysfs, or where the kernel does not show them from the chip."""
    values = {}
    for number in ask.registers:
        try:
            path = Path(config.sys, "class/tpm/tpm0", f"pcr-{ask.bank}", str(number))
            values[number] = bytes.fromhex(path.read_text("ascii"))
        except (OSError, ValueError):
            return registers_of(quoter.send, BANKS[ask.bank], ask.registers)
    return values


def _is_of(quote: Quote, values: list[bytes]) -> bool:
    """Whether the quote is of these values. Raises HostileData."""
    attested = parse_attestation(quote.quote).attested
    if not isinstance(attested, Quoted):
        return False
    name = _HASHES.get(len(attested.digest))
    return name is not None and hashlib.new(name, b"".join(values)).digest() == attested.digest
