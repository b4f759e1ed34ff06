"""Events of a boot log in words for people, and in plain values for JSON."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from cryptography import x509
from cryptography.x509.oid import NameOID

from holdfast_core.formats.eventlog import contents, firmware, texts, variables
from holdfast_core.formats.eventlog.banks import computable
from holdfast_core.formats.eventlog.log import Event
from holdfast_core.formats.eventlog.preimage import digest_matches
from holdfast_core.formats.eventlog.reader import Unread
from holdfast_core.formats.eventlog.signatures import X509, Signature
from holdfast_core.kernel.printable import printable

LONGEST = 240
"""Characters of what one event says in the table."""
_DIGITS = 16
_ENTRIES_SHOWN = 4


def plain(value: object) -> Any:
    """A value of core in what JSON has, bytes as lower-case hexadecimal."""
    return _hex(msgspec.to_builtins(value, builtin_types=(bytes,)))


def _hex(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: _hex(each) for key, each in value.items()}
    return [_hex(each) for each in value] if isinstance(value, list | tuple) else value


def proofs(event: Event, banks: tuple[int, ...]) -> dict[int, bool | None]:
    """Whether the event's data is what was measured, by bank; banks in which it has no digest are left out."""
    return {bank: digest_matches(event, bank) for bank in banks if bank in event.digests and computable(bank)}


def saying(event: Event, banks: tuple[int, ...]) -> str:
    """What `event` says, in words, and whether its digests are of something else."""
    content = contents.content_of(event)
    told = printable(_WORDS[type(content)](content))
    told = told if len(told) <= LONGEST else told[: LONGEST - 1] + "…"
    return f"{told} (the digest is of something else)" if False in proofs(event, banks).values() else told


def _variable(variable: variables.Variable) -> str:
    if variable.reading is None:
        return f"{variable.name}: {len(variable.data)} bytes"
    if isinstance(variable.reading, Unread):
        return f"{variable.name}: {variable.reading.why}"
    return f"{variable.name}: {_READINGS[type(variable.reading)](variable.reading)}"


def _signatures(reading: variables.Signatures) -> str:
    entries = reading.entries
    told = [_signature(entry) for entry in entries[:_ENTRIES_SHOWN]]
    more = [f"{len(entries) - len(told)} more"] if len(entries) > len(told) else []
    return ", ".join(told + more) or "empty"


def _signature(entry: Signature) -> str:
    if entry.type != X509:
        return f"{entry.type} {entry.data.hex()[:_DIGITS]}"
    return f"certificate {_subject(entry.data)} (sha256 {hashlib.sha256(entry.data).hexdigest()[:_DIGITS]})"


def _subject(der: bytes) -> str:
    with warnings.catch_warnings():
        # What the library finds odd in a vendor's certificate is nothing that the reader of a log can mend.
        warnings.simplefilter("ignore")
        try:
            subject = x509.load_der_x509_certificate(der).subject
            named = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
            return str(named[0].value) if named else subject.rfc4514_string()
        except ValueError:
            return "that cannot be read"


def _boot_option(reading: variables.BootOption) -> str:
    return f"{reading.description}, {reading.path.text}" + ("" if reading.active else " (not active)")


def _partitions(table: firmware.PartitionTable) -> str:
    named = ", ".join(each.name or each.type for each in table.partitions)
    return f"disk {table.disk}: {named or 'no partitions'}"


def _blob(blob: firmware.Blob) -> str:
    return f"{blob.description or 'memory'} at {blob.address:#x}, {blob.size} bytes"


def _tables(tables: firmware.Tables) -> str:
    named = ", ".join(each.guid for each in tables.tables)
    return f"{tables.description}: {named}" if tables.description else named


def _text(text: texts.Text) -> str:
    return f"{text.word}: {text.text}" if text.word else text.text


def _tagged(tagged: texts.Tagged) -> str:
    return f"{tagged.name or f'tag {tagged.number:#010x}'}: {tagged.text or f'{len(tagged.data)} bytes'}"


def _specification(spec: contents.Specification) -> str:
    return f"{spec.signature}, version {spec.version}"


_READINGS: Mapping[type, Callable[[Any], str]] = MappingProxyType(
    {
        variables.Switch: lambda reading: "on" if reading.on else "off",
        variables.Signatures: _signatures,
        variables.Authority: lambda reading: _signature(reading.entry),
        variables.BootOrder: lambda reading: ", ".join(f"Boot{each:04X}" for each in reading.options),
        variables.BootOption: _boot_option,
        variables.Words: lambda reading: reading.text,
    }
)
_WORDS: Mapping[type, Callable[[Any], str]] = MappingProxyType(
    {
        contents.Separator: lambda content: "end of the firmware" if content.normal else "the firmware failed",
        contents.Specification: _specification,
        contents.StartupLocality: lambda content: f"the TPM was started from locality {content.locality}",
        firmware.Blob: _blob,
        firmware.Image: lambda content: content.path.text or f"an image at {content.address:#x}",
        firmware.PartitionTable: _partitions,
        firmware.Tables: _tables,
        texts.Opaque: lambda content: f"{content.size} bytes",
        texts.Tagged: _tagged,
        texts.Text: _text,
        variables.Variable: _variable,
        Unread: lambda content: content.why,
    }
)
