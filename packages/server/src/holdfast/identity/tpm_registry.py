"""What operators say of chips: which is in which device, and whose word for a chip is taken.

1. A chip is pinned to a device by the digest of its endorsement key, before or instead of any certificate.
2. A chip is released by a person, with a reason; its device is not cut off by that, but cannot come back by it.
3. Both, and every change of the trusted roots, stand in the record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cryptography.hazmat.primitives.serialization import Encoding

from holdfast.identity.tpm_refusals import busy
from holdfast.ports.clock import Clock
from holdfast.ports.events import Emit, Noted
from holdfast.ports.lookup import require_device
from holdfast.ports.store import Change, Removed, Store
from holdfast_core.identity.endorsement import EkRoot, TpmBinding, binding_id, ek_digest, read_root
from holdfast_core.inventory.lifecycle import LifecycleEvent, advance
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceKey, Scope, parse_name
from holdfast_core.kernel.reasons import require_why
from holdfast_core.record.model import Kind


class TpmRegistry:
    """The chips and roots of every scope."""

    def __init__(self, *, store: Store, clock: Clock, emit: Emit) -> None:
        self._store = store
        self._clock = clock
        self._emit = emit
        self._changing = asyncio.Lock()
        self._by_chip = {binding.id: binding for binding in store.all_kept(TpmBinding)}
        self._by_device = {DeviceKey(b.scope, b.device): b for b in self._by_chip.values()}
        store.watch_changes(self._note)
        self._under_way: set[str] = set()
        """Chips whose binding is not durable yet: none is bound to two devices, however close they come."""

    def bindings(self, scope: Scope) -> list[TpmBinding]:
        """Which chip is in which device, by the chip's digest."""
        return self._store.all_kept(TpmBinding, scope)

    def roots(self, scope: Scope) -> list[EkRoot]:
        """The trusted roots, by name."""
        return self._store.all_kept(EkRoot, scope)

    def bound(self, chip: str) -> TpmBinding | None:
        """The binding of a chip, in whatever scope."""
        return self._by_chip.get(chip)

    def of_device(self, key: DeviceKey) -> TpmBinding | None:
        """The binding of a device."""
        return self._by_device.get(key)

    def has(self, key: DeviceKey) -> bool:
        """Whether a chip is bound to this device."""
        return key in self._by_device

    def _note(self, changes: Sequence[Change]) -> None:
        """Follow the change feed, so that finding a binding never walks over all of them."""
        for change in changes:
            if isinstance(change, TpmBinding):
                self._by_chip[change.id] = change
                self._by_device[DeviceKey(change.scope, change.device)] = change
            elif isinstance(change, Removed) and change.kind is TpmBinding and change.id in self._by_chip:
                gone = self._by_chip.pop(change.id)
                del self._by_device[DeviceKey(gone.scope, gone.device)]

    @contextmanager
    def alone(self, chip: str) -> Iterator[None]:
        """Be the only one who binds this chip, until the binding is durable.

        Raises:
            WorldError: ``tpm.busy``.
        """
        if chip in self._under_way:
            raise busy()
        self._under_way.add(chip)
        try:
            yield
        finally:
            self._under_way.discard(chip)

    async def pin(self, key: DeviceKey, digest: str, *, actor: str) -> TpmBinding:
        """Say that a chip is in a device.

        Raises:
            HostileData: ``device.unknown``, ``lifecycle.not_allowed``, ``digest.invalid``, ``tpm.ek_bound``,
                ``tpm.device_bound`` (409).
        """
        chip = binding_id(ek_digest(digest))
        async with self._changing, self._store.exclusive(key):
            device, now = require_device(self._store, key), self._clock.now()
            advance(device.lifecycle, LifecycleEvent.ENROLL)
            with self.alone(chip):
                bound = self.bound(chip)
                if bound is not None:
                    # Of another scope's devices nothing is told, not even their names.
                    whose = bound.device if bound.scope == key.scope else "another scope"
                    raise _taken("tpm.ek_bound", f"This chip is {whose}'s.")
                if self.of_device(key) is not None:
                    raise _taken("tpm.device_bound", f"{key.device} has another chip.")
                made = TpmBinding(key.scope, chip, device=key.device, bound_at=now, by=actor)
                noted = Noted(Kind.TPM_BOUND, actor, device, key.scope, {"ek": chip}, now)
                await self._store.commit([made, *self._emit(noted)])
                return made

    async def release(self, scope: Scope, digest: str, *, why: str, actor: str) -> TpmBinding:
        """Say that a chip is in no device any more.

        Raises:
            HostileData: ``tpm.not_bound`` (404), ``digest.invalid``, ``why.missing``.
        """
        require_why(why)
        chip = binding_id(ek_digest(digest))
        async with self._changing:
            binding = self._store.kept(TpmBinding, scope, chip)
            if binding is None:
                raise HostileData(
                    "tpm.not_bound", "No device has this chip.", remedy="List them: holdfast tpm list.", http_status=404
                )
            device = self._store.device(DeviceKey(scope, binding.device))
            noted = Noted(Kind.TPM_RELEASED, actor, device, scope, {"ek": chip, "why": why}, self._clock.now())
            await self._store.commit([Removed(TpmBinding, scope, chip), *self._emit(noted)])
            return binding

    async def trust(self, scope: Scope, name: str, data: bytes, *, first_use: bool, actor: str) -> EkRoot:
        """Trust the authority of a maker of chips.

        Args:
            scope: where.
            name: what the operator calls it.
            data: its certificate, PEM or DER.
            first_use: whether its chips bind themselves, without a claim, to devices that are expected.
            actor: who says so.

        Raises:
            HostileData: ``name.invalid``, ``tpm.root_invalid``, ``tpm.root_exists`` (409).
        """
        parse_name(name, what="name of a root")
        der = read_root(data).public_bytes(Encoding.DER)
        async with self._changing:
            if self._store.kept(EkRoot, scope, name) is not None:
                raise _taken("tpm.root_exists", f"There is a root named {name!r}.")
            now = self._clock.now()
            root = EkRoot(scope, name, certificate=der, added_at=now, first_use=first_use)
            told = {"name": name, "fingerprint": digest_of(der), "first_use": first_use}
            await self._store.commit([root, *self._emit(Noted(Kind.TPM_ROOT_TRUSTED, actor, None, scope, told, now))])
            return root

    async def distrust(self, scope: Scope, name: str, *, why: str, actor: str) -> EkRoot:
        """Trust an authority no more; devices whose chips are bound stay so.

        Raises:
            HostileData: ``tpm.root_unknown`` (404), ``why.missing``.
        """
        require_why(why)
        async with self._changing:
            root = self._store.kept(EkRoot, scope, name)
            if root is None:
                raise HostileData(
                    "tpm.root_unknown",
                    f"No root is named {name[:80]!r}.",
                    remedy="List them: holdfast tpm roots.",
                    http_status=404,
                )
            told = {"name": name, "why": why}
            noted = Noted(Kind.TPM_ROOT_DISTRUSTED, actor, None, scope, told, self._clock.now())
            await self._store.commit([Removed(EkRoot, scope, name), *self._emit(noted)])
            return root


def _taken(code: str, sentence: str) -> HostileData:
    return HostileData(
        code, sentence, remedy="Release or remove what is there first, if it is no longer so.", http_status=409
    )
