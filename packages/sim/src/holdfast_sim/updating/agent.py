"""The agent of a virtual camera: ``python -m holdfast_sim.updating.agent STATE SINCE [--deaf]``.

1. It is what ``holdfast-agent run`` runs. Only its clock counts from when the camera was switched on, not this machine:
   a release on trial has so many seconds of uptime.
2. With ``--deaf`` no connection comes about: a release that lost its network, or its password for it.
3. It ends when whoever started it does: its standard input ends then.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from pathlib import Path

from holdfast_agent.clock import Clock
from holdfast_agent.dialing import dial
from holdfast_agent.loop import Agent
from holdfast_agent.state import Config, Folder
from holdfast_agent.transport import Channel, Failed
from holdfast_core.kernel.errors import HoldfastError
from holdfast_core.wire.confirm import Moment
from holdfast_core.wire.device import Refusal

_DEAF = Refusal(0, "agent.unreachable", "The network of this release does not come up.", "Build it again.")


class BoardClock(Clock):
    """The clock of a board that was switched on at `since`, seconds of this machine's own uptime."""

    def __init__(self, device: str, proc: Path, since: float) -> None:
        super().__init__(device, proc)
        self._since = since

    def now(self) -> Moment:
        """The current moment."""
        return Moment(self.boot, int(time.clock_gettime(time.CLOCK_BOOTTIME) - self._since))


def main() -> None:
    """Run it until it is ended, or its device's life is over."""
    parser = argparse.ArgumentParser(prog="holdfast_sim.updating.agent")
    parser.add_argument("state", type=Path)
    parser.add_argument("since", type=float)
    parser.add_argument("--deaf", action="store_true")
    options = parser.parse_args()
    threading.Thread(target=_end_with_the_board, daemon=True).start()
    folder = Folder(options.state)
    try:
        with folder.locked():
            config = folder.config()
            clock = BoardClock(config.device, Path(config.proc), options.since)
            Agent(folder, config, clock, _unreached if options.deaf else dial).run()
    except HoldfastError as error:
        sys.exit(str(error))


def _end_with_the_board() -> None:
    while os.read(0, 1):  # a buffered read would hold a lock that the end of the process wants
        pass
    os._exit(0)


def _unreached(_folder: Folder, _config: Config) -> Channel:
    raise Failed(_DEAF)


if __name__ == "__main__":
    main()
