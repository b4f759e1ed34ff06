"""The two commands of the TPM that attestation sends, as bytes, and what the chip answers.

1. A quote is one command, TPM2_Quote, on a key that stays in the chip. The tool of that name sends six: it asks what
   the chip can do, opens a session and reads the key's public area first.
2. The key has no password, so the command carries the empty one (TPM_RS_PW) in place of a session.
3. An answer comes from a chip that may be anything: it is read within its bounds, and whoever refuses is quoted.

Source: TPM 2.0 Library, Part 3, sections 18.4 (TPM2_Quote) and 22.4 (TPM2_PCR_Read); Part 1, section 18 (command form).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import msgspec

from holdfast_core.formats.tpm.attest import LARGEST_ATTESTATION, LARGEST_SIGNATURE
from holdfast_core.formats.tpm.reader import Reader, malformed, tpm2b, u16, u32
from holdfast_core.kernel.errors import WorldError

BANKS: Mapping[str, int] = MappingProxyType({"sha1": 0x0004, "sha256": 0x000B, "sha384": 0x000C, "sha512": 0x000D})
"""TPM_ALG_ID by the bank's name, as sysfs and the tools write it."""
SUCCESS, LATER, HANDLE = 0x000, frozenset({0x908, 0x90A, 0x922}), 0x18B
"""Response codes: done; yielded, testing, retry: try again; no such key at the handle."""
_NO_SESSIONS, _SESSIONS = 0x8001, 0x8002
_QUOTE, _PCR_READ = 0x0158, 0x017E
_PASSWORD = u32(0x40000009) + u16(0) + b"\x00" + u16(0)
_ALG_NULL = 0x0010
_SELECT_BYTES = 3
"""24 registers, as the PC Client profile has them."""
_MOST_DIGESTS = 8
_LARGEST_DIGEST = 64
_WHAT = "answer of the TPM"


class Quote(msgspec.Struct, frozen=True):
    """A quote (TPMS_ATTEST) and its signature (TPMT_SIGNATURE)."""

    quote: bytes
    signature: bytes


class Refused(WorldError):
    """The chip answered with a response code. `response` is that code."""

    def __init__(self, response: int) -> None:
        gone = response == HANDLE
        super().__init__(
            "agent.tpm_key_gone" if gone else "agent.tpm",
            "The attestation key is not in the TPM any more."
            if gone
            else f"The TPM refused the command with the response code {response:#x}.",
            remedy="Enroll the device again; a chip that the server knows needs no claim."
            if gone
            else "Look the code up with tpm2_rc_decode; check that the key in the chip was not replaced.",
        )
        self.response = response


def quote_command(handle: int, qualifying: bytes, bank: int, registers: Iterable[int]) -> bytes:
    """TPM2_Quote over `registers` of `bank` (a TPM_ALG_ID) by the key at `handle`, in that key's own scheme."""
    scheme = u16(_ALG_NULL)
    parameters = tpm2b(qualifying) + scheme + _selection(bank, registers)
    return _command(_SESSIONS, _QUOTE, u32(handle) + u32(len(_PASSWORD)) + _PASSWORD + parameters)


def read_quote(answer: bytes) -> Quote:
    """What TPM2_Quote answered.

    Raises:
        Refused: ``agent.tpm``, ``agent.tpm_key_gone``.
        HostileData: ``tpm.malformed``.
    """
    reader = _opened(answer)
    parameters = Reader(reader.take(reader.number(4)), _WHAT)
    quote = parameters.sized(LARGEST_ATTESTATION)
    return Quote(quote, _rest(parameters))


def _rest(reader: Reader) -> bytes:
    """What is left: the signature, whose own parts say how long it is."""
    algorithm, hashed = reader.take(2), reader.take(2)
    parts = [reader.sized(LARGEST_SIGNATURE)]
    if algorithm == u16(0x0018):  # ECDSA has two numbers, RSA one
        parts.append(reader.sized(LARGEST_SIGNATURE))
    reader.end()
    return algorithm + hashed + b"".join(tpm2b(part) for part in parts)


def read_command(bank: int, registers: Iterable[int]) -> bytes:
    """TPM2_PCR_Read; the chip answers with some of them, and has to be asked again for the others."""
    return _command(_NO_SESSIONS, _PCR_READ, _selection(bank, registers))


def read_registers(answer: bytes) -> dict[int, bytes]:
    """Values by register from an answer of TPM2_PCR_Read. Raises Refused, HostileData ``tpm.malformed``."""
    reader = _opened(answer)
    reader.take(4)  # how often registers changed so far
    numbers = [number for _ in range(_at_most(reader.number(4), 1)) for number in _selected(reader)]
    values = [reader.sized(_LARGEST_DIGEST) for _ in range(_at_most(reader.number(4), _MOST_DIGESTS))]
    reader.end()
    return dict(zip(numbers, values, strict=False))


def _selected(reader: Reader) -> list[int]:
    reader.take(2)
    bits = int.from_bytes(reader.take(_at_most(reader.number(1), _SELECT_BYTES + 1)), "little")
    return [number for number in range(bits.bit_length()) if bits >> number & 1]


def _at_most(count: int, largest: int) -> int:
    if count > largest:
        raise malformed(_WHAT, f"it counts {count} of what there are {largest} at most")
    return count


def _selection(bank: int, registers: Iterable[int]) -> bytes:
    bits = sum(1 << number for number in set(registers))
    return u32(1) + u16(bank) + bytes([_SELECT_BYTES]) + bits.to_bytes(_SELECT_BYTES, "little")


def _command(tag: int, code: int, body: bytes) -> bytes:
    return u16(tag) + u32(10 + len(body)) + u32(code) + body


def _opened(answer: bytes) -> Reader:
    """The answer after its header. Raises Refused, HostileData ``tpm.malformed``."""
    reader = Reader(answer, _WHAT)
    reader.take(2)
    if reader.number(4) != len(answer):
        raise malformed(_WHAT, "it is not as long as it says")
    response = reader.number(4)
    if response != SUCCESS:
        raise Refused(response)
    return reader
