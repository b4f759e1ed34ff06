"""From the field: a fleet of twelve cameras has a hole, and is patched, with every process real.

An advisory says that release 1.0.0 shows the password of its viewers to anybody who asks. The patched release is signed
by two of three people, approved by two who did not add it, tried in the lab, and brought to production in waves. One
camera is switched off meanwhile, the flash of another wears while the release is written. In the end every camera runs
the patch, by the proof of its chip, nobody is told a password any more, and the record says who decided what.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.instants import Instant, rfc3339
from holdfast_core.record.model import Entry, Kind, parse_entry
from holdfast_sim.demo.api import Api, ApiRefused
from holdfast_sim.demo.ground import running
from holdfast_sim.demo.plane import Plane
from holdfast_sim.demo.watching import wait_for
from holdfast_sim.updating.release import Behaviour
from holdfast_sim.updating.streaming import REFUSED, SETTINGS, STREAM, ask
from holdfast_sim.updating.workshop import Workshop

pytestmark = pytest.mark.timeout(900)

MODEL, INTERVAL_S = "yard-camera", 3
LAB = tuple(f"lab-{number}" for number in range(1, 5))
YARD = tuple(f"yard-{number}" for number in range(1, 9))
CAMERAS = (*LAB, *YARD)
AWAY, WORN = "yard-3", "yard-5"
"""Both are of the last wave: who is in which is drawn by the rollout's name and theirs."""
PATIENCE_S = 12
"""Silence after which a camera counts as away, or as silent once it was directed."""
CONFIRM_S = 60
WAVES = (("canary", 12.5), ("half", 50), ("rest", 100))


class Site:
    """The fleet, and the people around it."""

    def __init__(self, folder: Path, api: Api, workshop: Workshop, verifier_key: str, cameras: tuple[str, ...]) -> None:
        self.folder, self.api, self.workshop = folder, api, workshop
        self.verifier_key, self.cameras = verifier_key, cameras

    @contextmanager
    def person(self, name: str) -> Iterator[Api]:
        """Somebody with a token of their own."""
        token = self.api.post("/tokens", {"name": name, "permission": "operate"})["token"]
        with closing(self.api.of(token)) as api:
            yield api

    def updates(self, device: str) -> Any:
        return self.api.get(f"/devices/{device}/updates")

    def proved(self) -> dict[str, str]:
        """The release that each camera proves by its chip, as the server says."""
        return {device: self.updates(device)["proved"].partition(":")[2] for device in self.cameras}

    def answers(self, question: str) -> dict[str, str | None]:
        """What each camera answers over the network."""
        ports = [self.workshop.port(device) for device in self.cameras]
        with ThreadPoolExecutor() as pool:
            return dict(zip(self.cameras, pool.map(lambda port: ask(port, question), ports), strict=True))

    def until(self, what: str, look: Callable[[], Any], instead: Callable[[], Any]) -> Any:
        log = self.folder / "server.log"
        return wait_for(what, lambda: look() or None, lambda: str(instead()), log=log, patience_s=180)

    def until_proved(self, version: str) -> None:
        def look() -> bool:
            return set(self.proved().values()) == {version}

        self.until(f"every camera to prove {version}", look, self.proved)

    def rollout(
        self,
        name: str,
        release: str,
        site: str,
        waves: tuple[tuple[str, float], ...] = (("all", 100),),
        *,
        devices: Sequence[str] = (),
        confirm_s: int = CONFIRM_S,
    ) -> Any:
        body = {
            "name": name,
            "release": release,
            "selection": {"sites": [site], "devices": list(devices)},
            "waves": [{"name": each, "percent": percent, "soak_s": 2} for each, percent in waves],
            "thresholds": {"patience_s": PATIENCE_S + confirm_s * bool(devices)},
            "guards": {"confirm_s": confirm_s},
        }
        self.api.post("/rollouts", body)
        return self.api.post(f"/rollouts/{name}/start")

    def until_rollout(self, name: str, *states: str) -> Any:
        def look() -> Any:
            page = self.api.get(f"/rollouts/{name}")
            return page if page["state"] in states else None

        return self.until(f"{name} to be {states}", look, lambda: self.api.get(f"/rollouts/{name}/devices")["items"])

    def record(self) -> list[Entry]:
        """The record, exported, and verified by another program."""
        exported = self.folder / "record.jsonl"
        exported.write_bytes(self.api.raw("/log/export"))
        told = self.workshop.command("log", "verify", str(exported), "--key", self.verifier_key)
        lines = exported.read_bytes().splitlines()[1:]
        assert told["leaves"] == len(lines)
        return [parse_entry(msgspec.json.decode(line)["leaf"].encode()) for line in lines]


