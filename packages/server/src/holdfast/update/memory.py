"""What is remembered of a device between two check-ins, under its section ``update``."""

from __future__ import annotations

import msgspec

from holdfast_core.trust.posture import Posture
from holdfast_core.wire.update import SECTION, UpdateArgs, UpdateReport


class UpdateMemory(msgspec.Struct, frozen=True, omit_defaults=True):
    """Its last report; what it is directed to, and the number of the directive that said so."""

    report: UpdateReport | None = None
    args: UpdateArgs | None = None
    directive: int = 0


_decode = msgspec.msgpack.Decoder(UpdateMemory).decode
encode = msgspec.msgpack.Encoder().encode


def memory_of(posture: Posture | None) -> UpdateMemory:
    """What is remembered of a device's updates."""
    known = posture.sections.get(SECTION) if posture is not None else None
    return _decode(known.body) if known is not None and known.body else UpdateMemory()
