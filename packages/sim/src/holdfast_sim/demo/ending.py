"""Act 10: the fleet as it stands, and proof that the record of all this is whole."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from holdfast_core.kernel.errors import WorldError
from holdfast_core.record.export import parse_header
from holdfast_sim.demo.cast import CARELESS, CAST, GATEWAY, HARDENED, PUMP, SENSOR, Member
from holdfast_sim.demo.opening import late
from holdfast_sim.demo.plane import program
from holdfast_sim.demo.scene import QUARANTINED, RESTRICTED, TRUSTED, Scene, percent
from holdfast_sim.demo.stage import Mark
from holdfast_sim.demo.watching import NotObserved

VERIFY_SECONDS = 180
_QUESTIONS = ("integrity", "update")


def ending(scene: Scene) -> None:
    """Show the table, and verify the record. Raises `NotObserved`, WorldError."""
    late(scene)
    scene.stage.act(10, "The fleet, and the record")
    _expected(scene)
    pages = {member.device: scene.device(member) for member in CAST}
    _table(scene, pages)
    _answers(scene, pages)
    _record(scene)


def _expected(scene: Scene) -> None:
    """The story ends as it should; the plant's server is this machine, which is as it is."""
    allowed = {
        HARDENED: {TRUSTED},
        GATEWAY: {TRUSTED},
        SENSOR: {TRUSTED},
        PUMP: {TRUSTED, RESTRICTED},
        CARELESS: {QUARANTINED, RESTRICTED},
    }
    for member, levels in allowed.items():
        # Waited for: on a busy machine a device may just have missed a check-in.
        scene.wait(
            member,
            f"{member.device} to end {' or '.join(sorted(levels))}",
            _among(levels),
        )


def _among(levels: set[str]) -> Callable[[Any], Any | None]:
    return lambda page: page if page["level"] in levels else None


def _table(scene: Scene, pages: dict[str, Any]) -> None:
    rows, data = [], []
    for member in CAST:
        page, report = pages[member.device], scene.report(member)
        kind = scene.api.get(f"/models/{page['model']}")["class"]
        coverage = percent(report["coverage"]) if report else "-"
        why = _why(member, page)
        rows.append((member.device, kind, page["model"].partition("@")[0], page["level"], coverage, why))
        data.append(
            {
                "device": member.device,
                "class": kind,
                "model": page["model"],
                "verdict": page["level"],
                "coverage": report["coverage"] if report else None,
                "why": why,
            }
        )
    scene.stage.table("fleet", ("DEVICE", "CLASS", "MODEL", "VERDICT", "COVERAGE", "WHY"), rows, data)


def _why(member: Member, page: Any) -> str:
    if page["level"] == TRUSTED and member == SENSOR:
        return "Its build manifest meets every control that is asked of it."
    reason = page["reason"]
    return f"{reason['sentence'].partition('. ')[0].rstrip('.')}." if reason else ""


def _answers(scene: Scene, pages: dict[str, Any]) -> None:
    """The two questions that every model answers first."""
    rows, data = [], []
    for model in dict.fromkeys(pages[member.device]["model"] for member in CAST):
        page = next(page for page in pages.values() if page["model"] == model)
        answers = {entry["question"]: entry for entry in page["answers"]}
        says = [answers[question]["says"] for question in _QUESTIONS]
        lacks = [lack for question in _QUESTIONS for lack in answers[question]["lacking"]]
        stands = [f"{s['what']} until {s['until']}" for q in _QUESTIONS for s in answers[q]["stands_in"]]
        words = f"Lacks {', '.join(lacks)}." if lacks else "Nothing is lacking."
        if stands:
            words += f" In its stead: {'; '.join(dict.fromkeys(stands))}."
        rows.append((model.partition("@")[0], *says, words))
        data.append({"model": model, **dict(zip(_QUESTIONS, says, strict=True)), "why": words})
    head = ("MODEL", "PROVES INTEGRITY", "UPDATES SAFELY", "WHAT IS LACKING")
    scene.stage.table("questions", head, rows, data)


def _record(scene: Scene) -> None:
    """Export the record through the API; verify it with another program, against what devices hold."""
    stage = scene.stage
    held = _held(scene)
    exported = scene.folder / "record.jsonl"
    exported.write_bytes(scene.api.raw("/log/export"))
    report = _verify(scene, exported, list(held.values()))
    stage.tell(
        Mark.SEEN,
        "record",
        f"verified by 'holdfast log verify': {report['leaves']} entries,"
        f" against the checkpoints that {', '.join(held)} hold.",
        leaves=report["leaves"],
        pins=list(held),
    )
    for line in parse_header(exported.read_bytes().split(b"\n", 1)[0] + b"\n").checkpoint.rstrip().splitlines():
        if line:
            stage.exact(line, label="checkpoint" if line.endswith("/holdfast") else "")


def _held(scene: Scene) -> dict[str, Path]:
    """The newest checkpoint that each device has seen, each in a file of its own."""
    texts = {"soil-1": scene.fleet.checkpoint().decode()}
    texts |= {m.device: scene.fleet.status(m)["checkpoint"] for m in CAST if m.has_agent}
    held = {device: scene.folder / f"checkpoint-held-by-{device}" for device, text in texts.items() if text}
    for device, path in held.items():
        path.write_text(texts[device])
    return held


def _verify(scene: Scene, exported: Path, held: list[Path]) -> Any:
    pins = [word for path in held for word in ("--pin", str(path))]
    words = [program("holdfast"), "log", "verify", str(exported), *pins, "--key", scene.verifier_key]
    done = subprocess.run(  # noqa: S603  (our own program and words)
        [*words, "--json"], capture_output=True, check=False, timeout=VERIFY_SECONDS, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        raise WorldError(
            "demo.record",
            f"The record did not verify (exit {done.returncode}): {done.stderr.decode(errors='replace').strip()}",
            remedy=f"Run: {' '.join(words)}",
        )
    report = msgspec.json.decode(done.stdout)
    if report["pins_checked"] != len(held):
        raise NotObserved("the record to be compared with every pin", str(report), str(exported), 0)
    return report