@contextmanager
def site_of(folder: Path, sites: dict[str, str]) -> Iterator[Site]:
    """A control plane, and cameras that run release 1.0.0, by name; each at its site, and with its own chip's proof."""
    folder.mkdir()
    with running(folder) as processes, ExitStack() as stack:
        plane = Plane(folder / "plane", "127.0.0.1", processes)
        founded = plane.found()
        api = stack.enter_context(closing(plane.serve(founded.token)))
        workshop = Workshop(folder / "made", plane, api, founded.root_fingerprint, processes, model=MODEL)
        workshop.add_model(interval_s=INTERVAL_S)
        first = workshop.build(Behaviour("1.0.0", leaks=True), counter=1, svn=1)
        for device, place in sites.items():
            workshop.deliver(device, first, place)
            workshop.switch_on(device, new=True)
        site = Site(folder, api, workshop, founded.verifier_key, tuple(sites))
        site.until_proved("1.0.0")
        yield site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_of(tmp_path / "site", dict.fromkeys(LAB, "lab") | dict.fromkeys(YARD, "yard")) as made:
        yield made


def test_a_hole_in_twelve_cameras_is_closed_and_who_decided_stands_in_the_record(site: Site) -> None:
    assert all("sunflower" in str(answer) for answer in site.answers(SETTINGS).values())

    release = patch_is_released(site)
    site.workshop.switch_off(AWAY)
    lab_tries_it(site, release)
    production_gets_it(site, release)
    whoever_was_away_catches_up(site)

    assert set(site.answers(SETTINGS).values()) == {REFUSED}
    assert all(" 1.0.1 " in str(answer) for answer in site.answers(STREAM).values())
    spread = site.api.get(f"/update/releases/{release}")["spread"]
    assert spread == {"running": len(CAMERAS), "proved": len(CAMERAS), "given": len(CAMERAS)}
    the_record_says_who(site, release)


def patch_is_released(site: Site) -> str:
    """Built, signed by two of three, approved by two who did not add it; before that it rolls out nowhere."""
    workshop = site.workshop
    workshop.found()
    site.api.post("/update/policy", {"approvals": 2, "lab_sites": ["lab"]})
    patch = workshop.build(Behaviour("1.0.1"), counter=2, svn=2)
    release = workshop.name(patch)
    assert workshop.add(patch, "security")["proposed"]
    assert not any(item["in_force"] for item in workshop.sign([1])["items"])
    assert all(item["in_force"] for item in workshop.sign([3], more=True)["items"])
    with pytest.raises(WorldError, match=r"release\.own"):
        workshop.command("release", "approve", release)
    with site.person("anna") as anna:
        anna.post(f"/update/releases/{release}/approve")
        with pytest.raises(ApiRefused, match=r"release\.approved"):
            anna.post(f"/update/releases/{release}/approve")
    with pytest.raises(ApiRefused, match=r"rollout\.not_cleared"):
        site.rollout("too-early", release, "lab")
    with site.person("ben") as ben:
        ben.post(f"/update/releases/{release}/approve")
    with pytest.raises(ApiRefused, match=r"rollout\.not_cleared"):
        site.rollout("untried", release, "yard")
    return release


def lab_tries_it(site: Site, release: str) -> None:
    """The lab runs it first, and says that it passed."""
    site.rollout("patch-lab", release, "lab")
    assert site.until_rollout("patch-lab", "finished", "halted")["done"] == len(LAB)
    results = site.folder / "report.xml"
    results.write_text("<testsuite tests='1' failures='0'/>")
    words = ["--device", LAB[0], "--device", LAB[1], "--results", str(results), "--ticket", "CHG-1042"]
    told = site.workshop.command("release", "validate", release, *words)
    assert told["lacks"] == []
    assert told["validation"]["weak"] is False


