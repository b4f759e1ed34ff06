"""Taking back rights and owners that the hunts and the mode probe found at fault.

1. A mend of a hunt walks again: a finding names a few offenders, and all of them have to be mended.
2. More than `MOST` offenders, or a walk that was cut short, are a person's affair: half of a change is none.
3. Nothing but bits is taken away; an owner is only given to a file that runs with nobody's rights.
"""

from __future__ import annotations

import os
import stat
import time

from holdfast_core.baseline.probes import FileMode, Setuid, Unowned, WorldWritable, WritableList
from holdfast_probe.case import Case
from holdfast_probe.editor import CannotMend, Editor
from holdfast_probe.files.hunts import SetuidHunt, StatusHunt, UnownedHunt, WorldWritableHunt, WritableHunt
from holdfast_probe.hunt import OwnersHunt
from holdfast_probe.walk import Collector
from holdfast_probe.whole import Known, known_owners, whole_walk

MOST = 4096
"""Files and directories that one mend changes."""
_ALL_WRITE = 0o002
_SPECIAL = stat.S_ISUID | stat.S_ISGID


def mend_world_writable(case: Case, editor: Editor, _spec: WorldWritable) -> None:
    """Take everybody's write permission away."""
    for path, _ in _offenders(case, WorldWritableHunt()):
        editor.take_bits(path, _ALL_WRITE)


def mend_writable_list(case: Case, editor: Editor, _spec: WritableList) -> None:
    """Take everybody's write permission away from directories that are not declared."""
    for path, _ in _offenders(case, WritableHunt(case.root, case.plan)):
        editor.take_bits(path, _ALL_WRITE)


def mend_setuid(case: Case, editor: Editor, _spec: Setuid) -> None:
    """Take the setuid and setgid bits away from programs that are not declared."""
    for path, _ in _offenders(case, SetuidHunt(case.root, case.plan)):
        editor.take_bits(path, _SPECIAL)


def mend_unowned(case: Case, editor: Editor, _spec: Unowned) -> None:
    """Give what nobody owns to root, unless that would lend root's rights to whoever runs it."""
    known, gap = known_owners(case.root)
    if known is None:
        raise CannotMend("/etc/passwd", gap)
    for path, status in _offenders(case, UnownedHunt(case.root), known):
        if stat.S_ISREG(status.st_mode) and status.st_mode & _SPECIAL:
            raise CannotMend(path, "given to root, its setuid or setgid bit would run it with root's rights")
        uid = status.st_uid if status.st_uid in known[0] else 0
        gid = status.st_gid if status.st_gid in known[1] else 0
        editor.own(path, uid, gid)


def mend_file_mode(case: Case, editor: Editor, spec: FileMode) -> None:
    """Take the permission bits away that are too many, and give the files to their owner."""
    for path in dict.fromkeys(path for pattern in spec.paths for path in case.root.glob(pattern)):
        status = case.root.status(path)
        editor.take_bits(path, 0o7777 & ~spec.max_mode)
        if spec.uid is not None and status.st_uid != spec.uid:
            if not case.root.owners_kept:
                raise CannotMend(path, "this tree was extracted without root: owners are not the device's")
            editor.own(path, spec.uid, status.st_gid)


def _offenders(case: Case, hunt: StatusHunt, known: Known | None = None) -> list[tuple[str, os.stat_result]]:
    """Everything that `hunt` would count. Raises `CannotMend` where that is not all, or too much."""
    if isinstance(hunt, OwnersHunt) and not case.root.owners_kept:
        raise CannotMend("/", "this tree was extracted without root: owners and setuid bits are not the device's")
    gathered = _Gathered(hunt)
    walked = whole_walk(case, (gathered,), clock=time.monotonic, known=known).run()
    if walked.gap:
        raise CannotMend("/", f"not all of it was seen ({walked.gap.rstrip('.')})")
    if len(gathered.found) > MOST:
        raise CannotMend("/", f"more than {MOST} files are concerned")
    return gathered.found


class _Gathered(Collector):
    """What a hunt counts, kept: one more than a mend would change."""

    def __init__(self, hunt: StatusHunt) -> None:
        self.wants = hunt.wants
        self.found: list[tuple[str, os.stat_result]] = []
        self._hunt = hunt

    def seen(self, path: str, status: os.stat_result) -> None:
        """Keep it if it is an offender."""
        if len(self.found) <= MOST and self._hunt.offends(path, status):
            self.found.append((path, status))
