"""The files of a rotation: new roots, and what has to be signed along with them so that no device is left behind.

1. Who is not changed stays. The three roots are made together: the same people sign them all.
2. Where the signers of ``targets`` change, ``targets`` and every role that they held are made anew, for the old ones
   would verify under nobody's keys.
"""

from __future__ import annotations

from holdfast.update import making
from holdfast.update.ceremony import CeremonyFile
from holdfast.update.making import Holders, OnlinePublics, RootPlan
from holdfast.update.proposals import require_root, require_targets
from holdfast.update.state import State
from holdfast.update.tuf_files import TargetsFile
from holdfast_core.kernel.instants import Instant
from holdfast_core.update.repository import Name


def rotation(
    state: State,
    roles: dict[str, TargetsFile],
    online: OnlinePublics,
    *,
    root: Holders | None = None,
    targets: Holders | None = None,
    now: Instant,
) -> tuple[CeremonyFile, ...]:
    """What has to be signed so that these hold the keys from now on; unsigned.

    Args:
        state: what is in force, verified.
        roles: the files in force of the delegated roles.
        online: the server's keys.
        root: the new signers of roots, where they change.
        targets: the new signers of the image repository's targets, where they change.
        now: the moment.

    Raises:
        HostileData: ``repository.not_founded``, ``repository.key``.
    """
    image = require_root(state)
    before = making.holders_of(image, "targets")
    plan = RootPlan(root or making.holders_of(image, "root"), targets or before, online)
    files = []
    for name in Name:
        newest = state.root(name)
        made = making.new_root(name, state.scope, plan, now=now, before=newest.root if newest is not None else None)
        files.append(CeremonyFile(name, "root", made.data))
    if targets is None:
        return tuple(files)
    given = making.next_file(require_targets(state), now=now)
    held = making.with_holders(given, targets, before)
    files.append(CeremonyFile(Name.IMAGE, "targets", making.finished(given).data))
    for role in held:
        if role in roles:
            renewed = making.finished(making.next_file(roles[role], now=now))
            files.append(CeremonyFile(Name.IMAGE, role, renewed.data))
    return tuple(files)
