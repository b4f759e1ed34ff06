"""The folder of a broker: files that appear whole or not at all, and survive the power going.

1. A file is written beside its place, synced, renamed over it, and the folder synced: a reader sees the old or the new.
2. Files take the group of their folder (set its set-group-id bit), so that the broker reads them under another account;
   nobody else does.
3. What the broker itself writes (its state, log and pid) is in ``state/``. Whoever has taken the broker over puts there
   what they like: a pipe that nobody writes to must not have the control plane wait for ever (`open_plain`).
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from cryptography import x509

from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.instants import Instant, from_datetime

STATE = "state"
SHARED = 0o640
OWN = 0o600
_FOLDER = 0o2750
_STATE_FOLDER = 0o2770


def make_folders(folder: Path) -> None:
    """Make the folder and its ``state/`` where they are missing; those that exist keep their modes.

    Raises:
        WorldError: ``broker.files``.
    """
    try:
        for path, mode in ((folder, _FOLDER), (folder / STATE, _STATE_FOLDER)):
            if not path.is_dir():
                path.mkdir(parents=True)
                path.chmod(mode)
    except OSError as error:
        raise _failed(folder, error) from error


def publish(folder: Path, files: Mapping[str, bytes], *, mode: int = SHARED) -> None:
    """Put every file in its place, each whole; a file that is as it should be is left alone.

    Raises:
        WorldError: ``broker.files``; those not named before it are still the old ones.
    """
    for name in differing(folder, files):
        _replace(folder / name, files[name], mode)


def differing(folder: Path, files: Mapping[str, bytes]) -> list[str]:
    """The names whose files are missing or hold something else."""
    return [name for name, data in files.items() if read_or_none(folder / name) != data]


def read_or_none(path: Path) -> bytes | None:
    """The bytes of a file; `None` where it cannot be read."""
    try:
        with open_plain(path) as file:
            return file.read()
    except OSError:
        return None


def open_plain(path: Path) -> BinaryIO:
    """A file to read, opened without waiting; `OSError` where it is no plain file."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    file = os.fdopen(handle, "rb")
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no plain file")
    return file


def certificate_ends(path: Path) -> Instant | None:
    """When the first certificate of a PEM file lapses; `None` where there is none."""
    data = read_or_none(path)
    try:
        return None if data is None else from_datetime(x509.load_pem_x509_certificate(data).not_valid_after_utc)
    except ValueError:
        return None


def _replace(path: Path, data: bytes, mode: int) -> None:
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise _failed(path, error) from error


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _failed(path: Path, error: OSError) -> WorldError:
    return WorldError(
        "broker.files",
        f"{path} could not be written: {error.strerror}.",
        remedy="Let the account of the control plane own the broker's folder; see docs/how-to/run-a-broker.md.",
    )
