"""Act 4: somebody gets into the hardened camera, is found, and is thrown out; the camera streams on."""

from __future__ import annotations

from typing import Any

from holdfast_core.kernel.digests import digest_of
from holdfast_sim.demo.cast import HARDENED
from holdfast_sim.demo.scene import QUARANTINED, TRUSTED, Scene
from holdfast_sim.demo.stage import Mark
from holdfast_sim.demo.watching import NotObserved
from holdfast_sim.roots import plant_backdoor, remove_backdoor

PORT = 31_337
ACCOUNT = "support"
"""The account that `plant_backdoor` adds."""
_PROFILE = "network-profile"
_QUARANTINE = digest_of(b'{"profile":"quarantine"}')


def attack(scene: Scene) -> None:
    """Plant, observe, repair, observe. Raises `NotObserved`, WorldError."""
    stage, camera = scene.stage, HARDENED
    stage.act(4, f"An intruder on {camera.device}", "The best camera of the fleet is broken into, while it streams.")
    scene.wait_for_level(camera, TRUSTED)
    before = _streaming(scene)
    stage.tell(Mark.SEEN, camera.device, f"its stream answers: frame {before}.", frame=before)
    proofs = _plant(scene)
    page = scene.wait(camera, f"{camera.device} to be quarantined for {' and '.join(proofs)}", _shows(scene, proofs))
    scene.verdict(camera, page, "since the next check-in, because:")
    for entry in scene.failures(camera):
        if any(proof in text for proof in proofs for text in entry["proof"]):
            seen = next(text for text in entry["proof"] if any(proof in text for proof in proofs))
            stage.more(f"{entry['reason']} Seen: {seen}.", label=f"{entry['severity']} {entry['control']}")
    incident = scene.wait_for_incident(camera, "verdict", is_open=True)
    stage.tell(
        Mark.FOUND, camera.device, f"incident {incident['id']}: {incident['title']}.", level=incident["severity"],
        incident=incident["id"],
    )  # fmt: skip
    _contained(scene)
    after = _streaming(scene, since=before)
    stage.tell(Mark.SEEN, camera.device, f"its essential function went on: frame {after}.", frame=after)
    _repair(scene, incident["id"])


def _plant(scene: Scene) -> list[str]:
    """Plant what an intruder would; returns what must show up in the proofs."""
    planted = [ACCOUNT]
    if scene.fleet.world.isolated:
        scene.fleet.open_port(HARDENED, PORT)
        planted.append(str(PORT))
    plant_backdoor(scene.fleet.root(HARDENED))
    what = f"a second account with uid 0 ({ACCOUNT!r})"
    if scene.fleet.world.isolated:
        what += f" and a program that listens on port {PORT}"
    scene.stage.tell(Mark.ATTACK, HARDENED.device, f"the intruder leaves {what}.")
    return planted


def _shows(scene: Scene, proofs: list[str]) -> Any:
    def look(page: Any) -> Any | None:
        if page["level"] != QUARANTINED:
            return None
        texts = [text for entry in scene.failures(HARDENED) for text in entry["proof"]]
        return page if all(any(proof in text for text in texts) for proof in proofs) else None

    return look


def _contained(scene: Scene) -> None:
    """The desired state changed: the network profile that keeps only the essential function's flows is ordered."""

    def look(page: Any) -> str | None:
        desired = page["desired"]
        if any(e["kind"] == _PROFILE and e["args"] == {"profile": "quarantine"} for e in desired["open"]):
            return "ordered"
        for entry in desired["settled"]:
            if entry["kind"] == _PROFILE and entry["digest"] == _QUARANTINE:
                return f"{entry['state']} by the device, {entry['code']}" if entry["code"] else str(entry["state"])
        return None

    became = scene.wait(HARDENED, f"a quarantine network profile for {HARDENED.device}", look)
    words = f"desired state: network profile 'quarantine', nothing but the essential function ({became})."
    scene.stage.tell(Mark.FOUND, HARDENED.device, words, became=became)


def _streaming(scene: Scene, *, since: int = -1) -> int:
    answer = scene.fleet.ask(HARDENED)
    if answer is None or answer[1] <= since:
        said = "no answer" if answer is None else f"frame {answer[1]}, as before"
        raise NotObserved(f"the stream of {HARDENED.device} to go on", said, str(scene.fleet.log(HARDENED)), 0)
    return answer[1]


def _repair(scene: Scene, incident: str) -> None:
    stage, fleet, camera = scene.stage, scene.fleet, HARDENED
    if fleet.world.isolated:
        fleet.close_port(camera)
    remove_backdoor(fleet.root(camera))
    gone = "the account and the listener are gone" if fleet.world.isolated else "the account is gone"
    stage.tell(Mark.DO, camera.device, f"repaired: {gone}.")
    page = scene.wait_for_level(camera, TRUSTED)
    scene.verdict(camera, page, "again, by its own evidence; nobody had to press a button.")
    closed = scene.wait_for_incident(camera, "verdict", is_open=False, name=incident)
    stage.tell(Mark.SEEN, camera.device, f"incident {incident} closed: {closed['closed_why']}.")
