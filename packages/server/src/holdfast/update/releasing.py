"""What is proposed to the signers: releases, their withdrawal, exemptions, delegations, and roles about to expire.

1. The first release of a model whose role nobody holds yet proposes the delegation along with it, to the signers of
   ``targets``, with their threshold; a model may be given to others (`propose_delegation`).
2. A release that is published already, as it is, needs no proposal; as something else, it is refused.
3. With every new exemption, those that have ended are dropped.
"""

from __future__ import annotations

from holdfast.ports.clock import Clock
from holdfast.ports.store import Store
from holdfast.update import making
from holdfast.update.image_repository import ImageRepository, target_of
from holdfast.update.proposals import Progress, require_root, require_targets
from holdfast.update.state import State
from holdfast.update.tuf_types import Targets
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import Scope, parse_name
from holdfast_core.kernel.instants import DAY, Instant, from_datetime
from holdfast_core.supply.model import Release, parse_release_id
from holdfast_core.update.agreement import EXEMPTIONS, Exemption
from holdfast_core.update.repository import RESERVED

EXEMPTED = 64
"""Exemptions in force at once."""
LONGEST_EXEMPTION = 90 * DAY
RENEW_BEFORE = 60 * DAY
"""How long before a role of people expires it is proposed anew."""


class Releasing:
    """Makes proposals."""

    def __init__(self, *, images: ImageRepository, store: Store, clock: Clock) -> None:
        self._images, self._store, self._clock = images, store, clock

    async def propose_release(self, scope: Scope, release: Release, *, actor: str) -> tuple[Progress, ...]:
        """Propose that a release is published; nothing where it is.

        Raises:
            HostileData: ``release.not_installable``, ``repository.not_founded`` (409), ``repository.taken`` (409),
                ``repository.reserved``; LimitExceeded: ``repository.too_large``.
        """
        target = target_of(release)
        state = self._images.shelf(scope).state
        require_targets(state)
        if state.holds(target):
            return ()
        if release.model in RESERVED:
            making.with_delegation(Targets(), release.model, making.holders_of(require_root(state), "targets"))
        if target.path in state.index.get(release.model, {}):
            raise HostileData(
                "repository.taken",
                f"{target.path} is published already, as something else.",
                remedy="A release never changes: build the change as another version, with a higher counter.",
                http_status=409,
            )
        progress = []
        if not self._is_delegated(scope, state, release.model):
            holders = making.holders_of(require_root(state), "targets")
            progress.append(await self.propose_delegation(scope, release.model, holders, actor=actor))
        why = f"add {release.id}, counter {target.offer.counter}, for {', '.join(target.offer.hardware)}"
        progress.append(
            await self._images.propose(
                scope, release.model, lambda made: making.with_target(made, target), why=why, actor=actor
            )
        )
        return tuple(progress)

    async def propose_withdrawal(self, scope: Scope, name: str, *, why: str, actor: str) -> Progress:
        """Propose that a release is taken out of the image repository: no device installs it after that.

        Raises:
            HostileData: ``release.name``, ``repository.unknown`` (404).
        """
        model, version = parse_release_id(name)
        state = self._images.shelf(scope).state
        paths = [path for path in state.index.get(model, {}) if path.startswith(f"{model}/{version}/")]
        if not paths:
            raise _unknown(name)

        def change(made: Targets) -> None:
            for path in paths:
                made.targets.pop(path, None)

        return await self._images.propose(scope, model, change, why=f"withdraw {name}: {why}", actor=actor)

    async def propose_exemption(self, scope: Scope, name: str, exemption: Exemption, *, actor: str) -> Progress:
        """Propose leave for devices to go back to a release.

        Raises:
            HostileData: ``name.invalid``, ``repository.exemption``, ``repository.unknown`` (404).
        """
        parse_name(name, what="exemption")
        model, version = parse_release_id(exemption.release)
        now = self._clock.now()
        shelf = self._images.shelf(scope)
        if not any(path.startswith(f"{model}/{version}/") for path in shelf.state.index.get(model, {})):
            raise _unknown(exemption.release)
        if not now < exemption.until <= now + LONGEST_EXEMPTION:
            raise HostileData(
                "repository.exemption",
                "An exemption lasts from now on, 90 days at most.",
                remedy="Give a nearer end: --until.",
            )
        path = f"{EXEMPTIONS}/{name}.json"
        over = {each.path for each in shelf.state.exemptions if each.exemption.until <= now}

        def change(made: Targets) -> None:
            for ended in over & made.targets.keys():
                del made.targets[ended]
            if len(made.targets) >= EXEMPTED:
                raise HostileData(
                    "repository.exemption", f"{EXEMPTED} exemptions are in force.", remedy="Wait until one ends."
                )
            making.with_exemption(made, path, exemption)

        why = f"let {len(exemption.devices)} device(s) go back to {exemption.release}: {exemption.why}"
        return await self._images.propose(scope, EXEMPTIONS, change, why=why, actor=actor)

    async def propose_delegation(self, scope: Scope, model: str, holders: making.Holders, *, actor: str) -> Progress:
        """Propose that a model's role is given to these signers.

        Raises:
            HostileData: ``name.invalid``, ``repository.reserved``, ``repository.key``, ``repository.not_founded``.
        """
        parse_name(model, what="model")
        require_targets(self._images.shelf(scope).state)
        why = f"give {model} to {len(holders.keys)} key(s), {holders.threshold} of which have to sign"
        return await self._images.propose(
            scope, "targets", lambda made: making.with_delegation(made, model, holders), why=why, actor=actor
        )

    async def renew(self, scope: Scope, *, actor: str = "server") -> tuple[Progress, ...]:
        """Propose anew every role of people that expires soon and waits for nothing; a watch calls it daily."""
        now, done = self._clock.now(), []
        shelf = self._images.shelf(scope)
        for role in sorted(shelf.state.parts):
            file = shelf.state.role(role)
            waits = any(each.proposal.id == role for each in self._images.proposals(scope))
            if file is not None and not waits and from_datetime(file.targets.expires) <= now + RENEW_BEFORE:
                done.append(await self._images.propose(scope, role, _nothing, why=f"renew {role}", actor=actor))
        return tuple(done)

    def _is_delegated(self, scope: Scope, state: State, model: str) -> bool:
        """Whether a model's role is given, or about to be."""
        waiting = [each.file for each in self._images.proposals(scope) if each.proposal.id == "targets"]
        return any(_gives(file.targets, model) for file in (require_targets(state), *waiting))


def roots_expiring(state: State, now: Instant) -> tuple[str, ...]:
    """The repositories whose root expires soon: only people can make another (holdfast keys root)."""
    return tuple(
        name.value
        for name, chain in state.roots.items()
        if chain and from_datetime(chain[-1].root.expires) <= now + RENEW_BEFORE
    )


def _gives(targets: Targets, role: str) -> bool:
    return bool(targets.delegations and targets.delegations.roles and role in targets.delegations.roles)


def _nothing(_made: Targets) -> None:
    """No change but the version and the expiry."""


def _unknown(name: str) -> HostileData:
    return HostileData(
        "repository.unknown",
        f"The image repository holds no {name[:120]!r}.",
        remedy="See what it holds: holdfast keys show.",
        http_status=404,
    )
