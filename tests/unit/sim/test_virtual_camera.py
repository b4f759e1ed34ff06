"""A virtual camera: what its images say, what stream and chip answer, how its boots are measured and counted."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from broker_builders import free_port
from holdfast_agent.update.installers.boot_state import B, Content, image, load, save
from holdfast_core.formats.psa import verify_psa_token
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import Instant
from holdfast_core.wire.confirm import Moment
from holdfast_sim.psa import make_key
from holdfast_sim.updating import token
from holdfast_sim.updating.agent import BoardClock
from holdfast_sim.updating.camera import ROOT, SLOTS, Board, make
from holdfast_sim.updating.chip import Chip
from holdfast_sim.updating.release import LARGEST, SIZE, Behaviour, behaviour_of, image_of, stated
from holdfast_sim.updating.streaming import REFUSED, SETTINGS, Stream, ask

MODEL, NONCE = "yard-camera", bytes(range(32))
OLD, DEAD = Behaviour("1.0.0", leaks=True), Behaviour("2.0.0", boots=False)


@given(
    st.builds(Behaviour, st.from_regex(r"\d\.\d\.\d", fullmatch=True), st.booleans(), st.booleans(), st.booleans()),
    st.integers(4096, 8192),
)
def test_an_image_says_how_a_camera_behaves_and_has_the_size_that_was_asked_for(behaviour, size):
    made = image_of(behaviour, size)
    assert len(made) == size
    assert behaviour_of(made) == behaviour


def test_two_versions_differ_all_over():
    first, second = image_of(OLD), image_of(DEAD)
    assert len(first) == len(second) == SIZE
    assert sum(a == b for a, b in zip(first, second, strict=True)) < SIZE // 16


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_no_image(data):
    with pytest.raises(HostileData, match=r"camera\.image"):
        behaviour_of(data)


@given(st.integers(0, 120), st.integers(1, 255))
def test_a_changed_image_is_read_or_refused(place, change):
    data = bytearray(image_of(OLD, 4096))
    data[place] ^= change
    with suppress(HostileData):
        behaviour_of(bytes(data))


@pytest.mark.parametrize("data", [b"", image_of(OLD)[:30], image_of(OLD) + bytes(LARGEST)])
def test_what_is_too_short_or_too_long_is_no_image(data):
    with pytest.raises(HostileData):
        behaviour_of(data)


def test_a_stream_answers_goes_on_and_leaks_what_its_release_leaks(tmp_path):
    for leaks, said in ((True, "viewers' password: sunflower"), (False, REFUSED)):
        port = free_port()
        stream = Stream(tmp_path, "cam-1", "1.0.0", port, leaks=leaks)
        try:
            assert ask(port, SETTINGS) == said
            assert str(ask(port)).startswith("cam-1 1.0.0 ")
            first = int((tmp_path / "run/frame").read_text())
            while int((tmp_path / "run/frame").read_text() or 0) <= first:
                time.sleep(0.02)
        finally:
            stream.stop()
        assert ask(port) is None


def test_the_chip_signs_what_the_boot_loader_measured_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    key = load_pem_public_key(make_key(tmp_path).encode())
    measured = image_of(OLD)
    chip = Chip(tmp_path, digest_of(measured))
    try:
        words = [sys.executable, "-I", "-S", token.__file__, str(tmp_path), NONCE.hex()]
        printed = subprocess.run(words, capture_output=True, check=True).stdout
    finally:
        chip.stop()
    claims = verify_psa_token(printed, key)
    assert claims.nonce == NONCE
    said = stated(MODEL, "1.0.0", 1, measured, Instant(0))
    other = stated(MODEL, "1.0.0", 1, image_of(DEAD), Instant(0))
    values = [component.value.hex() for component in claims.components]
    assert values == [component.digest for component in said.components]
    assert values != [component.digest for component in other.components]


def test_a_board_counts_its_seconds_from_when_it_was_switched_on(tmp_path):
    boot_id = tmp_path / "sys/kernel/random/boot_id"
    boot_id.parent.mkdir(parents=True)
    boot_id.write_text("a\n")
    since = time.clock_gettime(time.CLOCK_BOOTTIME) - 100
    clock = BoardClock("cam-1", tmp_path, since)
    assert clock.now() == Moment(clock.boot, 100)


def test_a_release_that_does_not_boot_is_left_after_its_attempts(tmp_path):
    """No agent runs: there is nobody to enroll at, so the camera stops where the old release would go on."""
    folder = tmp_path / "cam"
    board = Board("cam-1", "https://127.0.0.1:1", "sha256:" + "0" * 64, "camera-rev2", free_port())
    make(folder, board, image_of(OLD), release=f"{MODEL}:1.0.0", counter=1, svn=1)
    dead = image_of(DEAD)
    image(folder / SLOTS, B).write_bytes(dead)
    state = load(folder / SLOTS).holding(B, Content(f"{MODEL}:2.0.0", 2, 1, len(dead), digest_of(dead), whole=True))
    save(folder / SLOTS, type(state)(state.slots, "a", B, 3))
    words = [sys.executable, "-m", "holdfast_sim.updating.camera", str(folder)]
    said = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120).stderr
    assert said.count("boots 2.0.0 from slot b") == 3
    assert "boots 1.0.0 from slot a" in said
    after = load(folder / SLOTS)
    assert (after.trial, after.content(B).bad) == ("", True)
    assert "1.0.0" in (folder / ROOT / "etc/os-release").read_text()
    assert json.loads((folder / "board.json").read_bytes())["device"] == "cam-1"
