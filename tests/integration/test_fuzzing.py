"""Every place where evidence comes in, under fuzzing: read or refused, whatever the bytes.

By default a few hundred changed inputs of each target are tried, the same ones each time. Under ``-m slow`` a fuzzer
looks for others, guided by coverage.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz import run
from fuzz.extremes import EXTREMES
from fuzz.mutations import mutated
from fuzz.seeds import FOUND, seeds_of
from fuzz.target import Escaped, Target, must_answer, strike
from fuzz.targets import TARGETS
from holdfast_core.formats.tpm.attest import parse_attestation
from holdfast_core.kernel.errors import HostileData

CHANGED = 250
SHARE_S = 30
FINDINGS = sorted(each for each in FOUND.glob("*/*"))


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_changed_seeds_are_read_or_refused(name):
    target, seeds = TARGETS[name], seeds_of(name)
    answers = {strike(target, seed) for seed in seeds}
    assert "" in answers, "none of the seeds is good, so fuzzing would never get far"
    for data in mutated(seeds, target.words, CHANGED, name):
        answers.add(strike(target, data[: target.longest]))


@pytest.mark.parametrize(("name", "what"), EXTREMES)
def test_the_largest_inputs_are_read_or_refused(name, what):
    data = EXTREMES[name, what]()
    strike(TARGETS[name], data)


@pytest.mark.parametrize("path", FINDINGS, ids=[f"{each.parent.name}/{each.name}" for each in FINDINGS])
def test_what_was_found_once_stays_mended(path: Path):
    strike(TARGETS[path.parent.name], path.read_bytes())


@pytest.mark.parametrize(
    ("run_of", "error"),
    [
        (lambda data: data[100], IndexError),
        (lambda data: must_answer(parse_attestation, data), Escaped),
        (lambda data: _refuse("broken", data), AssertionError),
        (lambda data: _refuse("fuzz.tells_controls", b"\x1b[2J" + data), AssertionError),
        (lambda data: _refuse("fuzz.tells_all", b"a" * 2_000 + data), AssertionError),
    ],
    ids=["other exception", "refusal of what may not refuse", "no code", "control characters", "endless sentence"],
)
def test_a_target_tells_every_kind_of_finding(run_of, error):
    with pytest.raises(error):
        strike(Target(run_of), b"data")


def test_a_target_tells_what_was_refused_and_what_was_not():
    assert strike(Target(lambda data: _refuse("fuzz.refused", data)), b"data") == "fuzz.refused"
    assert strike(Target(bytes), b"data") == ""


def _refuse(code: str, data: bytes) -> None:
    raise HostileData(code, data.decode("latin-1"), remedy="Send something else.")


needs_atheris = pytest.mark.skipif(not run.SITE.exists(), reason="atheris is not there; tools/fuzzer.sh fetches it")


@pytest.mark.slow
@needs_atheris
def test_the_fuzzer_finds_a_fault_that_was_planted(tmp_path: Path):
    report = run.fuzz("planted", 60, tmp_path)
    assert report.findings, report
    assert report.executions


@pytest.mark.slow
@needs_atheris
@pytest.mark.parametrize("name", TARGETS)
def test_the_fuzzer_finds_nothing(name, tmp_path: Path):
    report = run.fuzz(name, SHARE_S, tmp_path)
    assert report.executions, (tmp_path / f"{name}.log").read_text()
    assert not report.findings, (tmp_path / f"{name}.log").read_text()[-4_000:]
