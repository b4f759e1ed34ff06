"""A device that is installing an update, and whose power is cut: over and over, wherever it is told, until it is done.

Run as a program: ``python power_cut_rig.py FOLDER PORT``, with a list of plans on stdin. Each boot is a process of its
own: the boot loader chooses, the agent's driver goes on, and the process is killed with SIGKILL, before or after the
n-th thing that touches the disk (an fsync, a write, a rename, a truncation), or after a random time. One JSON object a
boot goes to stdout.

A plan is JSON: ``cuts`` (for each boot the n-th thing; a negative number: after so many microseconds; 0: none),
``release``, ``counter``, ``image`` (a file), ``boots`` (whether the release can be booted), ``careless`` (whether
the installer is a bad one).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from holdfast_agent.update.installers.boot_state import image, runs
from holdfast_agent.update.installers.file_ab import FileAB
from holdfast_agent.update.journal import Journaled
from holdfast_core.kernel.digests import digest_of
from holdfast_core.update.install import Phase
from holdfast_core.wire.update import Order as Verdict
from holdfast_sim.updating import bootloader
from install_builders import target
from update_driver_builders import Device, Payloads

TOUCHING = ("fsync", "fdatasync", "write", "pwrite", "rename", "replace", "ftruncate", "posix_fallocate", "unlink")


def deadly(left: int) -> None:
    """Kill this process at the `left`-th thing that touches the disk: every other one is done before."""
    count = 0

    def guarded(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **names: Any) -> Any:
            nonlocal count
            count += 1
            if count == left and left % 2:
                os.kill(os.getpid(), signal.SIGKILL)
            answer = real(*arguments, **names)
            if count == left:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return call

    for name in TOUCHING:
        setattr(os, name, guarded(getattr(os, name)))


class Careless(FileAB):
    """An installer that writes to the slot that runs: what the rig has to notice."""

    def write(self, payload: Path, *rest: Any) -> str:
        handle = os.open(image(self._folder, runs(self._folder)), os.O_WRONLY)
        os.write(handle, payload.read_bytes()[:1_000])
        os.close(handle)
        return super().write(payload, *rest)


def boot(folder: Path, payloads: Payloads, plan: dict[str, Any], number: int) -> None:
    """One boot: the boot loader, then the agent, until it rests or the power goes."""
    slots, content = folder / "slots", Path(plan["image"]).read_bytes()
    bootloader.boot(slots)
    while bootloader.content(slots) == content and not plan["boots"]:
        bootloader.boot(slots)  # it hangs, and the watchdog begins another boot
    device = Device(folder, payloads)
    device.clock.boot, device.slice_s = number, 0.0
    if plan.get("careless"):
        device.installer = Careless(slots)
    device.restart()
    wanted = target(plan["release"], plan["counter"], payload=content)
    device.trusted.directs[wanted.path] = device.trusted.images[wanted.path] = wanted
    order = device.order(7, plan["release"])
    device.take(order)
    while device.driver.turn(device.seq):
        device.clock.up_s += 1
    if device.phase is Phase.BOOTED:
        device.answer(Verdict.CONFIRM)
        device.turns()


def state_of(folder: Path) -> dict[str, Any]:
    """What the boot loader would run now, and how far the journal is; nothing of the device is changed."""
    with tempfile.TemporaryDirectory() as aside:
        shutil.copytree(folder / "slots", aside, dirs_exist_ok=True)
        bootloader.boot(Path(aside))
        found = digest_of(bootloader.content(Path(aside)))
    journal = Journaled(folder / "state").journal
    payload = folder / "state/payload.part"
    install = journal.install
    return {
        "runs": found,
        "phase": install.phase.value if install else "",
        "code": install.code if install else "",
        "floor": journal.floor,
        "held": payload.stat().st_size if payload.exists() else 0,
    }


def play(folder: Path, port: int, plan: dict[str, Any]) -> None:
    """Boot again and again, until the attempt ends or the cuts are used up."""
    payloads = Payloads()
    payloads.port = port
    Device(folder, payloads)
    cuts = list(plan["cuts"])
    for number in range(1, len(cuts) + 20):
        cut = cuts.pop(0) if cuts else 0
        child = os.fork()
        if child == 0:
            live(folder, payloads, plan, number, cut)
        if cut < 0:
            time.sleep(-cut / 1e6)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        how = "killed" if os.WIFSIGNALED(status) else f"ended {os.WEXITSTATUS(status)}"
        found = {"plan": plan["release"], "cut": cut, "how": how, **state_of(folder)}
        sys.stdout.write(json.dumps(found) + "\n")
        if found["phase"] and Phase(found["phase"]).is_end and how == "ended 0":
            return


def live(folder: Path, payloads: Payloads, plan: dict[str, Any], number: int, cut: int) -> NoReturn:
    """The child: one boot, with the power cut in it."""
    if cut > 0:
        deadly(cut)
    try:
        boot(folder, payloads, plan, number)
    except BaseException as error:  # noqa: BLE001  (a child must never go on as its parent)
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        os._exit(1)
    os._exit(0)


def main() -> None:
    """Play each plan on a device of its own."""
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    for plan in json.loads(sys.stdin.read()):
        play(folder / plan["release"].replace(":", "-"), port, plan)


if __name__ == "__main__":
    main()
