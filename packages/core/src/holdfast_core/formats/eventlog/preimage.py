"""Whether an event's digest is the hash of what its data says.

1. A replay proves digests, not data: whoever wrote the log could pair a good digest with any data. Only where the
   digest is the hash of the data does the data count for what was measured.
2. For some kinds it always is (`HASHED`). There, another digest means that data or digest was changed, or that the
   firmware errs; either way the data is no evidence.
3. For others it may be (a text that was measured, or a name for something else that was measured). There, a match is
   proof and its absence says nothing.
4. Hashed is, by kind: all of the data; a variable with some of what trails it, as old shims log it; a text without
   the NULs that end it; a text without GRUB's word before it, which is thus never proven; a tag's data.
5. Older firmware hashes a boot variable's value without its name. That proves too little of the data, so it is None.

Source: PFP 1.06, section 10.4, table 27; TCG EFI Platform Specification 1.22, section 7.8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

from holdfast_core.formats.eventlog import kinds
from holdfast_core.formats.eventlog.banks import hasher
from holdfast_core.formats.eventlog.log import Event
from holdfast_core.formats.eventlog.texts import GRUB_WORDS, parse_tagged
from holdfast_core.formats.eventlog.variables import Variable, parse_variable
from holdfast_core.kernel.errors import HostileData

_VARIABLES = frozenset(
    {
        kinds.EFI_VARIABLE_DRIVER_CONFIG,
        kinds.EFI_VARIABLE_BOOT,
        kinds.EFI_VARIABLE_BOOT2,
        kinds.EFI_VARIABLE_AUTHORITY,
    }
)
HASHED = _VARIABLES | {
    kinds.SEPARATOR,
    kinds.ACTION,
    kinds.S_CRTM_VERSION,
    kinds.EFI_ACTION,
    kinds.EFI_GPT_EVENT,
    kinds.EFI_GPT_EVENT2,
}
"""Kinds whose digest is always the hash of the data."""
_MOST_TRAILING = 8
"""Bytes behind a variable of which any number may be hashed with it; known is a shim that hashed five of six."""
_WORDS = tuple(word.encode() for word in GRUB_WORDS)


def digest_matches(event: Event, bank: int) -> bool | None:
    """Whether the digest of `event` in `bank` is the hash of its data.

    Returns:
        True where it is; False where it had to be and is not, or where there is no digest in the bank; None where the
        kind says nothing of it, and for EV_NO_ACTION, which has none that counts.

    Raises:
        HostileData: ``eventlog.bank`` for a bank that cannot be computed.
    """
    hashed = hasher(bank)
    if event.kind == kinds.NO_ACTION:
        return None
    digest = event.digests.get(bank)
    if digest is None:
        return False
    if any(hashed(each) == digest for each in _preimages(event)):
        return True
    return False if event.kind in HASHED and not _value_alone(event, digest, hashed) else None


def _preimages(event: Event) -> Iterator[bytes]:
    """What the digest may be of, likeliest first."""
    data, kind = event.data, event.kind
    yield data
    if kind in _VARIABLES:
        variable = _variable(event)
        trailing = 0 if variable is None else min(variable.trailing, _MOST_TRAILING)
        yield from (data[:-cut] for cut in range(1, trailing + 1))
        return
    ended = data.rstrip(b"\0")
    yield ended
    yield from (ended[len(word) :] for word in _WORDS if ended.startswith(word))
    if kind == kinds.EVENT_TAG:
        with suppress(HostileData):
            yield parse_tagged(data).data


def _value_alone(event: Event, digest: bytes, hashed: Callable[[bytes], bytes]) -> bool:
    """Whether a boot variable's digest is of its value only (TCG EFI Platform Specification 1.22)."""
    variable = _variable(event) if event.kind == kinds.EFI_VARIABLE_BOOT else None
    return variable is not None and hashed(variable.data) == digest


def _variable(event: Event) -> Variable | None:
    try:
        return parse_variable(event.data, authority=False)
    except HostileData:
        return None
