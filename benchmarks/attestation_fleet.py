"""Devices that attest: a TPM in memory each, real certificates, and a public event log of 41 KB that they booted with.

The log is keylime/keylime's ``binary_bios_measurements-secureboot`` (Apache-2.0): a machine that booted under Secure
Boot. Its registers are what it replays to, so a quote over them is what that machine's TPM would have signed. A second
release differs by one event; a log of its own differs by one event in a register that is not asked for.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from struct import pack as packed

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from benchmarks.ground import Ground, audit_body
from holdfast.bootstrap import Plane
from holdfast.inventory.model_file import example_bytes
from holdfast.ports.store import Change
from holdfast_core.attestation.boot import measured, parse_log, values_of
from holdfast_core.attestation.model import AttestationKey, Method, Policy
from holdfast_core.attestation.reference import STATEMENT_TYPE, Measurement, Statement, statement_bytes
from holdfast_core.formats.dsse import pae
from holdfast_core.formats.eventlog import kinds
from holdfast_core.formats.tpm.attest import GENERATED, Tag
from holdfast_core.formats.tpm.public import Algorithm, Attribute, Curve, EccPoint, Public, Scheme, public_area
from holdfast_core.formats.tpm.reader import tpm2b, u16, u32
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.kernel.digests import Digest, canonical, digest_of
from holdfast_core.kernel.ids import DeviceId, DeviceKey
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.wire.attestation import (
    BOOT_LOG,
    SECTION,
    Asking,
    BootLog,
    Claims,
    Debug,
    DebugPort,
    Evidence,
    TpmEvidence,
    binding,
    pack,
)
from holdfast_core.wire.codec import decode_reply, encode
from holdfast_core.wire.frame import CheckIn, Reply, Section

LOG = (
    Path(__file__).resolve().parents[1]
    / "../shared/vectors/attestation/keylime/test__data__create-mb-policy__binary_bios_measurements-secureboot"
)
REGISTERS = tuple(range(10))
MODEL = "site-gateway"
ACTOR = "os-user:benchmark"
SHA256 = 0x000B
_UNASKED, _LOADED = 14, 9
_RESTRICTED = (
    Attribute.FIXED_TPM
    | Attribute.FIXED_PARENT
    | Attribute.SENSITIVE_DATA_ORIGIN
    | Attribute.USER_WITH_AUTH
    | Attribute.RESTRICTED
    | Attribute.SIGN
)
_HEALTH = Section(body=msgspec.Raw(b'{"ok":true}'))
_METRICS = Section(body=msgspec.Raw(b'{"uptime-s":86400,"load1":0.12,"memory-available-kib":40960}'))


@dataclass(frozen=True)
class Boot:
    """One boot: its event log, and the registers that it leaves."""

    log: bytes

    @cached_property
    def values(self) -> Mapping[int, bytes]:
        """The registers that are asked for."""
        return values_of(parse_log(self.log), Policy(Method.TPM, registers=REGISTERS))

    @cached_property
    def body(self) -> bytes:
        """The body of section ``boot-log``."""
        return msgspec.json.encode(BootLog(pack(self.log)))

    @cached_property
    def digest(self) -> Digest:
        """Of the body."""
        return digest_of(self.body)

    def then(self, register: int, what: bytes) -> Boot:
        """The same boot with one more event, in the log's only bank."""
        digest = packed("<H", SHA256) + hashlib.sha256(what).digest()
        return Boot(self.log + packed("<III", register, kinds.IPL, 1) + digest + packed("<I", len(what)) + what)

    def release(self, version: str) -> Statement:
        """The reference values of a release that boots like this."""
        events = measured(parse_log(self.log), Policy(Method.TPM, registers=REGISTERS))
        named = tuple(Measurement(each.register, each.digest, each.said) for each in events if not each.structural)
        return Statement(MODEL, version, 1, Instant(1_795_000_000_000), measurements=named)


def boots() -> tuple[Boot, Boot]:
    """The public boot, and that of a second release of the same machine."""
    first = Boot(LOG.read_bytes())
    return first, first.then(_LOADED, b"kernel of the second release")


def own(boot: Boot, word: str) -> Boot:
    """The same boot with a log that nobody else has: what is new in it lies in a register that is not asked for."""
    return boot.then(_UNASKED, word.encode())


