"""A PKCS#11 token of SoftHSM2 in a temporary folder."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

MODULES = (Path("/usr/lib/softhsm/libsofthsm2.so"), Path("/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"))
PIN = "hodor-4711"


def module() -> str:
    """The path of SoftHSM's module; the test is skipped where its package is missing."""
    found = next((path for path in MODULES if path.exists()), None)
    if found is None or shutil.which("softhsm2-util") is None:
        pytest.skip("softhsm2 is not installed")
    return str(found)


@functools.cache
def tokens() -> Path:
    """Where this process's tokens lie. SoftHSM reads its configuration once in a process, so all tests share it."""
    holder = tempfile.TemporaryDirectory(prefix="holdfast-tokens-")
    atexit.register(holder.cleanup)
    folder = Path(holder.name)
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(
        f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
    return folder


def new_token(label: str) -> str:
    """Make a token; return the module to reach it by."""
    found = module()
    tokens()
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", "87654321", "--pin", PIN],
        check=True,
        capture_output=True,
    )
    return found
