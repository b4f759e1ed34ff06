"""What the control plane is told before a device that proves its boot calls: its releases, and whose key it has.

1. The gateway has a board with a TPM, where this machine can have one; the sensor's chip signs tokens.
"""

from __future__ import annotations

import time
from typing import Any

from holdfast_core.kernel.instants import Instant
from holdfast_sim import psa
from holdfast_sim.demo.bench import Bench
from holdfast_sim.demo.cast import SENSOR, Member, model_name
from holdfast_sim.demo.scene import Scene
from holdfast_sim.mcu import BUILD, RELEASE
from holdfast_sim.reference import ENVELOPE_TYPE, Builder


def asked_of(scene: Scene, member: Member) -> dict[str, Any] | None:
    """What the model of `member` demands of its evidence; `None` where it has none to give."""
    if member == SENSOR:
        return {"lifecycle": ["secured"]}
    bench = scene.fleet.boards.get(member.device)
    return bench.asked if bench is not None else None


def expect(scene: Scene, member: Member) -> None:
    """Add the releases of `member` and the key that speaks for it; a board is switched on. Raises WorldError."""
    bench = scene.fleet.boards.get(member.device)
    if bench is None:
        now = Instant(time.time_ns() // 1_000_000)
        model = model_name(member, port=scene.fleet.own_port(member))
        builder = Builder()
        said = builder.envelope(psa.statement(model, RELEASE, 3, BUILD, now))
        _add(scene, member, builder, said)
        _name_key(scene, member)
        return
    _add(scene, member, bench.builder, *bench.envelopes)
    _pin_chip(scene, member, bench)


def _add(scene: Scene, member: Member, builder: Builder, *envelopes: bytes) -> None:
    scene.api.post("/release-keys", {"name": f"{member.device}-builder", "key": builder.public})
    for envelope in envelopes:
        scene.api.post("/releases", envelope, kind=ENVELOPE_TYPE)


def _name_key(scene: Scene, member: Member) -> None:
    """The maker of the chip lists its public key."""
    state = scene.fleet.state(member)
    state.mkdir(mode=0o700, parents=True)
    scene.api.post(f"/devices/{member.device}/attestation/key", {"key": psa.make_key(state)})


def _pin_chip(scene: Scene, member: Member, bench: Bench) -> None:
    bench.switch_on()
    scene.api.post("/tpm/chips", {"device": member.device, "digest": bench.endorsement()})