def production_gets_it(site: Site, release: str) -> None:
    """Wave by wave; a camera whose flash wears falls back, is shown, and holds the others up until somebody looked."""
    site.workshop.wear(WORN)
    site.rollout("patch", release, "yard", WAVES)
    assert site.until_rollout("patch", "halted", "finished")["state"] == "halted"
    fell = site.updates(WORN)
    assert (fell["running"], fell["assignment"]["stage"]) == (f"{MODEL}:1.0.0", "fell-back")
    assert fell["assignment"]["code"] == "update.fell_back_boot"
    assert [slot["good"] for slot in fell["slots"]] == [True, False]
    assert str(ask(site.workshop.port(WORN))).startswith(f"{WORN} 1.0.0 ")
    (bad,) = site.api.get("/rollouts/patch/devices", bad="true")["items"]
    assert bad["device"] == WORN
    site.api.post("/rollouts/patch/retry", {"why": "the release can be written once more"})
    site.api.post("/rollouts/patch/resume", {"why": "one worn block, not the release"})
    finished = site.until_rollout("patch", "finished", "halted")
    assert finished["state"] == "finished"
    assert finished["done"] == len(YARD) - 1
    assert finished["waves"][-1]["tally"]["away"] == 1


def whoever_was_away_catches_up(site: Site) -> None:
    """The old release is over; a camera that comes back with it is told so, and is updated at once."""
    now = rfc3339(Instant(time.time_ns() // 1_000_000))
    site.api.post(f"/releases/{MODEL}:1.0.0/retire", {"at": now, "why": "the hole of the advisory"})
    site.workshop.switch_on(AWAY)
    site.until_proved("1.0.1")
    site.until(f"{AWAY} to be done", lambda: site.updates(AWAY)["assignment"]["stage"] == "done", site.proved)


def the_record_says_who(site: Site, release: str) -> None:
    """Exported, verified, and read: who added, approved, tried and rolled out."""
    record = site.record()

    def said(kind: Kind) -> list[tuple[str, Any]]:
        return [(entry.actor, msgspec.json.decode(entry.data)) for entry in record if entry.kind is kind]

    assert [actor for actor, _ in said(Kind.RELEASE_APPROVED)] == ["token:anna", "token:ben"]
    ((tester, tried),) = said(Kind.RELEASE_VALIDATED)
    assert tester.startswith("os-user:")
    assert (tried["release"], tried["validation"]["ticket"]) == (release, "CHG-1042")
    assert [data["rollout"] for _, data in said(Kind.ROLLOUT_FINISHED)] == ["patch-lab", "patch"]
    assert len(said(Kind.ROLLOUT_HALTED)) == 1
    settled = [(entry.device, msgspec.json.decode(entry.data)["outcome"]) for entry in record if is_end(entry)]
    assert sorted(device for device, outcome in settled if outcome == "done") == sorted(CAMERAS)
    assert [device for device, outcome in settled if outcome == "fell-back"] == [WORN]


def is_end(entry: Entry) -> bool:
    return entry.kind is Kind.UPDATE_SETTLED


def test_a_release_that_does_not_boot_or_does_not_call_is_left_again(tmp_path: Path) -> None:
    """Nobody can help either: the boot loader leaves the one after its attempts, the agent the other after its time."""
    releases = {"yard-1": Behaviour("2.0.0", boots=False), "yard-2": Behaviour("3.0.0", calls=False)}
    codes = {"yard-1": "update.fell_back_boot", "yard-2": "update.fell_back_no_contact"}
    with site_of(tmp_path / "site", dict.fromkeys(releases, "yard")) as site:
        workshop = site.workshop
        workshop.found()
        site.api.post("/update/policy", {"approvals": 0, "lab_sites": []})
        made = [workshop.build(each, counter=int(each.version[0]), svn=1) for each in releases.values()]
        for each in made:
            workshop.add(each, "feature")
        workshop.sign([1, 2])
        for device, each in zip(releases, made, strict=True):
            site.rollout(f"only-{device}", workshop.name(each), "yard", devices=[device], confirm_s=30)
        for device in releases:
            site.until_rollout(f"only-{device}", "halted")
            told = site.updates(device)
            assert told["assignment"]["code"] == codes[device]
            assert (told["running"], told["floor"]) == (f"{MODEL}:1.0.0", 1)
            assert str(ask(workshop.port(device))).startswith(f"{device} 1.0.0 ")
        site.until_proved("1.0.0")
