"""What a machine of `ovmf_builders` says of itself: the commands its first program passes to the TPM, and its report.

1. The guest has no tools for the TPM: two commands, written here, go to the kernel's device as they are.
2. A report is parts in base64 between lines that name them. One without its end says nothing: it may be cut anywhere.
3. A report can be kept in a folder (``tests/data/ovmf``) and read again, so that fast tests have a real machine too.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from pathlib import Path

import msgspec

from holdfast_core.formats.tpm.public import Algorithm, Attribute, Curve, EccPoint, Public, Scheme, public_area

REGISTERS = tuple(range(16))
"""The registers that the guest quotes, in the bank of SHA-256."""
NONCE = bytes(range(32))
"""The qualifying data of its quotes. The command stands in the signed image, so the nonce is fixed."""

_TAG, _CREATE_PRIMARY, _QUOTE = 0x8002, 0x131, 0x158
_ENDORSEMENT, _FIRST_OBJECT = 0x4000000B, 0x80000000
_NO_PASSWORD = struct.pack(">IIHBH", 9, 0x40000009, 0, 0, 0)
_PART = re.compile(r"^== (\S+)\s*([A-Za-z0-9+/=\s]*?)(?=^==|\Z)", re.MULTILINE)
_REGISTER = re.compile(r"pcr-(\w+)/(\d+):([0-9A-F]+)")

Registers = dict[str, dict[int, bytes]]
"""Values by bank and number."""


class Moment(msgspec.Struct, frozen=True):
    """One quote (TPMS_ATTEST and TPMT_SIGNATURE), and what the kernel said right after it."""

    attested: bytes
    signature: bytes
    ima: bytes
    ima_text: bytes
    registers: Registers


class Report(msgspec.Struct, frozen=True):
    """What one boot left: the event log, the attestation key (TPM2B_PUBLIC), and two moments with work in between."""

    events: bytes
    ak: bytes
    moments: tuple[Moment, ...]


def create_command() -> bytes:
    """TPM2_CreatePrimary of a restricted signing key (ECDSA on P-256) in the endorsement hierarchy.

    The key is derived from the hierarchy's seed: one TPM gives the same one at every boot.
    """
    attributes = Attribute.FIXED_TPM | Attribute.FIXED_PARENT | Attribute.SENSITIVE_DATA_ORIGIN
    attributes |= Attribute.USER_WITH_AUTH | Attribute.RESTRICTED | Attribute.SIGN
    scheme = Scheme(Algorithm.ECDSA, Algorithm.SHA256)
    unique = EccPoint(Curve.P256, b"", b"")
    template = public_area(Public(Algorithm.SHA256, attributes, b"", None, scheme, unique, b""))
    sensitive = struct.pack(">HHH", 4, 0, 0)
    outside_data_and_registers = struct.pack(">HI", 0, 0)
    parameters = sensitive + struct.pack(">H", len(template)) + template + outside_data_and_registers
    return _command(_CREATE_PRIMARY, _ENDORSEMENT, parameters)


def quote_command() -> bytes:
    """TPM2_Quote of `REGISTERS` over `NONCE` by the key that was made first."""
    bits = sum(1 << number for number in REGISTERS).to_bytes(3, "little")
    selection = struct.pack(">IHB", 1, Algorithm.SHA256, len(bits)) + bits
    nonce = struct.pack(">H", len(NONCE)) + NONCE
    return _command(_QUOTE, _FIRST_OBJECT, nonce + struct.pack(">H", Algorithm.NULL) + selection)


def _command(code: int, handle: int, parameters: bytes) -> bytes:
    body = struct.pack(">I", handle) + _NO_PASSWORD + parameters
    return struct.pack(">HII", _TAG, 10 + len(body), code) + body


def _parameters(response: bytes, *, handles: int = 0) -> tuple[bytes, bytes]:
    """The first parameter (a TPM2B, without its size) of a response, and the others."""
    tag, size, code = struct.unpack_from(">HII", response)
    assert (tag, size, code) == (_TAG, len(response), 0), f"the TPM refused: {response[:10].hex()}"
    at = 10 + 4 * handles
    (length,) = struct.unpack_from(">I", response, at)
    (first,) = struct.unpack_from(">H", response, at + 4)
    middle = at + 6 + first
    return response[at + 6 : middle], response[middle : at + 4 + length]


def report_in(text: str) -> Report | None:
    """The report that a guest wrote to its second port, or nothing if it did not come to its end."""
    coded = dict(_PART.findall(text))
    if "end" not in coded:
        return None
    parts = {name: base64.b64decode("".join(code.split())) for name, code in coded.items()}
    ak, _ = _parameters(parts["create"], handles=1)
    return Report(parts["events"], struct.pack(">H", len(ak)) + ak, tuple(_moment(parts, name) for name in ("1", "2")))


def _moment(parts: dict[str, bytes], which: str) -> Moment:
    registers: Registers = {}
    for bank, number, value in _REGISTER.findall(parts[f"registers-{which}"].decode()):
        registers.setdefault(bank, {})[int(number)] = bytes.fromhex(value)
    lists = parts[f"ima-binary-{which}"], parts[f"ima-ascii-{which}"]
    return Moment(*_parameters(parts[f"quote-{which}"]), *lists, registers)


def save(report: Report, folder: Path) -> None:
    """Keep `report` in `folder`, one file for each thing; `load` reads it again."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "events.bin").write_bytes(report.events)
    (folder / "ak.pub").write_bytes(report.ak)
    registers = [
        {
            bank: {str(n): value.hex() for n, value in sorted(values.items())}
            for bank, values in moment.registers.items()
        }
        for moment in report.moments
    ]
    (folder / "pcrs.json").write_text(json.dumps(registers, indent=1) + "\n")
    for number, moment in enumerate(report.moments, 1):
        (folder / f"quote-{number}.msg").write_bytes(moment.attested)
        (folder / f"quote-{number}.sig").write_bytes(moment.signature)
        (folder / f"ima-{number}.bin").write_bytes(moment.ima)
        (folder / f"ima-{number}.txt").write_bytes(moment.ima_text)


def load(folder: Path) -> Report:
    """The report that `save` put into `folder`."""
    moments = []
    for number, banks in enumerate(json.loads((folder / "pcrs.json").read_text()), 1):
        names = (f"quote-{number}.msg", f"quote-{number}.sig", f"ima-{number}.bin", f"ima-{number}.txt")
        registers = {
            bank: {int(register): bytes.fromhex(value) for register, value in values.items()}
            for bank, values in banks.items()
        }
        moments.append(Moment(*((folder / name).read_bytes() for name in names), registers))
    return Report((folder / "events.bin").read_bytes(), (folder / "ak.pub").read_bytes(), tuple(moments))
