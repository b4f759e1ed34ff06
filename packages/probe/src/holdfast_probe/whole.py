"""Walking the whole of a root, and who is known there: for the audit, and for the mends of what a walk found.

1. On a running system the kernel's own trees are left out, and disks that are not this device's.
2. The names of owners come from the root's own files, never from this host.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec

from holdfast_probe.bookmark import Mark
from holdfast_probe.boot.mounts import local_devices
from holdfast_probe.case import Case
from holdfast_probe.roots import Missing, Root, Unreadable
from holdfast_probe.walk import Collector, Walk


class Sitting(msgspec.Struct, frozen=True):
    """One of several sittings in which a walk may be made."""

    breath: Callable[[], bool]
    """Asked often; it may sleep, and says whether the sitting is over."""
    mark: Mark | None = None
    """Where the last one put the walk down."""


Known = tuple[frozenset[int], frozenset[int]]
"""The uids and the gids that have a name."""

_SKIPPED_LIVE = frozenset({"proc", "sys", "dev", "run"})


def whole_walk(
    case: Case,
    collectors: Sequence[Collector],
    *,
    clock: Callable[[], float],
    known: Known | None = None,
    progress: Callable[[int], None] | None = None,
    sitting: Sitting | None = None,
) -> Walk:
    """A walk over everything of the case's root that is its own."""
    return Walk(
        case.root,
        collectors,
        budget=case.budget,
        clock=clock,
        known=known,
        skip=_SKIPPED_LIVE if case.root.live else frozenset(),
        devices=local_devices(case.root),
        progress=progress,
        breath=sitting.breath if sitting else None,
        mark=sitting.mark if sitting else None,
    )


def known_owners(root: Root) -> tuple[Known | None, str]:
    """The uids and gids that have a name, and why they are not known (empty: they are)."""
    try:
        return (_ids(root, "/etc/passwd"), _ids(root, "/etc/group")), ""
    except (Missing, Unreadable) as error:
        return None, error.sentence


def _ids(root: Root, path: str) -> frozenset[int]:
    ids = set()
    for line in root.read(path).decode("utf-8", "replace").splitlines():
        fields = line.split(":")
        with suppress(ValueError, IndexError):
            ids.add(int(fields[2]))
    return frozenset(ids)
