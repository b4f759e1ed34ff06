"""Attacks on the model file: it comes from a repository that anybody may have written to.

Each refusal stands beside the harmless file that differs from it in nothing but the attack.
"""

from __future__ import annotations

import tracemalloc

import pytest
import yaml

from holdfast.inventory.model_file import example_bytes, load
from holdfast_core.inventory.rules import validate
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.kernel.limits import LIMITS

HARMLESS = example_bytes("door-camera")


def _refused(data: bytes) -> HostileData:
    with pytest.raises(HostileData) as refusal:
        load(data)
    return refusal.value


def _described(text: str) -> bytes:
    """The harmless file with `text` as its description."""
    lines = HARMLESS.decode().splitlines()
    return "\n".join(f"description: {text}" if line.startswith("description:") else line for line in lines).encode()


def test_control_the_harmless_file_is_read() -> None:
    validate(load(HARMLESS))
    assert load(_described("A camera.")).description == "A camera."


def test_a_billion_laughs() -> None:
    laughs = "a: &a [ha, ha, ha, ha, ha, ha, ha, ha, ha]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        laughs += f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    tracemalloc.start()
    try:
        error = _refused(laughs.encode())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error.code == "model.alias"
    assert peak < 8 * 1024 * 1024


def test_an_anchor_that_contains_itself() -> None:
    assert _refused(b"&a [*a]").code == "model.alias"


def test_a_merge_key_that_overrides_what_was_reviewed() -> None:
    merged = HARMLESS.replace(b"update:\n", b"update:\n  <<: {signed: false}\n")
    assert _refused(merged).code == "model.shape"


def test_a_second_key_that_overrides_what_was_reviewed() -> None:
    twice = HARMLESS + b"\nboot: {secure_boot: false}\n"
    assert yaml.safe_load(twice)["boot"] == {"secure_boot": False}, "the attack works on a plain YAML reader"
    error = _refused(twice)
    assert error.code == "model.duplicate_key"
    assert error.sentence.startswith(f"Line {len(twice.splitlines())}: ")


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system [id]",
        "!!python/name:os.system x",
        "!!binary aGk=",
        "!!set {a}",
        "!custom x",
        "!<tag:yaml.org,2002:str> x",
        "! x",
    ],
)
def test_a_tag_that_makes_an_object(tag: str) -> None:
    assert _refused(_described(tag)).code == "model.tag"


def test_a_file_of_ten_megabytes() -> None:
    padding = b"# " + b"x" * 97 + b"\n"
    error = _refused(HARMLESS + padding * 100_000)
    assert (type(error), error.code) == (LimitExceeded, "model.too_large")
    assert load(HARMLESS + padding * 100) == load(HARMLESS)


@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ("{a: ", "}"), ("- ", "")])
def test_nesting_until_the_stack_ends(opens: str, closes: str) -> None:
    deep = LIMITS.model_bytes // (2 * (len(opens) + len(closes)))
    error = _refused(f"{opens * deep}x{closes * deep}".encode())
    assert (type(error), error.code) == (LimitExceeded, "model.too_deep")
    shallow = LIMITS.model_depth - 1
    assert _refused(f"{opens * shallow}x{closes * shallow}".encode()).code == "model.shape"


def test_more_nodes_than_a_model_can_have() -> None:
    error = _refused(b"- x\n" * (LIMITS.model_nodes + 1))
    assert (type(error), error.code) == (LimitExceeded, "model.too_many_nodes")


def test_a_number_that_takes_for_ever_to_read() -> None:
    long = HARMLESS.replace(b"memory_mib: 128", b"memory_mib: " + b"9" * 100_000)
    assert _refused(long).code == "model.shape"


@pytest.mark.parametrize("escape", [r'"\x1b]0;owned\x07"', r'"\u202ecamera"', r'"\u0000"'])
def test_text_that_writes_to_the_readers_terminal(escape: str) -> None:
    error = _refused(_described(escape))
    assert error.code in {"model.unprintable", "model.not_yaml"}
    assert str(error).isprintable()


def test_an_error_does_not_carry_the_attack_to_the_terminal() -> None:
    error = _refused(HARMLESS.replace(b"power: mains", rb'power: "\x1b[2J"'))
    assert str(error).isprintable()


def test_a_port_list_hidden_behind_another_document() -> None:
    assert _refused(HARMLESS + b"\n---\nflows: []\n").code == "model.not_yaml"
