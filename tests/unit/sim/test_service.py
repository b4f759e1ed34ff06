"""The essential function of the demo's devices: it goes on, and stops where it may not read what it needs."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from holdfast_sim.service import ask


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(port: int, wanted: Callable[[tuple[str, int] | None], bool]) -> tuple[str, int] | None:
    """The first answer that is wanted, within a patience that no test depends on."""
    for _ in range(600):
        if wanted(said := ask("127.0.0.1", port, timeout=1)):
            return said
        time.sleep(0.05)
    raise AssertionError(said)


def test_it_stops_while_it_may_not_read_and_goes_on_from_where_it_was(tmp_path: Path) -> None:
    needed, port = tmp_path / "shadow", free_port()
    needed.touch()
    needed.chmod(0o666)
    words = [sys.executable, "-m", "holdfast_sim.service", "--reads", str(needed), "camera", "127.0.0.1", str(port)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        try:
            before = eventually(port, lambda said: said is not None and said[1] > 0)
            assert before is not None
            assert before[0] == "camera"
            needed.chmod(0o640)
            eventually(port, lambda said: said is None)
            needed.chmod(0o666)
            after = eventually(port, lambda said: said is not None)
            assert after is not None
            assert after[1] >= before[1]
        finally:
            process.terminate()
