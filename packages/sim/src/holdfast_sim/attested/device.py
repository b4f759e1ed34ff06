"""A virtual device with a TPM, light enough for a thousand of them: it boots, enrolls with its chip, and attests.

1. The device's attestation key is bound the real way, by the exchange of two steps (`AttestedDevice.bind`). For TLS it
   enrolls once more with a key in a file, after the operator released the chip: one process has one OpenSSL, and that
   speaks with one chip.
2. A contact is a connection of its own, as the agent's is. Evidence is for the nonce of the last reply, and after a
   boot the device asks for a new one in the same contact.
3. An answer that does not come leaves its number and its nonce used: the next message has the next number, and asks.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from holdfast_agent.chip_key import ChipKey
from holdfast_agent.enroll import enroll
from holdfast_agent.state import IDENTITY, ROOT, Config, Folder
from holdfast_agent.transport import Client, parse_server, pinned_context
from holdfast_core.formats.tpm.keys import public_key, spki_digest_of
from holdfast_core.formats.tpm.public import parse_public
from holdfast_core.kernel.digests import canonical, digest_of, parse_digest
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.wire.attestation import (
    BOOT_LOG,
    SECTION,
    Ask,
    Asking,
    BootLog,
    Claims,
    Component,
    Evidence,
    TpmEvidence,
    binding,
    pack,
)
from holdfast_core.wire.codec import decode_reply, encode
from holdfast_core.wire.frame import VERSION, CheckIn, Health, Reply, Section
from holdfast_core.wire.tpm import BEGIN_PATH, FINISH_PATH, MEDIA_TYPE, Begin, Challenge, Finish
from holdfast_sim.attested.chip import AK, KEY, Chip, Loaded
from holdfast_sim.boot.artefacts import BootRelease
from holdfast_sim.boot.machine import Machine
from holdfast_sim.boot.swtpm import Swtpm
from holdfast_sim.link import OK, Link

ROUNDS = 4
"""Check-ins of one contact."""
_HEALTH = canonical(Health(ok=True))
_JSON = {"Content-Type": MEDIA_TYPE}


class Contact(msgspec.Struct, frozen=True):
    """What a contact came to: the verdict, its reasons' codes, quotes that were answered, and seconds."""

    level: str
    codes: tuple[str, ...]
    quotes: int
    seconds: float
    exchanges: tuple[float, ...]
    """Seconds of each check-in that held a quote, from sending to answer."""


