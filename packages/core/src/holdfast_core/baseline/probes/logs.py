"""The probes of logs and of the clock that dates them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, TypeAlias

import msgspec

from holdfast_core.baseline.probes.shape import Probe


class LogCheck(StrEnum):
    """What `Logs` asks of everything that logs here."""

    EVENTS = "events"
    """Something takes what logins, rights and the kernel say; a shipper alone takes nothing."""
    FORWARDED = "forwarded"
    """What is logged goes to another host as well."""
    BOUNDED = "bounded"
    """Every log is a ring of fixed size, or is rotated."""
    KEPT = "kept"
    """Logs outlive a power loss: they lie on storage, or leave over a connection that tells what was lost (no UDP)."""
    SEALED = "sealed"
    """Nobody rewrites them unseen: they leave encrypted, audit rules are locked, or journald seals with a key."""
    LOGINS = "logins"
    """A login that failed is logged, and nothing silences it."""
    QUIET = "quiet"
    """No program is told to log so much that secrets or what people do get into the logs."""
    BOOTS = "boots"
    """It can be told afterwards how often the device started, and why."""
    PRIVATE = "private"
    """No log file can be read or written by everyone, and their folder belongs to root."""


class Logs(Probe, frozen=True, tag="logs"):
    """One `check` of what logs: journald, rsyslog, syslog-ng, busybox syslogd, OpenWrt's logd, log shippers.

    Nothing logs at all: `events` fails, and what is asked of a log does not apply. No known way of starting: unknown.
    """

    check: LogCheck


class LogRetention(Probe, frozen=True, tag="log_retention"):
    """What is kept on the device is kept for at least `days`; where only a ring is, it must be forwarded.

    A size that is filled in unknown time counts only with forwarding; nothing logs: not applicable.
    """

    days: Annotated[int, msgspec.Meta(ge=1, le=3650)]


class TimeSync(Probe, frozen=True, tag="time_sync"):
    """Something sets the clock, and every server that it asks proves itself: NTS, a key, TLS constraints.

    Nothing sets it, or a server proves nothing: fail. No known way of starting: unknown.
    """


LogProbe: TypeAlias = Logs | LogRetention | TimeSync
"""The probes of this module."""
