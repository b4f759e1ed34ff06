"""What happens to an attempt in every part of the install machine (`machine`): another phase, its end, the way back."""

from __future__ import annotations

from typing import Any

import msgspec

from holdfast_core.update import events as ev
from holdfast_core.update.events import Effect
from holdfast_core.update.install import Install, Journal, Phase

Next = tuple[Journal, tuple[Effect, ...]]
SAVED = (ev.Save(),)
TOLD = (ev.Save(), ev.Report())


def on_phase(install: Install, phase: Phase, **changes: Any) -> Install:
    """The attempt in another phase, where nothing has failed or waited yet."""
    fresh: dict[str, Any] = {"phase": phase, "percent": 0, "failures": 0, "again": None}
    if not phase.on_trial and phase is not Phase.DISARMING:
        fresh |= {"code": "", "sentence": ""}
    return msgspec.structs.replace(install, **{**fresh, **changes})


def with_install(journal: Journal, install: Install) -> Journal:
    """The journal with the attempt as it is now."""
    return msgspec.structs.replace(journal, install=install)


def end(journal: Journal, install: Install, phase: Phase, code: str, sentence: str) -> Next:
    """End the attempt: remembered, and what it fetched thrown away."""
    ended = on_phase(install, phase, code=code, sentence=sentence)
    return journal.ended(ended), (ev.Save(), ev.Discard(), ev.Report())


def give_up(journal: Journal, install: Install, ending: Phase, code: str, sentence: str) -> Next:
    """End the attempt before it boots; what may have been armed is taken back first."""
    if install.phase in (Phase.ARMING, Phase.ARMED):
        after = on_phase(install, Phase.DISARMING, ending=ending, code=code, sentence=sentence)
        return with_install(journal, after), SAVED
    return end(journal, install, ending, code, sentence)


def called_off(journal: Journal, install: Install, event: ev.CalledOff) -> Next:
    """The attempt is called off, unless it booted."""
    if install.phase.on_trial or install.phase is Phase.DISARMING:
        return journal, ()
    return give_up(journal, install, Phase.STOPPED, event.code, event.sentence)


def revert(journal: Journal, install: Install, code: str, sentence: str) -> Next:
    """Fall back, for the reason that is told."""
    return with_install(journal, on_phase(install, Phase.REVERTING, code=code, sentence=sentence)), SAVED
