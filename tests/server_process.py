"""The real server as a process of its own, for tests that kill, starve or trace it; and a client that calls it."""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from builders import ACTOR, data_folder, request_for
from holdfast.bootstrap import Plane
from holdfast.config import Config, load, render
from holdfast.inventory.model_file import example_bytes
from holdfast.web.tls import NO_CHECK_TIME
from holdfast_core.inventory.rows import Row
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.kernel.instants import HOUR

START_SECONDS = 300


def configured(folder: Path, **settings: object) -> Config:
    """A data folder whose ports are any free ones that the test chose."""
    data_folder(folder)
    ports = {}
    for name in ("device_port", "est_port", "operator_port", "metrics_port"):
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            ports[name] = sock.getsockname()[1]
    config = Config(device_host="127.0.0.1", **ports, **settings)  # type: ignore[arg-type]  # test settings
    (folder / "holdfast.toml").write_text(render(config))
    return config


class ServerProcess:
    """`holdfast serve` on a folder; `before` is put in front of the command (a tracer)."""

    def __init__(self, folder: Path, *, before: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.config = load(folder, {})
        argv = [*before, sys.executable, "-m", "holdfast", "serve", "--data", str(folder)]
        with (folder / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log)
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, (self.folder / "serve.log").read_text()
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.config.metrics_port, timeout=5)
                connection.request("GET", "/livez")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                time.sleep(0.05)
            finally:
                connection.close()
        raise AssertionError((self.folder / "serve.log").read_text())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(300)


class Caller:
    """A device that calls over real TLS on one kept-alive connection."""

    def __init__(self, server: ServerProcess, identity: Path | None) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(server.folder / "keys" / "root.pem")
        context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)  # as an agent does: its clock may be lost
        if identity is not None:
            context.load_cert_chain(identity)
        self.connection = http.client.HTTPSConnection(
            "localhost", server.config.device_port, context=context, timeout=300
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def post(self, body: bytes, path: str = "/v1/check-in") -> tuple[int, bytes]:
        """One POST: status and body."""
        self.connection.request("POST", path, body)
        response = self.connection.getresponse()
        return response.status, response.read()


async def enroll_on_disk(plane: Plane, folder: Path, name: str = "cam-1") -> Path:
    """Enroll a device while no server runs; a file with its key and chain."""
    scope = plane.config.scope
    model = await plane.inventory.add_model(scope, example_bytes("door-camera"), actor=ACTOR)
    device = await plane.inventory.add_device(scope, Row(1, DeviceId(name), model.reference), actor=ACTOR)
    claim, _ = await plane.identity.create_claim(device.key, lifetime=HOUR, actor=ACTOR)
    key = ec.generate_private_key(ec.SECP256R1())
    chain = await plane.identity.enroll(name, claim, request_for(name, key))
    path = folder / f"{name}.pem"
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(pem + b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain))
    return path
