"""Making a data folder, step by step, so that an interrupted run can simply be repeated.

1. A step whose result is there is skipped; a result is there whole or not at all (made beside, then renamed).
2. No key is ever overwritten: keys that are there but incomplete end the run with what is missing.
3. The folder is locked throughout, so two runs cannot mix.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from holdfast.adapters.pki import FileAuthority, FileKeyStore, FileLogSigner, find_passphrase, make_passphrase
from holdfast.adapters.pki.files import certificate_fingerprint
from holdfast.adapters.pki.keystores import open_key_store
from holdfast.adapters.store import open_engine, upgrade
from holdfast.adapters.system import SystemClock, SystemRandomness
from holdfast.adapters.vault import FILE as VAULT
from holdfast.adapters.vault import FileVault
from holdfast.adapters.webhook_secret import WebhookSecret
from holdfast.bootstrap import DATABASE, LOCK, FolderLock, Plane
from holdfast.cli.connection import own_name
from holdfast.config import FILE, Config, load, render
from holdfast.identity.tokens import DEFAULT_TOKEN
from holdfast.inventory import model_file
from holdfast.ports.store import leaf
from holdfast_core.identity.model import Permission
from holdfast_core.kernel.errors import WorldError
from holdfast_core.record.model import Kind, entry

KEYS = "keys"
NEEDED_KEYS = (
    "root.pem",
    "services.pem",
    "services.key",
    "log.key",
    "log.origin",
    "vault.json",
)
IN_TOKEN = ("services.key",)
"""What lies in the token where keys do."""
FIRST_TOKEN = "first"  # noqa: S105  (its name)

_OWN = {FILE, KEYS, f"{KEYS}.new", DATABASE, LOCK, f"{FILE}.new"}


def needed_keys(config: Config | None) -> tuple[str, ...]:
    """The files without which nothing can be served."""
    in_token = IN_TOKEN if config is not None and config.keys == "pkcs11" else ()
    return tuple(name for name in NEEDED_KEYS if name not in in_token)


class Founded(msgspec.Struct, frozen=True):
    """What `found` came to; `token` is empty when there was one before."""

    folder: str
    config: Config
    root_fingerprint: str
    people_certificate: str
    """The digest of the certificate of the port for people, as browsers show it."""
    verifier_key: str
    token: str
    models: tuple[str, ...]
    done: tuple[str, ...]
    """The steps that this run did; none when everything was there."""


def prepare_folder(folder: Path) -> None:
    """Make the folder, for its owner only.

    Raises:
        WorldError: ``init.not_empty``, ``init.folder``.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        foreign = [each.name for each in folder.iterdir() if not each.name.startswith(tuple(_OWN))]
    except OSError as error:
        raise WorldError(
            "init.folder",
            f"{folder} cannot be made or used: {error.strerror}.",
            remedy="Name another folder with --data, or run the command as the user who may write there.",
        ) from error
    if foreign and not (folder / FILE).exists():
        raise WorldError(
            "init.not_empty",
            f"{folder} holds other files already, such as {min(foreign)!r}.",
            remedy="Name an empty or new folder with --data.",
        )
    folder.chmod(0o700)


async def found(folder: Path, wanted: Config, environ: dict[str, str], tell: Callable[[str], object]) -> Founded:
    """Do every step that is not done yet. `wanted` is written if there is no configuration; else the file counts.

    Raises:
        WorldError: ``init.*``, ``data.in_use``, ``store.*``, ``files.*``.
        HostileData: ``config.invalid``.
    """
    before = os.umask(0o077)
    done: list[str] = []

    def step(words: str) -> None:
        done.append(words)
        tell(words)

    lock = FolderLock(folder)
    try:
        config = _configure(folder, wanted, environ, step)
        _make_keys(folder, config, environ, step)
        _make_extras(folder / KEYS, config, environ, step)
        _make_database(folder, step)
    finally:
        lock.release()
        os.umask(before)
    return await _fill(config, folder, step, done)


def _configure(folder: Path, wanted: Config, environ: dict[str, str], step: Callable[[str], None]) -> Config:
    path = folder / FILE
    if not path.exists():
        fresh = folder / f"{FILE}.new"
        fresh.write_text(render(wanted))
        fresh.replace(path)
        step(f"wrote the configuration, {FILE}")
    return load(folder, environ)


