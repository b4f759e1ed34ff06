"""One run of the demo, from an empty folder to an empty machine.

1. The folder is the demo's own: it is cleared at the start, and only if it was made by a demo.
2. What an earlier run left behind, killed as it may have been, is ended and removed before anything is started.
3. However this run ends, its processes and namespaces end with it; the folder stays, to be looked into.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from holdfast_core.kernel.errors import HoldfastError
from holdfast_sim.board import missing_tools
from holdfast_sim.demo.attack import attack
from holdfast_sim.demo.bench import Bench
from holdfast_sim.demo.booting import booting
from holdfast_sim.demo.cast import CAST, GATEWAY, HARDENED, model_name
from holdfast_sim.demo.ending import ending
from holdfast_sim.demo.fleet import INTRUDER, Fleet, build_tree
from holdfast_sim.demo.ground import Ended, end_on_signals, own_folder, running
from holdfast_sim.demo.mending import mending
from holdfast_sim.demo.opening import enroll, first_check_ins
from holdfast_sim.demo.plane import Founded, Plane, program
from holdfast_sim.demo.processes import Processes
from holdfast_sim.demo.scene import Scene
from holdfast_sim.demo.stage import Mark, Stage
from holdfast_sim.demo.succession import succession
from holdfast_sim.demo.theft import theft
from holdfast_sim.demo.updating import MODEL, updating
from holdfast_sim.namespaces import Namespaces, NoNamespaces, open_world
from holdfast_sim.packages import PackageStore
from holdfast_sim.updating.workshop import Workshop

FINE, FAILED, INTERRUPTED = 0, 1, 130
"""130: as shells tell Ctrl-C."""
LOOK_EVERY_S = 1.0


def run(stage: Stage, folder: Path, packages: Path, *, once: bool) -> int:
    """Run the demo; returns the exit code.

    Args:
        stage: where it is told.
        folder: the demo's folder; cleared.
        packages: where Debian packages are kept.
        once: end after the story instead of living on.
    """
    told = False
    try:
        with end_on_signals(), own_folder(folder), _world() as world, running(folder) as processes:
            scene = _set_up(stage, folder, PackageStore(packages), world, processes)
            enroll(scene)
            first_check_ins(scene)
            mending(scene)
            attack(scene)
            theft(scene)
            booting(scene)
            updating(scene)
            succession(scene)
            ending(scene)
            told = True
            stage.end(
                f"Every step was seen through the public API, in {stage.seconds:.0f} s.",
                good=True,
                seconds=round(stage.seconds, 1),
            )
            if not once:
                _live_on(scene)
    except Ended:
        when = "" if told else " before the end of the story"
        stage.tell(Mark.NOTE, "", f"Ended{when}; every process and namespace of the demo is gone.")
        stage.tell(Mark.NOTE, "", f"What they wrote is in {_shown(folder)} until the next run, or make clean.")
        return FINE if told else INTERRUPTED
    except HoldfastError as error:
        stage.end(f"{error.sentence} [{error.code}] {error.remedy}", good=False, code=error.code)
        return FAILED
    return FINE


def _set_up(
    stage: Stage, folder: Path, store: PackageStore, world: Namespaces | NoNamespaces, processes: Processes
) -> Scene:
    """Build the trees while the control plane is made."""
    stage.title("Holdfast: a fleet of six on this machine", world.explanation)
    words = "making keys, database and first token (holdfast init, holdfast serve); building the devices' root trees."
    stage.tell(Mark.DO, "", words)
    missing = missing_tools()
    with ThreadPoolExecutor(max_workers=2) as pool:
        building = pool.submit(_build, folder, store)
        model = model_name(GATEWAY, port=None if world.isolated else 0)
        board = None if missing else pool.submit(Bench, GATEWAY.device, model, folder / "board", processes)
        plane = Plane(folder / "control-plane", world.server_address, processes)
        founded = plane.found()
        api = plane.serve(founded.token)
        _introduce(stage, plane, founded)
        building.result()
    stage.tell(Mark.SEEN, "", "four root trees built from real Debian packages; the plant's server is this machine.")
    fleet = Fleet(folder, world, plane.url, founded.root_fingerprint, processes)
    if board is not None:
        fleet.boards[GATEWAY.device] = board.result()
    if not world.isolated:
        stage.tell(
            Mark.NOTE,
            "",
            "Different without root: what listens cannot be told apart, so it is judged by what starts on a device, "
            "and the intruder leaves an account only.",
        )
    ca = founded.root_fingerprint
    workshop = Workshop(folder / "cameras", plane, api, ca, processes, model=MODEL)
    scene = Scene(stage, api, fleet, folder, verifier_key=founded.verifier_key, workshop=workshop)
    scene.missing = missing
    return scene


def _build(folder: Path, store: PackageStore) -> None:
    for member in CAST:
        build_tree(folder, member, store)


def _introduce(stage: Stage, plane: Plane, founded: Founded) -> None:
    stage.tell(
        Mark.SEEN,
        "control plane",
        f"devices call {plane.url}, people https://127.0.0.1:{plane.ports['operator']}/api/v1",
        device_url=plane.url,
        root=founded.root_fingerprint,
    )


def _live_on(scene: Scene) -> NoReturn:
    """Tell what changes until somebody ends it."""
    stage, data = scene.stage, _shown(scene.folder / "control-plane")
    stage.act(11, "The fleet lives on", "Ctrl-C ends it. Meanwhile, in another terminal:")
    for words in ("device list --worst", "device show door-2", "incident list", "log show"):
        stage.exact(f"{_shown(Path(program('holdfast')))} {words} --data {data}")
    stage.exact(f"{_shown(scene.fleet.root(HARDENED))} is the root of door-1: change it and watch.", label="try")
    before = _levels(scene)
    while True:
        time.sleep(LOOK_EVERY_S)
        after = _levels(scene)
        for device, (level, reason) in after.items():
            if before.get(device, ("", ""))[0] != level:
                stage.tell(Mark.FOUND, device, f"now, because: {reason}", level=level)
        before = after


def _shown(path: Path) -> Path:
    """`path` as one would type it here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _levels(scene: Scene) -> dict[str, tuple[str, str]]:
    items: list[Any] = scene.api.get("/devices")["items"]
    return {item["device"]: (item["level"], (item["reason"] or {}).get("sentence", "")) for item in items}


@contextmanager
def _world() -> Iterator[Namespaces | NoNamespaces]:
    world = open_world([*(member.device for member in CAST), INTRUDER])
    try:
        yield world
    finally:
        world.close()
