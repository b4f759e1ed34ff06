"""A relying party whose revocation list is missing, stale or cut: the canary gets in, and that is told."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from builders import new_plane
from holdfast.adapters.pki.certificates import server
from holdfast.adapters.tls_probe import TlsProbe
from holdfast.identity.canaries import SPREAD
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import Scope

pytestmark = pytest.mark.anyio
LISTENING_S = 10.0


@contextmanager
def listening(folder: Path, port: int, *more: str) -> Iterator[None]:
    """``openssl s_server`` that wants a client certificate."""
    argv = ["openssl", "s_server", "-accept", str(port), "-cert", "server.pem", "-key", "server.pem", "-quiet"]
    argv += ["-CAfile", "trusted.pem", "-Verify", "2", "-verify_return_error", *more]
    with subprocess.Popen(
        argv, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            deadline = time.monotonic() + LISTENING_S
            while time.monotonic() < deadline:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.05)
            yield
        finally:
            process.terminate()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def prepared(plane, folder: Path, *, with_list: bool) -> None:
    """What the party trusts: the anchor, and the list beside it where it has one."""
    key, scope = ec.generate_private_key(ec.SECP256R1()), plane.config.scope
    leaf = server(["localhost"], key.public_key(), plane.authority.services, key, now=plane.clock.now())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "server.pem").write_bytes(pem + leaf.public_bytes(Encoding.PEM))
    trusted = plane.authority.anchor(scope, 1).public_bytes(Encoding.PEM)
    (folder / "trusted.pem").write_bytes(trusted + (await plane.lists.bundle(scope) if with_list else b""))


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("with_list", [True, False])
async def test_a_party_without_its_list_is_found_and_one_that_has_it_is_not(tmp_path, version, with_list):
    async with new_plane(tmp_path / "plane") as plane:
        issuer = plane.lists.issuers(plane.config.scope)[0]
        live = await plane.canaries.of(issuer)
        plane.clock.forward(SPREAD)
        await prepared(plane, tmp_path, with_list=with_list)
        port = free_port()
        checks = ["-crl_check"] if with_list else []
        with listening(tmp_path, port, version, *checks, "-attime", str(plane.clock.now() // 1000)):
            found = await TlsProbe(f"127.0.0.1:{port}", plane.config.scope).look(live.identity, plane.clock.now())
    assert [reason.code for reason in found] == ([] if with_list else ["relying_party.open"])


async def test_a_party_that_is_away_lets_nobody_in(tmp_path):
    async with new_plane(tmp_path / "plane") as plane:
        live = await plane.canaries.of(plane.lists.issuers(plane.config.scope)[0])
        found = await TlsProbe(f"127.0.0.1:{free_port()}", plane.config.scope).look(live.identity, plane.clock.now())
    assert found == ()


@pytest.mark.parametrize("party", ["", "broker", "broker:", "broker:99999", ":8883", "broker:mqtt"])
def test_a_party_that_is_no_address_is_refused_at_the_start(party):
    with pytest.raises(HostileData) as refused:
        TlsProbe(party, Scope("default", "production"))
    assert refused.value.code == "config.invalid"
