"""The passphrase under which keys and secrets lie, and where it comes from.

1. Looked for in this order: the file that ``HOLDFAST_PASSPHRASE_FILE`` names, the systemd credential
   ``holdfast-passphrase``, the file ``passphrase`` beside the keys. The first that is named or there counts; one that
   is named and cannot be read is an error, never a reason to look further.
2. It is never taken from an argument, nor from a variable itself: every process of the user can read both.
3. One that is made here has 256 random bits. One that is too short to be such a thing is refused: PKCS#8 stretches a
   passphrase too little to save a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from holdfast.adapters.pki.files import read, write_private
from holdfast.ports.clock import Randomness
from holdfast_core.kernel.errors import WorldError

VARIABLE = "HOLDFAST_PASSPHRASE_FILE"
CREDENTIALS = "CREDENTIALS_DIRECTORY"
"""Set by systemd for a unit with ``LoadCredential=``."""
CREDENTIAL = "holdfast-passphrase"
BESIDE = "passphrase"
SHORTEST, LONGEST = 20, 1000
"""Characters; OpenSSL takes no password of more than 1,023 bytes."""
_BYTES = 32


class Source(StrEnum):
    """Where a passphrase came from."""

    NAMED = "named"
    SYSTEMD = "systemd"
    BESIDE = "beside"


class Passphrase:
    """A passphrase; its text shows in no representation and no traceback's values."""

    __slots__ = ("_text", "source")

    def __init__(self, text: str, source: Source = Source.NAMED) -> None:
        self._text = text.encode()
        self.source = source

    def reveal(self) -> bytes:
        """The bytes that keys are derived from."""
        return self._text

    def __repr__(self) -> str:
        return f"Passphrase({self.source.value})"


def find_passphrase(keys: Path, environ: Mapping[str, str]) -> Passphrase:
    """The passphrase of this installation.

    Args:
        keys: the folder of the keys.
        environ: the process's environment.

    Raises:
        WorldError: ``passphrase.missing``, ``passphrase.unreadable``, ``passphrase.unfit``.
    """
    path, source = _place(keys, environ)
    if source is Source.BESIDE and not path.exists():
        raise WorldError(
            "passphrase.missing",
            f"There is no passphrase: {VARIABLE} is not set, systemd passed none, and {path} does not exist.",
            remedy=f"Put it back, or name its file with {VARIABLE}. Without it the keys cannot be read by anybody.",
        )
    return Passphrase(_text(path), source)


def read_passphrase(path: Path) -> Passphrase:
    """The passphrase in a file.

    Raises:
        WorldError: ``passphrase.unreadable``, ``passphrase.unfit``.
    """
    return Passphrase(_text(path))


def make_passphrase(keys: Path, environ: Mapping[str, str], randomness: Randomness) -> Passphrase:
    """The passphrase of a new installation: the one that is named or passed, else a new one in a file beside the keys.

    Raises:
        WorldError: ``passphrase.unreadable``, ``passphrase.unfit``, ``files.*``.
    """
    path, source = _place(keys, environ)
    if source is Source.BESIDE and not path.exists():
        write_private(path, randomness.token(_BYTES).encode() + b"\n")
    return find_passphrase(keys, environ)


def _place(keys: Path, environ: Mapping[str, str]) -> tuple[Path, Source]:
    if named := environ.get(VARIABLE):
        return Path(named), Source.NAMED
    if folder := environ.get(CREDENTIALS):
        passed = Path(folder, CREDENTIAL)
        if passed.exists():
            return passed, Source.SYSTEMD
    return keys / BESIDE, Source.BESIDE


def _text(path: Path) -> str:
    """The first line of the file."""
    try:
        data = read(path)[: LONGEST * 4 + 2]
    except WorldError as error:
        raise WorldError(
            "passphrase.unreadable",
            f"The passphrase could not be read: {error.sentence}",
            remedy="Check the path and that this user may read it.",
        ) from error
    line = data.split(b"\n", 1)[0].rstrip(b"\r")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if not SHORTEST <= len(text) <= LONGEST or len(line) > LONGEST or not text.isprintable():
        raise WorldError(
            "passphrase.unfit",
            f"{path} holds no passphrase: its first line must have {SHORTEST} to {LONGEST} printable characters.",
            remedy="For a new installation make one: openssl rand -base64 32 > FILE. An old one needs the one it had.",
        )
    return text
