"""A device without a network, a plant that makes bundles for its site, and what a person carries between them."""

from __future__ import annotations

from pathlib import Path

from builders import START
from holdfast.cli.keys_bundle import write_bundle
from holdfast.update.bundle import Bundles
from holdfast_agent.update.bundle import opened
from holdfast_agent.update.driver import Driver, Identity
from holdfast_agent.update.installers.file_ab import FileAB
from holdfast_agent.update.ports import Ports
from holdfast_agent.update.trust import Trust
from holdfast_core.inventory.lifecycle import Device, Lifecycle
from holdfast_core.kernel.errors import HoldfastError
from holdfast_core.kernel.ids import DeviceId, DeviceKey
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.update.repository import FIRST_ROOT, Name
from holdfast_sim.updating import bootloader
from repository_builders import MODEL, SCOPE, Plant, a_release
from update_driver_builders import Clock

SITE = "mine-4"


def content(version: str) -> bytes:
    return b"image" + version.encode()


async def founded(scope=SCOPE):
    """A plant with a published release, two gateways at the site and one elsewhere, all directed to it."""
    plant = await Plant().found()
    plant.bundles = Bundles(store=plant.store, images=plant.images, director=plant.director)
    for name, site in (("cam-1", SITE), ("cam-2", SITE), ("cam-3", "harbour")):
        plant.store.fleet.append(
            Device(DeviceKey(scope, DeviceId(name)), Lifecycle.ENROLLED, START, f"{MODEL}@1", site=site)
        )
    await released(plant, "2.0.0", counter=2)
    return plant


async def released(plant, version, *, counter, **more):
    """Publish a release and direct the fleet to it."""
    release = a_release(version, counter=counter, **more)
    await plant.publish(release)
    for device in plant.store.fleet:
        await plant.direct(release, device.key)
    return release


def files_of(plant, *versions, site=SITE, **about):
    """A bundle as a person carries it: every file with its content."""
    made = plant.bundles.make(SCOPE, site, now=plant.now, **about)
    payloads = {
        each.name: next((content(v) for v in versions if f"/{v}/" in each.name), b"") for each in made.artefacts
    }
    return {**made.files, **payloads}


def written(folder: Path, files) -> Path:
    """The files as an unpacked bundle."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def zipped(path: Path, files) -> Path:
    """The files as the command writes them."""
    write_bundle(path, files, {})
    return path


class Remote:
    """A device at the site that never has a network. Its clock stands where its battery died."""

    def __init__(self, plant, folder, device="cam-1"):
        self.plant, self.folder, self.device = plant, folder, device
        self.clock, self.reboots, self.said = Clock(), 0, []
        self.wall = None
        self.slots = folder / "slots"
        bootloader.found(self.slots, content("1.0.0"), release=f"{MODEL}:1.0.0", counter=1)
        self.restart()
        state = plant.images.shelf(SCOPE).state
        self.trust.begin(state.roots[Name.DIRECTOR][0].data, plant.images.file(SCOPE, "1.root.json"))

    def restart(self):
        self.trust = Trust(
            self.folder / "trust",
            self.device,
            wall=lambda: self.plant.now if self.wall is None else self.wall,
            up=lambda: 60_000,
            built=Instant(self.plant.now - DAY),
        )
        ports = Ports(
            self.clock,
            self.trust,
            FileAB(self.slots),
            self._no_network,
            self._reboot,
            lambda: None,
            lambda: None,
            self.said.append,
        )
        self.driver = Driver(self.folder / "state", Identity(self.device, ("gw-1",), MODEL), ports)

    def _no_network(self):
        raise AssertionError("nothing is fetched")

    def _reboot(self):
        self.reboots += 1

    def take(self, path: Path) -> str:
        """Have it take a bundle, up to its confirmation; the release, or the code of the refusal."""
        try:
            with opened(path) as bundle:
                target = self.driver.carry_bundle(bundle)
        except HoldfastError as error:
            return error.code if error.sentence and error.remedy else "silent"
        self._turns()
        bootloader.boot(self.slots)
        self.clock.boot += 1
        self.restart()
        self._turns()
        return target.offer.release

    def _turns(self):
        for _ in range(100):
            if not self.driver.turn(1):
                return

    @property
    def runs(self) -> bytes:
        return bootloader.content(self.slots)


__all__ = ["FIRST_ROOT", "MODEL", "SCOPE", "Remote", "files_of", "founded", "released", "written", "zipped"]
