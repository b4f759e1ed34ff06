"""The device's two verified repositories: what it asks for, what it keeps, what it survives."""

from __future__ import annotations

import datetime as dt
import os
import random
import shutil
import subprocess
import sys

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tuf.api.exceptions import ExpiredMetadataError
from tuf.ngclient import Updater, UpdaterConfig

from holdfast_agent.update import store
from holdfast_agent.update.fetcher import BASE, BroughtFetcher
from holdfast_agent.update.holding import read_brought
from holdfast_agent.update.metadata_view import view
from holdfast_agent.update.store import Store
from holdfast_core.kernel.errors import Bug, HostileData, LimitExceeded, WorldError
from holdfast_core.kernel.instants import DAY, to_datetime
from holdfast_core.wire.update_metadata import FILES, LARGEST_BROUGHT, PATH, Brought, Holding, Versions
from tuf_builders import BUILT, DEVICE_ID, MODEL, TRUE_NOW, Pair, key, offer, path_of
from update_trust_builders import Device


class Wire:
    """A server's half, and how often it was asked."""

    def __init__(self, pair, **time):
        self.pair, self.time, self.asked = pair, time, []

    def call(self, method, path, body=b"", headers=None):
        assert (method, path, headers) == ("POST", PATH, {"Content-Type": "application/json"})
        holding = msgspec.json.decode(body, type=Holding)
        self.asked.append(holding)
        return msgspec.json.encode(self.pair.answer(holding, **self.time))

    def close(self):
        pass


@pytest.fixture(scope="module")
def pair():
    return Pair()


@pytest.fixture
def device(tmp_path, pair):
    made = Device(tmp_path, pair)
    made.ask()
    return made


# ---- one request


def test_one_request_brings_all_and_the_next_brings_nothing(tmp_path):
    device = Device(tmp_path, Pair())
    wire = Wire(device.pair)
    checked = device.trust.refresh(wire, "nonce-1234")
    assert checked.paths == (device.pair.path,)
    assert checked.named == DEVICE_ID
    assert device.trust.imaged(device.pair.path) == device.trust.directed(device.pair.path)
    assert device.trust.exemptions(device.pair.offer.release) == ()
    assert device.again().trust.refresh(wire) == msgspec.structs.replace(checked, sense=device.trust.sense())
    first, second = wire.asked
    assert (first.director, first.image) == (Versions(1), Versions(1))
    answer = device.pair.answer(second, told=False)
    assert (answer.director, answer.image, answer.time) == ({}, {}, b"")


def test_what_is_held_is_said_as_the_server_needs_it(device):
    held = device.trust.holding()
    assert held.director == Versions(4, 2, 2, 2)
    assert held.image == Versions(1, 2, 2, 2, {"exemptions": 2, MODEL: 2})
    assert device.trust.director_version == 2


def test_a_new_release_brings_only_what_changed(tmp_path):
    device = Device(tmp_path, Pair())
    device.ask()
    pair, new = device.pair, offer("3.0.0", counter=30)
    for repository, role in ((pair.image, MODEL), (pair.director, None)):
        repository.add(path_of(new), role=role, offered=new)
        repository.publish(role or "targets")
    answer = pair.answer(device.question())
    assert set(answer.image) == {"timestamp.json", "3.snapshot.json", f"3.{MODEL}.json"}
    device.trust.take(answer)
    assert device.again().trust.imaged(path_of(new)).offer == new


def test_all_is_known_after_a_restart_without_asking_anybody(device, pair):
    again = device.again().trust
    assert again.imaged(pair.path) == again.directed(pair.path)
    assert again.named == DEVICE_ID
    assert not again.frozen
    assert again.imaged(f"{MODEL}/9.9.9/none.bin") is None
    assert again.directed("none") is None


def test_the_same_time_question_is_asked_again_where_keys_changed(tmp_path):
    """The server thought a timestamp to be held that a new key made worthless."""
    device = Device(tmp_path, Pair())
    wire = Wire(device.pair)
    device.trust.refresh(wire, "nonce-1234")
    image = device.pair.image
    image.rotate("timestamp", "anew")
    image.timestamp.version = 0
    image.publish_timestamp()
    assert device.trust.refresh(wire, "nonce-1235").image == 1
    assert len(wire.asked) == 3


def test_a_server_that_lacks_something_is_asked_twice_and_no_more(tmp_path):
    device = Device(tmp_path, Pair())
    wire = Wire(device.pair)
    del device.pair.image.files["2.snapshot.json"]
    device.pair.image.newer = lambda _held: {"timestamp.json": device.pair.image.files["timestamp.json"]}
    with pytest.raises(HostileData) as refused:
        device.trust.refresh(wire)
    assert refused.value.code == "update.metadata_missing"
    assert len(wire.asked) == 2


