"""Fuzzes every target in turn: ``make fuzz SECONDS=3600``, or ``python -m fuzz.run --seconds 60 --only ima,cbor``.

1. One process at a time, at low priority; the time is shared evenly. What a target learned stays in its corpus, so the
   next run goes on where this one ended.
2. A finding is an exception other than `HostileData`, a poor refusal (`fuzz.target`), an input that takes over
   `SLOWEST_S`, or more than `MOST_MIB` of memory. After one the target goes on for the rest of its time.
3. Everything lies below ``.cache/fuzz`` but what is worth keeping: copy a finding to ``tests/fuzz/found/TARGET/``, and
   every test run tries it again.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from fuzz.seeds import seeds_of
from fuzz.target import strike
from fuzz.targets import TARGETS, target_of

TESTS = Path(__file__).resolve().parents[1]
PLACE = TESTS.parent / ".cache/fuzz"
SITE = PLACE / "site"
"""Where `tools/setup.sh fuzz` puts atheris."""
SLOWEST_S = 5
SLOW_S = 1
MOST_MIB = 1_024
MOST_FINDINGS = 5
"""Of one target in one run; then it is left alone."""
_NUMBER = {
    "executions": re.compile(r"stat::number_of_executed_units:\s*(\d+)"),
    "slowest_s": re.compile(r"stat::slowest_unit_time_sec:\s*(\d+)"),
    "memory_mib": re.compile(r"stat::peak_rss_mb:\s*(\d+)"),
}
_STATE = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)/")


class Report(msgspec.Struct, frozen=True):
    """What fuzzing one target came to. Edges and features are libFuzzer's, with those that it began with."""

    target: str
    seconds: int
    executions: int
    edges: int
    features: int
    corpus: int
    slowest_s: int
    memory_mib: int
    findings: tuple[str, ...]


def fuzz(name: str, seconds: int, place: Path = PLACE) -> Report:
    """Fuzz one target."""
    corpus, found = place / "corpus" / name, place / "found"
    corpus.mkdir(parents=True, exist_ok=True)
    found.mkdir(parents=True, exist_ok=True)
    for seed in seeds_of(name):
        (corpus / hashlib.sha256(seed).hexdigest()[:40]).write_bytes(seed)
    words = place / f"{name}.dict"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target_of(name).words))
    begun, done, last, before = time.monotonic(), 0, {}, set(found.iterdir())
    findings: list[str] = []
    while (left := seconds - int(time.monotonic() - begun)) > 0 and len(findings) < MOST_FINDINGS:
        text = _child(name, left, corpus, found, words)
        (place / f"{name}.log").write_text(text)
        last = _read(text)
        done += last["executions"]
        new = {each for each in found.iterdir() if each not in before and not _was_the_machine(name, each)}
        if not new:
            break
        findings += sorted(each.name for each in new)
        before |= new
        if not any(each.name.startswith(f"{name}-crash") for each in new):
            break
    took = int(time.monotonic() - begun)
    return Report(name, took, **{**last, "executions": done}, findings=tuple(findings))


def _was_the_machine(name: str, found: Path) -> bool:
    """Whether an input was slow only because others kept the processor busy; then it is no finding."""
    if not found.name.startswith((f"{name}-slow-unit", f"{name}-timeout")):
        return False
    begun = time.process_time()
    strike(target_of(name), found.read_bytes())
    fine = time.process_time() - begun < SLOW_S
    if fine:
        found.unlink()
    return fine


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def _child(name: str, seconds: int, corpus: Path, found: Path, words: Path) -> str:
    """What libFuzzer prints."""
    command = [
        sys.executable, "-m", "fuzz.under_atheris", name, str(corpus), f"-dict={words}", f"-max_total_time={seconds}",
        f"-max_len={target_of(name).longest}", f"-timeout={SLOWEST_S}", f"-report_slow_units={SLOW_S}",
        f"-rss_limit_mb={MOST_MIB}", f"-artifact_prefix={found}/{name}-", "-print_final_stats=1",
        "-reload=0",
        # Good inputs that lead nowhere new stay: what the JSON decoder does with them is not seen.
        "-keep_seed=1",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}{os.pathsep}{SITE}", "PYTHONHASHSEED": "0"}
    ended = subprocess.run(
        ["nice", "-n", "10", *command],
        env=environment, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds + 300,
    )  # fmt: skip
    return ended.stdout.decode("utf-8", "replace")


def _read(text: str) -> dict[str, int]:
    numbers = {name: int(match[1]) if (match := sought.search(text)) else 0 for name, sought in _NUMBER.items()}
    states = _STATE.findall(text)
    edges, features, corpus = map(int, states[-1]) if states else (0, 0, 0)
    return {**numbers, "edges": edges, "features": features, "corpus": corpus}


def run(names: Sequence[str], seconds: int, place: Path = PLACE) -> Iterator[Report]:
    """Fuzz targets one after the other, `seconds` in all."""
    end = time.monotonic() + seconds
    for place_in_row, name in enumerate(names):
        share = int((end - time.monotonic()) / (len(names) - place_in_row))
        yield fuzz(name, max(share, 1), place)


def told(report: Report) -> str:
    """One line of the table."""
    return (
        f"{report.target:18} {report.seconds:5} s {report.executions:10} runs "
        f"{report.executions // max(report.seconds, 1):6}/s {report.edges:6} edges {report.features:6} features "
        f"{report.corpus:5} inputs {report.memory_mib:4} MiB  {' '.join(report.findings) or 'nothing found'}"
    )


def main() -> int:
    """Run, and tell; 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=600, help="in all (default: 600)")
    parser.add_argument("--only", default="", help="targets, parted by commas; else all")
    options = parser.parse_args()
    names = [name for name in options.only.split(",") if name] or list(TARGETS)
    if unknown := [name for name in names if name not in TARGETS]:
        parser.error(f"no such target: {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    if not SITE.exists():
        parser.error("atheris is not there; run tools/setup.sh fuzz")
    reports = []
    for report in run(names, options.seconds):
        print(told(report), flush=True)  # noqa: T201  (what it is run for)
        reports.append(report)
    total = sum(report.executions for report in reports)
    found = [each for report in reports for each in report.findings]
    print(f"{total} runs of {len(reports)} targets; {len(found)} findings, in {PLACE / 'found'}")  # noqa: T201  (same)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
