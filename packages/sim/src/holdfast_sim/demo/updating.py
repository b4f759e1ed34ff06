"""Act 8: an update reaches five cameras: one that closes a hole, and one that is halted after its first camera.

1. The cameras are processes of this machine, with two slots, a boot loader and a chip each; what they do is decided by
   the image that they booted (`holdfast_sim.updating`).
2. What is told of a rollout is what the server says of it; what a camera answers was asked over the network.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

from holdfast_core.kernel.errors import HoldfastError
from holdfast_sim.demo.scene import Scene
from holdfast_sim.demo.stage import Mark
from holdfast_sim.demo.watching import NotObserved, wait_for
from holdfast_sim.updating.release import Behaviour
from holdfast_sim.updating.streaming import REFUSED, SETTINGS, ask
from holdfast_sim.updating.workshop import PEOPLE, THRESHOLD, Made

MODEL, SITE = "yard-camera", "yard"
CAMERAS = tuple(f"yard-{number}" for number in range(1, 6))
OLD, GOOD, BAD = Behaviour("1.0.0", leaks=True), Behaviour("2.0.0"), Behaviour("2.1.0", streams=False)
INTERVAL_S, SOAK_S, CONFIRM_S = 3, 2, 30
SECOND_PERSON = "anna"
_SIGNS = (
    ("done", ("done",), "█"),
    ("soaking", ("soaking",), "▓"),
    ("under way", ("directed", "installing", "tried"), "▒"),
    ("failed", ("failed", "silent"), "x"),
    ("fell back", ("fell_back",), "<"),
    ("waiting", ("waiting", "withdrawn"), "·"),
)
"""Of a bar, in order: the word, the counts it sums up, and its sign, as ``holdfast rollout show`` has them."""
_COLUMNS = 2
"""Of a bar, for each camera."""


def updating(scene: Scene) -> None:
    """Release, roll out, and see a bad release stopped. Raises `NotObserved`, WorldError."""
    scene.stage.act(
        8,
        "An update reaches five cameras",
        "Two slots each. A release counts only where two of three people signed it and somebody else approved it; a "
        "camera has it only when its chip proved that it runs it.",
    )
    _delivered(scene)
    good, bad = _released(scene)
    _good(scene, good)
    _bad(scene, bad)


def _delivered(scene: Scene) -> None:
    workshop, stage = scene.workshop, scene.stage
    workshop.add_model(interval_s=INTERVAL_S)
    old = workshop.build(OLD, counter=1, svn=1)
    for camera in CAMERAS:
        workshop.deliver(camera, old, SITE)
        workshop.switch_on(camera, new=True)
    workshop.found()
    words = f"keys of {PEOPLE} people, {THRESHOLD} of whom sign what devices take; none of them is on the server."
    stage.tell(Mark.DO, "signers", words)
    _wait(scene, f"the cameras to prove {OLD.version}", lambda: _proved(scene, OLD.version))
    said = ask(workshop.port(CAMERAS[0]), SETTINGS)
    words = f"they prove by their chips that they run {OLD.version}. Any stranger who asks one is told: {said!r}"
    stage.tell(Mark.FOUND, SITE, words, cameras=len(CAMERAS), release=OLD.version)


def _released(scene: Scene) -> tuple[Made, Made]:
    """Two releases, signed: one of which nobody knows yet what it does."""
    workshop, stage = scene.workshop, scene.stage
    good, bad = workshop.build(GOOD, counter=2, svn=1), workshop.build(BAD, counter=3, svn=1)
    with ThreadPoolExecutor() as pool:
        list(pool.map(workshop.add, (good, bad), ("security", "feature")))
    if any(item["in_force"] for item in workshop.sign([1])["items"]):
        raise NotObserved("one signature not to be enough", "the release is in force", str(_log(scene)), 0)
    signed = workshop.sign([2], more=True)
    if not all(item["in_force"] for item in signed["items"]):
        raise NotObserved(f"{THRESHOLD} signatures to be enough", str(signed), str(_log(scene)), 0)
    words = f"{GOOD.version} (security) and {BAD.version} (feature) are signed: one signature was not enough, two were."
    stage.tell(Mark.SEEN, "signers", words, signatures=THRESHOLD)
    try:
        workshop.command("release", "approve", workshop.name(good))
    except HoldfastError as error:
        stage.tell(Mark.SEEN, "operator", f"cannot approve what they added: {_sentence(error)}", refused="release.own")
    else:
        raise NotObserved("an approval of one's own release to be refused", "it counts", str(_log(scene)), 0)
    token = scene.api.post("/tokens", {"name": SECOND_PERSON, "permission": "operate"})["token"]
    with closing(scene.api.of(token)) as second:
        for made in (good, bad):
            lacks = second.post(f"/update/releases/{workshop.name(made)}/approve")["lacks"]
            if lacks:
                raise NotObserved(f"{made.version} to lack nothing", "; ".join(lacks), str(_log(scene)), 0)
    stage.tell(Mark.SEEN, SECOND_PERSON, "approves both, as somebody else. Nothing is missing now.")
    return good, bad


def _good(scene: Scene, made: Made) -> None:
    ended = _rolled_out(scene, made, "hole")
    _wait(scene, f"every camera to prove {made.version}", lambda: _proved(scene, made.version))
    answers = {ask(scene.workshop.port(camera), SETTINGS) for camera in CAMERAS}
    if ended["state"] != "finished" or answers != {REFUSED}:
        raise NotObserved("a closed hole", f"{ended['state']}, {answers}", str(_log(scene)), 0)
    words = f"all {len(CAMERAS)} proved {made.version}, and stayed well. A stranger who asks is told: {REFUSED!r}"
    scene.stage.tell(Mark.SEEN, SITE, words, release=made.version, rollout=ended["state"])


def _bad(scene: Scene, made: Made) -> None:
    stage = scene.stage
    ended = _rolled_out(scene, made, "feature")
    if ended["state"] != "halted":
        raise NotObserved(f"{made.version} to be halted", str(ended["state"]), str(_log(scene)), 0)
    (worse,) = scene.api.get("/rollouts/feature/devices", bad="true")["items"]
    canary = str(worse["device"])
    stage.tell(Mark.FOUND, canary, f"fell back by itself: {worse['sentence']}", code=worse["code"])
    words = f"halted: {ended['halted']['sentence']} {ended['exposed']} of {ended['devices']} cameras was given it."
    stage.tell(Mark.SEEN, SITE, words, rollout=ended["state"], exposed=ended["exposed"])
    answer = _wait(scene, f"the stream of {canary} to answer", lambda: ask(scene.workshop.port(canary)))
    if f" {GOOD.version} " not in answer:
        raise NotObserved(f"{canary} to stream {GOOD.version}", answer, str(_log(scene)), 0)
    _wait(scene, f"every camera to prove {GOOD.version}", lambda: _proved(scene, GOOD.version))
    stage.tell(Mark.SEEN, canary, f"streams again: {answer!r}. All {len(CAMERAS)} prove {GOOD.version}.")
    scene.api.post("/rollouts/feature/abort", {"why": "its stream does not come up"})


def _rolled_out(scene: Scene, made: Made, name: str) -> Any:
    """Start a rollout, and show every picture of it until it moves no more."""
    body = {
        "name": name,
        "release": scene.workshop.name(made),
        "waves": [
            {"name": "canary", "percent": 100 / len(CAMERAS), "soak_s": SOAK_S},
            {"name": "rest", "percent": 100, "soak_s": SOAK_S},
        ],
        "guards": {"confirm_s": CONFIRM_S},
    }
    scene.api.post("/rollouts", body)
    scene.api.post(f"/rollouts/{name}/start")
    scene.stage.tell(Mark.DO, "operator", f"rolls {made.version} out: one camera first, then the others.")
    shown = ""

    def look() -> Any | None:
        nonlocal shown
        page = scene.api.get(f"/rollouts/{name}")
        picture = _picture(page)
        if picture != shown:
            scene.stage.more(picture, waves={wave["name"]: wave["tally"] for wave in page["waves"]})
            shown = picture
        return page if page["state"] in {"finished", "halted"} else None

    return _wait(scene, f"the rollout of {made.version} to end", look)


def _picture(page: Any) -> str:
    """The waves of a rollout as bars, side by side."""
    return "  ".join(f"{wave['name']} {_bar(wave['tally'])}" for wave in page["waves"])


def _bar(tally: Any) -> str:
    counts = [(word, sum(tally[key] for key in keys), sign) for word, keys, sign in _SIGNS]
    bar = "".join(sign * count * _COLUMNS for _, count, sign in counts)
    return f"{bar} {', '.join(f'{count} {word}' for word, count, _ in counts if count)}"


def _proved(scene: Scene, version: str) -> bool | None:
    """Whether every camera proves a release, as the server says; `None` where one does not."""
    proved = {scene.api.get(f"/devices/{camera}/updates")["proved"] for camera in CAMERAS}
    return proved == {f"{MODEL}:{version}"} or None


def _wait(scene: Scene, what: str, look: Callable[[], Any | None]) -> Any:
    def instead() -> str:
        pages = (scene.api.get(f"/devices/{camera}/updates") for camera in CAMERAS)
        return ", ".join(f"{page['device']} runs {page['running'] or 'what it does not say'}" for page in pages)

    return wait_for(what, look, instead, log=scene.workshop.log(CAMERAS[0]))


def _log(scene: Scene) -> str:
    return str(scene.workshop.log(CAMERAS[0]).with_name("server.log"))


def _sentence(error: HoldfastError) -> str:
    return error.sentence.partition(" [")[0]
