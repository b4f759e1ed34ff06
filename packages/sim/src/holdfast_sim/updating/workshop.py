"""Where the cameras come from: their model, their releases, the keys of those who sign, and the cameras themselves.

1. Everything is done as its makers and operators do it, by Holdfast's own commands and the public API.
2. Cameras run as processes of this machine, one each, and have what they are in a folder of their own.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.instants import Instant
from holdfast_sim.demo.api import Api
from holdfast_sim.demo.plane import Plane, program
from holdfast_sim.demo.processes import Processes
from holdfast_sim.reference import ENVELOPE_TYPE, Builder
from holdfast_sim.updating.camera import CLAIM, WORN, Board, make
from holdfast_sim.updating.release import Behaviour, image_of, stated
from holdfast_sim.updating.streaming import FRAME

HARDWARE = "camera-rev2"
EXAMPLE = "door-camera@1.0.0"
FRESH_S = 3
"""Seconds after which a frame is old."""
PEOPLE, THRESHOLD = 3, 2
COMMAND_S = 180
ATTESTED_FOR_S = 3600
CLAIM_S = 600


class Made(msgspec.Struct, frozen=True):
    """A release as it was built."""

    version: str
    counter: int
    svn: int
    file: Path

    @property
    def image(self) -> bytes:
        """What devices write to a slot."""
        return self.file.read_bytes()


class Workshop:
    """The maker of the cameras of `model`, and their operator's hands.

    Args:
        folder: where releases, keys and cameras are; new.
        plane: the control plane, serving.
        api: the operator's.
        ca: the digest of the authority that cameras pin.
        processes: starts the cameras.
        model: what the cameras' model is called.
    """

    def __init__(self, folder: Path, plane: Plane, api: Api, ca: str, processes: Processes, *, model: str) -> None:
        folder.mkdir(mode=0o700)
        self._folder = folder
        self._plane = plane
        self._api = api
        self._ca = ca
        self._processes = processes
        self._builder = Builder()
        self._ports: dict[str, int] = {}
        self._reference = ""
        self.model = model

    def add_model(self, *, interval_s: int) -> None:
        """The model: the example of a camera with two slots, a chip that proves what it booted, and frequent calls."""
        model: dict[str, Any] = self._api.get(f"/models/{EXAMPLE}")["model"]
        model["name"] = self.model
        model["constraints"] |= {"contact_interval_s": interval_s, "root_of_trust": "psa"}
        model["boot"]["measured_boot"] = True
        model["update"] |= {"kind": "ab-image", "fallback": "automatic"}
        model["essential_function"]["probe"] = {"kind": "file-fresh", "path": f"/{FRAME}", "max_age_s": FRESH_S}
        model["needs"] = [
            {"appraisal": "attestation", "max_age_s": ATTESTED_FOR_S},
            {"appraisal": "health", "max_age_s": ATTESTED_FOR_S},
        ]
        model["attestation"] = {"lifecycle": ["secured"]}
        model["compensations"] = []
        answer = self._api.post("/models", msgspec.json.encode(model), kind="application/yaml")
        self._reference = str(answer["reference"])
        self._api.post("/release-keys", {"name": f"{self.model}-builder", "key": self._builder.public})

    # Releases

    def build(self, behaviour: Behaviour, *, counter: int, svn: int) -> Made:
        """Build a release, and give the server its reference values, signed by the builder."""
        folder = self._folder / behaviour.version
        folder.mkdir()
        made = Made(behaviour.version, counter, svn, folder / f"{self.model}-{behaviour.version}.img")
        made.file.write_bytes(image_of(behaviour))
        now = Instant(time.time_ns() // 1_000_000)
        said = stated(self.model, made.version, svn, made.image, now)
        self._api.post("/releases", self._builder.envelope(said), kind=ENVELOPE_TYPE)
        return made

    def name(self, made: Made) -> str:
        """The release's name."""
        return f"{self.model}:{made.version}"

    def found(self) -> Any:
        """Make the keys of those who sign, and found both repositories."""
        people = ["--people", str(PEOPLE), "--threshold", str(THRESHOLD)]
        return self.command("keys", "found", "--folder", str(self._people), *people)

    def add(self, made: Made, nature: str) -> Any:
        """Add a release that can be installed; its signers are asked for it."""
        named = {"--model": self.model, "--version": made.version, "--counter": made.counter, "--svn": made.svn}
        kinds = {"--hardware": HARDWARE, "--nature": nature, "--kind": "file"}
        words = [str(word) for pair in (named | kinds).items() for word in pair]
        return self.command("release", "add", str(made.file), *words)

    def sign(self, people: Sequence[int], *, more: bool = False) -> Any:
        """Let these people sign what waits, one after another, and give it to the server; what it says to that.

        With `more` they sign what those before them signed.
        """
        file = self._folder / "to-sign.json"
        if not more:
            self.command("keys", "fetch", "-o", str(file))
        for person in people:
            key = str(self._people / f"person-{person}.pem")
            self.command(
                "keys", "sign", str(file), "--key", key, "--passphrase-file", str(self._people / "passphrase"), "--yes"
            )
        return self.command("keys", "publish", str(file))

    @property
    def _people(self) -> Path:
        return self._folder / "people"

    def command(self, *words: str) -> Any:
        """Run a command of ``holdfast`` at the server; its JSON. Raises WorldError ``workshop.command``."""
        whole = [program("holdfast"), *words, "--data", str(self._plane.data), "--json"]
        done = subprocess.run(  # noqa: S603  (our own program and words)
            whole, capture_output=True, check=False, timeout=COMMAND_S, stdin=subprocess.DEVNULL
        )
        self._api.close()  # the server may have ended it meanwhile, and a post is not repeated
        if done.returncode != 0:
            said, _, remedy = done.stderr.decode(errors="replace").strip().partition("\n")
            raise WorldError("workshop.command", said.removeprefix("error: "), remedy=remedy or " ".join(whole))
        return msgspec.json.decode(done.stdout)

    # Cameras

    def deliver(self, device: str, made: Made, site: str, labels: Mapping[str, str] | None = None) -> None:
        """A camera with a release, known to the server by name and by its chip; switched off."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._ports[device] = int(probe.getsockname()[1])
        board = Board(device, self._plane.url, self._ca, HARDWARE, self._ports[device])
        folder = self.folder(device)
        key = make(folder, board, made.image, release=self.name(made), counter=made.counter, svn=made.svn)
        body = {"device": device, "model": self._reference, "owner": "site services", "site": site}
        self._api.post("/devices", {**body, "labels": dict(labels or {})})
        self._api.post(f"/devices/{device}/attestation/key", {"key": key})

    def switch_on(self, device: str, *, new: bool = False) -> None:
        """Give it power; a `new` one gets a claim, and enrolls."""
        env = {}
        if new:
            env[CLAIM] = str(self._api.post("/claims", {"device": device, "lifetime_s": CLAIM_S})["claim"])
        words = [program("python"), "-m", "holdfast_sim.updating.camera", str(self.folder(device))]
        self._processes.start(device, words, env=env)

    def switch_off(self, device: str) -> None:
        """Take its power."""
        self._processes.end(device)

    def wear(self, device: str) -> None:
        """Let its flash lose a bit of the next release between writing and booting it."""
        (self.folder(device) / WORN).touch()

    def folder(self, device: str) -> Path:
        """Where a camera has what it is."""
        return self._folder / "cameras" / device

    def port(self, device: str) -> int:
        """Where its stream answers."""
        return self._ports[device]

    def log(self, device: str) -> Path:
        """What it said."""
        return self._processes.log(device)
