"""Acts 1 and 2: the devices enroll, check in, and are judged."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from holdfast_sim.demo.cast import CARELESS, CAST, PUMP, SENSOR, SERVER, Member, model_for
from holdfast_sim.demo.expecting import asked_of, expect
from holdfast_sim.demo.scene import TRUSTED, Scene, met, worst_first
from holdfast_sim.demo.stage import Mark
from holdfast_sim.demo.watching import PATIENCE_S, NotObserved, wait_for

WHOLE_MACHINE_S = 12.0
"""How long the end of the story waits until a machine with many files has looked at all of them."""
_NOT_YET = "The device reported nothing for it."
SHOWN = 3
"""Findings that are told at length."""


def enroll(scene: Scene) -> None:
    """Add the devices, give each a claim, and let them enroll. Raises WorldError."""
    stage, api, fleet = scene.stage, scene.api, scene.fleet
    stage.act(
        1,
        "Six devices enroll",
        "Each gets a claim that works once, for its own name, and makes a key that never leaves it.",
    )
    models = {
        member.device: model_for(member, api, port=fleet.own_port(member), attests=asked_of(scene, member))
        for member in CAST
    }
    running = []
    for member in CAST:
        body = {"device": member.device, "model": models[member.device], "owner": "plant engineering"}
        api.post("/devices", {**body, "site": "demo-plant", "zone": member.zone})
        fleet.serve(member)
        if asked_of(scene, member) is not None:
            expect(scene, member)
        running.append((member, fleet.enroll(member, scene.claim(member))))
    for member, process in running:
        fleet.enrolled(member, process)
        page = scene.wait(member, f"{member.device} to have a certificate", lambda p: p if p["credentials"] else None)
        fingerprint = page["credentials"][0]["fingerprint"]
        fleet.run(member)
        stage.tell(
            Mark.SEEN,
            member.device,
            f"enrolled: {member.role}. Certificate {fingerprint[7:19]}…",
            model=page["model"],
            fingerprint=fingerprint,
        )
    _spent_claim(scene)


def _spent_claim(scene: Scene) -> None:
    size = scene.api.get("/log/checkpoint")["size"]
    scene.stage.more(f"Six claims are spent, and {size} entries stand in the record already.", size=size)


def first_check_ins(scene: Scene) -> None:
    """Tell every device's first verdict as it comes. Raises `NotObserved`."""
    scene.stage.act(
        2,
        "First check-ins: what was found, and what follows",
        "Each device gets the plan that fits its class and its constraints, looks at itself, and sends what it found.",
    )
    waiting = [member for member in CAST if member != SERVER]

    def look() -> Member | None:
        for member in waiting:
            if judged(scene, member):
                return member
        return None

    while waiting:
        member = wait_for(
            f"a first verdict on the evidence of {waiting[0].device}",
            look,
            lambda: scene.seen(waiting[0]),
            log=scene.fleet.log(waiting[0]),
        )
        waiting.remove(member)
        _tell(scene, member)
    scene.told_late = not judged(scene, SERVER)
    if scene.told_late:
        words = "still reading every file of this machine; its verdict comes before the end."
        scene.stage.tell(Mark.NOTE, SERVER.device, words)
        return
    _tell(scene, SERVER)


def late(scene: Scene) -> None:
    """Tell the verdict of the machine itself, if it was not told yet. Raises `NotObserved`."""
    if scene.told_late:
        if not judged(scene, SERVER):
            scene.stage.tell(Mark.NOTE, SERVER.device, "still reading; the end of the story waits a little for it.")
        with suppress(NotObserved):
            _wait_for_server(scene, judged, WHOLE_MACHINE_S)
        _wait_for_server(scene, appraised, PATIENCE_S)
        _tell(scene, SERVER)


