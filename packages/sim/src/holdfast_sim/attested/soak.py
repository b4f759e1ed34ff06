"""A fleet of devices with a TPM each that attest for a while at a real control plane, and what came of it.

1. Each device calls once in an interval, at a time of its own. Now and then one restarts first, orderly or by a power
   cut. In the middle the control plane itself is ended and started again.
2. Nothing is wrong with any device, so every verdict other than trusted is a fault, and so is every evidence that the
   server kept as contraindicated.
3. Everything runs on this machine: the devices' side takes its share of the processors, too.
"""

from __future__ import annotations

import heapq
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.instants import Instant
from holdfast_sim.attested.counting import Counts, Told, Watch
from holdfast_sim.attested.device import AttestedDevice
from holdfast_sim.boot.artefacts import BootRelease, make_release
from holdfast_sim.boot.keys import BootKeys
from holdfast_sim.demo.plane import NAME, Plane
from holdfast_sim.demo.processes import Processes
from holdfast_sim.reference import ENVELOPE_TYPE, REGISTERS, Builder, statement

MODEL = "soak-gateway"
HANDS = 8
"""Threads that make devices and contacts."""
REBOOTS = 0.05
RETRY_S = 3.0
LOOK_EVERY_S = 5.0
TELL_EVERY_S = 30.0
_WAIT_S = 0.2
_PAGE = 100
_CLAIM_S = 3_600
_NEEDED_FOR_S = 3_600
Say = Callable[[str], None]


class Wanted(msgspec.Struct, frozen=True):
    """How many devices, for how many seconds, each calling every `interval_s`; `seed` decides who restarts when."""

    devices: int
    seconds: float
    interval_s: int = 60
    seed: int = 1


