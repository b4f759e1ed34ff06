"""TLS for both ports.

1. The device port asks for a certificate and takes none as an answer: enrollment has none yet. Which route needs one
   is the application's business.
2. OpenSSL does not judge time on the device port: a certificate's dates and a lost clock are judged by the rules.
3. No session tickets: resumption would bypass the client certificate's revocation (field notes, web, section 3). That
   TLS 1.2 takes up sessions by their ids cannot be switched off here; see `web.device.protocol.peer_chain`.
"""

from __future__ import annotations

import ssl
from pathlib import Path

NO_CHECK_TIME = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which the ssl module has no name for."""


OLD_CLIENT_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!SHA1:!kRSA"
"""TLS 1.2 with forward secrecy and authenticated encryption, nothing else (RFC 9325, section 4.2)."""


def device_context(folder: Path, password: bytes) -> ssl.SSLContext:
    """The context of the device port; `folder` holds the authority's files, keys under `password`."""
    context = _verifying(folder, password)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    return context


def est_context(folder: Path, password: bytes) -> ssl.SSLContext:
    """The context of the EST port, for old clients: TLS 1.2, whose channels have the unique value that EST ties to."""
    context = _verifying(folder, password)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(OLD_CLIENT_CIPHERS)
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    return context


def _verifying(folder: Path, password: bytes) -> ssl.SSLContext:
    """A server's context that asks for a certificate, verifies one that is shown, and leaves time to the rules."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "device-port.pem", folder / "device-port.key", password)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(folder / "root.pem")
    for issuer in sorted((folder / "issuers").glob("*/*/*[0-9].pem")):
        # Also for devices that show their leaf alone; the application judges how the issuer stands.
        context.load_verify_locations(issuer)
    context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
    return context


def operator_context(certificate: Path, key: Path, password: bytes = b"") -> ssl.SSLContext:
    """The context of the port for people: no client certificate is asked for, so browsers show no dialogue.

    `key` may be under `password`, or in the clear if it is the operator's own.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key, password)
    return context
