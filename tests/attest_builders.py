"""A TPM in memory, as far as appraisals look: registers, an event log, quotes; and the facts that an appraisal takes.

Real chips are used where the agent or the server is meant (``tpm_builders``); `tests/integration/test_attestation.py`
holds this one beside a real one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from event_log_builders import agile_log, event, separator
from holdfast_core.attestation.facts import Facts, Outcome
from holdfast_core.attestation.ground import Ground, ground
from holdfast_core.attestation.model import DeviceState, Method, Policy
from holdfast_core.attestation.quote import Nonce, registers_of
from holdfast_core.attestation.reference import Judged, Measurement, Standing, Statement, statement_bytes
from holdfast_core.attestation.rules import appraise
from holdfast_core.formats.eventlog import kinds
from holdfast_core.formats.tpm.attest import GENERATED, Tag
from holdfast_core.formats.tpm.public import (
    Algorithm,
    Attribute,
    Curve,
    EccPoint,
    Public,
    Scheme,
    parse_public,
    public_area,
)
from holdfast_core.formats.tpm.reader import tpm2b, u16, u32
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.instants import DAY, MINUTE, Instant
from holdfast_core.wire.attestation import Claims, ImaSlice, TpmEvidence, binding

NOW = Instant(1_795_000_000_000)
DEVICE = "gate-7"
NONCE = "nonce-of-the-last-reply"
SHA256 = 0x000B
AK_ATTRIBUTES = (
    Attribute.FIXED_TPM
    | Attribute.FIXED_PARENT
    | Attribute.SENSITIVE_DATA_ORIGIN
    | Attribute.USER_WITH_AUTH
    | Attribute.RESTRICTED
    | Attribute.SIGN
)
REGISTERS = (0, 4, 7, 8, 9)
BOOT = (
    (0, kinds.POST_CODE, b"spl 1.0.0"),
    (4, kinds.IPL, b"boot image 1.0.0"),
    (9, kinds.IPL, b"kernel 1.0.0"),
    (9, kinds.IPL, b"initrd 1.0.0"),
    (8, kinds.IPL, b"console=ttyS0 root=/dev/dm-0"),
)
"""What a good boot measures: register, kind, and the thing itself."""


def booted(version: str = "1.0.0") -> tuple[tuple[int, int, bytes], ...]:
    """A good boot of a release."""
    return tuple((register, kind, data.replace(b"1.0.0", version.encode())) for register, kind, data in BOOT)


def log_of(boot: Sequence[tuple[int, int, bytes]] = BOOT) -> bytes:
    """The event log of a boot: each thing by its digest, its data only says what it is."""
    separators = [separator(register) for register in range(8)]
    events = [event(register, kind, data, of=data) for register, kind, data in boot]
    return agile_log(*events[:1], *separators, *events[1:])


@dataclass
class SoftTpm:
    """A TPM with one attestation key."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    attributes: Attribute = AK_ATTRIBUTES
    values: dict[int, bytes] = field(default_factory=dict)
    resets: int = 1
    restarts: int = 0
    clock: int = 60_000
    safe: bool = True

    @property
    def public(self) -> Public:
        numbers = self.key.public_key().public_numbers()
        point = EccPoint(Curve.P256, numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big"))
        scheme = Scheme(Algorithm.ECDSA, Algorithm.SHA256)
        made = Public(Algorithm.SHA256, self.attributes, b"", None, scheme, point, b"")
        return parse_public(tpm2b(public_area(made)))

    @property
    def area(self) -> bytes:
        """The TPM2B_PUBLIC."""
        return tpm2b(public_area(self.public))

    def boot(self, boot: Sequence[tuple[int, int, bytes]] = BOOT, *, safe: bool = True) -> bytes:
        """Reset and boot; the event log."""
        self.values = {}
        self.resets, self.safe, self.clock = self.resets + 1, safe, self.clock + (100 if safe else -50)
        for register, _, data in boot:
            self.extend(register, hashlib.sha256(data).digest())
        for register in range(8):
            self._first_separator(register, boot)
        return log_of(boot)

    def _first_separator(self, register: int, boot: Sequence[tuple[int, int, bytes]]) -> None:
        """The log has the first event, then the separators, then the rest: replay in that order."""
        mine = [data for place, (each, _, data) in enumerate(boot) if each == register and place > 0]
        head = [data for place, (each, _, data) in enumerate(boot) if each == register and place == 0]
        self.values.pop(register, None)
        for data in (*head, bytes(4), *mine):
            self.extend(register, hashlib.sha256(data).digest())

    def extend(self, register: int, digest: bytes) -> None:
        self.values[register] = hashlib.sha256(self.values.get(register, bytes(32)) + digest).digest()

    def value(self, register: int) -> bytes:
        return self.values.get(register, bytes(32))

    def attest(
        self,
        extra: bytes,
        registers: Sequence[int] = REGISTERS,
        *,
        bank: int = SHA256,
        magic: int = GENERATED,
        tag: int = Tag.QUOTE,
        told: Sequence[int] | None = None,
    ) -> bytes:
        """A TPMS_ATTEST over `registers`; `told` are those that it claims, where they are others."""
        bits = sum(1 << register for register in (registers if told is None else told))
        selection = u32(1) + u16(bank) + bytes([3]) + bits.to_bytes(3, "little")
        digest = hashlib.sha256(b"".join(self.value(register) for register in registers)).digest()
        clock = self.clock.to_bytes(8, "big") + u32(self.resets) + u32(self.restarts) + bytes([self.safe])
        body = selection + tpm2b(digest) if tag == Tag.QUOTE else tpm2b(b"name") + tpm2b(b"qualified")
        return u32(magic) + u16(tag) + tpm2b(self.public.name) + tpm2b(extra) + clock + bytes(8) + body

    def sign(self, data: bytes) -> bytes:
        """A TPMT_SIGNATURE."""
        r, s = decode_dss_signature(self.key.sign(data, ec.ECDSA(hashes.SHA256())))
        return (
            u16(Algorithm.ECDSA) + u16(Algorithm.SHA256) + tpm2b(r.to_bytes(32, "big")) + tpm2b(s.to_bytes(32, "big"))
        )

    def evidence(
        self,
        nonce: str = NONCE,
        *,
        device: str = DEVICE,
        claims: Claims | None = None,
        registers: Sequence[int] = REGISTERS,
        extra: bytes | None = None,
        ima: ImaSlice | None = None,
        **attest: Any,
    ) -> TpmEvidence:
        """What a device with this TPM sends."""
        told = claims or Claims()
        bound = binding(nonce, device, told) if extra is None else extra
        quote = self.attest(bound, registers, **attest)
        return TpmEvidence(nonce, quote, self.sign(quote), told, ima)


def statement(version: str = "1.0.0", *, svn: int = 1, made_at: Instant = NOW, **more: Any) -> Statement:
    """The values of a release whose boot is `booted`."""
    measurements = tuple(
        Measurement(register, hashlib.sha256(data).hexdigest(), data.split()[0].decode())
        for register, _, data in booted(version)
    )
    return Statement("gateway", version, svn, made_at, **{"measurements": measurements, **more})


def judged(*statements: Statement, standing: Standing = Standing.CURRENT) -> tuple[Judged, ...]:
    return tuple(Judged(each, digest_of(statement_bytes(each)[0]), standing) for each in statements)


def policy(**more: Any) -> Policy:
    return Policy(**{"method": Method.TPM, "registers": REGISTERS, **more})


def a_ground(*releases: Judged, **more: Any) -> Ground:
    return ground(policy(**more), releases or judged(statement()))


def facts(tpm: SoftTpm, log: bytes | None, evidence: Any = None, **more: Any) -> Facts:
    """The facts of evidence that is fine, but for what `more` says."""
    on = more.pop("ground", None) or a_ground()
    said = evidence if evidence is not None else tpm.evidence(registers=registers_of(on.policy))
    made = Facts(
        device=DEVICE,
        now=NOW,
        nonce=Nonce(NONCE, Instant(NOW + 10 * MINUTE), ""),
        key=tpm.public,
        ground=on,
        before=DeviceState(),
        evidence=said,
        log=log,
        log_digest=digest_of(log) if log is not None else "",
    )
    return msgspec.structs.replace(made, **more)


def code_of(outcome: Outcome) -> str:
    """The reason that an outcome names first, without the feature's name."""
    reason = outcome.reason or (outcome.result.reasons[0] if outcome.result and outcome.result.reasons else None)
    return reason.code.removeprefix("attestation.") if reason else ""


def taken(
    before: Facts, tpm: SoftTpm, nonce: str = "the-second-nonce", *, later: int = DAY // 24, **more: Any
) -> Facts:
    """The facts of the next evidence, after the one before was taken."""
    outcome = appraise(before)
    assert outcome.result is not None, outcome.reason
    now = Instant(before.now + later)
    tpm_evidence = more.pop("evidence", None) or tpm.evidence(nonce)
    return msgspec.structs.replace(
        before,
        now=now,
        nonce=Nonce(nonce, Instant(now + 10 * MINUTE), outcome.state.nonce_used),
        before=outcome.state,
        evidence=tpm_evidence,
        **more,
    )