def _make_keys(folder: Path, config: Config, environ: dict[str, str], step: Callable[[str], None]) -> None:
    """The authority and the log's key: all of them, or none."""
    keys, fresh = folder / KEYS, folder / f"{KEYS}.new"
    if keys.exists():
        missing = [name for name in needed_keys(config) if not (keys / name).exists()]
        if missing:
            raise WorldError(
                "init.keys_incomplete",
                f"{keys} is there, but lacks {', '.join(missing)}. Nothing in it was touched.",
                remedy="Restore it from a backup. If no device has enrolled yet, move the folder away and repeat init.",
            )
        return
    if fresh.exists():
        shutil.rmtree(fresh)  # an interrupted run's; its keys never took their place, so nobody trusts them
    fresh.mkdir(mode=0o700)
    now = SystemClock().now()
    passphrase = make_passphrase(fresh, environ, SystemRandomness())
    store = open_key_store(config, fresh, passphrase, environ)
    FileAuthority.create(fresh, store, organization=config.tenant, scope=config.scope, now=now)
    FileLogSigner.create(fresh, f"{config.names[0]}/holdfast", passphrase)
    FileVault.create(fresh / VAULT, passphrase)
    fresh.rename(keys)
    step("made the device authority and the log's key, in keys/")


def _make_extras(keys: Path, config: Config, environ: dict[str, str], step: Callable[[str], None]) -> None:
    """What can be made anew at any time: the ports' certificates and the webhook's secret."""
    stems = (
        {"device-port": "devices"}
        if config.operator_certificate
        else {"device-port": "devices", "operator-port": "people"}
    )
    passphrase = find_passphrase(keys, environ)
    files = FileKeyStore(keys, passphrase)
    for stem, whom in stems.items():
        if not (keys / f"{stem}.pem").exists():
            # A key without its certificate is a half-made pair that nothing has used.
            files.delete(stem)
            authority = FileAuthority(keys, open_key_store(config, keys, passphrase, environ))
            authority.certify_server(list(config.names), files, stem=stem, now=SystemClock().now())
            step(f"made the certificate of the port for {whom}")
    WebhookSecret(keys, FileVault(keys / VAULT, passphrase)).make()


def _make_database(folder: Path, step: Callable[[str], None]) -> None:
    path = folder / DATABASE
    if path.exists():
        return
    fresh = folder / f"{DATABASE}.new"
    for rest in folder.glob(f"{DATABASE}.new*"):
        rest.unlink()
    engine = open_engine(fresh)
    try:
        upgrade(engine)
    finally:
        engine.dispose()
    fresh.rename(path)
    step(f"made the database, {DATABASE}")


async def _fill(config: Config, folder: Path, step: Callable[[str], None], done: list[str]) -> Founded:
    """The record's first entry, the example models and the first token."""
    actor = own_name()
    async with Plane.open(config, folder, randomness=SystemRandomness()) as plane:
        if plane.store.log_size() == 0:
            data = {"root": plane.authority.root_fingerprint, "names": config.names}
            at, scope = plane.clock.now(), config.scope
            await plane.store.commit([leaf(entry(Kind.SERVER_INITIALISED, at=at, scope=scope, actor=actor, data=data))])
            step("began the record")
        known = {stored.reference for stored in plane.inventory.models(config.scope)}
        for name in model_file.EXAMPLES:
            stored = await plane.inventory.add_model(config.scope, model_file.example_bytes(name), actor=actor)
            if stored.reference not in known:
                step(f"added the example model {stored.reference}")
        token = ""
        if not plane.store.tokens(config.scope):
            token, _ = await plane.tokens.create(
                config.scope, FIRST_TOKEN, permission=Permission.ADMIN, lifetime=DEFAULT_TOKEN, actor=actor
            )
            step("made the first API token")
        return Founded(
            folder=str(folder),
            config=config,
            root_fingerprint=plane.authority.root_fingerprint,
            people_certificate=certificate_fingerprint(config.operator_files(folder / KEYS)[0]),
            verifier_key=plane.record.verifier_key(),
            token=token,
            models=tuple(stored.reference for stored in plane.inventory.models(config.scope)),
            done=tuple(done),
        )
