"""Trying a relying party with a revoked certificate: any server that lets devices in by mutual TLS.

1. In TLS 1.3 a client is done before the server has judged its certificate (RFC 8446, section 4.4.2.4), so the end of
   the handshake proves nothing. Whoever refuses says so or hangs up; whoever keeps still has let the canary in.
2. Nothing is sent after the handshake: a party must refuse a revoked certificate by itself, whatever it speaks.
3. The party's own certificate is not verified: this asks whom it lets in, and nothing is told to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from holdfast.ports.validity import CanaryIdentity
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.reasons import Reason

CONNECT_SECONDS = 10.0
STILL_SECONDS = 3.0
"""How long a party may take to refuse."""
LARGEST_PORT = 65_535


class TlsProbe:
    """Implements `holdfast.ports.validity.RelyingPartyProbe` for ``HOST:PORT``.

    Raises:
        HostileData: ``config.invalid``.
    """

    def __init__(self, party: str, scope: Scope) -> None:
        self.party, self.scope = party, scope
        host, _, port = party.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) <= LARGEST_PORT:
            raise HostileData(
                "config.invalid",
                f"{party[:80]!r} in watched_parties is not HOST:PORT.",
                remedy="Write the address at which the party takes devices, such as broker.example:8883.",
            )
        self._host, self._port = host.strip("[]"), int(port)

    async def look(self, canary: CanaryIdentity, now: Instant) -> tuple[Reason, ...]:  # noqa: ARG002  (the port's)
        """See the port."""
        context = await asyncio.to_thread(_context, canary)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                reader, writer = await asyncio.open_connection(self._host, self._port, ssl=context)
        except (OSError, TimeoutError):
            return ()  # refused in the handshake (TLS 1.2), or not there: nobody was let in
        try:
            async with asyncio.timeout(STILL_SECONDS):
                said = await reader.read(1)
        except TimeoutError:
            return (self._let_in(),)
        except OSError:
            return ()  # the alert that refuses
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        return (self._let_in(),) if said else ()

    def _let_in(self) -> Reason:
        return Reason(
            "relying_party.open",
            f"{self.party} let in a certificate that is revoked.",
            "Treat it as open to every stolen key: check its revocation list (holdfast crl check) and reload it.",
        )


def _context(canary: CanaryIdentity) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    chain = b"".join(each.public_bytes(Encoding.PEM) for each in (canary.certificate, canary.issuer))
    key = canary.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    # The ssl module reads keys from files only; this one is of a certificate that opens nothing.
    with tempfile.TemporaryDirectory(prefix="holdfast-canary-") as folder:
        path = Path(folder, "canary.pem")
        path.touch(mode=0o600)
        path.write_bytes(key + chain)
        context.load_cert_chain(path)
    return context
