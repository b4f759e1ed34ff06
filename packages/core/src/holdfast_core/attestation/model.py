"""Attestation as values: what is demanded, what is remembered of a device, and what came out.

1. The trustworthiness vector and its tiers are AR4SI's; a claim of which nothing is known is 0, never affirming.
2. Freshness is another question than trust, and has an answer of its own.
3. Of a device so much is remembered as the next evidence needs: under 2 KB. Evidence itself lies in the store.

Source: draft-ietf-rats-ar4si-09, sections 2.3 and 3; RFC 9334.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from holdfast_core.kernel.appraisals import Tier
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.ids import DeviceKey
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.kept import Kept
from holdfast_core.kernel.reasons import Reason

FEATURE = "attestation"
REASONS_KEPT = 6
_WARNING_FROM, _CONTRAINDICATED_FROM = 32, 96
_AFFIRMING_FROM = 2


class Freshness(StrEnum):
    """How much of the present the last evidence speaks of."""

    NEVER = "never"
    PENDING = "pending"
    """A new boot was seen, and is not confirmed yet."""
    FRESH = "fresh"
    STALE = "stale"


class Method(StrEnum):
    """By what a device attests."""

    TPM = "tpm"
    TOKEN = "token"  # noqa: S105  (a kind of evidence, no secret)
    NONE = "none"


class Vector(msgspec.Struct, frozen=True, omit_defaults=True):
    """AR4SI's trustworthiness vector: eight claims, each a number whose range is its tier (`tier_of`)."""

    instance_identity: int = 0
    configuration: int = 0
    executables: int = 0
    file_system: int = 0
    hardware: int = 0
    runtime_opaque: int = 0
    storage_opaque: int = 0
    sourced_data: int = 0

    @property
    def tier(self) -> Tier:
        """The tier of the whole: that of its worst claim; none where nothing is claimed."""
        claims = [tier_of(value) for value in msgspec.structs.astuple(self)]
        for tier in (Tier.CONTRAINDICATED, Tier.WARNING, Tier.AFFIRMING):
            if tier in claims:
                return tier
        return Tier.NONE


RECOGNIZED, UNTRUSTWORTHY_INSTANCE, UNRECOGNIZED_INSTANCE = 2, 96, 97
APPROVED_CONFIG, UNSAFE_CONFIG, UNKNOWN_CONFIG, UNSUPPORTABLE_CONFIG = 2, 32, 36, 96
APPROVED_RUNTIME, APPROVED_BOOT, UNRECOGNIZED_RUNTIME, CONTRAINDICATED_RUNTIME = 2, 3, 33, 96
APPROVED_FILES, UNRECOGNIZED_FILES, CONTRAINDICATED_FILES = 2, 32, 96
GENUINE_HARDWARE, UNSAFE_HARDWARE, CONTRAINDICATED_HARDWARE, UNRECOGNIZED_HARDWARE = 2, 32, 96, 97
CRYPTO_FAILED = 99


def tier_of(claim: int) -> Tier:
    """The tier of one claim (AR4SI, section 2.3.2); negative numbers read as their amount."""
    amount = abs(claim)
    if amount >= _CONTRAINDICATED_FROM:
        return Tier.CONTRAINDICATED
    if amount >= _WARNING_FROM:
        return Tier.WARNING
    return Tier.AFFIRMING if amount >= _AFFIRMING_FROM else Tier.NONE


class AttestationKey(Kept, frozen=True, kw_only=True):
    """The key whose word is taken for a device's state; `id` is the device.

    `public` is of a TPM the TPM2B_PUBLIC, whose key was activated against the endorsement key `ek`; of a token the
    SubjectPublicKeyInfo (DER).
    """

    method: Method
    public: bytes
    bound_at: Instant
    by: str
    ek: str = ""
    previous: bytes = b""
    """The chip's key before this one, taken until this one was used: the answer that told of it may have been lost."""