def _wait_for_server(scene: Scene, seen: Callable[[Scene, Member], bool], patience_s: float) -> None:
    wait_for(
        f"a first verdict on the evidence of {SERVER.device}",
        lambda: seen(scene, SERVER) or None,
        lambda: scene.seen(SERVER),
        log=scene.fleet.log(SERVER),
        patience_s=patience_s,
    )


def appraised(scene: Scene, member: Member) -> bool:
    """Whether a device's verdict rests on an audit and on its health."""
    page = scene.device(member)
    read = {entry["feature"] for entry in page["appraisals"] if entry["tier"] != "none"}
    return {"baseline", "health"} <= read


def judged(scene: Scene, member: Member) -> bool:
    """The same, and everything was looked at: what is cheap is told first, what is costly when all of it is done."""
    return appraised(scene, member) and not _to_come(scene.report(member))


def _to_come(report: Any | None) -> int:
    """How many controls the device has still to look at."""
    return sum(entry["reason"].startswith(_NOT_YET) for entry in report["judged"]) if report else 1


def _tell(scene: Scene, member: Member) -> None:
    page, report = scene.device(member), scene.report(member)
    if report is None:
        raise NotObserved(f"the report of {member.device}", "none", str(scene.fleet.log(member)), 0)
    failed = worst_first(report["judged"])
    undecided = sum(entry["outcome"] == "unknown" for entry in report["judged"])
    scene.verdict(member, page, f": {met(report)}, {undecided} undecided, {_failures(failed)}.", met=met(report))
    if member == SENSOR:
        scene.stage.more(
            "It runs no agent: it spoke the protocol itself and is judged by its build manifest and a PSA token."
        )
    if member == PUMP:
        _compensated(scene, report)
    if member == SERVER:
        _still_to_come(scene, report)
    if member == CARELESS:
        _expect(scene, member, failed)
        for entry in failed[:SHOWN]:
            _finding(scene, entry)
    elif page["level"] != TRUSTED:
        reasons = [reason for reason in page["verdict"]["reasons"] if _NOT_YET not in reason["sentence"]]
        for reason in reasons[:SHOWN]:
            scene.stage.more(reason["sentence"], label="because", code=reason["code"])


def _still_to_come(scene: Scene, report: Any) -> None:
    """Say so when it is still reading its files."""
    if count := _to_come(report):
        scene.stage.more(f"{count} costly controls are still being looked at; until then they count as undecided.")


def _failures(failed: list[Any]) -> str:
    if not failed:
        return "nothing failed"
    counts: dict[str, int] = {}
    for entry in failed:
        counts[entry["severity"]] = counts.get(entry["severity"], 0) + 1
    return f"{len(failed)} failed: " + ", ".join(f"{count} {severity}" for severity, count in counts.items())


def _finding(scene: Scene, entry: Any) -> None:
    seen = f" Seen: {entry['proof'][0]}." if entry["proof"] else ""
    scene.stage.more(
        f"{entry['reason']}{seen}", label=f"{entry['severity']} {entry['control']}", control=entry["control"]
    )
    scene.stage.more(entry["remedy"], label="→ fix", control=entry["control"])


def _compensated(scene: Scene, report: Any) -> None:
    """Name what stands in for what the pump cannot bear."""
    on_terms = [entry for entry in report["judged"] if entry["outcome"] == "compensated"]
    if not on_terms and scene.fleet.world.isolated:
        raise NotObserved("compensated controls of the pump", "none", str(scene.fleet.log(PUMP)), PATIENCE_S)
    for entry in on_terms[:SHOWN]:
        scene.stage.more(f"{entry['title']}. {entry['reason']}", label=f"compensated {entry['control']}")
    if more := on_terms[SHOWN:]:
        scene.stage.more(", ".join(entry["control"] for entry in more), label="compensated as well")


def _expect(scene: Scene, member: Member, failed: list[Any]) -> None:
    if not any(entry["severity"] == "critical" for entry in failed):
        raise NotObserved(f"critical findings on {member.device}", "none", str(scene.fleet.log(member)), 0)
