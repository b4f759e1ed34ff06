"""A device that attests, at a control plane in this process: enrolled, its key bound, its releases added."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attest_builders import SoftTpm, statement
from builders import ACTOR, DeviceInTest, example_bytes, request_for
from holdfast.bootstrap import Plane
from holdfast_core.attestation.model import AttestationKey, Method
from holdfast_core.attestation.reference import STATEMENT_TYPE, Reference, Statement, statement_bytes
from holdfast_core.formats.dsse import pae
from holdfast_core.inventory.rows import Row
from holdfast_core.kernel.digests import canonical, digest_of
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.kernel.instants import HOUR
from holdfast_core.wire.attestation import BOOT_LOG, SECTION, Ask, Asking, BootLog, Evidence, pack
from holdfast_core.wire.frame import Reply, Section

MODEL = "site-gateway"
NEEDS = "\n  - {appraisal: attestation, max_age_s: 7200}\n"


def attesting_model(**asked: Any) -> bytes:
    """The example of a gateway whose verdict needs evidence of its boot."""
    text = example_bytes("site-gateway").decode()
    text = text.replace("secure_boot: true", "secure_boot: false").replace(
        "anti_rollback: true", "anti_rollback: false"
    )
    wanted = {"registers": [0, 4, 7, 8, 9], **asked}
    return (text.rstrip("\n") + NEEDS + f"\nattestation: {msgspec.json.encode(wanted).decode()}\n").encode()


class Builder:
    """Who builds releases: a key, and what it signs."""

    def __init__(self) -> None:
        self.key = ed25519.Ed25519PrivateKey.generate()

    @property
    def public(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def envelope(self, stated: Statement) -> bytes:
        """The statement, signed."""
        payload, _ = statement_bytes(stated)
        return self.envelope_of(payload)

    def envelope_of(self, payload: bytes, kind: str = STATEMENT_TYPE) -> bytes:
        signature = base64.b64encode(self.key.sign(pae(kind, payload))).decode()
        payload_text = base64.b64encode(payload).decode()
        return canonical({"payload": payload_text, "payloadType": kind, "signatures": [{"sig": signature}]})


def stated(version: str = "1.0.0", **more: Any) -> Statement:
    """A release of the gateway's model."""
    return msgspec.structs.replace(statement(version, **more), model=MODEL)


async def added(plane: Plane, builder: Builder, *releases: Statement) -> list[Reference]:
    """Releases, taken under a trusted key."""
    scope, references = plane.config.scope, plane.attesting.references
    if not references.keys(scope):
        await references.trust(scope, "builder", builder.public, actor=ACTOR)
    return [await references.add(scope, builder.envelope(each), actor=ACTOR) for each in releases]


class Attester(DeviceInTest):
    """A device with a TPM."""

    tpm: SoftTpm
    log: bytes = b""
    nonce: str = ""

    async def tell(self, evidence: Evidence | None = None, *, log: bytes | None = None, **about: Any) -> Reply:
        """Check in with evidence; without one, ask for a nonce."""
        sections: dict[str, Section] = {"health": Section(body=msgspec.Raw(b'{"ok":true}'))}
        sections[SECTION] = Section(body=msgspec.Raw(msgspec.json.encode(evidence or Asking())))
        if log is not None:
            sections[BOOT_LOG] = Section(body=msgspec.Raw(log_body(log)))
        elif self.log:
            sections[BOOT_LOG] = Section(digest=digest_of(log_body(self.log)))
        reply = await self.check_in(sections={**sections, **about.pop("sections", {})}, **about)
        self.nonce = reply.nonce
        return reply

    async def attest(self, *, log: bytes | None = None, **quote: Any) -> Reply:
        """Check in with a quote bound to the last nonce."""
        return await self.tell(self.tpm.evidence(self.nonce, device=self.key.device, **quote), log=log)

    async def audit(self) -> Reply:
        """Check in with everything else that the verdict needs."""
        reply = await self.check_in()
        self.nonce = reply.nonce
        return reply


def log_body(log: bytes) -> bytes:
    """The body of section ``boot-log``."""
    return msgspec.json.encode(BootLog(pack(log)))


def ask_of(reply: Reply) -> Ask:
    """What the server asks of the next evidence."""
    return msgspec.json.decode(bytes(reply.answers[SECTION]), type=Ask)


async def an_attester(plane: Plane, name: str = "gate-1", *, tpm: SoftTpm | None = None, **asked: Any) -> Attester:
    """A gateway that enrolled, with its attestation key bound as an enrollment by TPM binds it."""
    scope = plane.config.scope
    model = await plane.inventory.add_model(scope, attesting_model(**asked), actor=ACTOR)
    device = await plane.inventory.add_device(scope, Row(1, DeviceId(name), model.reference), actor=ACTOR)
    claim, _ = await plane.identity.create_claim(device.key, lifetime=HOUR, actor=ACTOR)
    chain = await plane.identity.enroll(name, claim, request_for(name))
    made = Attester(plane, device, digest_of(chain[0].public_bytes(Encoding.DER)))
    made.tpm = tpm or SoftTpm()
    key = AttestationKey(
        scope, name, method=Method.TPM, public=made.tpm.area, bound_at=plane.clock.now(), by=f"device:{name}"
    )
    await plane.store.commit([key])
    return made