class Tpm:
    """A TPM with one attestation key (ECDSA P-256), as far as quotes look."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._resets = 1
        self._name = hashlib.sha256(self.area[2:]).digest()

    @cached_property
    def area(self) -> bytes:
        """The TPM2B_PUBLIC."""
        numbers = self._key.public_key().public_numbers()
        point = EccPoint(Curve.P256, numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big"))
        scheme = Scheme(Algorithm.ECDSA, Algorithm.SHA256)
        return tpm2b(public_area(Public(Algorithm.SHA256, _RESTRICTED, b"", None, scheme, point, b"")))

    def reset(self) -> None:
        """Boot anew."""
        self._resets += 1

    def quote(self, extra: bytes, values: Mapping[int, bytes]) -> tuple[bytes, bytes]:
        """A quote over `values` (TPMS_ATTEST) with `extra` in it, and its signature (TPMT_SIGNATURE)."""
        bits = sum(1 << register for register in values)
        selection = u32(1) + u16(SHA256) + bytes([3]) + bits.to_bytes(3, "little")
        digest = hashlib.sha256(b"".join(values[register] for register in sorted(values))).digest()
        clock = (time.monotonic_ns() // 1_000_000).to_bytes(8, "big") + u32(self._resets) + u32(0) + b"\1"
        signer = tpm2b(u16(Algorithm.SHA256) + self._name)
        head = u32(GENERATED) + u16(Tag.QUOTE) + signer + tpm2b(extra) + clock + bytes(8)
        attest = head + selection + tpm2b(digest)
        r, s = decode_dss_signature(self._key.sign(attest, ec.ECDSA(hashes.SHA256())))
        parts = tpm2b(r.to_bytes(32, "big")) + tpm2b(s.to_bytes(32, "big"))
        return attest, u16(Algorithm.ECDSA) + u16(Algorithm.SHA256) + parts


class Attester:
    """One device, and what it sends next."""

    def __init__(self, name: str, fingerprint: Digest, audit: tuple[bytes, Digest]) -> None:
        self.name, self.fingerprint, self.tpm = name, fingerprint, Tpm()
        self._audit, self._seq, self._nonce = audit, 0, ""
        self._boot: Boot | None = None

    def greeting(self) -> bytes:
        """The first check-in: the audit, and the word that it can attest and needs a nonce."""
        body, digest = self._audit
        return self._frame(Section(digest, body=msgspec.Raw(body)), Asking())

    def plain(self) -> bytes:
        """A check-in without evidence of a boot."""
        return self._frame(Section(self._audit[1]), None)

    def evidence(self, boot: Boot, *, log: bool, debug: Debug = Debug.DISABLED) -> bytes:
        """A check-in with a quote of `boot` that answers the last nonce; with the whole event log or its digest."""
        if self._boot is not None and boot.values != self._boot.values:
            self.tpm.reset()
        self._boot = boot
        claims = Claims(debug_ports=(DebugPort("jtag", debug),))
        quote, signature = self.tpm.quote(binding(self._nonce, self.name, claims), boot.values)
        said = TpmEvidence(self._nonce, quote, signature, claims)
        section = Section(boot.digest, body=msgspec.Raw(boot.body)) if log else Section(boot.digest)
        return self._frame(Section(self._audit[1]), said, section)

    def heard(self, reply: bytes) -> Reply:
        """Take the next nonce from a reply."""
        said = decode_reply(reply, LIMITS)
        self._nonce = said.nonce
        return said

    def _frame(self, audit: Section, evidence: Evidence | None, log: Section | None = None) -> bytes:
        self._seq += 1
        sections = {"health": _HEALTH, "metrics": _METRICS, "baseline": audit}
        if log is not None:
            sections[BOOT_LOG] = log
        if evidence is not None:
            sections[SECTION] = Section(body=msgspec.Raw(msgspec.json.encode(evidence)))
        return encode(CheckIn(v=1, boot=f"boot-of-{self.name}", seq=self._seq, sections=sections))


def _model() -> bytes:
    """The example of a gateway whose verdict needs evidence of its boot, and of closed debug ports."""
    text = example_bytes(MODEL).decode().rstrip("\n")
    needs = "\n  - {appraisal: attestation, max_age_s: 7200}\n"
    asked = {"registers": REGISTERS, "debug_off": True}
    return (text + needs + f"\nattestation: {msgspec.json.encode(asked).decode()}\n").encode()


async def bind(plane: Plane, ground: Ground, releases: Sequence[Statement]) -> list[Attester]:
    """Let the devices of the ground attest: another model, a key each, and releases under a trusted key."""
    scope, now = plane.config.scope, plane.clock.now()
    model = await plane.inventory.add_model(scope, _model(), actor=ACTOR)
    await _add(plane, releases)
    plan = plane.baseline.show(model).plan
    body = audit_body(digest_of(canonical(plan)), plan.controls, failing="")
    made, changes = [], list[Change]()
    for member in ground.members:
        leaf = x509.load_pem_x509_certificates(member.certificate.read_bytes())[0]
        device = Attester(member.name, digest_of(leaf.public_bytes(Encoding.DER)), (body, digest_of(body)))
        known = plane.store.device(DeviceKey(scope, DeviceId(member.name)))
        if not isinstance(known, Device):
            raise SystemExit(f"the ground lacks {member.name}")
        changes.append(msgspec.structs.replace(known, model=model.reference))
        changes.append(
            AttestationKey(scope, member.name, method=Method.TPM, public=device.tpm.area, bound_at=now, by="benchmark")
        )
        made.append(device)
    await plane.store.commit(changes)
    return made


async def _add(plane: Plane, releases: Sequence[Statement]) -> None:
    key, scope = ed25519.Ed25519PrivateKey.generate(), plane.config.scope
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    await plane.attesting.references.trust(scope, "builder", pem, actor=ACTOR)
    for release in releases:
        payload, _ = statement_bytes(release)
        signature = base64.b64encode(key.sign(pae(STATEMENT_TYPE, payload))).decode()
        envelope = {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": STATEMENT_TYPE,
            "signatures": [{"sig": signature}],
        }
        await plane.attesting.references.add(scope, canonical(envelope), actor=ACTOR)
