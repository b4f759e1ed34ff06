"""The maker of a simulated board as a builder of releases: reference values from a release's files, signed.

1. The values come from `expected_measurements`: from the files alone, before any machine has booted them.
2. Register 1 is the hardware's and register 7 the keys': both are of the product line, and in every release of it.

Source: DSSE v1.0.2, protocol.md (what is signed, and its JSON form).
"""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from holdfast_core.attestation.reference import STATEMENT_TYPE, Measurement, Statement, statement_bytes
from holdfast_core.formats.dsse import pae
from holdfast_core.kernel.digests import canonical
from holdfast_core.kernel.instants import Instant
from holdfast_sim.boot.artefacts import BootRelease
from holdfast_sim.boot.measurements import expected_measurements

ENVELOPE_TYPE = "application/vnd.dsse.envelope.v1+json"
REGISTERS = (0, 1, 4, 7, 8, 9)
"""Those that a boot of the Linux chain measures more than a separator into."""
_SEPARATOR = "separator"


def statement(release: BootRelease, model: str, made_at: Instant) -> Statement:
    """What is said of a release for the devices of `model`. Raises HostileData as `expected_measurements`."""
    measured = [
        Measurement(register, digest.hex(), what)
        for register, digest, what in expected_measurements(release)
        if what != _SEPARATOR  # every boot writes it, whatever it boots
    ]
    return Statement(model, release.version, release.svn, made_at, measurements=tuple(dict.fromkeys(measured)))


class Builder:
    """Who builds releases, with a key of its own."""

    def __init__(self) -> None:
        self._key = ed25519.Ed25519PrivateKey.generate()

    @property
    def private(self) -> bytes:
        """The key itself (PEM), for whoever signs with it elsewhere."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def public(self) -> str:
        """The key that a server has to trust (PEM)."""
        return self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")

    def envelope(self, said: Statement) -> bytes:
        """The statement, signed: what is added to a server."""
        payload, _ = statement_bytes(said)
        signature = self._key.sign(pae(STATEMENT_TYPE, payload))
        return canonical(
            {
                "payload": base64.b64encode(payload).decode("ascii"),
                "payloadType": STATEMENT_TYPE,
                "signatures": [{"sig": base64.b64encode(signature).decode("ascii")}],
            }
        )
