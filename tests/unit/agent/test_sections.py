"""What a device says of itself at every check-in."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import msgspec
import pytest

from holdfast_agent import sections
from holdfast_agent.clock import Clock
from holdfast_agent.state import Config
from holdfast_core.baseline.model import Finding, Findings, Outcome
from holdfast_core.inventory.model import HealthProbe
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.errors import WorldError
from holdfast_core.wire.frame import InstalledRelease


@pytest.fixture
def config(tmp_path: Path) -> Config:
    proc = tmp_path / "proc"
    (proc / "sys/kernel/random").mkdir(parents=True)
    (proc / "sys/kernel/random/boot_id").write_text("6e5e2a52-0000-4000-8000-000000000000\n")
    (tmp_path / "root/etc").mkdir(parents=True)
    return Config("https://x", "cam-1", root=str(tmp_path / "root"), proc=str(proc))


@pytest.fixture
def clock(config: Config) -> Clock:
    return Clock(config.device, Path(config.proc))


def ok(probe: HealthProbe, config: Config, clock: Clock) -> bool:
    health = sections.health(probe, config, clock)
    assert health is not None
    assert health.ok is not bool(health.detail)
    return health.ok


def test_the_boot_id_is_hidden_and_differs_from_device_to_device(config: Config, clock: Clock) -> None:
    other = Clock("cam-2", Path(config.proc))
    assert clock.boot != other.boot
    assert len(clock.boot) == 32
    assert "6e5e2a52" not in clock.boot
    assert clock.boot == Clock("cam-1", Path(config.proc)).boot


def test_without_a_boot_id_the_agent_says_so(tmp_path: Path) -> None:
    with pytest.raises(WorldError) as raised:
        Clock("cam-1", tmp_path)
    assert raised.value.code == "agent.no_boot_id"


def test_a_port_that_answers_is_healthy_and_a_closed_one_is_not(config: Config, clock: Clock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as function:
        probe = HealthProbe("tcp", port=function.getsockname()[1])
        assert ok(probe, config, clock)
    assert not ok(probe, config, clock)
    assert not ok(HealthProbe("tcp", port=70_000), config, clock)


def test_a_file_is_fresh_by_its_age_and_an_age_of_a_lost_clock_does_not_count(config: Config, clock: Clock) -> None:
    probe = HealthProbe("file-fresh", path="/beat", max_age_s=60)
    assert not ok(probe, config, clock)
    file = Path(config.root, "beat")
    file.write_text("")
    assert ok(probe, config, clock)
    for shift, fresh in ((-30, True), (-90, False), (90, False)):
        os.utime(file, (clock.wall_s() + shift, clock.wall_s() + shift))
        assert ok(probe, config, clock) is fresh


def test_a_process_counts_while_it_runs_and_not_as_a_zombie(config: Config, clock: Clock) -> None:
    process = Path(config.proc, "77")
    process.mkdir()
    (process / "comm").write_text("a-very-long-nam\n")
    probe = HealthProbe("process", process="a-very-long-name-of-a-daemon")
    for letter, runs in (("S", True), ("Z", False)):
        (process / "stat").write_text(f"77 (a) b) {letter} 1 1\n")
        assert ok(probe, config, clock) is runs
    assert not ok(HealthProbe("process", process="other"), config, clock)


def test_a_probe_that_no_agent_can_run_leaves_health_unsaid(config: Config, clock: Clock) -> None:
    parts, healthy = sections.gather(HealthProbe("self-reported"), None, None, config, clock)
    assert healthy is None
    assert [part.name for part in parts] == ["metrics"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('ID=debian\nVERSION_ID="12"\n', InstalledRelease("debian-12", "12")),
        ("ID=poky\nIMAGE_VERSION=7\nVERSION_ID=5\n", InstalledRelease("poky-5-7", "7")),
        ("# nothing\nPRETTY_NAME=x\n", None),
        ("", None),
    ],
)
def test_the_release_is_read_from_os_release(config: Config, text: str, expected: InstalledRelease | None) -> None:
    Path(config.root, "etc/os-release").write_text(text)
    assert sections.release(config) == expected


def test_the_release_is_not_read_through_a_link(config: Config, tmp_path: Path) -> None:
    (tmp_path / "host-release").write_text("ID=host\n")
    Path(config.root, "etc/os-release").symlink_to(tmp_path / "host-release")
    assert sections.release(config) is None


def test_a_release_file_wins_and_a_broken_one_says_nothing(config: Config, tmp_path: Path) -> None:
    config = msgspec.structs.replace(config, release_file=str(tmp_path / "release.json"))
    assert sections.release(config) is None
    (tmp_path / "release.json").write_text('{"build":"b7","version":"7","slot":"a"}')
    assert sections.release(config) == InstalledRelease("b7", "7", "a")


def test_metrics_are_few_small_numbers_and_do_without_proc(config: Config, clock: Clock) -> None:
    assert sections.metrics(config, clock).keys() == {"uptime-s"}
    real = msgspec.structs.replace(config, proc="/proc")
    assert sections.metrics(real, clock).keys() == {"uptime-s", "load1", "memory-available-kib", "disk-free-kib"}


def test_findings_lose_proofs_before_they_burst_the_section() -> None:
    proof = tuple(f"/{'x' * 200}/{n}" for n in range(8))
    findings = Findings(
        Digest("sha256:" + "0" * 64), tuple(Finding(f"FS-{n:02}", Outcome.FAIL, proof) for n in range(40))
    )
    whole, short = sections.fitting(findings, 10**6), sections.fitting(findings, 40_000)
    assert msgspec.json.decode(whole, type=Findings) == findings
    assert len(short) <= 40_000
    kept = msgspec.json.decode(short, type=Findings).findings
    assert [entry.control for entry in kept] == [entry.control for entry in findings.findings]
    assert 0 < len(kept[0].proof) < 8
