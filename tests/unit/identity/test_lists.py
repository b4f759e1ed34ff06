"""The lists of a control plane: current, numbered upwards, and made only where something changed."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import msgspec
import pytest
from cryptography import x509

from builders import START, FakeClock, data_folder, new_plane
from holdfast.adapters.pki import FileLogSigner, find_passphrase
from holdfast.adapters.pki.crl import CrlMaker
from holdfast.adapters.pki.ocsp import OcspResponder
from holdfast.adapters.store import EmbeddedStore, open_engine
from holdfast.bootstrap import DATABASE
from holdfast.identity.answers import StatusAnswers
from holdfast.identity.lists import WHOLE, RevocationLists, pem
from holdfast.ports.validity import AuthorityIssuers
from holdfast_core.identity.model import Revocation
from holdfast_core.identity.validity import LIST_REFRESH, SHARDS, Canary, Ended, Unrevoked, shard_of
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.kernel.limits import LIMITS
from issuer_builders import SCOPE, FixedIssuers, a_leaf, an_issuer

pytestmark = pytest.mark.anyio
BASE = "http://pki.example"


class Ground:
    """A store in a folder, one issuer, and lists over both; `lists` again is what a restart gives."""

    def __init__(self, folder, *, issuers=None, clock=None):
        self.folder = folder if (folder / DATABASE).exists() else data_folder(folder)
        self.clock = clock or FakeClock()
        self.issuers = issuers or FixedIssuers(an_issuer())
        self.issuer = self.issuers.held[0]
        self.maker = CrlMaker()
        self.open()

    def open(self):
        self.store = EmbeddedStore(
            open_engine(self.folder / DATABASE),
            FileLogSigner(self.folder / "keys", find_passphrase(self.folder / "keys", {})),
        )
        self.lists = RevocationLists(
            store=self.store, clock=self.clock, issuers=self.issuers, maker=self.maker, base_url=BASE
        )

    async def restart(self):
        await self.store.settled()
        self.store.close()
        self.open()

    async def revoked(self, device="cam-1"):
        _, _, credential = a_leaf(self.issuer, device)
        ended = msgspec.structs.replace(credential, revoked_at=self.clock.now(), revoked_code=Revocation.KEY_COMPROMISE)
        await self.store.commit([credential])
        await self.store.commit([ended])
        return int(credential.serial, 16)

    async def serials(self, shard=WHOLE):
        return {one.serial_number for one in self.read(await self.lists.current(self.issuer, shard))}

    @staticmethod
    def read(made):
        return x509.load_der_x509_crl(made.der)


@pytest.fixture
async def ground(tmp_path):
    made = Ground(tmp_path)
    yield made
    await made.store.settled()
    made.store.close()


async def test_a_revocation_is_in_the_whole_list_and_in_its_own_shard_at_once(ground):
    assert await ground.serials() == set()
    serial = await ground.revoked()
    assert await ground.serials() == {serial}
    mine = shard_of(serial, SHARDS)
    assert await ground.serials(mine) == {serial}
    assert await ground.serials((mine + 1) % SHARDS) == set()


async def test_only_the_lists_that_changed_are_made_anew(ground):
    await ground.lists.refresh()
    before = {one.shard: one.der for one in ground.lists.made(SCOPE)}
    assert len(before) == SHARDS + 1
    serial = await ground.revoked()
    await ground.lists.refresh()
    after = {one.shard: one.der for one in ground.lists.made(SCOPE)}
    assert {shard for shard in before if before[shard] != after[shard]} == {WHOLE, shard_of(serial, SHARDS)}


async def test_numbers_rise_through_a_restart_though_the_clock_was_set_back(ground):
    numbers = []
    for _ in range(3):
        await ground.revoked()
        numbers.append((await ground.lists.current(ground.issuer)).stamp.number)
        ground.clock.forward(-DAY)
        await ground.restart()
        numbers.append((await ground.lists.current(ground.issuer)).stamp.number)
    assert numbers == sorted(set(numbers))


async def test_a_restart_forgets_no_revocation(ground):
    serial = await ground.revoked()
    await ground.restart()
    assert await ground.serials() == {serial}
    assert await ground.serials(shard_of(serial, SHARDS)) == {serial}


async def test_a_list_nobody_changed_is_made_anew_in_time(ground):
    first = await ground.lists.current(ground.issuer)
    ground.clock.forward(LIST_REFRESH - 1000)
    assert await ground.lists.current(ground.issuer) is first
    ground.clock.forward(1000)
    second = await ground.lists.current(ground.issuer)
    assert second.stamp.number > first.stamp.number
    assert second.stamp.next_update > first.stamp.next_update


async def test_an_entry_leaves_once_long_expired_and_takes_nothing_else_along(ground):
    await ground.revoked("cam-1")
    ground.clock.forward(20 * DAY)
    _, _, later = a_leaf(ground.issuer, "cam-2", now=ground.clock.at)
    await ground.store.commit([msgspec.structs.replace(later, revoked_at=ground.clock.now())])
    assert len(await ground.serials()) == 2
    ground.clock.forward(2 * DAY)
    assert await ground.serials() == {int(later.serial, 16)}
    await ground.restart()
    assert await ground.serials() == {int(later.serial, 16)}


async def test_whoever_asks_after_a_revocation_waits_for_the_list_that_holds_it(ground):
    await ground.lists.refresh()
    asked = []
    for _ in range(5):
        serial = await ground.revoked()
        many = await asyncio.gather(*(ground.serials() for _ in range(20)))
        asked.extend(serial in found for found in many)
    assert all(asked)


async def test_revocations_of_another_issuer_are_in_its_lists_only(tmp_path):
    first, second = an_issuer(1), an_issuer(2)
    ground = Ground(tmp_path, issuers=FixedIssuers(first, second))
    serial = await ground.revoked()
    assert await ground.serials() == {serial}
    other = ground.read(await ground.lists.current(second))
    assert len(other) == 0
    assert (await ground.lists.bundle(SCOPE)).count(b"BEGIN X509 CRL") == 2
    ground.store.close()


async def test_a_canary_is_listed_though_it_is_no_credential(ground):
    now = ground.clock.now()
    canary = Canary(
        SCOPE, "beef", issuer=ground.issuer.id, fingerprint="", not_after=Instant(now + DAY), revoked_at=now
    )
    await ground.store.commit([canary])
    assert await ground.serials() == {0xBEEF}


async def test_a_key_that_does_not_sign_holds_up_no_other_issuers_lists(tmp_path, caplog):
    class Broken(CrlMaker):
        def make(self, issuer, revocations, made, *, address=""):
            if issuer.id == first.id:
                raise RuntimeError("the chip is away")
            return super().make(issuer, revocations, made, address=address)

    first, second = an_issuer(1), an_issuer(2)
    ground = Ground(tmp_path, issuers=FixedIssuers(first, second))
    ground.maker = Broken()
    await ground.restart()
    await ground.lists.refresh()
    assert {one.issuer for one in ground.lists.made(SCOPE)} == {second.id}
    assert "could not be made" in caplog.text
    # Once it signs again, nothing was lost meanwhile.
    serial = await ground.revoked()
    ground.lists._maker = CrlMaker()
    await ground.lists.refresh()
    assert await ground.serials() == {serial}
    ground.store.close()


async def test_no_list_is_given_out_whose_number_could_not_be_kept(ground, monkeypatch):
    await ground.lists.refresh()
    await ground.revoked()

    async def full(_changes):
        raise WorldError("store.full", "The disk is full.", remedy="Free space.")

    monkeypatch.setattr(ground.store, "commit", full)
    with pytest.raises(WorldError, match="full"):
        await ground.lists.current(ground.issuer)


async def test_without_a_validation_port_there_are_whole_lists_only(ground):
    ground.lists = RevocationLists(store=ground.store, clock=ground.clock, issuers=ground.issuers, maker=ground.maker)
    await ground.lists.refresh()
    assert [one.shard for one in ground.lists.made(SCOPE)] == [WHOLE]
    assert ground.lists.addresses(ground.issuer.id, 5) is None
    with pytest.raises(HostileData) as refused:
        await ground.lists.current(ground.issuer, 0)
    assert refused.value.code == "crl.no_shard"


@pytest.mark.parametrize("shard", [-2, SHARDS, 10**9])
async def test_a_shard_that_is_none_is_refused(ground, shard):
    with pytest.raises(HostileData) as refused:
        await ground.lists.current(ground.issuer, shard)
    assert refused.value.http_status == 404


async def test_brokers_are_told_of_every_whole_list(ground):
    told = []
    ground.lists.watch(told.append)
    await ground.lists.refresh()
    await ground.revoked()
    await ground.lists.refresh()
    assert [one.shard for one in told] == [WHOLE, WHOLE]
    assert x509.load_pem_x509_crl(pem(told[1].der)).get_revoked_certificate_by_serial_number(1) is None
    assert [one.entries for one in told] == [0, 1]
    assert told[0].stamp.this_update <= START


async def test_every_certificate_of_an_issuer_that_was_ended_is_listed_and_answered_as_revoked(ground):
    _, _, credential = a_leaf(ground.issuer, "cam-1")
    await ground.store.commit([credential])
    revoked = await ground.revoked("cam-2")
    serial, mine = int(credential.serial, 16), shard_of(int(credential.serial, 16), SHARDS)
    assert await ground.serials() == {revoked}
    before = (await ground.lists.current(ground.issuer)).stamp.number
    ended = replace(ground.issuer, ended_at=ground.clock.now())
    ground.issuers.held[0] = ground.issuer = ended
    assert await ground.serials() == {revoked, serial}
    assert serial in await ground.serials(mine)
    again = await ground.lists.current(ended)
    assert again.stamp.number > before
    await ground.lists.refresh()
    settled = await ground.lists.current(ended)
    await ground.lists.refresh()
    assert await ground.lists.current(ended) is settled, "it is told once, not every second"
    answers = StatusAnswers(store=ground.store, clock=ground.clock, lists=ground.lists, responder=OcspResponder(LIMITS))
    assert answers.status(ended, serial) == Ended(serial, ended.ended_at, Revocation.CESSATION, credential.not_after)
    assert answers.status(ended, 12345) is Unrevoked.UNKNOWN


async def test_the_authoritys_issuers_are_read_with_how_they_stand(tmp_path):
    async with new_plane(tmp_path) as plane:
        source = AuthorityIssuers(plane.authority, plane.issuers)
        (first,) = source.issuers()
        assert first.ended_at is None
        assert first.key.public_key() == first.certificate.public_key()
        scope, now = plane.config.scope, plane.clock.now()
        plane.authority.add_issuer(scope, 2, now=now)
        await plane.store.commit([plane.issuers.of(scope).begin(now)])
        await plane.store.commit([plane.issuers.of(scope).end(now)])
        assert source.issuers() == (first,)
        source.look_again()
        assert [one.ended_at for one in source.issuers()] == [None, now]
