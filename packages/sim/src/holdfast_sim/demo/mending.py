"""Act 3: devices mend themselves, and take back what did them no good; a person has looked at a casing.

Three things at once, because each waits for a check-in: the gateway's broker, opened by a technician and closed by the
gateway itself; the careless camera, whose stream does not survive a sound mode of one file; and an inspection.
"""

from __future__ import annotations

import stat
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from holdfast_sim.demo.cast import CARELESS, GATEWAY, HARDENED, Member
from holdfast_sim.demo.scene import Scene, met
from holdfast_sim.demo.stage import Mark
from holdfast_sim.demo.watching import NotObserved
from holdfast_sim.stated import today

BROKER, SHADOW, CASING = "SVC-06", "FS-08", "PHY-11"
INSPECTOR = "Ada Okafor"
_SETTINGS = "etc/mosquitto/conf.d/site.conf"
_CLOSED, _OPEN = "allow_anonymous false", "allow_anonymous true"
_HARDEN = "harden"
_INSPECTED_FOR = timedelta(days=365)


def mending(scene: Scene) -> None:
    """Ask, observe, tell. Raises `NotObserved`, WorldError."""
    scene.stage.act(
        3,
        "Hardening, one control at a time",
        "A device works out by itself what to change, and keeps it only if it then checks in with its function alive.",
    )
    _open_the_broker(scene)
    mode, frame = _ask_the_careless(scene)
    _inspect(scene)
    _broker_mended(scene)
    _taken_back(scene, mode, frame)
    _inspected(scene)


def _settings(scene: Scene) -> Path:
    return scene.fleet.root(GATEWAY) / _SETTINGS


def _open_the_broker(scene: Scene) -> None:
    path = _settings(scene)
    path.write_text(path.read_text("utf-8").replace(_CLOSED, _OPEN), "utf-8")
    words = f"a technician lets anybody into its broker for a test, and forgets: {_OPEN!r} in /{_SETTINGS}."
    scene.stage.tell(Mark.ATTACK, GATEWAY.device, words)


def _ask_the_careless(scene: Scene) -> tuple[int, int]:
    """Ask the careless camera to close a file that its own stream reads; the file's mode, and a frame before."""
    mode = _mode(scene)
    answer = scene.fleet.ask(CARELESS)
    if answer is None:
        raise NotObserved(f"the stream of {CARELESS.device}", "no answer", str(scene.fleet.log(CARELESS)), 0)
    _ask(scene, CARELESS, SHADOW, f"/etc/shadow has mode {mode:04o}")
    return mode, answer[1]


def _ask(scene: Scene, member: Member, control: str, seen: str) -> None:
    scene.api.post(f"/devices/{member.device}/harden", {"control": control})
    title = scene.api.get(f"/controls/{control}")["title"]
    words = f"the operator asks it to meet {control}, {title!r}; {seen}."
    scene.stage.tell(Mark.DO, member.device, words, control=control)


def _inspect(scene: Scene) -> None:
    made = date.fromisoformat(today())
    ends = made + _INSPECTED_FOR
    looked = {"control": CASING, "outcome": "pass", "inspector": INSPECTOR}
    scene.api.post(
        f"/devices/{HARDENED.device}/inspections",
        {**looked, "date": made.isoformat(), "expires": ends.isoformat(), "remark": "Screws and seal are whole."},
    )
    words = f"{INSPECTOR} has looked at its casing ({CASING}); that counts until {ends}, and the record says who."
    scene.stage.tell(Mark.DO, HARDENED.device, words, control=CASING)


def _broker_mended(scene: Scene) -> None:
    entry = _wait_for(scene, GATEWAY, BROKER, "fail")
    found = f"{entry['reason']} Seen: {entry['proof'][0]}."
    scene.stage.tell(Mark.FOUND, GATEWAY.device, f"{BROKER}: {found}", level=entry["severity"])
    _ask(scene, GATEWAY, BROKER, "nobody tells it how")
    ended = _settled(scene, GATEWAY)
    if ended["state"] != "done" or _CLOSED not in _settings(scene).read_text("utf-8"):
        raise NotObserved("the broker to be closed", str(ended), str(scene.fleet.log(GATEWAY)), 0)
    _wait_for(scene, GATEWAY, BROKER, "pass")
    words = f"{_CLOSED!r} again, kept because its broker goes on: {met(scene.report(GATEWAY))}."
    scene.stage.tell(Mark.SEEN, GATEWAY.device, words, control=BROKER, became="done")


def _taken_back(scene: Scene, mode: int, frame: int) -> None:
    """The stream looks passwords up in the file that was closed, so it stopped; both are as they were."""
    ended = _settled(scene, CARELESS)

    def look(_page: Any) -> int | None:
        answer = scene.fleet.ask(CARELESS)
        return answer[1] if answer is not None and answer[1] > frame else None

    after = scene.wait(CARELESS, f"the stream of {CARELESS.device} to go on", look)
    if ended["code"] != "harden.reverted" or _mode(scene) != mode:
        said = f"{ended['state']} {ended['code']}, mode {_mode(scene):04o}"
        raise NotObserved("the change to be taken back", said, str(scene.fleet.log(CARELESS)), 0)
    words = (
        f"{ended['state']}, {ended['code']}: with the file closed its stream stopped, so the device took the change"
        f" back by itself. Mode {mode:04o} again, and it streams: frame {after}. This one is the vendor's to mend."
    )
    scene.stage.tell(Mark.FOUND, CARELESS.device, words, control=SHADOW, became=ended["code"])


def _inspected(scene: Scene) -> None:
    _wait_for(scene, HARDENED, CASING, "pass")
    words = f"{CASING} is met by what a person saw: {met(scene.report(HARDENED))}."
    scene.stage.tell(Mark.SEEN, HARDENED.device, words, control=CASING)


def _wait_for(scene: Scene, member: Member, control: str, outcome: str) -> Any:
    def look(_page: Any) -> Any | None:
        entry = scene.outcome(member, control)
        return entry if entry and entry["outcome"] == outcome else None

    return scene.wait(member, f"{control} of {member.device} to come out as {outcome}", look)


def _settled(scene: Scene, member: Member) -> Any:
    def look(page: Any) -> Any | None:
        return next((entry for entry in page["desired"]["settled"] if entry["kind"] == _HARDEN), None)

    return scene.wait(member, f"{member.device} to tell how its hardening ended", look)


def _mode(scene: Scene) -> int:
    return stat.S_IMODE((scene.fleet.root(CARELESS) / "etc/shadow").stat().st_mode)