def test_nothing_new_loads_no_python_tuf_and_writes_nothing(device):
    """The check that runs every few minutes costs a process what it cost without updates."""
    before = {path: path.stat().st_mtime_ns for path in device.folder.rglob("*") if path.is_file()}
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from holdfast_agent.update.trust import Trust\n"
        "from holdfast_core.wire.update_metadata import Brought\n"
        f"trust = Trust(Path({str(device.folder / 'tuf')!r}), {DEVICE_ID!r}, "
        f"wall=lambda: {TRUE_NOW}, up=lambda: 1, built={BUILT})\n"
        "trust.holding()\n"
        "checked = trust.take(Brought())\n"
        "assert checked.paths and not trust.frozen\n"
        "assert not {'tuf', 'securesystemslib', 'urllib3', 'cryptography'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert {path: path.stat().st_mtime_ns for path in device.folder.rglob("*") if path.is_file()} == before


def test_what_has_expired_is_frozen_without_python_tuf_too(device):
    device.wall += 8 * DAY
    assert device.again().trust.frozen
    with pytest.raises(HostileData) as refused:
        device.trust.take(Brought())
    assert refused.value.code == "update.metadata_expired"


def test_a_product_s_keys_are_replaced_and_its_role_keeps_its_version(tmp_path):
    """The server thinks the role to be held; under the new keys what is held is worth nothing."""
    device = Device(tmp_path, Pair())
    device.ask()
    image = device.pair.image
    image.targets.delegations.roles[MODEL].keyids.clear()
    image.targets.add_key(key("product-anew").public_key, MODEL)
    image.signers[MODEL] = [key("product-anew")]
    image.put(MODEL, image.delegated[MODEL])
    image.publish("targets")
    device.ask()
    assert refusal_of(lambda: device.trust.imaged(device.pair.path)) == "update.metadata_missing"
    assert MODEL not in device.again().trust.holding().image.roles
    device.ask()
    assert device.trust.imaged(device.pair.path)


def test_a_file_out_of_step_with_the_one_above_it_does_not_count_as_held(tmp_path):
    device = Device(tmp_path, Pair())
    device.ask()
    device.pair.image.publish()
    only = Brought(image={"timestamp.json": device.pair.image.files["timestamp.json"]})
    assert refusal_of(lambda: device.trust.take(only)) == "update.metadata_missing"
    assert device.again().trust.holding().image == Versions(1, 3)
    assert device.ask().image == 3


def test_looking_up_what_is_known_writes_nothing_that_lasts(device, pair):
    before = {path: path.stat().st_mtime_ns for path in files_of(device.folder)}
    trust = device.again().trust
    assert trust.imaged(pair.path) == trust.directed(pair.path)
    trust.exemptions(pair.offer.release)
    assert {path: path.stat().st_mtime_ns for path in files_of(device.folder)} == before


# ---- python-tuf


def test_python_tuf_still_goes_by_the_time_that_is_set(tmp_path, pair):
    """Its client takes no clock; `repository` sets a member of its. This notices when that changes."""
    files = {"timestamp.json": pair.director.files["timestamp.json"]} | pair.director.files
    for now, expected in ((TRUE_NOW, None), (TRUE_NOW + 8 * DAY, ExpiredMetadataError)):
        folder = tmp_path / str(now)
        folder.mkdir()
        updater = Updater(
            str(folder), BASE, fetcher=BroughtFetcher(files), config=UpdaterConfig(), bootstrap=pair.director.first_root
        )
        assert isinstance(updater._trusted_set.reference_time, dt.datetime)
        updater._load_root()
        assert updater._trusted_set.root.version == 4
        updater._trusted_set.reference_time = to_datetime(now)
        if expected is None:
            updater.refresh()
        else:
            with pytest.raises(expected):
                updater.refresh()


def test_without_the_member_nothing_is_verified_at_all(tmp_path, pair, monkeypatch):
    device = Device(tmp_path, pair)
    from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet  # noqa: PLC0415  (only here)

    whole = TrustedMetadataSet.__init__

    def lacking(self, *arguments):
        whole(self, *arguments)
        del self.reference_time

    monkeypatch.setattr(TrustedMetadataSet, "__init__", lacking)
    with pytest.raises(Bug):
        device.ask()


# ---- power cuts and rot


def files_of(folder):
    return sorted(path for path in (folder / "tuf").rglob("*") if path.is_file() and store.WORK not in path.parts)