class Soak:
    """One run.

    Args:
        wanted: what is to run.
        folder: the run's own, empty.
        processes: starts the control plane; ends it, and every chip.
        say: tells a person how far it is.

    Raises:
        WorldError: ``boot.*``, ``demo.*``.
    """

    def __init__(self, wanted: Wanted, folder: Path, processes: Processes, say: Say) -> None:
        self._wanted, self._folder, self._processes, self._say = wanted, folder, processes, say
        self._random = random.Random(wanted.seed)  # noqa: S311  (who restarts when is no secret)
        self._plane = Plane(folder / "control-plane", "127.0.0.1", processes)
        self._founded = self._plane.found()
        self._api = self._plane.serve(self._founded.token)
        self._release = self._made()
        self._reference = self._model()
        self._devices: list[AttestedDevice] = []
        self._counts = Counts()
        self._due: list[tuple[float, int]] = []
        self._lock = threading.Lock()
        self._lost: set[int] = set()
        self._end = 0.0

    def _made(self) -> BootRelease:
        folder = self._folder / "release"
        folder.mkdir()
        return make_release(folder, version="1.0.0", svn=1, keys=BootKeys.generate())

    def _model(self) -> str:
        api, builder = self._api, Builder()
        model: dict[str, Any] = api.get("/models/site-gateway@1.0.0")["model"]
        model["name"] = MODEL
        model["constraints"]["contact_interval_s"] = self._wanted.interval_s
        model["needs"] = [{"appraisal": "attestation", "max_age_s": _NEEDED_FOR_S}]
        model["attestation"] = {"registers": list(REGISTERS)}
        reference = api.post("/models", msgspec.json.encode(model), kind="application/yaml")["reference"]
        api.post("/release-keys", {"name": "builder", "key": builder.public})
        said = statement(self._release, MODEL, Instant(time.time_ns() // 1_000_000))
        api.post("/releases", builder.envelope(said), kind=ENVELOPE_TYPE)
        return str(reference)

    def provision(self) -> float:
        """Make and enroll every device; returns seconds. Raises WorldError, HostileData."""
        begun = time.monotonic()
        with ThreadPoolExecutor(HANDS) as pool:
            for number, device in enumerate(pool.map(self._provisioned, range(self._wanted.devices)), 1):
                self._devices.append(device)
                if number % _PAGE == 0:
                    self._say(f"{number} devices enrolled after {time.monotonic() - begun:.0f} s")
        return time.monotonic() - begun

    def _provisioned(self, number: int) -> AttestedDevice:
        name, api, plane = f"soak-{number:05}", self._api, self._plane
        device = AttestedDevice(name, self._folder / "devices" / name, self._release)
        self._processes.hold(f"{name}-chip", device.tpm)
        api.post("/devices", {"device": name, "model": self._reference, "owner": "soak"})
        chip = device.endorsement()
        api.post("/tpm/chips", {"device": name, "digest": chip})
        device.bind(plane.url, (plane.data / "keys" / "root.pem").read_text("ascii"))
        api.post(f"/tpm/chips/{chip}/release", {"why": "the key for TLS lies in a file from now on"})
        claim = api.post("/claims", {"device": name, "lifetime_s": _CLAIM_S})["claim"]
        device.enroll(plane.url, self._founded.root_fingerprint, claim)
        device.contact()
        return device

    def run(self) -> Told:
        """Let all of them attest for the wanted time, and count. Raises WorldError ``demo.*``."""
        wanted, begun = self._wanted, time.monotonic()
        before = self._kept()
        self._due = [(begun + self._random.random() * wanted.interval_s, n) for n in range(len(self._devices))]
        heapq.heapify(self._due)
        self._end = begun + wanted.seconds
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(HANDS)]
        for thread in threads:
            thread.start()
        watches = self._watch(begun)
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - begun
        counts, times = self._counts, self._counts.times()
        return Told(
            devices=len(self._devices), seconds=round(seconds, 1), contacts=counts.contacts, quotes=counts.quotes,
            quotes_per_s=round(counts.quotes / seconds, 2),
            exchange_p50=times[0], exchange_p99=times[1], contact_p50=times[2], contact_p99=times[3],
            reboots=dict(counts.reboots), unreached=counts.unreached, wrong=dict(counts.wrong),
            memory=tuple(watch.memory() for watch in watches), kept=dict(self._kept() - before),
            silent=len(self._lost),
        )  # fmt: skip

    def _watch(self, begun: float) -> list[Watch]:
        """Look at the server's memory, and start it anew in the middle."""
        watches, told = [self._new_watch()], begun
        middle: float | None = begun + self._wanted.seconds / 2
        while (now := time.monotonic()) < self._end:
            watches[-1].look()
            if middle is not None and now >= middle:
                middle = None
                self._restart()
                watches.append(self._new_watch())
            if now - told >= TELL_EVERY_S:
                told = now
                self._say(
                    f"{now - begun:.0f} s: {self._counts.quotes} quotes, wrong: {dict(self._counts.wrong) or 'none'}"
                )
            time.sleep(min(LOOK_EVERY_S, max(0.0, self._end - time.monotonic())))
        watches[-1].look()
        return watches

    def _new_watch(self) -> Watch:
        return Watch(self._processes.pid(NAME))

    def _restart(self) -> None:
        self._say("the control plane is ended and started again")
        end, self._end = self._end, math.inf  # nobody stops while there is nobody to answer
        self._processes.end(NAME)
        self._api.close()
        self._api = self._plane.serve(self._founded.token)
        # However long that took, everybody gets the chance to be answered again.
        self._end = max(end, time.monotonic() + 2 * self._wanted.interval_s + RETRY_S)

    def close(self) -> None:
        """Close the connection to the control plane; processes end with those that started them."""
        self._api.close()

    def _work(self) -> None:
        """Contact whoever is due, until the end."""
        while True:
            with self._lock:
                at, number = heapq.heappop(self._due) if self._due else (self._end, -1)
            now = time.monotonic()
            if number < 0 or now >= self._end:
                return
            if at > now:
                with self._lock:
                    heapq.heappush(self._due, (at, number))
                time.sleep(min(_WAIT_S, at - now))
                continue
            self._again(number, now + self._one(number))

    def _again(self, number: int, at: float) -> None:
        with self._lock:
            heapq.heappush(self._due, (at, number))

    def _one(self, number: int) -> float:
        """One contact of a device; seconds until its next."""
        device = self._devices[number]
        with self._lock:
            restarts = number not in self._lost and self._random.random() < REBOOTS
            orderly = self._random.random() < 0.5  # noqa: PLR2004  (a coin)
        if restarts:
            device.boot(orderly=orderly)
            self._counts.rebooted("orderly" if orderly else "abrupt")
        try:
            contact = device.contact()
        except WorldError:
            self._counts.failed()
            with self._lock:
                self._lost.add(number)
            return RETRY_S
        with self._lock:
            self._lost.discard(number)
        self._counts.answered(contact)
        return float(self._wanted.interval_s)

    def _kept(self) -> Counter[str]:
        """The evidence that the server holds of all devices, by what it came to."""
        found: Counter[str] = Counter()
        for device in self._devices:
            before: dict[str, int] = {}
            while True:
                page = self._api.get(f"/devices/{device.name}/attestation/evidence", limit=_PAGE, **before)
                found.update(_word(each) for each in page["items"])
                if page["next"] is None:
                    break
                before = {"before": page["next"]}
        return found


def _word(evidence: Any) -> str:
    """What an evidence came to, in a word; of a refused one, why."""
    if evidence["taken"]:
        return f"{evidence['tier']} {evidence['freshness']}"
    return "refused " + ", ".join(reason["code"] for reason in evidence["reasons"])
