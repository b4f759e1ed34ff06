"""Replaying a log: the values its registers must have if the log is whole and true.

1. A register starts as zeros and becomes ``H(value || digest)`` with each event of it, in the log's order.
   EV_NO_ACTION informs and extends nothing.
2. PCR 0 starts with the locality that TPM2_Startup came from as its last byte. A "StartupLocality" event before PCR 0's
   first extension names it (0, 3, or 4 after an H-CRTM); where there is none and the first extension is an
   EV_EFI_HCRTM_EVENT, it is 4.
3. PCR 17 to 22 start as zeros too: they are 0xFF from a reset on, but firmware and boot loaders log extensions of them
   only after a dynamic launch has set them to zero. A log of registers that were never launched does not replay.
4. A register with an event that has no digest in the bank cannot be replayed: it is left out, and `gaps` names it.

Source: PFP 1.06, sections 3.3.3 and 10.4.5.3; TPM 2.0 Library, Part 1, sections 17.5.3 and 34.3.
"""

from __future__ import annotations

from holdfast_core.formats.eventlog.banks import BANKS, hasher
from holdfast_core.formats.eventlog.kinds import EFI_HCRTM_EVENT, NO_ACTION
from holdfast_core.formats.eventlog.log import EventLog

STARTUP_LOCALITY = b"StartupLocality\0"
_LOCALITY_AT = len(STARTUP_LOCALITY)
_HCRTM_LOCALITY = 4


def replay(log: EventLog, bank: int) -> dict[int, bytes]:
    """The values of the registers that `log` extends in the bank `bank` (TPM_ALG_ID), by register.

    PCR 0 is there too where the log only names its startup locality. A register named by `gaps` is not.

    Raises:
        HostileData: ``eventlog.bank`` for a bank that is not in the log or cannot be computed.
    """
    extended = hasher(bank)
    zeros = bytes(BANKS[bank].size)
    first = startup_locality(log)
    values = {} if first is None else {0: zeros[:-1] + bytes([first])}
    missing = gaps(log, bank)
    for event in log.events:
        register = event.register
        if event.kind != NO_ACTION and register not in missing:
            values[register] = extended(values.get(register, zeros) + event.digests[bank])
    for register in missing:
        values.pop(register, None)
    return values


def gaps(log: EventLog, bank: int) -> frozenset[int]:
    """The registers with an extending event that has no digest in `bank`."""
    return frozenset(event.register for event in log.events if bank not in event.digests and event.kind != NO_ACTION)


def startup_locality(log: EventLog) -> int | None:
    """The last byte of PCR 0's first value, 0 to 255; None where the log says nothing of it."""
    locality = None
    for event in log.events:
        if event.register != 0:
            continue
        if event.kind != NO_ACTION:
            return _HCRTM_LOCALITY if locality is None and event.kind == EFI_HCRTM_EVENT else locality
        if len(event.data) == _LOCALITY_AT + 1 and event.data.startswith(STARTUP_LOCALITY):
            locality = event.data[_LOCALITY_AT]
    return locality
