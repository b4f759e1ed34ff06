"""The devices themselves: their trees, services and agents, each in a network of its own where that is possible.

1. A device's agent and its essential function are separate processes, as on a real one: ending one leaves the other.
2. Without namespaces all devices share this machine's list of sockets. It is not theirs, so the agents get a procfs
   without one: what listens is then `unknown`, never judged from a neighbour's.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from holdfast_core.kernel.errors import WorldError
from holdfast_sim.demo.bench import Bench
from holdfast_sim.demo.cast import SENSOR, SERVER, Member
from holdfast_sim.demo.plane import program
from holdfast_sim.demo.processes import Processes
from holdfast_sim.demo.watching import wait_for
from holdfast_sim.mcu import CHECKPOINT
from holdfast_sim.namespaces import World
from holdfast_sim.packages import PackageStore
from holdfast_sim.roots import BUILDERS
from holdfast_sim.service import ask

INTRUDER = "intruder"
"""Where the thief sits: a network of its own."""
ENROLL_SECONDS = 180
_IDENTITY, _ROOT = "identity.pem", "root.pem"


class Fleet:
    """The devices of a demo.

    Args:
        folder: the demo's folder.
        world: where devices run.
        url: where they call.
        ca: the digest of the authority that they pin.
        processes: starts them.
    """

    def __init__(self, folder: Path, world: World, url: str, ca: str, processes: Processes) -> None:
        self._folder = folder
        self._url = url
        self._ca = ca
        self.processes = processes
        self._ports: dict[str, int] = {}
        self.world = world
        self.boards: dict[str, Bench] = {}
        """The boards of those that prove what they booted, by device."""

    def root(self, member: Member) -> Path:
        """The file tree that the device's agent looks at."""
        return tree_of(self._folder, member)

    def state(self, member: Member) -> Path:
        """What the device itself keeps."""
        return self._folder / "devices" / member.device

    def own_port(self, member: Member) -> int | None:
        """The port its essential function must use here; `None` where the model's own port is free for it."""
        if self.world.isolated or not member.ports:
            return None
        if member.device not in self._ports:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self._ports[member.device] = probe.getsockname()[1]
        return self._ports[member.device]

    def serve(self, member: Member) -> None:
        """Start its essential function, and whatever else it opens."""
        if not member.ports:
            return
        port = self.own_port(member)
        ports = member.ports if port is None else (port,)
        reads = ("--reads", str(self.root(member) / member.reads)) if member.reads else ()
        self._listen(f"{member.device}-function", member, f"{member.device}", ports, *reads)

    def ask(self, member: Member) -> tuple[str, int] | None:
        """What its essential function answers, asked over the network."""
        return ask(self.world.address(member.device), self.own_port(member) or member.ports[0])

    def enroll(self, member: Member, claim: str) -> subprocess.Popen[bytes]:
        """Start its enrollment with a claim; `enrolled` waits for it. The sensor does both in one process."""
        variables = {"HOLDFAST_CLAIM": claim}
        if not member.has_agent:
            words = [sys.executable, "-m", "holdfast_sim.mcu", self._url, member.device, self._ca]
            return self._device(member, [*words, str(self.state(member))], env=variables)
        words = [program("holdfast-agent"), "enroll", self._url, "--device", member.device, "--ca", self._ca]
        words += ["--root", str(self.root(member)), "--state", str(self.state(member))]
        words += self.boards[member.device].options if member.device in self.boards else []
        # A whole machine's accounts and modes are looked at less often than a camera's.
        words += ["--light-audit", "interval" if member == SERVER else "every-check-in"]
        if not self.world.isolated:
            words += ["--proc", str(self._proc(member))]
        return self._device(member, words, env=variables)

    def enrolled(self, member: Member, process: subprocess.Popen[bytes]) -> None:
        """Wait for an enrollment. Raises WorldError ``demo.enroll``."""
        if not member.has_agent:
            return
        try:
            code = process.wait(ENROLL_SECONDS)
        except subprocess.TimeoutExpired:
            code = -1
        if code != 0:
            raise WorldError(
                "demo.enroll",
                f"{member.device} could not enroll.",
                remedy=f"It said why in {self.processes.log(member.device)}.",
            )

    def run(self, member: Member, *, env: dict[str, str] | None = None) -> None:
        """Start its resident agent, with variables of its own."""
        if member.has_agent:
            self._device(member, [program("holdfast-agent"), "run", "--state", str(self.state(member))], env=env)

    def stop(self, member: Member) -> None:
        """End its agent; its essential function goes on."""
        self.processes.end(member.device)

    def log(self, member: Member) -> Path:
        """What its agent said."""
        return self.processes.log(member.device)

    def open_port(self, member: Member, port: int) -> None:
        """Listen on a port, in the device's own network, as an intruder's program would. Raises `NotObserved`."""
        self._listen(f"{member.device}-backdoor", member, "backdoor", (port,))
        wait_for(
            f"the backdoor on port {port} to listen",
            lambda: ask(self.world.address(member.device), port),
            lambda: "nothing answers there",
            log=self.processes.log(f"{member.device}-backdoor"),
        )

    def close_port(self, member: Member) -> None:
        """End the program of `open_port`."""
        self.processes.end(f"{member.device}-backdoor")

    def steal(self, member: Member) -> subprocess.Popen[bytes]:
        """Copy the device's key and certificate, and start the thief with the copy, in a network of its own."""
        loot = self._folder / INTRUDER
        loot.mkdir(mode=0o700, exist_ok=True)
        for name in (_IDENTITY, _ROOT):
            shutil.copyfile(self.state(member) / name, loot / name)
        words = [sys.executable, "-m", "holdfast_sim.intruder", self._url, str(loot / _ROOT), str(loot / _IDENTITY)]
        return self.processes.start(INTRUDER, words, world=self.world, seat=INTRUDER, piped=True)

    def end_thief(self) -> None:
        """End the program of `steal`."""
        self.processes.end(INTRUDER)

    def thief_log(self) -> Path:
        """What the thief's program complained about."""
        return self.processes.log(INTRUDER)

    def status(self, member: Member) -> Any:
        """What ``holdfast-agent status --json`` says. Raises WorldError ``demo.status``."""
        words = [program("holdfast-agent"), "status", "--json", "--state", str(self.state(member))]
        done = subprocess.run(words, capture_output=True, check=False, timeout=ENROLL_SECONDS)  # noqa: S603  (our own)
        try:
            return msgspec.json.decode(done.stdout)
        except msgspec.MsgspecError as error:
            sentence = f"The agent of {member.device} told no status: {done.stderr.decode(errors='replace').strip()}"
            raise WorldError("demo.status", sentence, remedy=f"Look into {self.log(member)}.") from error

    def checkpoint(self) -> bytes:
        """The signed checkpoint that the sensor keeps. Raises OSError."""
        return (self.state(SENSOR) / CHECKPOINT).read_bytes()

    def _device(
        self, member: Member, words: list[str], *, env: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        board = self.boards.get(member.device)
        variables = {**(env or {}), **(board.environment if board is not None else {})}
        return self.processes.start(member.device, words, world=self.world, seat=member.device, env=variables)

    def _listen(self, name: str, member: Member, says: str, ports: tuple[int, ...], *options: str) -> None:
        address = "0.0.0.0" if self.world.isolated else "127.0.0.1"  # noqa: S104  (all of the device's own namespace)
        words = [sys.executable, "-m", "holdfast_sim.service", *options, says, address, *map(str, ports)]
        self.processes.start(name, words, world=self.world, seat=member.device)

    def _proc(self, member: Member) -> Path:
        """A procfs that holds the boot id and no sockets; see rule 2."""
        made = self._folder / "proc" / member.device
        boot = made / "sys/kernel/random/boot_id"
        boot.parent.mkdir(parents=True, exist_ok=True)
        boot.write_text(Path("/proc/sys/kernel/random/boot_id").read_text("ascii"), "ascii")
        return made


def tree_of(folder: Path, member: Member) -> Path:
    """Where the file tree of `member` is."""
    return folder / "roots" / member.device if member.tree else Path("/")


def build_tree(folder: Path, member: Member, store: PackageStore) -> None:
    """Build the tree of `member`, if it has one of its own. Raises WorldError as `holdfast_sim.roots.build`."""
    if member.tree:
        BUILDERS[member.tree](tree_of(folder, member), store)
