"""What updates hang on: the authority that a person pinned, the factory's roots, the installer's file, its boots."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from holdfast_agent.clock import Clock
from holdfast_agent.state import ROOT, Config, Folder
from holdfast_agent.update.boots import Boots
from holdfast_agent.update.joining import FOLDER, installer_of, trust_of, updates_of
from holdfast_core.kernel.errors import HoldfastError
from holdfast_sim.updating import bootloader
from tuf_builders import Pair

CLOCK = Clock("cam-1", Path("/proc"))


@pytest.fixture(scope="module")
def pair():
    return Pair()


@pytest.fixture
def folder(tmp_path):
    made = Folder(tmp_path / "agent")
    (made.path / FOLDER).mkdir()
    (made.path / ROOT).write_text("one authority")
    return made


def roots(place, pair):
    place.mkdir()
    (place / "director.root.json").write_bytes(pair.director.first_root)
    (place / "image.root.json").write_bytes(pair.image.first_root)
    return str(place)


def code_of(call, *arguments):
    with pytest.raises(HoldfastError) as refused:
        call(*arguments)
    assert refused.value.remedy
    return refused.value.code


def test_the_same_authority_forgets_nothing_and_another_everything(folder, pair):
    config = Config("https://h", "cam-1")
    trust_of(folder, config, CLOCK).begin(pair.director.first_root, pair.image.first_root)
    assert trust_of(folder, config, CLOCK).is_begun
    (folder.path / ROOT).write_text("another authority")
    assert not trust_of(folder, config, CLOCK).is_begun
    assert not trust_of(folder, config, CLOCK).is_begun


def test_a_device_from_before_origins_were_kept_forgets_nothing(folder, pair):
    config = Config("https://h", "cam-1")
    trust_of(folder, config, CLOCK).begin(pair.director.first_root, pair.image.first_root)
    (folder.path / FOLDER / "origin.json").unlink()
    assert trust_of(folder, config, CLOCK).is_begun
    (folder.path / FOLDER / "origin.json").write_bytes(b"{")
    assert code_of(trust_of, folder, config, CLOCK) == "update.origin_damaged"


def test_a_factorys_roots_are_pinned_without_a_network_and_nothing_else_is(folder, pair, tmp_path):
    class NoNetwork:
        def call(self, *_):
            raise AssertionError("nothing is asked for")

    config = Config("https://h", "cam-1", update_roots=str(tmp_path / "factory"))
    assert code_of(trust_of, folder, config, CLOCK) == "update.factory_roots"
    roots(tmp_path / "factory", pair)
    trust = trust_of(folder, config, CLOCK)
    assert trust.is_begun
    # A later image of the device may bring later roots; the chain from the first one counts.
    (tmp_path / "factory/image.root.json").write_bytes(pair.director.first_root)
    assert trust_of(folder, config, CLOCK).is_begun
    trust.forget()
    assert code_of(trust.refresh, NoNetwork()) == "update.not_pinned"


def test_who_gets_factory_roots_later_forgets_what_the_network_brought(folder, pair, tmp_path):
    other = Pair(people=1, threshold=1)
    trust_of(folder, Config("https://h", "cam-1"), CLOCK).begin(other.director.first_root, other.image.first_root)
    config = Config("https://h", "cam-1", update_roots=roots(tmp_path / "factory", pair))
    assert trust_of(folder, config, CLOCK)._store.pins().image == pair.image.first_root


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("rauc", {"mount": "/run/rauc"}),
        (
            "swupdate",
            {
                "swupdate": {
                    "slots": [{"name": n, "device": f"/dev/{n}", "selection": f"stable,{n}"} for n in "ab"],
                    "key": "k", "hardware": "b:1", "boot": ["/bin/true"], "folder": "/run/x",
                }
            },
        ),
        (
            "mcuboot",
            {"flash": {"path": "/dev/mtd0", "primary": 0, "secondary": 65536, "size": 65536}, "keys": [],
             "hardware": ["b"]},
        ),
    ],
)  # fmt: skip
def test_an_installers_file_is_its_owners_and_of_its_kind(tmp_path, kind, more):
    file = tmp_path / "installer.json"
    file.write_text(json.dumps({"kind": kind, **more}))
    file.chmod(0o644)
    assert installer_of(f"{kind}:{file}", tmp_path).kind == kind
    for other in {"rauc", "swupdate", "mcuboot"} - {kind}:
        assert code_of(installer_of, f"{other}:{file}", tmp_path) == "installer.unknown"
    file.chmod(0o666)
    assert code_of(installer_of, f"{kind}:{file}", tmp_path) == "installer.setup"


def test_an_installer_that_counts_boots_is_told_once_in_each(tmp_path):
    class Counts:
        told = 0

        def booted(self):
            self.told += 1

    counts = Counts()
    for boot in ("one", "one", "two", "two"):
        Boots(tmp_path).told(counts, boot)
    assert counts.told == 2
    Boots(tmp_path).told(object(), "three")
    assert (tmp_path / "booted").read_bytes() == b"two"


def test_an_older_configuration_still_reads():
    config = Config("https://h", "cam-1")
    told = msgspec.to_builtins(config)
    del told["update_cache"], told["update_roots"]
    assert msgspec.json.decode(msgspec.json.encode(told), type=Config) == config


@pytest.mark.parametrize(("told", "known"), [("door-camera", "door-camera"), ("", "cam")])
def test_the_model_is_what_a_person_said_or_that_of_what_runs(folder, tmp_path, told, known):
    bootloader.found(tmp_path / "slots", b"the first", release="cam:1", counter=1)
    config = Config("https://h", "cam-1", installer=f"file:{tmp_path / 'slots'}", hardware=("board-1",), model=told)
    driver = updates_of(folder, config, CLOCK, well=lambda: None, say=print)
    assert driver._board().model == known
