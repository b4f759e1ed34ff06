"""Act 7: what the gateway booted. It is released before it boots, proved at every check-in, and wrong three times.

1. What is told of a boot is what the server made of the evidence; only the boot chain's refusal is the board's word.
2. Where a program is missing that makes chips or releases here, nothing is asked of the gateway, and the act says so.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from holdfast_core.formats.eventlog.banks import SHA256
from holdfast_core.formats.eventlog.log import parse_event_log
from holdfast_core.formats.eventlog.replay import replay
from holdfast_sim.board import PACKAGES
from holdfast_sim.boot.artefacts import FIT
from holdfast_sim.demo.bench import NEW, OLD, Bench
from holdfast_sim.demo.cast import GATEWAY, SENSOR, Member, model_name
from holdfast_sim.demo.relay import Relay
from holdfast_sim.demo.scene import QUARANTINED, TRUSTED, Scene
from holdfast_sim.demo.stage import Mark
from holdfast_sim.reference import REGISTERS

AFFIRMING, CONTRAINDICATED = "affirming", "contraindicated"
SHOWN = 2
"""Differences that are told at length."""
_SHORT = 8
_CAUSE = "attestation"
_CLAIMS = {
    "instance-identity": (2, "its own chip"),
    "configuration": (2, "Secure Boot on"),
    "executables": (3, "every stage of that release"),
    "hardware": (2, "the parts it was built with"),
}
"""What of the trustworthiness vector is told where it is good, and the words; any other value is told as its number."""


def booting(scene: Scene) -> None:
    """Boot what is right, and what is not. Raises `NotObserved`, WorldError."""
    stage, gateway = scene.stage, GATEWAY
    stage.act(
        7,
        f"What {gateway.device} booted",
        "Its TPM signs what every stage measured before it started the next. The values of each release were computed "
        "from its files and signed, before any device had it.",
    )
    _token(scene)
    bench = scene.fleet.boards.get(gateway.device)
    if bench is None:
        missing = ", ".join(scene.missing)
        words = f"skipped: {missing} is not installed here. For this act: apt-get install {PACKAGES}"
        stage.tell(Mark.NOTE, gateway.device, words, skipped=list(scene.missing))
        return
    with ThreadPoolExecutor(max_workers=1) as pool:
        # Its keys take a while, which the waiting for the gateway hides.
        relay = pool.submit(Relay, scene.folder / "twin", bench.new, scene.fleet.processes)
        _good(scene, bench)
        _tampered(scene, bench)
        _rolled_back(scene, bench)
        _moved(scene, bench, relay.result())


def _token(scene: Scene) -> None:
    """The sensor's security processor says it with a token."""
    page = _wait_for(scene, AFFIRMING, f"{SENSOR.device} to prove what it booted", member=SENSOR)
    words = f"proved by a token of its security processor that it booted {page['release']}: {page['tier']}."
    scene.stage.tell(Mark.SEEN, SENSOR.device, words, release=page["release"])


def _good(scene: Scene, bench: Bench) -> None:
    stage, name = scene.stage, GATEWAY.device
    page = _wait_for(scene, AFFIRMING, f"{name} to prove what it booted")
    bench.board.machine.confirm()
    old = _release_name(scene, OLD)
    scene.api.post(f"/releases/{old}/retire", {"at": "2026-01-01T00:00:00Z", "why": f"{NEW} is confirmed everywhere"})
    values = replay(parse_event_log(scene.api.raw(f"/devices/{name}/attestation/log")), SHA256)
    told = " ".join(f"{register}:{values[register].hex()[:_SHORT]}" for register in REGISTERS)
    words = f"proved that it booted {page['release']}: {page['tier']} ({_vector(page)})."
    stage.tell(Mark.SEEN, name, words, attested=page["tier"], release=page["release"], vector=page["vector"])
    stage.more(told, label="signed registers", registers=list(REGISTERS))