class AttestedDevice:
    """One device; its chip runs until `close`.

    Args:
        name: the device's id.
        folder: what it keeps; new.
        release: what its machine leaves the factory with.

    Raises:
        WorldError: ``boot.no_swtpm``, ``boot.tpm``.
    """

    def __init__(self, name: str, folder: Path, release: BootRelease) -> None:
        self.name = name
        self.tpm = Swtpm()
        self._folder = Folder(folder)
        self.chip = Chip(self.tpm.socket)
        self.machine = Machine.of(release, self.tpm)
        self._claims = Claims(components=tuple(Component(part.place, part.identity) for part in release.rom.hardware))
        self._url = ""
        self._seq = 0
        self._nonce: str | None = None
        self._ask: Ask | None = None
        self._acked: dict[str, str] = {}
        self.boot()

    def boot(self, *, orderly: bool = True) -> None:
        """Start anew: another boot, another log, and no nonce. Raises WorldError ``boot.tpm``."""
        report = self.machine.boot(orderly=orderly)
        self._boot = os.urandom(16).hex()
        self._nonce = None
        self._log = canonical(BootLog(pack(report.log)))

    def endorsement(self) -> str:
        """The digest of the chip's endorsement key, for an operator to pin. Raises WorldError ``sim.tpm``."""
        key = self.chip.endorsement()
        self.chip.flush(key.handle)
        return str(spki_digest_of(parse_public(key.public)))

    def bind(self, url: str, root: str) -> None:
        """Enroll with the chip, which an operator pinned: its attestation key is this device's from then on.

        Args:
            url: the server's device port.
            root: the certificate of its authority (PEM).

        Raises:
            WorldError: ``sim.tpm``, and what `holdfast_agent.transport` raises.
        """
        client = Client(parse_server(url), pinned_context(root))
        try:
            self._exchange_keys(client)
        finally:
            client.close()

    def enroll(self, url: str, ca: str, claim: str) -> None:
        """Get a certificate for a key in a file; the operator has released the chip before.

        Args:
            url: the server's device port.
            ca: the digest of its authority.
            claim: the operator's.

        Raises:
            WorldError: as `holdfast_agent.enroll`.
            HostileData: ``enroll.*``.
        """
        self._url = url
        with self._folder.locked():
            enroll(self._folder, Config(server=url, device=self.name), ca=parse_digest(ca), claim=claim)

    def _exchange_keys(self, client: Client) -> None:
        chip = self.chip
        ek, ak, key = chip.endorsement(), chip.make(AK), chip.make(KEY)
        begin = Begin(self.name, ek.public, ak.public)
        answer = client.call("POST", BEGIN_PATH, msgspec.json.encode(begin), _JSON)
        challenge = msgspec.json.decode(answer, type=Challenge)
        proof = chip.certify(key, ak, challenge.nonce)
        secret = chip.activate(ak, ek, challenge.blob, challenge.secret)
        request = self._request(key)
        finish = Finish(challenge.session, secret, key.public, proof.quote, proof.signature, request)
        client.call("POST", FINISH_PATH, msgspec.json.encode(finish), _JSON)
        chip.keep(ak)
        for each in (ek, ak, key):
            chip.flush(each.handle)

    def _request(self, key: Loaded) -> bytes:
        public = public_key(parse_public(key.public))
        if not isinstance(public, ec.EllipticCurvePublicKey):
            raise WorldError("sim.tpm", "The chip made another key than it was asked for.", remedy="Report this.")
        signer = ChipKey(public, lambda digest: self.chip.sign(key, digest))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(signer, hashes.SHA256())
        return request.public_bytes(Encoding.DER)

    def contact(self) -> Contact:
        """Check in, again at once while the server wants more. Raises WorldError ``link.failed``, ``sim.*``."""
        begun, exchanges, reply = time.monotonic(), list[float](), None
        link = Link(self._url, self._folder.path / ROOT, self._folder.path / IDENTITY)
        try:
            for _ in range(ROUNDS):
                evidence = self._evidence()
                started = time.monotonic()
                reply = self._said(link, evidence)
                if isinstance(evidence, TpmEvidence):
                    exchanges.append(time.monotonic() - started)
                if not reply.wants:
                    break
        finally:
            link.close()
        if reply is None:
            raise WorldError("sim.refused", "There was no answer.", remedy="Look into the server's log.")
        codes = tuple(reason.code for reason in reply.verdict.reasons)
        seconds = time.monotonic() - begun
        return Contact(reply.verdict.level.value, codes, len(exchanges), seconds, tuple(exchanges))

    def _evidence(self) -> Evidence:
        nonce, ask = self._nonce, self._ask
        if nonce is None or ask is None or not ask.registers:
            return Asking()
        quote = self.chip.quote(binding(nonce, self.name, self._claims), ask.bank, ask.registers)
        return TpmEvidence(nonce, quote.quote, quote.signature, self._claims)

    def _said(self, link: Link, evidence: Evidence) -> Reply:
        """One check-in, answered. Raises WorldError ``link.failed``, ``sim.refused``."""
        bodies = {"health": _HEALTH, SECTION: msgspec.json.encode(evidence)}
        if isinstance(evidence, TpmEvidence):
            bodies[BOOT_LOG] = self._log  # a question for a nonce needs none
        sections = {
            name: Section(digest=digest_of(body))
            if name != SECTION and self._acked.get(name) == _short(body)
            else Section(body=msgspec.Raw(body))
            for name, body in bodies.items()
        }
        self._seq += 1
        message = CheckIn(v=VERSION, boot=self._boot, seq=self._seq, sections=sections, nonce=self._nonce)
        self._nonce = None  # until an answer brings the next
        answer = link.check_in(encode(message))
        if answer.status != OK:
            said = answer.body[: LIMITS.text].decode(errors="replace")
            raise WorldError("sim.refused", f"{answer.status}: {said}", remedy="Do what the server's answer says.")
        reply = decode_reply(answer.body, LIMITS)
        self._nonce = reply.nonce
        self._ask = msgspec.json.decode(reply.answers[SECTION], type=Ask) if SECTION in reply.answers else self._ask
        taken = {name: _short(body) for name, body in bodies.items()}
        self._acked = {name: digest for name, digest in (self._acked | taken).items() if name not in reply.wants}
        return reply

    def close(self) -> None:
        """End the chip."""
        self.tpm.close()


def _short(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
