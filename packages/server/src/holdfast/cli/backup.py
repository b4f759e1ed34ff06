"""``holdfast backup | restore | upgrade``.

1. A backup may be made while a server runs. Restoring and upgrading need the data folder for themselves.
2. An upgrade makes a backup first, always.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.cli.session import Session, command
from holdfast_core.kernel.errors import WorldError

if TYPE_CHECKING:
    from holdfast.adapters.store.backup import Manifest
    from holdfast.config import Config
    from holdfast_core.record.model import Kind

BackupArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="Where to write the backup, such as holdfast.tar.gz.")
]
SourceArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A file that holdfast backup wrote.")]
BackupOption = Annotated[
    Path | None,
    typer.Option(
        "--backup",
        metavar="FILE",
        help="Where to write the backup first. Default: beside the data folder.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "backup")(backup)
    command(app, "restore")(restore)
    command(app, "upgrade")(upgrade)


def backup(session: Session, *, file: BackupArgument) -> None:
    """Write keys, configuration and database to one file (0600). A server may go on running.

    The file holds every private key: keep it as safe as the data folder itself.
    """
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    config = _configured(session)
    manifest = _made(session, file)
    with connected(session.folder) as api:
        api.post("/backups", {"checkpoint": manifest.checkpoint})
    if session.json:
        emit({"file": str(file), "manifest": manifest})
        return
    words(("✓ ", "green"), f"{file}: {len(manifest.files)} files, {manifest.log_size} leaves of the record.")
    words("It holds every private key. Keep it safe, off this machine, and try a restore now and then.")
    if not any(packed.name == "keys/passphrase" for packed in manifest.files):
        words("The passphrase that opens them is not in it: keep that too, elsewhere.")
    if config.operator_certificate:
        words(f"Your own certificate is not in it: {config.operator_certificate}")


def restore(session: Session, *, file: SourceArgument) -> None:
    """Restore a backup into an empty data folder; every file is checked against its digest first."""
    from holdfast.adapters.store.backup import restore_backup  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.files import unreadable  # noqa: PLC0415
    from holdfast.cli.terminal import emit, progress, words  # noqa: PLC0415
    from holdfast_core.record.model import Kind  # noqa: PLC0415

    _require_stopped(session)
    os.umask(0o077)
    try:
        source = file.open("rb")
    except OSError as error:
        raise unreadable(file, error) from error
    with source, progress("Restoring") as advance:
        manifest = restore_backup(source, session.folder, told=advance)
    older = _behind(session.folder)
    if not older:
        _record(session, _configured(session), Kind.BACKUP_RESTORED, {"checkpoint": manifest.checkpoint})
    if session.json:
        emit({"folder": str(session.folder), "manifest": manifest, "needs_upgrade": older})
        return
    words(("✓ ", "green"), f"{session.folder}: {len(manifest.files)} files, all as they were backed up.")
    if older:
        words("The data is of an older version. Next: holdfast upgrade")
    words("What happened after the backup is lost: devices that saw a longer log will say so, as incidents. Close each")
    words("with the reason. Keys that were revoked since the backup are in force again: revoke them again.")


def upgrade(session: Session, *, backup_file: BackupOption = None) -> None:
    """Bring the database up to this program's version, after a backup. The server must be stopped."""
    from holdfast.bootstrap import FolderLock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415
    from holdfast_core.record.model import Kind  # noqa: PLC0415

    _require_stopped(session)
    config = _configured(session)
    lock = FolderLock(session.folder)
    try:
        if not _behind(session.folder):
            emit({"upgraded": False}) if session.json else words("Nothing to do: the data is of this version already.")
            return
        target = backup_file or session.folder.parent / f"{session.folder.name}-before-upgrade.tar.gz"
        if target.exists():
            raise WorldError(
                "upgrade.backup_exists",
                f"{target} exists already, and a backup is never overwritten.",
                remedy="Move it away, or name another file with --backup.",
            )
        _made(session, target)
        before, after = _migrated(session.folder)
    finally:
        lock.release()
    _record(session, config, Kind.SERVER_UPGRADED, {"before": before, "after": after})
    if session.json:
        emit({"upgraded": True, "before": before, "after": after, "backup": str(target)})
    else:
        words(("✓ ", "green"), f"upgraded from {before or 'nothing'} to {after}. The data as it was: {target}")


def _configured(session: Session) -> Config:
    from holdfast.config import load  # noqa: PLC0415  (rule 3 of the package)

    return load(session.folder, os.environ)


def _made(session: Session, file: Path) -> Manifest:
    from holdfast.adapters.store.backup import make_backup  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415
    from holdfast.cli.files import whole_file  # noqa: PLC0415
    from holdfast.cli.terminal import progress  # noqa: PLC0415

    with progress("Backing up") as advance, whole_file(file, private=True) as target:
        return make_backup(session.folder, target, now=SystemClock().now(), told=advance)


def _require_stopped(session: Session) -> None:
    from holdfast.cli.connection import server_runs  # noqa: PLC0415  (rule 3 of the package)

    if server_runs(session.folder):
        raise WorldError(
            "data.in_use",
            f"A server works on {session.folder}.",
            remedy="Stop it first (systemctl stop holdfast), then repeat the command.",
        )


def _behind(folder: Path) -> bool:
    """Whether the database is older than this program; one that is newer is refused."""
    from holdfast.adapters.store import open_engine  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.adapters.store.schema import check_version  # noqa: PLC0415
    from holdfast.bootstrap import DATABASE  # noqa: PLC0415

    engine = open_engine(folder / DATABASE)
    try:
        check_version(engine)
    except WorldError as error:
        if error.code != "store.older":
            raise
        return True
    finally:
        engine.dispose()
    return False


def _migrated(folder: Path) -> tuple[str | None, str]:
    from holdfast.adapters.store import open_engine  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.adapters.store import upgrade as migrate  # noqa: PLC0415
    from holdfast.bootstrap import DATABASE  # noqa: PLC0415

    engine = open_engine(folder / DATABASE)
    try:
        return migrate(engine)
    finally:
        engine.dispose()


def _record(session: Session, config: Config, kind: Kind, data: dict[str, Any]) -> None:
    """Put what was done into the record; no server runs."""
    import asyncio  # noqa: PLC0415  (rule 3 of the package)

    from holdfast.bootstrap import Plane  # noqa: PLC0415
    from holdfast.cli.connection import own_name  # noqa: PLC0415
    from holdfast.ports.store import leaf  # noqa: PLC0415
    from holdfast_core.record.model import entry  # noqa: PLC0415

    async def write() -> None:
        async with Plane.open(config, session.folder) as plane:
            made = entry(kind, at=plane.clock.now(), scope=config.scope, actor=own_name(), data=data)
            await plane.store.commit([leaf(made)])

    asyncio.run(write())
