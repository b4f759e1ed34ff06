"""Taking up a session of the EST port again: it says no more than its certificate, and no more than it did before."""

from __future__ import annotations

import contextlib
import ssl

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from builders import ACTOR, enrolled, new_plane, request_for
from holdfast.identity.enrollment import Shown
from holdfast.web.device.protocol import channel_value, peer_chain
from holdfast.web.trust import DeviceTrust
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.instants import HOUR

pytestmark = pytest.mark.anyio


class Connection:
    """A TLS connection in memory; `scope` is what the server's application would get of it."""

    def __init__(self, server, client, session=None):
        to_server, to_client = (ssl.MemoryBIO(), ssl.MemoryBIO()), (ssl.MemoryBIO(), ssl.MemoryBIO())
        self.server = server.wrap_bio(*to_server, server_side=True)
        self.client = client.wrap_bio(*to_client, session=session)
        for _ in range(4):
            for side in (self.client, self.server):
                with contextlib.suppress(ssl.SSLWantReadError):
                    side.do_handshake()
                to_server[0].write(to_client[1].read())
                to_client[0].write(to_server[1].read())
        self.scope = {"extensions": {"holdfast.tls": self.server}}

    @property
    def shown(self):
        return Shown(peer_chain(self.scope), channel_value(self.scope))


async def test_session_that_is_taken_up_again(tmp_path):
    async with new_plane(tmp_path) as plane:
        device, key = await enrolled(plane), ec.generate_private_key(ec.SECP256R1())
        claim, _ = await plane.identity.create_claim(device.key, lifetime=HOUR, actor=ACTOR)
        leaf, *_ = await plane.identity.enroll("cam-1", claim, request_for("cam-1", key))
        identity = tmp_path / "identity.pem"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        identity.write_bytes(leaf.public_bytes(Encoding.PEM) + private)
        trust = DeviceTrust(plane.folder / "keys", plane.passphrase.reveal(), plane.store, plane.authority)
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.load_verify_locations(plane.folder / "keys" / "root.pem")
        client.check_hostname = False
        client.load_cert_chain(identity)

        first = Connection(trust.est, client)
        again = Connection(trust.est, client, first.client.session)
        assert (first.server.session_reused, again.server.session_reused) == (False, True)
        assert again.shown.fingerprint == first.shown.fingerprint == digest_of(leaf.public_bytes(Encoding.DER))
        assert first.shown.channel is not None
        assert again.shown.channel is None  # its value need not be of this connection alone
        await plane.enrollment.renew(again.shown, request_for("cam-1"))

        await plane.identity.revoke(device.key, why="stolen", actor=ACTOR)
        with pytest.raises(IdentityRefused) as refused:
            await plane.enrollment.renew(again.shown, request_for("cam-1"))
        assert refused.value.code == "identity.revoked"


async def test_control_the_device_port_takes_up_no_session(tmp_path):
    async with new_plane(tmp_path) as plane:
        trust = DeviceTrust(plane.folder / "keys", plane.passphrase.reveal(), plane.store, plane.authority)
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.load_verify_locations(plane.folder / "keys" / "root.pem")
        client.check_hostname = False
        first = Connection(trust.device, client)
        again = Connection(trust.device, client, first.client.session)
        assert not again.server.session_reused
        assert again.shown.chain == ()
