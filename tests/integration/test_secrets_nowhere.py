"""A fleet's secrets after use: set on the device, told to who asked, and in no file, log, argument or environment.

Real programs throughout: `holdfast serve`, `holdfast-agent` under a tracer, shadow's ``chpasswd`` in a tree of its own.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from builders import ACTOR
from holdfast.bootstrap import Plane
from holdfast.config import Config
from holdfast_core.identity.model import Permission
from holdfast_core.inventory.rows import Row
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.kernel.instants import HOUR
from secret_builders import BMC, PUMP, model_with
from server_process import ServerProcess, configured

pytestmark = pytest.mark.root
BIN = Path(sys.executable).parent
WHY = "the field engineer is at the pump"


class Site:
    """A running server, a device's tree, and the commands; everything that any of them wrote is kept."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data, self.root = folder, folder / "data", folder / "root"
        self.secrets: dict[str, bytes] = {}
        """What was secret, by what it was."""
        self.output = b""
        (self.root / "etc").mkdir(parents=True)
        (self.root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\npump:x:1001:1001::/:/bin/sh\n")
        (self.root / "etc/shadow").write_text("root:*:19000:0:99999:7:::\npump:!:19000:0:99999:7:::\n")
        (folder / "home").mkdir()
        self._environ = {**os.environ, "HOME": str(folder / "home"), "HOLDFAST_DATA": str(self.data)}

    async def prepare(self, config: Config) -> str:
        async with Plane.open(config, self.data) as plane:
            scope = plane.config.scope
            model = await plane.inventory.add_model(scope, model_with(PUMP, BMC), actor=ACTOR)
            device = await plane.inventory.add_device(scope, Row(1, DeviceId("pump-1"), model.reference), actor=ACTOR)
            claim, _ = await plane.identity.create_claim(device.key, lifetime=HOUR, actor=ACTOR)
            token, _ = await plane.tokens.create(
                scope, "robot", permission=Permission.ADMIN, lifetime=HOUR, actor=ACTOR
            )
            plane.webhook_secret.make()
            self.secrets |= {"claim": claim.encode(), "token": token.encode()}
            self.secrets["webhook secret"] = plane.webhook_secret.text().removeprefix("whsec_").encode()
            return plane.authority.root_fingerprint

    def holdfast(self, *arguments: str, said: bytes = b"") -> Any:
        """The JSON of a command, which is shown to who asked and therefore not kept."""
        argv = [BIN / "holdfast", *arguments, "--json"]
        ended = subprocess.run(argv, input=said, capture_output=True, check=False, env=self._environ)
        assert ended.returncode == 0, ended.stderr
        self.output += ended.stderr
        return json.loads(ended.stdout)

    def agent(self, *arguments: str, **environ: str) -> None:
        """The agent under a tracer that keeps every argument and environment of every program it starts."""
        trace = ("strace", "-f", "-v", "-s", "65536", "-e", "trace=execve", "-A", "-o", self.folder / "trace")
        argv = [*trace, BIN / "holdfast-agent", *arguments, "--state", self.folder / "state"]
        ended = subprocess.run(argv, capture_output=True, check=True, env={**self._environ, **environ})
        self.output += ended.stdout + ended.stderr

    def hash_of(self, account: str) -> str:
        lines = (self.root / "etc/shadow").read_text().splitlines()
        return next(line.split(":")[1] for line in lines if line.startswith(f"{account}:"))

    def files(self) -> Iterator[tuple[Path, bytes]]:
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield path.relative_to(self.folder), path.read_bytes()


def opens(secret: str, hashed: str) -> bool:
    """Whether a password is the one of a SHA-512 hash (crypt(5)), as `openssl` computes it."""
    _, kind, salt, _ = hashed.split("$")
    assert kind == "6"
    argv = ["openssl", "passwd", "-6", "-salt", salt, "-stdin"]
    return subprocess.run(argv, input=secret, capture_output=True, text=True, check=True).stdout.strip() == hashed


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    for program in ("chpasswd", "strace"):
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
            pytest.skip(f"{program} is not installed")
    site = Site(tmp_path_factory.mktemp("site"))
    ca = asyncio.run(site.prepare(configured(site.data)))
    with ServerProcess(site.data) as server:
        url = f"https://localhost:{server.config.device_port}"
        claim = {"HOLDFAST_CLAIM": site.secrets["claim"].decode()}
        site.agent("enroll", url, "--device", "pump-1", "--ca", ca, "--root", str(site.root), **claim)
        (site.folder / "trace").unlink()  # the claim is in this one's environment, which is where it was given
        yield site


@pytest.fixture(scope="module")
def used(site: Site) -> Site:
    """The site after two rotations, each shown, and one secret that was taken over and one typed in."""
    for number in (1, 2):
        site.agent("check-in")
        (seen,) = site.holdfast("secret", "show", "pump-1", "pump", "--why", WHY)["items"]
        assert (seen["version"], seen["confirmed"]) == (number, True)
        assert opens(seen["secret"], site.hash_of("pump"))
        site.secrets[f"version {number}"] = seen["secret"].encode()
    site.secrets["sticker"] = b"calvin-and-the-tiger"
    site.holdfast("secret", "import", "pump-1", "ADMIN", "--from", "-", "--why", WHY, said=b"calvin-and-the-tiger\n")
    site.holdfast("secret", "rotate", "pump-1", "ADMIN", "--why", WHY)
    typed, sticker = site.holdfast("secret", "show", "pump-1", "ADMIN", "--why", WHY)["items"]
    assert (sticker["version"], sticker["secret"]) == (1, "calvin-and-the-tiger"), "what opens it until then"
    site.secrets["typed in"] = typed["secret"].encode()
    site.holdfast("secret", "confirm", "pump-1", "ADMIN", "--version", "2")
    site.agent("check-in")
    return site


def test_control_the_password_is_set_and_opens_the_account(used: Site) -> None:
    listed = {each["account"]: each for each in used.holdfast("secret", "list")["items"]}
    assert (listed["pump"]["state"], listed["pump"]["version"]) == ("confirmed", 3)
    assert (listed["ADMIN"]["state"], listed["ADMIN"]["version"]) == ("confirmed", 2)
    assert used.hash_of("pump").startswith("$6$")
    assert used.hash_of("root") == "*"
    assert not opens(used.secrets["version 2"].decode(), used.hash_of("pump")), "who saw it can no longer enter"


def test_no_secret_lies_in_any_file(used: Site) -> None:
    """Database, its journal, keys, configuration, logs, the agent's state, the device's tree, home folders."""
    used.holdfast("backup", str(used.folder / "backup.tar.gz"))
    with subprocess.Popen(["gzip", "-dc", used.folder / "backup.tar.gz"], stdout=subprocess.PIPE) as unpacked:
        assert unpacked.stdout is not None
        (used.folder / "backup.tar").write_bytes(unpacked.stdout.read())
    seen = list(used.files())
    assert {"data/holdfast.db", "data/serve.log", "state/state.json", "trace"} <= {str(name) for name, _ in seen}
    for what, secret in used.secrets.items():
        for form in (secret, base64.b64encode(secret).rstrip(b"=")[:-1], secret.hex().encode()):
            assert [str(name) for name, data in seen if form in data] == [], what


def test_no_secret_is_said_passed_or_recorded(used: Site) -> None:
    """Words of the programs, arguments and environments of what they start, leaves, directives, incidents."""
    trace = (used.folder / "trace").read_bytes()
    assert re.search(rb'execve\("/usr/s?bin/chpasswd", \["/usr/s?bin/chpasswd", "-R"', trace)
    with contextlib.closing(sqlite3.connect(used.data / "holdfast.db")) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = b"\n".join(
            cell if isinstance(cell, bytes) else str(cell).encode()
            for table in tables
            for row in database.execute(f'SELECT * FROM "{table}"')  # noqa: S608  (the database's own names)
            for cell in row
        )
    assert b"secret.shown" in rows
    assert b"rotate-secrets" in rows
    api = json.dumps([used.holdfast("secret", "list"), used.holdfast("log", "show"), used.holdfast("incident", "list")])
    for what, secret in used.secrets.items():
        for where in (used.output, trace, rows, api.encode()):
            assert secret not in where, what


def test_no_private_key_lies_in_the_clear(used: Site) -> None:
    passphrase = (used.data / "keys/passphrase").read_bytes().strip()
    numbers = []
    for path in (used.data / "keys").glob("*.key"):
        data = path.read_bytes()
        if b"ENCRYPTED" in data:
            key: Any = load_pem_private_key(data, passphrase)
            private = (
                key.private_bytes_raw() if hasattr(key, "private_bytes_raw") else key.private_numbers().private_value
            )
            numbers.append(private if isinstance(private, bytes) else private.to_bytes(32, "big"))
    assert numbers
    for name, data in used.files():
        assert not any(number in data for number in numbers), name
