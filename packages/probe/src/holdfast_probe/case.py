"""What a probe may know beside its own spec: the root, the plan, what it may spend, what the build states."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

from holdfast_core.baseline.model import BuildManifest, Plan
from holdfast_core.baseline.probes import Simple
from holdfast_core.kernel.instants import Instant
from holdfast_probe.budget import Budget, Purse
from holdfast_probe.roots import Root
from holdfast_probe.sight import Sight

_T = TypeVar("_T")


class Case:
    """One root that is looked at once.

    Args:
        root: the tree.
        plan: the lists that some probes compare with.
        budget: what may be spent.
        manifest: what the build says of itself; `None` when it says nothing.
        now: the time by the clock of whoever looks; `None` where there is none to trust.
    """

    def __init__(
        self,
        root: Root,
        plan: Plan,
        *,
        budget: Budget | None = None,
        manifest: BuildManifest | None = None,
        now: Instant | None = None,
    ) -> None:
        self.root = root
        self.plan = plan
        self.budget = budget or Budget()
        self.purse = Purse(self.budget.guess_cost)
        self.manifest = manifest
        self.now = now
        self._read: dict[Callable[[Root], Any], Any] = {}

    def once(self, reader: Callable[[Root], _T]) -> _T:
        """What `reader` makes of the root, read once for all probes that ask. What it raises is raised each time."""
        if reader not in self._read:
            self._read[reader] = reader(self.root)
        value: _T = self._read[reader]
        return value


Look: TypeAlias = Callable[[Case, Any], Sight]
"""A probe that needs no walk: its spec's own type stands in the table that names it."""
Looks: TypeAlias = Mapping[type[Simple], Look]
