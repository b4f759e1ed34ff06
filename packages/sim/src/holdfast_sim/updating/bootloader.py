"""A simulated boot loader for two slots in files: which slot the next boot runs, by what stands in ``boot.json``.

1. A slot on trial is booted as often as it has attempts left; the count goes down before it is booted. When they are
   used up, or its content is not what was written, it is bad, and the lasting slot boots.
2. Only a trial has attempts that run out. The lasting slot never does, so that no number of power cuts leaves nothing.
3. No slot is booted whose content has another digest than what was written. If the lasting one is damaged, the other
   boots, if it is whole, though it may have been given up before: better that than nothing.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from holdfast_agent.durable import replace
from holdfast_agent.update.installers.boot_state import (
    NAMES,
    RUNNING,
    A,
    B,
    BootState,
    Content,
    image,
    load,
    other,
    save,
)  # fmt: skip
from holdfast_agent.update.installers.file_ab import is_whole
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import WorldError


def found(folder: Path, content: bytes, *, release: str, counter: int, svn: int = 0) -> None:
    """Make a device as it leaves the factory: its release in slot a, nothing in slot b, booted."""
    folder.mkdir(parents=True, exist_ok=True)
    image(folder, A).write_bytes(content)
    image(folder, B).touch()
    held = Content(release, counter, svn, len(content), digest_of(content), whole=True)
    save(folder, BootState({A: held, B: Content()}))
    boot(folder)


def boot(folder: Path) -> str:
    """Choose the slot of the next boot, and write it to ``running``.

    Raises:
        WorldError: ``boot.nothing``: neither slot is whole.
    """
    slot = _chosen(folder)
    replace(folder / RUNNING, slot.encode())
    return slot


def content(folder: Path) -> bytes:
    """What the running slot holds."""
    state = load(folder)
    slot = (folder / RUNNING).read_text("ascii").strip()
    return image(folder, slot).read_bytes()[: state.content(slot).size]


def _chosen(folder: Path) -> str:
    state = load(folder)
    if state.trial:
        if state.tries > 0 and is_whole(folder, state, state.trial):
            save(folder, msgspec.structs.replace(state, tries=state.tries - 1))
            return state.trial
        if not is_whole(folder, state, other(state.trial)) and is_whole(folder, state, state.trial):
            return state.trial  # there is no way back
        tried = msgspec.structs.replace(state.content(state.trial), bad=True)
        state = state.holding(state.trial, tried).without_trial()
        save(folder, state)
    for slot in (state.primary, *(name for name in NAMES if name != state.primary)):
        if is_whole(folder, state, slot):
            return slot
    raise WorldError("boot.nothing", "Neither slot holds a whole release.", remedy="Write one with a cable.")
