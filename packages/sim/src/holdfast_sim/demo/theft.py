"""Acts 5 and 6: a stolen certificate, used, noticed and revoked; and a device that falls silent."""

from __future__ import annotations

import subprocess
import time
from typing import Any

import msgspec

from holdfast_sim.demo.cast import GATEWAY, HARDENED
from holdfast_sim.demo.scene import QUARANTINED, RESTRICTED, TRUSTED, Scene, codes
from holdfast_sim.demo.stage import Mark
from holdfast_sim.demo.watching import PATIENCE_S, NotObserved
from holdfast_sim.intruder import Outcome

_SILENT = "checkin.silent"
_REFUSED, _CONFLICT = 403, 409


def theft(scene: Scene) -> None:
    """Use a copy of the camera's identity, see it noticed, revoke it, enroll the camera anew. Raises `NotObserved`."""
    stage, camera = scene.stage, HARDENED
    stage.act(
        5,
        f"The certificate of {camera.device} is stolen",
        "Key and certificate are copied to another machine. Cryptography cannot tell the two apart; counting can.",
    )
    scene.wait_for_level(camera, TRUSTED)
    # Stopped here and looked at in act 6: silence takes its time.
    scene.fleet.stop(GATEWAY)
    stopped = time.monotonic()
    thief = scene.fleet.steal(camera)
    first = _attempt(scene, thief, 1)
    stage.tell(Mark.ATTACK, "intruder", f"checks in as the camera, from {_place(scene)}.")
    _require(scene, first, _CONFLICT, "identity.clone")
    words = f"refused with {first.status} {first.code}. {first.sentence}"
    stage.tell(Mark.SEEN, "intruder", words, status=first.status)
    incident = scene.wait_for_incident(camera, "clone", is_open=True)
    page = scene.wait_for_level(camera, QUARANTINED)
    scene.verdict(camera, page, f"until a person decides; incident {incident['id']}: {incident['title']}.")
    _revoke(scene, thief)
    _enroll_again(scene, incident["id"])
    _silence(scene, stopped)


def _place(scene: Scene) -> str:
    return "a process and a network of its own" if scene.fleet.world.isolated else "a process of its own"


def _revoke(scene: Scene, thief: subprocess.Popen[bytes]) -> None:
    ended = scene.api.post(f"/devices/{HARDENED.device}/revoke", {"why": "stolen; seen in use twice"})["ended"]
    scene.stage.tell(Mark.DO, HARDENED.device, f"the operator revokes its certificate ({ended} ended).")
    second = _attempt(scene, thief, 2)
    _require(scene, second, _REFUSED, "identity.revoked")
    if not second.cut_off:
        raise NotObserved("the thief's open connection to be ended", "it stayed", str(scene.fleet.thief_log()), 0)
    words = f"its open connection is ended; on a new one it is refused with {second.status} {second.code}."
    scene.stage.tell(Mark.SEEN, "intruder", words, status=second.status)
    scene.fleet.end_thief()


def _enroll_again(scene: Scene, incident: str) -> None:
    stage, fleet, camera = scene.stage, scene.fleet, HARDENED
    fleet.stop(camera)
    fleet.enrolled(camera, fleet.enroll(camera, scene.claim(camera)))
    fleet.run(camera)
    stage.tell(Mark.DO, camera.device, "the real camera enrolls again with a new claim and a new key.")
    scene.api.post(f"/devices/{camera.device}/release", {"why": "new key; the stolen one is revoked"})
    closed = scene.wait_for_incident(camera, "clone", is_open=False, name=incident)
    stage.tell(Mark.SEEN, camera.device, f"released; incident {incident} closed: {closed['closed_why']}.")
    page = scene.wait_for_level(camera, TRUSTED)
    scene.verdict(camera, page, f"again, with certificate {_certificate(page)[7:19]}….")


def _silence(scene: Scene, stopped: float) -> None:
    stage, gateway = scene.stage, GATEWAY
    stage.act(
        6, f"{gateway.device} falls silent", "Its agent was stopped when the thief arrived. Nobody has looked since."
    )

    def look(page: Any) -> Any | None:
        return page if page["level"] == RESTRICTED and _SILENT in codes(page) else None

    page = scene.wait(gateway, f"{gateway.device} to fall because it is silent", look)
    reason = next(r for r in page["verdict"]["reasons"] if r["code"] == _SILENT)
    scene.verdict(gateway, page, f"by itself: {reason['sentence']} (stopped {time.monotonic() - stopped:.0f} s ago)")
    scene.fleet.run(gateway)
    stage.tell(Mark.DO, gateway.device, "its agent is started again.")
    page = scene.wait_for_level(gateway, TRUSTED, without=_SILENT)
    scene.verdict(gateway, page, "again.")


def _certificate(page: Any) -> str:
    return next(str(c["fingerprint"]) for c in page["credentials"] if c["revoked_at"] is None)


def _attempt(scene: Scene, thief: subprocess.Popen[bytes], seq: int) -> Outcome:
    """Let the thief check in with a number; what came of it. Raises `NotObserved`."""
    line = b""
    try:
        if thief.stdin is not None and thief.stdout is not None:
            thief.stdin.write(f"{seq}\n".encode())
            thief.stdin.flush()
            line = thief.stdout.readline()
        return msgspec.json.decode(line, type=Outcome)
    except (OSError, msgspec.MsgspecError) as error:
        said = f"{line[:80]!r}, {error}"
        raise NotObserved(
            "the thief's check-in to be answered", said, str(scene.fleet.thief_log()), PATIENCE_S
        ) from error


def _require(scene: Scene, outcome: Outcome, status: int, code: str) -> None:
    if outcome.status != status or not outcome.code.startswith(code):
        said = f"{outcome.status} {outcome.code} {outcome.sentence}"
        raise NotObserved(f"the thief to be refused with {status} {code}", said, str(scene.fleet.thief_log()), 0)
