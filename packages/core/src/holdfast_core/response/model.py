"""Incidents as values.

1. An incident has one cause and one device; the same cause on the same device is never open twice.
2. It is closed by the state that ends it, or by a person, and says which.
"""

from __future__ import annotations

import msgspec

from holdfast_core.kernel.ids import DeviceKey
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.reasons import Reason
from holdfast_core.kernel.severity import Severity


class Incident(msgspec.Struct, frozen=True):
    """Something that needs looking at.

    `cause` is a stable word: ``verdict``, ``clone``, ``credential``, ``log``, ``relying-party``, ``broker``. With the
    last two, `key` may name a party (see `rules.relying_party`) or a broker.
    """

    id: str
    key: DeviceKey
    cause: str
    severity: Severity
    title: str
    reasons: tuple[Reason, ...]
    opened_at: Instant
    updated_at: Instant
    closed_at: Instant | None = None
    closed_why: str = ""
