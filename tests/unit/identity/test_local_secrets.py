"""Local secrets as values: what they are made of, and that no loss on the way ever locks a device's owner out."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from holdfast_core.identity import secrets
from holdfast_core.identity.secrets import LocalSecret, SecretState
from holdfast_core.inventory.accounts import CLASSES, FEWEST_BITS, bits
from holdfast_core.inventory.model import AccountKind, Alphabet, LocalAccount
from holdfast_core.kernel.errors import Bug, HostileData
from holdfast_core.kernel.ids import DeviceId, Scope
from holdfast_core.kernel.instants import DAY, Instant

ACCOUNT = LocalAccount("pump", AccountKind.SERVICE)
BLANK = secrets.blank(Scope("acme", "production"), DeviceId("pump-1"), "pump")
START = Instant(1_795_000_000_000)

accounts = st.builds(
    LocalAccount,
    name=st.just("pump"),
    kind=st.sampled_from(AccountKind),
    length=st.integers(7, 128),
    alphabet=st.sampled_from(Alphabet),
).filter(lambda account: bits(account) >= FEWEST_BITS)


@given(accounts, st.binary(min_size=32, max_size=64))
def test_a_secret_has_its_length_its_alphabet_and_one_of_every_class(account, seed):
    secret = secrets.generate(account, seed)
    classes = CLASSES[account.alphabet]
    assert len(secret) == account.length
    assert set(secret) <= set("".join(classes))
    assert all(set(secret) & set(each) for each in classes)
    assert secrets.generate(account, seed) == secret


@given(accounts, st.sets(st.binary(min_size=32, max_size=32), min_size=2, max_size=20))
def test_other_chance_makes_another_secret(account, seeds):
    assert len({secrets.generate(account, seed) for seed in seeds}) == len(seeds)


def test_every_character_comes_about_as_often_as_any_other():
    account = LocalAccount("pump", AccountKind.SERVICE, length=128, alphabet=Alphabet.DIGITS)
    drawn = "".join(secrets.generate(account, number.to_bytes(32, "big")) for number in range(500))
    expected = len(drawn) / 10
    # Pearson's chi-squared with 9 degrees of freedom; 27.9 is passed once in a thousand, and these seeds are fixed.
    assert sum((drawn.count(digit) - expected) ** 2 / expected for digit in "0123456789") < 27.9


def test_too_little_chance_is_our_own_mistake():
    with pytest.raises(Bug):
        secrets.generate(ACCOUNT, b"x" * 31)


def test_no_alphabet_has_what_a_shell_a_form_or_an_eye_takes_otherwise():
    for classes in CLASSES.values():
        assert not set("".join(classes)) & set(" \t\n:'\"\\`$&|;<>(){}[]*?!#%~^/,")
    for alphabet in (Alphabet.LETTERS_DIGITS, Alphabet.LETTERS_DIGITS_SIGNS):
        assert not set("".join(CLASSES[alphabet])) & set("0O1lI")


def test_the_life_of_a_secret():
    now = START
    assert secrets.state_of(BLANK, ACCOUNT, now) is SecretState.DUE
    assert secrets.waiting(BLANK, ACCOUNT, now) == 1
    first = secrets.made(BLANK, b"1", now, delivered=True)
    assert secrets.state_of(first, ACCOUNT, now) is SecretState.DELIVERED
    assert secrets.waiting(first, ACCOUNT, now) == 1
    first = secrets.confirmed(first, 1, now)
    assert secrets.state_of(first, ACCOUNT, now) is SecretState.CONFIRMED
    assert secrets.waiting(first, ACCOUNT, now) is None
    old = Instant(now + 90 * DAY)
    assert secrets.state_of(first, ACCOUNT, Instant(old - 1)) is SecretState.CONFIRMED
    assert secrets.state_of(first, ACCOUNT, old) is SecretState.DUE
    seen = secrets.shown(first, (1,), now)
    assert secrets.state_of(seen, ACCOUNT, now) is SecretState.DUE
    second = secrets.made(seen, b"2", now, delivered=True)
    assert [version.number for version in secrets.may_be_in_force(second)] == [2, 1]
    ended = secrets.confirmed(second, 2, now)
    assert [version.number for version in ended.versions] == [2]
    assert secrets.confirmed(ended, 2, Instant(now + 1)) is ended


def test_one_that_nobody_fetched_cannot_be_in_force():
    made = secrets.made(BLANK, b"1", START, delivered=False)
    assert secrets.state_of(made, ACCOUNT, START) is SecretState.WAITING
    assert secrets.may_be_in_force(made) == ()
    with pytest.raises(HostileData) as refused:
        secrets.confirmed(made, 1, START)
    assert refused.value.code == "secret.not_delivered"
    again = secrets.made(made, b"2", START, delivered=False)
    assert [version.number for version in again.versions] == [2]


def test_one_that_is_not_confirmed_for_long_is_replaced_but_not_for_ever():
    record, now = BLANK, START
    for number in range(1, secrets.MOST_UNCONFIRMED + 1):
        assert secrets.waiting(record, ACCOUNT, now) == number
        record = secrets.made(record, b"s", now, delivered=True)
        assert secrets.waiting(record, ACCOUNT, Instant(now + secrets.RETRY - 1)) == number
        now = Instant(now + secrets.RETRY)
    assert secrets.waiting(record, ACCOUNT, now) == secrets.MOST_UNCONFIRMED
    assert len(record.versions) == secrets.MOST_UNCONFIRMED


def test_an_imported_one_ends_all_others_and_is_due_at_once():
    record = secrets.imported(secrets.made(BLANK, b"1", START, delivered=True), b"2", START)
    assert [version.number for version in record.versions] == [2]
    assert secrets.due(record, ACCOUNT, START)
    assert secrets.waiting(record, ACCOUNT, START) == 3


class Device(RuleBasedStateMachine):
    """A device and its server; fetching, setting and confirming each may be the last thing that gets through."""

    def __init__(self) -> None:
        super().__init__()
        self.record: LocalSecret = BLANK
        self.now = START
        self.on_device = 0
        """The version that the device really has."""
        self.held = 0
        """The version that the device holds in memory."""

    @rule(days=st.integers(0, 120))
    def time_passes(self, days: int) -> None:
        self.now = Instant(self.now + days * DAY)

    @rule()
    def fetch(self) -> None:
        wanted = secrets.waiting(self.record, ACCOUNT, self.now)
        if wanted is None:
            return
        if all(version.number != wanted for version in self.record.versions):
            assert wanted == self.record.last + 1
            self.record = secrets.made(self.record, b"%d" % wanted, self.now, delivered=True)
        else:
            self.record = secrets.delivered(self.record, wanted, self.now)
        self.held = wanted

    @rule()
    def answer_is_lost(self) -> None:
        held = self.held
        self.fetch()
        self.held = held

    @precondition(lambda self: self.held)
    @rule()
    def put(self) -> None:
        self.on_device = self.held

    @precondition(lambda self: self.on_device and self.held == self.on_device)
    @rule()
    def confirm(self) -> None:
        with contextlib.suppress(HostileData):
            self.record = secrets.confirmed(self.record, self.on_device, self.now)

    @rule()
    def reboot(self) -> None:
        self.held = 0

    @rule()
    def show(self) -> None:
        numbers = tuple(version.number for version in secrets.may_be_in_force(self.record))
        self.record = secrets.shown(self.record, numbers, self.now)

    @rule()
    def order(self) -> None:
        self.record = msgspec.structs.replace(self.record, ordered_at=self.now)

    @invariant()
    def what_the_device_has_is_escrowed(self) -> None:
        numbers = [version.number for version in secrets.may_be_in_force(self.record)]
        assert not self.on_device or self.on_device in numbers

    @invariant()
    def the_record_stays_small_and_in_order(self) -> None:
        numbers = [version.number for version in self.record.versions]
        assert numbers == sorted(set(numbers))
        assert len(numbers) <= secrets.MOST_UNCONFIRMED + 1
        assert sum(version.confirmed_at is not None for version in self.record.versions) <= 1
        assert all(version.confirmed_at is None for version in self.record.versions[1:])


TestDevice = Device.TestCase