class Expected(msgspec.Struct, frozen=True, order=True):
    """One part of the hardware that a model says is there."""

    place: str
    identity: str


class Policy(msgspec.Struct, frozen=True):
    """What a model demands of its devices' evidence; compiled from the model file (`policy.policy_of`)."""

    method: Method
    bank: str = "sha256"
    registers: tuple[int, ...] = ()
    """In rising order."""
    ima: bool = False
    secure_boot: bool = False
    lifecycle: tuple[str, ...] = ()
    """States that are good; empty where any is."""
    debug_off: bool = False
    tamper_proof: bool = False
    components: tuple[Expected, ...] | None = None
    """The hardware that is expected; `None` where any is."""


class Counters(msgspec.Struct, frozen=True):
    """Where a TPM's clock stood at an instant of ours."""

    resets: int
    restarts: int
    clock: int
    at: Instant


class BootReading(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an event log came to: a pure function of the log and of `basis`, so it holds while both stay the same."""

    log: str
    """The log's digest; empty where there is none."""
    basis: Digest
    values: tuple[tuple[int, bytes], ...]
    """What the registers of the policy must hold, but for IMA's own."""
    configuration: int = 0
    executables: int = 0
    hardware: int = 0
    release: str = ""
    svn: int = -1
    reasons: tuple[Reason, ...] = ()


class ImaState(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far an IMA list was followed: entries, the register after them, and what was wrong so far."""

    count: int = 0
    value: bytes = b""
    unknown: int = 0
    """Entries that no reference value and no key vouches for."""
    first_unknown: str = ""
    loaded: bool = False
    """Whether the list was followed to its end."""
    basis: str = ""
    """What its files were compared with: under other values the list is followed anew."""


class DeviceState(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is remembered of one device between two evidences."""

    freshness: Freshness = Freshness.NEVER
    nonce_used: str = ""
    counters: Counters | None = None
    left: Counters | None = None
    """Where the counters stood before they went back: who goes on from there is a second TPM."""
    backs: tuple[Instant, ...] = ()
    """When the counters last went back."""
    cloned: bool = False
    boot: BootReading | None = None
    ima: ImaState = ImaState()
    vector: Vector = Vector()
    refused: Reason | None = None
    """Why evidence was refused since the last that was taken."""
    number: int = 0
    """Of the newest kept evidence."""
    chain: str = ""
    """The digest of the newest kept evidence: each names the one before."""
    basis: str = ""
    """What the newest kept evidence was compared with, which is kept, too."""
    release: str = ""
    svn: int = -1
    highest_svn: int = -1
    """The highest security version number that this chip ever proved: below it there is no way back."""
    chip: str = ""
    """Whose state this is: the endorsement key's digest, or a token key's."""
    signer: str = ""
    """The digest of the key that signed the last evidence: a TPM shows each key other counters."""
    fresh_until: Instant = Instant(0)
    """When the last evidence is too old, whatever it came to."""
    day: int = 0
    kept_today: int = 0
    """Bytes of evidence that came on `day`."""


class Result(msgspec.Struct, frozen=True):
    """What one evidence came to."""

    tier: Tier
    freshness: Freshness
    vector: Vector
    reasons: tuple[Reason, ...]
    release: str = ""
    svn: int = -1


class KeptEvidence(msgspec.Struct, frozen=True, omit_defaults=True):
    """One evidence with everything that its appraisal looked at, so that it can be recomputed later.

    `before` is the `DeviceState` that was met (msgpack), `body` the section's bytes, `log` the digest of the event
    log (kept once under it), `basis` names policy and reference values, which are kept for ever.
    """

    key: DeviceKey
    number: int
    at: Instant
    previous: str
    nonce: str
    nonce_until: Instant
    public: bytes
    method: Method
    model: str
    """The model's reference, ``name@version``."""
    basis: Digest
    body: bytes
    log: str
    before: bytes
    result: Result
    taken: bool = True
    """Whether it counted; what was refused is kept too."""
