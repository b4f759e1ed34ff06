"""A device that trusts two repositories, with clocks that tests set."""

from __future__ import annotations

from holdfast_agent.update.trust import Trust
from tuf_builders import BUILT, DEVICE_ID, TRUE_NOW


class Device:
    """`wall` and `up` (milliseconds) are its clocks; `ask` is one exchange with the pair's server."""

    def __init__(self, folder, pair, *, wall=TRUE_NOW, begun=True, built=BUILT):
        self.folder, self.pair, self.wall, self.up, self.built = folder, pair, wall, 60_000, built
        self.nonces = 0
        self.trust = self.started()
        if begun:
            self.trust.begin(pair.director.first_root, pair.image.first_root)

    def started(self):
        return Trust(self.folder / "tuf", DEVICE_ID, wall=lambda: self.wall, up=lambda: self.up, built=self.built)

    def again(self):
        """The same device after the agent was started anew."""
        self.trust = self.started()
        return self

    def question(self):
        self.nonces += 1
        return self.trust.holding(f"nonce-{self.nonces:04}")

    def ask(self, **time):
        """One exchange; `told=False` for a server that says no time, `now=` for one that lies."""
        return self.trust.take(self.pair.answer(self.question(), **time))

    def pass_time(self, duration):
        self.wall += duration
        self.up += duration
