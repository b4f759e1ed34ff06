"""``kill -9`` of the server, and of the agent, at any moment; and what both still know afterwards.

The moments are drawn at random and printed on failure. `test_*_for_long` do the same for minutes (``make test-slow``).
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import random
import signal
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest

from holdfast.bootstrap import Plane
from holdfast.config import Config
from holdfast_agent.enroll import enroll
from holdfast_agent.state import Config as AgentConfig
from holdfast_agent.state import Folder, LightAudit
from holdfast_core.kernel.digests import parse_digest
from holdfast_core.wire.codec import encode
from holdfast_core.wire.frame import CheckIn, Section
from served_builders import ServedPlane, served
from server_process import Caller, ServerProcess, configured, enroll_on_disk

DEVICES = 6
BIN = Path(sys.executable).parent


class Device:
    """A device that checks in as fast as it is answered, and remembers what was acknowledged."""

    def __init__(self, identity: Path) -> None:
        self.identity, self.seq = identity, 0
        self.sent: bytes = b""
        self.acknowledged: tuple[bytes, bytes] | None = None
        self.refused: list[tuple[int, bytes]] = []

    def press(self, server: ServerProcess) -> None:
        """Check in until the server is gone. What was unanswered is sent again first, byte for byte."""
        with contextlib.suppress(OSError, http.client.HTTPException, ssl.SSLError), Caller(server, self.identity) as c:
            while True:
                if not self.sent:
                    self.seq += 1
                    health = msgspec.json.encode({"ok": True, "detail": f"number {self.seq}"})
                    sections = {"health": Section(body=msgspec.Raw(health))}
                    self.sent = encode(CheckIn(v=1, boot="boot-0001", seq=self.seq, sections=sections))
                status, reply = c.post(self.sent)
                if status != http.client.OK:
                    self.refused.append((status, reply))
                    return
                self.acknowledged, self.sent = (self.sent, reply), b""

    def still_known(self, server: ServerProcess) -> bool:
        """Whether the server answers the last acknowledged check-in with the reply it gave then."""
        if self.acknowledged is None or self.sent:
            return True  # a newer one may have been taken meanwhile: then there is nothing to compare with
        message, reply = self.acknowledged
        with Caller(server, self.identity) as caller:
            return caller.post(message) == (http.client.OK, reply)


async def enrolled(folder: Path, config: Config) -> list[Device]:
    plane = Plane.open(config, folder)
    devices = [Device(await enroll_on_disk(plane, folder, f"cam-{number}")) for number in range(DEVICES)]
    await plane.close()
    return devices


def kill_the_server(folder: Path, rounds: int) -> None:
    devices = asyncio.run(enrolled(folder, configured(folder, check_ins_per_contact=10**9)))
    chance = random.Random(seed := time.time_ns())  # noqa: S311  (moments, no secrets)
    for turn in range(rounds):
        with ServerProcess(folder) as server:
            assert all(device.still_known(server) for device in devices), (seed, turn)
            threads = [threading.Thread(target=device.press, args=(server,)) for device in devices]
            for thread in threads:
                thread.start()
            time.sleep(chance.uniform(0.01, 0.7))
            server.process.kill()
            for thread in threads:
                thread.join()
        assert not [device.refused for device in devices if device.refused], (seed, turn)
    with ServerProcess(folder) as server:
        assert all(device.still_known(server) for device in devices), seed
    assert min(device.seq for device in devices) > rounds, "the devices hardly got a word in"
    _record_is_whole(folder)


def kill_the_agent(folder: Path, rounds: int) -> None:
    with served(folder / "plane", config=Config(check_ins_per_contact=10**9)) as plane:
        state, root = folder / "state", folder / "root"
        (root / "etc").mkdir(parents=True)
        argv = [str(BIN / "holdfast-agent"), "enroll", plane.url, "--device", "cam-1", "--ca", plane.root]
        environ = {**os.environ, "HOLDFAST_CLAIM": plane.claim("cam-1")}
        subprocess.run([*argv, "--root", str(root), "--state", str(state)], env=environ, check=True)
        chance = random.Random(seed := time.time_ns())  # noqa: S311  (moments, no secrets)
        check_in = [str(BIN / "holdfast-agent"), "check-in", "--now", "--light-audit", "--state", str(state)]
        killed = 0
        for _ in range(rounds):
            process = subprocess.Popen(check_in, stderr=subprocess.DEVNULL)
            time.sleep(chance.uniform(0.05, 0.4))
            process.kill()
            killed += process.wait() == -signal.SIGKILL
        assert killed > rounds // 4, "it was never killed on its way"
        assert subprocess.run(check_in, check=False).returncode == 0, seed
        posture = plane.posture("cam-1")
        assert posture.hold is None, (seed, posture.verdict)
        told = json.loads(subprocess.run([*check_in[:1], "status", "--json", "--state", str(state)],
                                         capture_output=True, check=False).stdout)  # fmt: skip
        assert told["trouble"] is None, seed
        assert posture.sequence.last == told["check_ins"], seed


def test_nothing_acknowledged_is_lost_when_the_server_is_killed_under_load(tmp_path: Path) -> None:
    kill_the_server(tmp_path, rounds=4)


def test_an_agent_killed_anywhere_is_no_clone_and_goes_on(tmp_path: Path) -> None:
    kill_the_agent(tmp_path, rounds=16)


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_for_long(tmp_path: Path) -> None:
    kill_the_server(tmp_path, rounds=150)


@pytest.mark.slow
def test_an_agent_killed_for_long(tmp_path: Path) -> None:
    kill_the_agent(tmp_path, rounds=300)


def test_an_enrollment_killed_at_any_write_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    """A device that moves to another authority: whichever write the kill follows, it can speak to one of both."""
    with served(tmp_path / "old") as old, served(tmp_path / "new") as new:
        assert old.root != new.root
        root = tmp_path / "root"
        (root / "etc").mkdir(parents=True)

        def joined(state: Path, plane: ServedPlane, *, writes: int | None = None) -> None:
            folder = Folder(state)
            config = AgentConfig(plane.url, "cam-1", str(root), "/proc", "", LightAudit.INTERVAL, 3600)
            left = [writes]
            replace = folder._replace

            def dying(name: str, data: bytes) -> None:
                if left[0] is not None:
                    if left[0] == 0:
                        raise KeyboardInterrupt
                    left[0] -= 1
                replace(name, data)

            folder._replace = dying  # type: ignore[method-assign]  # the kill
            with contextlib.suppress(KeyboardInterrupt), folder.locked():
                enroll(folder, config, ca=parse_digest(plane.root), claim=plane.claim("cam-1"))

        for writes in range(6):
            state = tmp_path / f"state-{writes}"
            joined(state, old)
            joined(state, new, writes=writes)
            argv = [str(BIN / "holdfast-agent"), "check-in", "--now", "--state", str(state)]
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            # The old server's certificate still stands: only the new server was asked for another.
            assert done.returncode == 0, (writes, done.stderr)
            spoken = new if writes else old
            assert spoken.posture("cam-1").sequence.last >= 1, writes


def _record_is_whole(folder: Path) -> None:
    argv = [str(BIN / "holdfast"), "log"]
    file = str(folder / "log.jsonl")
    subprocess.run([*argv, "export", file, "--data", str(folder)], check=True)
    key = json.loads(
        subprocess.run([*argv, "show", "--json", "--data", str(folder)], capture_output=True, check=True).stdout
    )["verifier_key"]
    subprocess.run([*argv, "verify", file, "--key", key], check=True)
