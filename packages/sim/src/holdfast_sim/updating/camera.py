"""A virtual camera that is updated: ``python -m holdfast_sim.updating.camera FOLDER``, from power to power.

::

    board.json     what this board is (`Board`)
    slots/         its flash: two slots, and what the boot loader remembers of them
    keys/          the key of its security processor
    root/, proc/   its file tree, and what its kernel tells
    state/         what the agent keeps
    reset          somebody asked for a new boot
    worn           the slot that the next boot tries loses a bit: flash that wears

1. A boot is what it is on a board: the boot loader picks a slot and counts its attempts, its content is measured into
   the security processor, the essential function starts, then the agent. Nothing survives a boot but the folder.
2. What a camera does is decided by the image that was booted (`release.Behaviour`), and by nothing else.
3. A release that does not come up is ended by the watchdog. The agent is started again when it ends by itself.
4. With a claim in ``HOLDFAST_CLAIM`` a camera that has no certificate enrolls, as a person would let it.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import msgspec

from holdfast_agent.state import IDENTITY
from holdfast_agent.update.installers.boot_state import image, load
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import WorldError
from holdfast_sim.psa import make_key
from holdfast_sim.updating import bootloader, token
from holdfast_sim.updating.chip import Chip
from holdfast_sim.updating.release import Behaviour, behaviour_of
from holdfast_sim.updating.streaming import Stream

BOARD, SLOTS, KEYS, ROOT, PROC, STATE = "board.json", "slots", "keys", "root", "proc", "state"
RESET, WORN = "reset", "worn"
CLAIM = "HOLDFAST_CLAIM"
WATCHDOG_S = 0.5
"""Until the watchdog ends a boot that does not come up."""
AGAIN_S = 1.0
"""Until an agent that ended is started again."""
ENROLL_S = 180
_LOOK_EVERY_S = 0.1
_END_S = 10.0


class Board(msgspec.Struct, frozen=True):
    """What a camera is: its name, where it calls and whom it trusts (a digest), its hardware and its stream's port."""

    device: str
    server: str
    ca: str
    hardware: str
    port: int


def make(folder: Path, board: Board, content: bytes, *, release: str, counter: int, svn: int) -> str:
    """Make a camera as it leaves the factory, with a release in its first slot; its chip's public key (PEM)."""
    for name in (ROOT, f"{ROOT}/etc", f"{ROOT}/run", f"{PROC}/sys/kernel/random", "sys", KEYS, STATE):
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / BOARD).write_bytes(msgspec.json.encode(board))
    bootloader.found(folder / SLOTS, content, release=release, counter=counter, svn=svn)
    return make_key(folder / KEYS)


def main() -> NoReturn:
    """Run the camera until it is switched off (SIGTERM)."""
    signal.signal(signal.SIGTERM, _off)
    os.chdir(sys.argv[1])
    folder = Path.cwd()
    board = msgspec.json.decode((folder / BOARD).read_bytes(), type=Board)
    while True:
        _power(folder, board)


def _off(_number: int, _frame: object) -> NoReturn:
    sys.exit(0)


def _power(folder: Path, board: Board) -> None:
    """One boot, until the next."""
    since = time.clock_gettime(time.CLOCK_BOOTTIME)
    (folder / RESET).unlink(missing_ok=True)
    (folder / PROC / "sys/kernel/random/boot_id").write_text(Path("/proc/sys/kernel/random/uuid").read_text())
    for left in (folder / ROOT / "run").iterdir():
        left.unlink()
    if (folder / WORN).exists() and load(folder / SLOTS).trial:
        _wear(folder)
    slot = bootloader.boot(folder / SLOTS)
    content = bootloader.content(folder / SLOTS)
    behaviour = behaviour_of(content)
    _say(f"{board.device} boots {behaviour.version} from slot {slot}")
    if not behaviour.boots:
        time.sleep(WATCHDOG_S)
        return
    os_release = f'ID=camera\nVERSION_ID="{behaviour.version}"\n'
    (folder / ROOT / "etc/os-release").write_text(os_release)
    with ExitStack() as running:
        running.callback(Chip(folder / KEYS, digest_of(content)).stop)
        if behaviour.streams:
            stream = Stream(folder / ROOT, board.device, behaviour.version, board.port, leaks=behaviour.leaks)
            running.callback(stream.stop)
        if not (folder / STATE / IDENTITY).exists():
            _enroll(folder, board)
        _run_agent(folder, behaviour, since)


def _wear(folder: Path) -> None:
    """One bit of the slot on trial is not what was written any more."""
    path = image(folder / SLOTS, load(folder / SLOTS).trial)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    (folder / WORN).unlink()


def _enroll(folder: Path, board: Board) -> None:
    """Raises WorldError ``camera.enroll``."""
    asks = shlex.join([sys.executable, "-I", "-S", token.__file__, str(folder)])
    options = {
        "--device": board.device,
        "--ca": board.ca,
        "--root": folder / ROOT,
        "--proc": folder / PROC,
        "--sys": folder / "sys",
        "--state": folder / STATE,
        "--slots": folder / SLOTS,
        "--hardware": board.hardware,
        "--light-audit": "interval",
        "--attest-token": asks,
        "--reboot-command": shlex.join(["/bin/touch", str(folder / RESET)]),
    }
    words = [str(word) for pair in options.items() for word in pair]
    program = [sys.executable, "-m", "holdfast_agent", "enroll", board.server, *words]
    done = subprocess.run(program, stdin=subprocess.DEVNULL, check=False, timeout=ENROLL_S)  # noqa: S603  (our own)
    if done.returncode != 0:
        raise WorldError("camera.enroll", f"{board.device} could not enroll.", remedy="It said why above.")


def _run_agent(folder: Path, behaviour: Behaviour, since: float) -> None:
    """Keep the agent running until somebody asks for a new boot."""
    words = [sys.executable, "-m", "holdfast_sim.updating.agent", str(folder / STATE), str(since)]
    words += [] if behaviour.calls else ["--deaf"]
    while not (folder / RESET).exists():
        with subprocess.Popen(words, stdin=subprocess.PIPE) as agent:  # noqa: S603  (our own program and words)
            try:
                while agent.poll() is None and not (folder / RESET).exists():
                    time.sleep(_LOOK_EVERY_S)
            finally:
                _end(agent)
        if not (folder / RESET).exists():
            time.sleep(AGAIN_S)


def _end(agent: subprocess.Popen[bytes]) -> None:
    agent.terminate()
    try:
        agent.wait(_END_S)
    except subprocess.TimeoutExpired:
        agent.kill()


def _say(words: str) -> None:
    sys.stderr.write(words + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
