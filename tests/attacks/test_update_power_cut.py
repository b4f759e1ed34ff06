"""The power goes in the middle of an update, at every place and many times: a whole release runs, and it goes on.

A process is killed (SIGKILL), which the page cache survives. What a real power cut leaves of unsynced writes is not
played here; that everything is synced before it counts, is.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast_core.kernel.digests import digest_of
from install_builders import target
from update_driver_builders import OLD_IMAGE, Payloads, serving

NEW_IMAGE = bytes(range(256)) * 256
OLD, NEW = digest_of(OLD_IMAGE), digest_of(NEW_IMAGE)
RIG = Path(__file__).resolve().parents[1] / "power_cut_rig.py"


class Lab:
    """Devices whose power is cut, and the server that they fetch from."""

    def __init__(self, folder: Path, payloads: Payloads) -> None:
        self.folder, self.payloads = folder, payloads
        (folder / "new.img").write_bytes(NEW_IMAGE)

    def play(self, *cuts: list[int], boots: bool = True, careless: bool = False) -> list[list[dict[str, Any]]]:
        """What became of each device, boot by boot."""
        plans = []
        for number, each in enumerate(cuts):
            release = f"cam:2.{number}"
            self.payloads.put(target(release, 2, payload=NEW_IMAGE), NEW_IMAGE)
            image = str(self.folder / "new.img")
            plans.append({"cuts": each, "release": release, "counter": 2, "image": image, "boots": boots})
            plans[-1]["careless"] = careless
        ended = subprocess.run(
            [sys.executable, str(RIG), str(self.folder), str(self.payloads.port)],
            input=json.dumps(plans),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr[-2_000:]
        boots_of: dict[str, list[dict[str, Any]]] = {plan["release"]: [] for plan in plans}
        for line in ended.stdout.splitlines():
            found = json.loads(line)
            assert not found["how"].startswith("ended 1"), ended.stderr[-2_000:]
            boots_of[found["plan"]].append(found)
        return list(boots_of.values())

    def starts(self, number: int) -> list[int]:
        """Where the downloads of a device began."""
        return next(starts for path, starts in self.payloads.starts.items() if f"/2.{number}/" in path)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    memory = Path("/dev/shm")  # noqa: S108  (a killed process leaves there what it leaves on a disk, only faster)
    aside = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path)
    with aside as folder, serving(Payloads()) as payloads:
        yield Lab(Path(folder), payloads)


def check(lab: Lab, number: int, boots: list[dict[str, Any]]) -> int:
    """A whole release runs after each cut, what came stays, and it comes to an end; how many cuts there were."""
    cuts = sum(found["how"] == "killed" for found in boots)
    for found in boots:
        assert found["runs"] in (OLD, NEW), found
        assert (found["floor"] == 2) == (found["phase"] == "confirmed"), found
    last = boots[-1]
    assert last["phase"] in ("confirmed", "fell-back"), last
    assert last["runs"] == (NEW if last["phase"] == "confirmed" else OLD), last
    starts = lab.starts(number)
    assert starts == sorted(starts), "what is here is not fetched again"
    assert len(starts) - len(set(starts)) <= cuts, "but for what was on its way"
    fetched = [found for found in boots if found["phase"] in ("fetched", "writing", "reading", "written", "armed")]
    assert all(found["held"] == len(NEW_IMAGE) for found in fetched), "what is here whole stays"
    return cuts


def test_without_a_cut_it_is_confirmed_in_two_boots(lab: Lab) -> None:
    [boots] = lab.play([])
    assert check(lab, 0, boots) == 0
    assert [found["phase"] for found in boots] == ["armed", "confirmed"]


def test_a_release_that_does_not_boot_falls_back_after_its_tries(lab: Lab) -> None:
    [boots] = lab.play([], boots=False)
    assert [(found["phase"], found["code"]) for found in boots][-1] == ("fell-back", "update.fell_back_boot")
    assert boots[-1]["runs"] == OLD


def test_control_an_installer_that_writes_to_the_running_slot_is_noticed(lab: Lab) -> None:
    with pytest.raises(AssertionError, match=r"boot\.nothing"):
        lab.play(*([cut] for cut in range(30, 80)), careless=True)


def test_one_cut_at_every_touch_of_the_disk_before_the_reboot(lab: Lab) -> None:
    played = lab.play(*([cut] for cut in range(1, 111)))
    cuts = [check(lab, number, boots) for number, boots in enumerate(played)]
    assert all(boots[-1]["phase"] == "confirmed" for boots in played), "one cut keeps no good release out"
    assert sum(cuts) >= 50
    assert cuts[-1] == 0, "past the last touch nothing is cut"


def test_one_cut_at_every_touch_of_the_disk_after_the_reboot(lab: Lab) -> None:
    played = lab.play(*([0, cut] for cut in range(1, 41)))
    cuts = [check(lab, number, boots) for number, boots in enumerate(played)]
    assert all(boots[-1]["phase"] == "confirmed" for boots in played)
    assert sum(cuts) >= 20
    assert cuts[-1] == 0


def at_random(seed: int, devices: int, cuts: int) -> list[list[int]]:
    """For each device places to cut: the n-th touch of the disk, or some microseconds after the boot."""
    chosen = random.Random(seed)  # noqa: S311  (places to cut, no secret)
    return [
        [chosen.choice([chosen.randint(1, 30), -chosen.randint(1, 15_000)]) for _ in range(cuts)]
        for _ in range(devices)
    ]


def test_cut_after_cut_at_random(lab: Lab) -> None:
    played = lab.play(*at_random(20_261_122, 60, 12))
    assert sum(check(lab, number, boots) for number, boots in enumerate(played)) >= 150


@pytest.mark.slow
def test_cut_after_cut_for_a_long_time(lab: Lab) -> None:
    played = lab.play(*at_random(7, 600, 20))
    assert sum(check(lab, number, boots) for number, boots in enumerate(played)) >= 2_000
