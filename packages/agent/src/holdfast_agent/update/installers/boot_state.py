"""What a boot loader of two slots in files remembers, in ``boot.json``, shared by it and by the installer.

::

    a.img, b.img    the slots
    boot.json       which slot is the lasting one, which is on trial and how often it may yet be, what each holds
    running         the slot that this boot runs; the boot loader writes it, as a kernel's command line would say it

1. ``boot.json`` is replaced whole: written beside, synced, given its name, the folder synced. There is no moment
   without one, so no moment in which nothing could boot.
2. A slot counts as whole only while its content has the size and the digest that stand here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from holdfast_agent.durable import replace
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.errors import WorldError

A, B = "a", "b"
NAMES = (A, B)
STATE, RUNNING = "boot.json", "running"
TRIES = 3
"""Boots that a release on trial gets: one power cut during it is not yet the release's fault."""
LARGEST_STATE = 16 * 1024


class Content(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a slot holds.

    `whole`: it was read back. `bad`: it is being written, or it was tried and did not prove itself.
    """

    release: str = ""
    counter: int = 0
    svn: int = 0
    size: int = 0
    digest: Digest = Digest("")
    whole: bool = False
    bad: bool = False


class BootState(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The content of ``boot.json``. `trial` is the slot that the next boot tries, or that runs on trial; or none."""

    slots: dict[str, Content]
    primary: Annotated[str, msgspec.Meta(pattern="^[ab]$")] = A
    trial: Annotated[str, msgspec.Meta(pattern="^[ab]?$")] = ""
    tries: int = 0

    def content(self, slot: str) -> Content:
        """What `slot` holds, as far as it is known."""
        return self.slots.get(slot, Content())

    def holding(self, slot: str, content: Content) -> BootState:
        """With another content of a slot."""
        return msgspec.structs.replace(self, slots={**self.slots, slot: content})

    def without_trial(self) -> BootState:
        """With no slot on trial."""
        return msgspec.structs.replace(self, trial="", tries=0)


def other(slot: str) -> str:
    """The slot that is not this one."""
    return B if slot == A else A


def image(folder: Path, slot: str) -> Path:
    """The file of a slot."""
    return folder / f"{slot}.img"


def load(folder: Path) -> BootState:
    """The state. Raises WorldError ``installer.boot_state``."""
    try:
        with (folder / STATE).open("rb") as file:
            return msgspec.json.decode(file.read(LARGEST_STATE), type=BootState)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _unusable(folder / STATE, error) from error


def save(folder: Path, state: BootState) -> None:
    """Keep the state; durable when this returns. Raises WorldError ``installer.boot_state``."""
    try:
        replace(folder / STATE, msgspec.json.encode(state))
    except OSError as error:
        raise _unusable(folder / STATE, error) from error


def runs(folder: Path) -> str:
    """The slot that runs. Raises WorldError ``installer.boot_state``."""
    try:
        with (folder / RUNNING).open("rb") as file:
            name = file.read(LARGEST_STATE).decode("ascii", "replace").strip()
    except OSError as error:
        raise _unusable(folder / RUNNING, error) from error
    if name not in NAMES:
        raise _unusable(folder / RUNNING, ValueError("it names no slot"))
    return name


def _unusable(path: Path, error: Exception) -> WorldError:
    why = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return WorldError(
        "installer.boot_state",
        f"{path} cannot be used: {why}.",
        remedy="Look whether the folder of the slots is mounted and open to the agent; a boot writes it anew.",
    )