def _tampered(scene: Scene, bench: Bench) -> None:
    stage, name = scene.stage, GATEWAY.device
    flash = bench.board.machine.flash
    image = bytearray(flash[FIT])
    image[len(image) // 4] ^= 1
    flash[FIT] = bytes(image)
    stage.tell(Mark.ATTACK, name, "an intruder writes another kernel into its flash and restarts it.")
    report = _restart(scene, bench)
    failure = report.failures[0]
    words = f"its boot chain stops after {failure.stage} ({failure.code}) and starts the recovery image instead."
    stage.tell(Mark.FOUND, name, words, code=failure.code, state=report.state)
    _doubted(scene, "attestation.unrecognized_boot", "and in recovery: it proved that what it booted is of no release.")
    _explained(scene)
    _put_right(scene, bench)


def _rolled_back(scene: Scene, bench: Bench) -> None:
    stage, name = scene.stage, GATEWAY.device
    bench.put_back(bench.old)
    stage.tell(Mark.ATTACK, name, f"the intruder writes {OLD}, a genuine release of its maker with holes known since.")
    failure = _restart(scene, bench, agent=False).failures[0]
    stage.tell(Mark.FOUND, name, f"its boot chain refuses that too: {failure.sentence}", code=failure.code)
    bench.board.machine.nv.floors.clear()
    stage.tell(Mark.ATTACK, name, f"so the intruder clears the memory that counts versions, and {OLD} boots.")
    _restart(scene, bench)
    _doubted(scene, "attestation.release_superseded")
    _put_right(scene, bench)


def _moved(scene: Scene, bench: Bench, relay: Relay) -> None:
    """The disk in another machine; then another machine's chip for this one's."""
    stage, fleet, name = scene.stage, scene.fleet, GATEWAY.device
    said = relay.try_the_disk(fleet.state(GATEWAY))
    words = f"its disk is copied into another machine. The agent there cannot even call: {said}"
    stage.tell(Mark.ATTACK, name, words)
    fleet.stop(GATEWAY)
    fleet.run(GATEWAY, env=relay.environment(fleet.state(GATEWAY)))
    stage.tell(
        Mark.ATTACK, name, f"the intruder runs what he likes on {name}, and lets a clean twin's TPM vouch for it."
    )
    _doubted(scene, "attestation.signature")
    incident = scene.wait_for_incident(GATEWAY, _CAUSE, is_open=True)
    told = f"incident {incident['id']}: {incident['title']}."
    stage.tell(Mark.FOUND, name, told, level=incident["severity"], incident=incident["id"])
    _put_right(scene, bench)
    scene.api.post(f"/incidents/{incident['id']}/close", {"why": "the program in front of its TPM is gone"})


def _restart(scene: Scene, bench: Bench, *, agent: bool = True) -> Any:
    """Off and on again; the agent runs whatever was booted."""
    scene.fleet.stop(GATEWAY)
    report = bench.switch_on()
    if agent:
        scene.fleet.run(GATEWAY)
    return report


def _doubted(scene: Scene, code: str, why: str = "") -> None:
    """Wait until the evidence is held against the gateway and its verdict has followed; tell why, or the reason."""
    page = _wait_for(scene, CONTRAINDICATED, f"{code} of {GATEWAY.device}", code)
    reason = next(reason for reason in page["reasons"] if reason["code"] == code)
    device = scene.wait_for_level(GATEWAY, QUARANTINED)
    scene.verdict(GATEWAY, device, why or f": {reason['sentence']}", attested=page["tier"], code=code)


def _explained(scene: Scene) -> None:
    """The difference in words, as ``holdfast reference explain`` prints it."""
    told = scene.api.get(f"/devices/{GATEWAY.device}/attestation/explain")
    for each in told["differences"][:SHOWN]:
        scene.stage.more(each["sentence"], label=f"explained, register {each['pcr']}", pcr=each["pcr"])


def _put_right(scene: Scene, bench: Bench) -> None:
    bench.put_back(bench.new)
    _restart(scene, bench)
    bench.board.machine.confirm()
    page = _wait_for(scene, AFFIRMING, f"{GATEWAY.device} to prove what it booted")
    scene.verdict(
        GATEWAY,
        scene.wait_for_level(GATEWAY, TRUSTED),
        f"again: {page['release']} was written anew, booted and proved.",
        attested=page["tier"],
    )


def _wait_for(scene: Scene, tier: str, what: str, code: str = "", *, member: Member = GATEWAY) -> Any:
    def look(_page: Any) -> Any | None:
        page = scene.api.get(f"/devices/{member.device}/attestation")
        codes = {reason["code"] for reason in page["reasons"]}
        return page if page["tier"] == tier and (not code or code in codes) else None

    return scene.wait(member, what, look)


def _release_name(scene: Scene, version: str) -> str:
    return f"{model_name(GATEWAY, port=scene.fleet.own_port(GATEWAY))}:{version}"


def _vector(page: Any) -> str:
    told = ((name, page["vector"][name], *good) for name, good in _CLAIMS.items())
    return ", ".join(words if value == best else f"{name} {value}" for name, value, best, words in told)
