"""The revocation lists of every issuer: which there are, what they hold, and that they are made in time.

1. What a list holds is read off the store's change feed: a revocation is in the index the moment it is durable.
2. One more revocation makes one shard and the whole list anew; the other shards stand as they are until their time.
3. A number is committed before the list that has it is signed: no two lists ever have the same one.
4. Of an issuer that was ended, every certificate is listed: who still trusts its root must find them all revoked.
5. Making is for one issuer at a time and in a thread. A revocation that comes meanwhile makes its lists due again.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence

import msgspec

from holdfast.ports.clock import Clock
from holdfast.ports.store import Change, Store
from holdfast.ports.validity import Issuer, IssuerSource, ListMaker
from holdfast_core.identity.model import Credential
from holdfast_core.identity.validity import (
    SHARDS,
    Addresses,
    Canary,
    Ended,
    IssuerLists,
    ListStamp,
    addresses,
    ended_with_issuer,
    is_due,
    is_listed,
    issuer_name,
    listed,
    next_number,
    revocation_of,
    revocation_of_canary,
    shard_address,
    shard_of,
    stamp,
    whole_address,
)
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import Instant

WATCH_SECONDS = 1.0
"""Revocations of one second share their lists."""
PEM_LINE = 64
WHOLE = -1
"""The shard that is the whole list."""
_log = logging.getLogger("holdfast.lists")


class MadeList(msgspec.Struct, frozen=True):
    """A list as it is given out; `shard` is `WHOLE` for that of all certificates."""

    issuer: Digest
    scope: Scope
    shard: int
    stamp: ListStamp
    entries: int
    der: bytes


ListWatcher = Callable[[MadeList], None]
"""Told of every whole list that was made; does no I/O and raises nothing."""


class RevocationLists:
    """Makes the lists and gives them out.

    Args:
        store: where revocations are read.
        clock: the server's time.
        issuers: whose lists.
        maker: what signs them.
        base_url: where the validation port answers; empty: none does, and there are only whole lists, for brokers.
    """

    def __init__(
        self, *, store: Store, clock: Clock, issuers: IssuerSource, maker: ListMaker, base_url: str = ""
    ) -> None:
        self._store, self._clock, self._issuers, self._maker = store, clock, issuers, maker
        self._base_url = base_url
        self._shard_counts: dict[Digest, int] = {}
        self._ended: defaultdict[tuple[Digest, int], dict[int, Ended]] = defaultdict(dict)
        self._changes: Counter[tuple[Digest, int]] = Counter()
        """How often what a list says has changed, and how often it had when the list was last made."""
        self._told: Counter[tuple[Digest, int]] = Counter()
        self._told_ended: set[tuple[Digest, int]] = set()
        self._made: dict[tuple[Digest, int], MadeList] = {}
        self._making: defaultdict[Digest, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._troubles: dict[Digest, str] = {}
        self._watchers: list[ListWatcher] = []
        self._take([*store.credentials(), *store.all_kept(Canary)])
        store.watch_changes(self._take)

    def _take(self, changes: Sequence[Change]) -> None:
        for change in changes:
            match change:
                case Credential(issuer=issuer, revoked_at=at) if at is not None and issuer:
                    revocation = revocation_of(change)
                case Canary(issuer=issuer):
                    revocation = revocation_of_canary(change)
                case _:
                    continue
            if revocation is None:
                continue
            place = (issuer, shard_of(revocation.serial, self.shards(issuer)))
            # A revoked credential that is put again, for something else about it, makes no list due.
            if self._ended[place].get(revocation.serial) != revocation:
                self._ended[place][revocation.serial] = revocation
                self._changes.update([place, (issuer, WHOLE)])

    def shards(self, issuer: Digest) -> int:
        """How many shards the list of an issuer has."""
        known = self._shard_counts.get(issuer)
        if known is None:
            kept = (one.shards for one in self._store.all_kept(IssuerLists) if one.id == issuer)
            known = self._shard_counts[issuer] = next(kept, SHARDS)
        return known

    def addresses(self, issuer: Digest, serial: int) -> Addresses | None:
        """What a new certificate says of where to ask; `None` where no validation port answers."""
        return addresses(self._base_url, issuer, serial, self.shards(issuer)) if self._base_url else None

    def address(self, issuer: Digest) -> str:
        """Where the whole list of an issuer is served; empty where none is."""
        return whole_address(self._base_url, issuer) if self._base_url else ""

    def watch(self, watcher: ListWatcher) -> None:
        """Tell `watcher` of every whole list that is made from now on."""
        self._watchers.append(watcher)

    def issuers(self, scope: Scope | None = None) -> list[Issuer]:
        """The issuers of a scope, or all."""
        return [one for one in self._issuers.issuers() if scope in (None, one.scope)]

    def named(self, name: str, scope: Scope | None = None) -> Issuer:
        """The issuer that addresses call `name`, or whose digest it is.

        Raises:
            HostileData: ``issuer.unknown``.
        """
        found = next((one for one in self.issuers(scope) if name in (issuer_name(one.id), one.id)), None)
        if found is None:
            raise HostileData(
                "issuer.unknown",
                f"There is no issuer {name[:80]!r}.",
                remedy="holdfast crl list shows every issuer that has lists.",
                http_status=404,
            )
        return found

    async def current(self, issuer: Issuer, shard: int = WHOLE) -> MadeList:
        """A list as it is now, made first where it is due.

        Raises:
            HostileData: ``crl.no_shard``.
            WorldError: the store cannot keep the number of a new one, ``store.*``.
        """
        shards = len(self._places(issuer)) - 1
        if not WHOLE <= shard < shards:
            raise _no_shard(shard, shards)
        if self._is_due(issuer, (issuer.id, shard), self._clock.now()):
            await self._make(issuer)
        return self._made[issuer.id, shard]

    def made(self, scope: Scope) -> list[MadeList]:
        """The lists of a scope as they were last made, by issuer and shard, the whole one first."""
        issuers = {one.id for one in self.issuers(scope)}
        held = [one for one in self._made.values() if one.issuer in issuers]
        return sorted(held, key=lambda one: (one.issuer, one.shard))

    async def bundle(self, scope: Scope) -> bytes:
        """The whole lists of every issuer of a scope as PEM: the file that a broker of that environment checks by."""
        return b"".join([pem((await self.current(issuer)).der) for issuer in self.issuers(scope)])

    def _places(self, issuer: Issuer) -> list[tuple[Digest, int]]:
        shards = range(self.shards(issuer.id)) if self._base_url else ()
        return [(issuer.id, shard) for shard in (WHOLE, *shards)]

    def _is_due(self, issuer: Issuer, place: tuple[Digest, int], now: Instant) -> bool:
        made = self._made.get(place)
        ended = issuer.ended_at is not None and place not in self._told_ended
        return is_due(made.stamp if made else None, now, changed=ended or self._changes[place] != self._told[place])

    async def _make(self, issuer: Issuer) -> None:
        """Make every list of `issuer` that is due."""
        async with self._making[issuer.id]:
            now = self._clock.now()
            due = [place for place in self._places(issuer) if self._is_due(issuer, place, now)]
            if not due:
                return  # whoever held the lock made them
            kept = self._store.kept(IssuerLists, issuer.scope, issuer.id) or IssuerLists(issuer.scope, issuer.id)
            numbered = msgspec.structs.replace(kept, number=next_number(kept.number, now))
            await self._store.commit([numbered])
            # Read before the entries: what comes while they are signed makes the lists due again. Until then they are
            # due, so that whoever asks after a revocation waits for the list that holds it.
            told = {place: self._changes[place] for place in due}
            ended = self._ended_with(issuer)
            held = {shard: self._entries(issuer.id, shard) + ended.get(shard, []) for _, shard in due}
            made = await asyncio.to_thread(self._signed, issuer, held, stamp(numbered.number, now), now)
            self._made.update({(one.issuer, one.shard): one for one in made})
            self._told |= told  # the greater of both: counts only rise
            self._told_ended.update(due if issuer.ended_at is not None else ())
        self._forget_expired(issuer.id, now)
        for one in made:
            for watcher in self._watchers if one.shard == WHOLE else ():
                watcher(one)

    def _entries(self, issuer: Digest, shard: int) -> list[Ended]:
        shards = range(self.shards(issuer)) if shard == WHOLE else (shard,)
        return [one for each in shards for one in self._ended[issuer, each].values()]

    def _ended_with(self, issuer: Issuer) -> dict[int, list[Ended]]:
        """What ended only because its issuer was, by shard; nothing while the issuer is good."""
        found: defaultdict[int, list[Ended]] = defaultdict(list)
        if issuer.ended_at is None:
            return found
        for credential in self._store.credentials():
            if credential.issuer == issuer.id and credential.revoked_at is None:
                one = ended_with_issuer(credential, issuer.ended_at)
                found[WHOLE].append(one)
                found[shard_of(one.serial, self.shards(issuer.id))].append(one)
        return found

    def _signed(self, issuer: Issuer, held: dict[int, list[Ended]], made: ListStamp, now: Instant) -> list[MadeList]:
        def one(shard: int, revocations: list[Ended]) -> MadeList:
            address = "" if shard == WHOLE else shard_address(self._base_url, issuer.id, shard)
            held_now = listed(revocations, now)
            der = self._maker.make(issuer, held_now, made, address=address)
            return MadeList(issuer.id, issuer.scope, shard, made, len(held_now), der)

        return [one(shard, revocations) for shard, revocations in held.items()]

    def _forget_expired(self, issuer: Digest, now: Instant) -> None:
        """Let go of what no list holds any more; it leaves a list when that is made for another reason."""
        for shard in range(self.shards(issuer)):
            ended = self._ended[issuer, shard]
            gone = [serial for serial, one in ended.items() if not is_listed(one, now)]
            for serial in gone:
                del ended[serial]
            self._maker.forget(issuer, gone)

    async def refresh(self) -> None:
        """Make every list that is due. One issuer whose key does not sign must not hold up the others."""
        self._issuers.look_again()
        for issuer in self._issuers.issuers():
            now = self._clock.now()
            if any(self._is_due(issuer, place, now) for place in self._places(issuer)):
                await self._try_make(issuer)

    async def _try_make(self, issuer: Issuer) -> None:
        trouble = ""
        try:
            await self._make(issuer)
        except WorldError as error:
            trouble = error.code
        except Exception:  # noqa: BLE001  (whatever is wrong with one key, the other lists must not lapse)
            _log.exception("the lists of issuer %s could not be made", issuer.id)
        # Tried again every second, told once.
        if trouble and trouble != self._troubles.get(issuer.id):
            _log.error("the lists of issuer %s could not be made: %s", issuer.id, trouble)
        self._troubles[issuer.id] = trouble

    async def run(self) -> None:
        """Keep the lists current until cancelled."""
        while True:
            with contextlib.suppress(WorldError):  # keys or certificates that cannot be read now
                await self.refresh()
            await asyncio.sleep(WATCH_SECONDS)


def pem(der: bytes) -> bytes:
    """A list as PEM (RFC 7468, section 9)."""
    text = base64.b64encode(der)
    return b"".join(
        [b"-----BEGIN X509 CRL-----\n", *(line + b"\n" for line in _lines(text)), b"-----END X509 CRL-----\n"]
    )


def _lines(text: bytes) -> Iterator[bytes]:
    return (text[start : start + PEM_LINE] for start in range(0, len(text), PEM_LINE))


def _no_shard(shard: int, shards: int) -> HostileData:
    return HostileData(
        "crl.no_shard",
        f"There is no shard {shard}: "
        + (f"this issuer has 0 to {shards - 1}." if shards else "this server has no validation port, so no shards."),
        remedy="Name a shard that there is, or take the whole list."
        if shards
        else "Take the whole list, or set validation_url and validation_port in holdfast.toml.",
        http_status=404,
    )
