"""``holdfast vault``: secrets and keys at rest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.session import Session, command

if TYPE_CHECKING:
    from holdfast.adapters.pki.passphrase import Passphrase

NewOption = Annotated[Path, typer.Option("--new", metavar="FILE", help="The file with the new passphrase.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "rotate")(rotate)
    command(app, "protect")(protect)
    command(app, "passphrase")(passphrase)
    command(app, "webhook")(webhook)


def rotate(session: Session) -> None:
    """Seal every secret at rest under a new key, and destroy the old ones."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.post("/vault/rotate", {})
    if session.json:
        emit(told)
        return
    words(("✓ ", "green"), f"{told['resealed']} secrets are sealed under the new key {told['key']}.")
    words(f"Older keys that were destroyed: {told['destroyed']}. Backups from before hold theirs.")


def protect(session: Session) -> None:
    """Encrypt the keys and the secret that an older Holdfast left in the clear. Safe to repeat."""
    from holdfast.adapters.pki.protecting import protect_keys  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.adapters.vault import FILE, FileVault  # noqa: PLC0415
    from holdfast.adapters.webhook_secret import WebhookSecret  # noqa: PLC0415
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    keys = session.folder / "keys"
    found = _current(session)
    done = [f"{reference}.key" for reference in protect_keys(keys, found)]
    if WebhookSecret(keys, FileVault(keys / FILE, found)).protect():
        done.append("webhook.secret")
    if session.json:
        emit({"protected": done})
    else:
        words(("✓ ", "green"), f"Encrypted now: {', '.join(done)}." if done else "Everything was encrypted already.")


def passphrase(session: Session, *, new: NewOption) -> None:
    """Put every key and the vault under another passphrase. The server must be stopped.

    Interrupted, it is repeated with the same file. Afterwards the server has to be told of it, by
    HOLDFAST_PASSPHRASE_FILE or LoadCredential= in its unit. A passphrase that lay beside the keys is removed.
    """
    import asyncio  # noqa: PLC0415  (rule 3 of the package)

    from holdfast.adapters import durable  # noqa: PLC0415
    from holdfast.adapters.pki.passphrase import BESIDE, Source, read_passphrase  # noqa: PLC0415
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    before, after = _current(session), read_passphrase(new)
    count = _change(session, after)
    asyncio.run(_record(session, after, count))
    if before.source is Source.BESIDE:
        durable.remove(session.folder / "keys" / BESIDE)
    if session.json:
        emit({"resealed": count})
        return
    words(("✓ ", "green"), f"{count} keys and the vault are under the new passphrase.")
    words(f"Tell the server where it is, HOLDFAST_PASSPHRASE_FILE={new}, and keep a copy off this machine.")


def _change(session: Session, new: Passphrase) -> int:
    """Whatever an interrupted run had done is found done."""
    from holdfast.adapters.pki.protecting import reseal_keys  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.adapters.vault import FILE, FileVault  # noqa: PLC0415
    from holdfast.bootstrap import FolderLock  # noqa: PLC0415

    old, keys = _current(session), session.folder / "keys"
    lock = FolderLock(session.folder)
    try:
        FileVault(keys / FILE, old).change_passphrase(new)
        return reseal_keys(keys, old, new)
    finally:
        lock.release()


async def _record(session: Session, new: Passphrase, count: int) -> None:
    from holdfast.bootstrap import Plane  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.connection import own_name  # noqa: PLC0415
    from holdfast.config import load  # noqa: PLC0415
    from holdfast.ports.store import leaf  # noqa: PLC0415
    from holdfast_core.record.model import Kind, entry  # noqa: PLC0415

    config = load(session.folder, os.environ)
    async with Plane.open(config, session.folder, passphrase=new) as plane:
        now, data = plane.clock.now(), {"keys": count}
        made = entry(Kind.PASSPHRASE_CHANGED, at=now, scope=config.scope, actor=own_name(), data=data)
        await plane.store.commit([leaf(made)])


def webhook(session: Session) -> None:
    """Print the webhook's secret on stdout, for its receiver."""
    from holdfast.adapters.vault import FILE, FileVault  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.adapters.webhook_secret import WebhookSecret  # noqa: PLC0415
    from holdfast.cli.terminal import emit, raw, words  # noqa: PLC0415

    keys = session.folder / "keys"
    text = WebhookSecret(keys, FileVault(keys / FILE, _current(session))).text()
    if session.json:
        emit({"secret": text})
        return
    words("Whoever has it can forge messages to the receiver. Give it to the receiver alone.")
    raw(text)


def _current(session: Session) -> Passphrase:
    from holdfast.adapters.pki.passphrase import find_passphrase  # noqa: PLC0415  (rule 3 of the package)

    return find_passphrase(session.folder / "keys", os.environ)