@pytest.mark.parametrize("how", ["empty", "half", "flipped", "gone"])
def test_any_file_may_rot_and_the_device_still_comes_back(tmp_path, pair, how):
    origin = Device(tmp_path / "origin", pair)
    origin.ask()
    for number, file in enumerate(files_of(origin.folder)):
        if file.name == store.PINS:
            continue
        folder = tmp_path / str(number)
        shutil.copytree(origin.folder, folder)
        rotten = folder / file.relative_to(origin.folder)
        data = rotten.read_bytes()
        if how == "gone":
            rotten.unlink()
        else:
            rotten.write_bytes(
                {"empty": b"", "half": data[: len(data) // 2], "flipped": bytes([data[0] ^ 1]) + data[1:]}[how]
            )
        device = Device(folder, pair, begun=False)
        assert device.ask().paths == (pair.path,)
        assert device.trust.imaged(pair.path)
        assert device.trust.holding() == origin.trust.holding()


def test_pins_that_cannot_be_read_are_said_and_never_guessed(device):
    (device.folder / "tuf" / store.PINS).write_bytes(b"")
    with pytest.raises(WorldError) as refused:
        device.again().trust.holding()
    assert refused.value.code == "update.pins_damaged"


def test_power_fails_at_every_write(tmp_path, monkeypatch):
    """After each of them the device holds the old state or the new one, and goes on."""
    whole, count = os.fsync, 0
    pair = Pair()
    origin = Device(tmp_path / "origin", pair)
    origin.ask()
    pair.image.publish()
    pair.director.publish()

    class Cut(BaseException):
        pass

    def cut_at(limit):
        left = [limit]

        def fsync(descriptor):
            left[0] -= 1
            if left[0] < 0:
                raise Cut
            whole(descriptor)

        return fsync

    for limit in range(60):
        folder = tmp_path / str(limit)
        shutil.copytree(origin.folder, folder)
        device = Device(folder, pair, begun=False)
        monkeypatch.setattr(os, "fsync", cut_at(limit))
        try:
            device.ask()
        except Cut:
            count += 1
        else:
            break
        finally:
            monkeypatch.setattr(os, "fsync", whole)
        again = device.again().trust
        assert again.imaged(pair.path)
        assert again.holding().image.timestamp in {2, 3}
        assert device.ask().image == 3
    assert count > 5


def test_a_full_disk_is_said_and_costs_nothing_that_was_verified(device, pair, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    folder = device.folder
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WorldError) as refused:
        Store(folder / "other").keep({"image": {"a.json": b"{}"}})
    assert refused.value.code == "update.store"
    monkeypatch.undo()
    assert device.again().trust.imaged(pair.path)


def test_everything_is_forgotten_for_a_device_that_is_enrolled_anew(device, pair):
    device.trust.forget()
    assert not device.trust.is_begun
    device.trust.begin(pair.image.first_root, pair.director.first_root)
    assert device.again().trust.holding() == Holding(Versions(1), Versions(1))


# ---- any bytes


def refusal_of(work):
    """The code of the refusal, if there is one; any other exception fails the test."""
    try:
        work()
    except HostileData as error:
        return error.code
    return None


def used(device, answer):
    """Everything that a driver asks of an answer."""
    checked = device.trust.take(answer)
    assert checked.paths == (device.pair.path,)
    device.trust.imaged(device.pair.path)
    device.trust.exemptions(device.pair.offer.release)


def names_of(answer):
    return [(which, name) for which in ("director", "image") for name in getattr(answer, which)]


@settings(max_examples=60)
@given(st.data())
def test_metadata_that_was_changed_anywhere_is_taken_whole_or_refused(tmp_path_factory, pair, data):
    device = Device(tmp_path_factory.mktemp("mutated"), pair)
    answer = device.pair.answer(device.question())
    which, name = data.draw(st.sampled_from(names_of(answer)))
    good = getattr(answer, which)[name]
    place = data.draw(st.integers(0, len(good)))
    junk = data.draw(st.binary(max_size=8) | st.sampled_from([b'"', b"}", b"\\u0000", b"-1", b"1e999", b"[[", b"null"]))
    cut = data.draw(st.integers(0, 40))
    bad = good[:place] + junk + good[place + cut :]
    files = dict(getattr(answer, which)) | {name: bad}
    changed = msgspec.structs.replace(answer, **{which: files})
    refusal_of(lambda: used(device, changed))
    assert device.again().ask().paths == (pair.path,)


def test_metadata_that_ends_at_any_byte(tmp_path, pair):
    device = Device(tmp_path, pair)
    answer = device.pair.answer(device.question())
    chosen = random.Random(1)  # noqa: S311  (places to cut, the same in every run)
    for which, name in names_of(answer):
        good = getattr(answer, which)[name]
        for end in sorted(chosen.sample(range(len(good)), 12)):
            files = dict(getattr(answer, which)) | {name: good[:end]}
            device.trust.forget()
            device.trust.begin(pair.director.first_root, pair.image.first_root)
            device.question()
            ended = msgspec.structs.replace(answer, time=b"", **{which: files})
            assert refusal_of(lambda ended=ended: used(device, ended)) == "update.metadata_malformed"


@given(st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
def test_a_view_of_any_bytes_is_one_or_is_refused(data):
    assert refusal_of(lambda: view(data)) in {None, "update.metadata_malformed"}


@given(st.binary(max_size=400))
def test_an_answer_of_any_bytes_is_one_or_is_refused(data):
    assert refusal_of(lambda: read_brought(data)) in {None, "update.answer_malformed"}


def test_an_answer_beyond_its_bounds():
    with pytest.raises(LimitExceeded):
        read_brought(b" " * (LARGEST_BROUGHT + 1))
    many = {f"{number}.root.json": b"" for number in range(FILES + 1)}
    for broken in (
        {"image": many},
        {"image": {"/x": b""}},
        {"image": {"a/b/c/d": b""}},
        {"image": {"a": 1}},
        {"time": "!"},
    ):
        with pytest.raises(HostileData) as refused:
            read_brought(msgspec.json.encode(broken))
        assert refused.value.code == "update.answer_malformed"
