"""Act 9: the authority is followed by another while the fleet goes on: A, then A and B, then B."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from holdfast_sim.demo.cast import CAST, SERVER
from holdfast_sim.demo.scene import Scene
from holdfast_sim.demo.stage import Mark
from holdfast_sim.demo.updating import CAMERAS
from holdfast_sim.demo.watching import wait_for

_CALLING = tuple(member for member in CAST if member is not SERVER)
"""Who calls every few seconds; the plant's server calls too seldom for a demo, and comes back by grace."""


def succession(scene: Scene) -> None:
    """Roll the issuer over, watch the devices renew by themselves, end the old one. Raises `NotObserved`."""
    stage, api = scene.stage, scene.api
    stage.act(
        9,
        "The authority is followed by another",
        "Twenty years outlive every key. Relying parties learn the next issuer first, devices move over by themselves.",
    )
    before = {member.device: _certificate(scene.device(member)) for member in _CALLING}
    api.post("/authority/rollover", {"step": "begin"})
    stage.tell(Mark.DO, "operator", "makes the next issuer; nothing is certified by it yet.")
    page = api.post("/authority/rollover", {"step": "switch"})
    stage.tell(
        Mark.DO,
        "operator",
        f"lets it certify. {page['laggard_count']} devices have certificates of the old one, and may keep using them.",
        laggards=page["laggard_count"],
    )
    names = {member.device for member in _CALLING} | set(CAMERAS)
    wait_for(
        "the devices to renew by themselves",
        lambda: True if not names & set(api.get("/authority")["laggards"]) else None,
        lambda: f"still on the old issuer: {', '.join(sorted(names & set(api.get('/authority')['laggards'])))}",
        log=scene.fleet.log(_CALLING[0]),
    )
    for member in _CALLING:
        page = scene.wait(member, f"{member.device} to speak with its new certificate", _other(before[member.device]))
        words = f"renewed on a new key: {before[member.device][7:19]}… is followed by {_certificate(page)[7:19]}…"
        stage.tell(Mark.SEEN, member.device, words)
    ended = api.post("/authority/rollover", {"step": "end", "force": True})
    standings = ", ".join(f"{issuer['number']} {issuer['standing']}" for issuer in ended["issuers"])
    stage.tell(Mark.SEEN, "operator", f"ends the old one; nobody was refused. Issuers: {standings}.", issuers=standings)


def _other(before: str) -> Callable[[Any], Any | None]:
    return lambda page: page if _certificate(page) != before else None


def _certificate(page: Any) -> str:
    """The fingerprint of the oldest credential in force: of two, the newer one was not used yet."""
    return next((str(c["fingerprint"]) for c in page["credentials"] if c["revoked_at"] is None), "")
