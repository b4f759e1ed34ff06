"""Targets: what a TPM and a kernel make (structures, event logs, measurement lists), and how it travels."""

from __future__ import annotations

import msgspec

from attest_builders import SoftTpm
from fuzz.keys import P256, PUBLIC, RSA_PUBLIC
from fuzz.target import Target, must_answer
from holdfast_core.formats.eventlog.banks import bank_name, computable
from holdfast_core.formats.eventlog.contents import content_of
from holdfast_core.formats.eventlog.facts import facts_of
from holdfast_core.formats.eventlog.log import parse_event_log
from holdfast_core.formats.eventlog.preimage import digest_matches
from holdfast_core.formats.eventlog.replay import gaps, replay, startup_locality
from holdfast_core.formats.ima.entries import ImaEntry
from holdfast_core.formats.ima.replay import boot_aggregate, walk
from holdfast_core.formats.ima.signature import parse_signature, verify_ima_signature
from holdfast_core.formats.ima.slices import parse_ima
from holdfast_core.formats.tpm import attest
from holdfast_core.formats.tpm.credential import make_credential
from holdfast_core.formats.tpm.keys import spki_digest_of, verifies
from holdfast_core.formats.tpm.public import Algorithm, Curve, Public, RsaPoint, parse_public, public_area
from holdfast_core.formats.tpm.reader import tpm2b
from holdfast_core.kernel.errors import HostileData
from holdfast_core.wire.attestation import BootLog, Evidence, binding, unpack
from holdfast_core.wire.codec import decode_body

EVIDENCE = msgspec.json.Decoder(Evidence)
BOOT_LOG = msgspec.json.Decoder(BootLog)
IMA_SIZES = {"sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64}
_P256 = Curve.P256
_SIGNER = SoftTpm(P256).public
_RSA_SIGNER = Public(
    Algorithm.SHA256,
    _SIGNER.attributes,
    b"",
    None,
    None,
    RsaPoint(2048, 65537, RSA_PUBLIC.public_numbers().n.to_bytes(256, "big")),
    b"",
)
_MADE = tuple(
    attest.Signature(algorithm, hashed, (b"\1" * 32, b"\2" * 32))
    for algorithm in (Algorithm.ECDSA, Algorithm.RSASSA, Algorithm.RSAPSS)
    for hashed in (Algorithm.SHA256, Algorithm.SHA512)
)
LOG_WORDS = (
    b"Spec ID Event03\0", b"Spec ID Event02\0", b"StartupLocality\0", b"SP800-155 Event3\0", b"kernel_cmdline: ",
    b"\x0b\0\x20\0", b"\x04\0\x14\0", b"\x03\0\0\0", b"\x01\0\0\x80", b"\x02\0\0\x80", b"\x03\0\0\x80",
    b"\x06\0\0\x80", b"\x07\0\0\x80", b"\x0a\0\0\x80", b"\xe0\0\0\x80", b"\x0d\0\0\0", b"\x04\0\0\0", b"\x08\0\0\0",
    "SecureBoot".encode("utf-16-le"), "BootOrder".encode("utf-16-le"), "Boot0000".encode("utf-16-le"),
    "SbatLevel".encode("utf-16-le"), "MokList".encode("utf-16-le"), "dbx".encode("utf-16-le"), b"\x7f\xff\x04\0",
    b"\x04\x04", b"\x04\x01\x2a\0", bytes.fromhex("61dfe48bca93d211aa0d00e098032b8c"),
    bytes.fromhex("a159c0a5e494a74a87b5ab155c2bf072"), bytes.fromhex("2616c4c14c509240aca941f936934328"),
)  # fmt: skip
IMA_WORDS = (
    b"ima-ng", b"ima-sig", b"ima-buf", b"ima-ngv2", b"ima-sigv2", b"ima-modsig", b"evm-sig", b"ima ", b"sha256:",
    b"sha1:", b"sha384:", b"sha512:", b"sha256:\0", b"ima:sha256:\0", b"verity:", b"boot_aggregate", b"\n10 ", b"d-ng",
    b"n-ng", b"sig", b"\x03\x02\x04", b"\x06\x03\x04", b"\x0a\0\0\0", b"0" * 40, b"f" * 64, b" \n",
)  # fmt: skip


def signature(data: bytes) -> None:
    made = attest.parse_signature(data)
    for key in (_SIGNER, _RSA_SIGNER):
        must_answer(verifies, key, made, b"what was signed")


def public(data: bytes) -> None:
    """What was read is written and read again as the same; it gives a key, or is none."""
    read = parse_public(data)
    assert parse_public(tpm2b(public_area(read))) == read
    spki_digest_of(read)
    for made in _MADE:
        must_answer(verifies, read, made, b"what was signed")
    if read.symmetric is not None and read.hash is Algorithm.SHA256 and getattr(read.unique, "curve", _P256) is _P256:
        make_credential(read, read.name, b"s" * 32, seed=b"t" * 32, ephemeral=P256)


def event_log(data: bytes) -> None:
    """Once a log was read, nothing that is asked of it is refused, but for banks that cannot be computed here."""
    log = parse_event_log(data)
    must_answer(startup_locality, log)
    for event in log.events:
        must_answer(content_of, event)
    for bank in log.banks:
        must_answer(bank_name, bank)
        must_answer(gaps, log, bank)
    for bank in filter(computable, log.banks):
        for event in log.events:
            must_answer(digest_matches, event, bank)
        must_answer(facts_of, log, bank)
        must_answer(replay, log, bank)
    for bank in log.banks:
        facts_of(log, bank)


def _ima_entry(entry: ImaEntry) -> None:
    """Whatever becomes of its signature under a key that has the identifier it asks for."""
    try:
        asked = parse_signature(entry.signature).key
    except HostileData:
        return
    for key in PUBLIC[:2] + PUBLIC[3:]:
        try:
            verify_ima_signature(entry, {asked: key}, accepted=IMA_SIZES)
        except HostileData:
            continue


def ima(data: bytes) -> None:
    """The first byte chooses the hash of the template column and of the register."""
    if not data:
        return
    names = tuple(IMA_SIZES)
    column, bank = names[data[0] & 3], names[(data[0] >> 2) & 3]
    entries = parse_ima(data[1:], column=column)
    for entry in entries:
        _ima_entry(entry)
        must_answer(lambda name: name in IMA_SIZES and boot_aggregate(_REGISTERS[name], bank=name), entry.algorithm)
    walked = walk(data[1:], bytes(IMA_SIZES[bank]), bank=bank, column=column, padded=bool(data[0] & 0x10))
    assert walked.entries == entries
    assert len(walked.values) == len(entries)


_REGISTERS = {name: dict.fromkeys(range(10), bytes(size)) for name, size in IMA_SIZES.items()}


def section(data: bytes) -> None:
    """The two sections of a check-in; claims that were read are bound without a word."""
    evidence = decode_body(msgspec.Raw(data), EVIDENCE, section="attestation")
    claims = getattr(evidence, "claims", None)
    if claims is not None:
        must_answer(binding, "nonce", "device", claims)


def boot_log(data: bytes) -> None:
    unpack(decode_body(msgspec.Raw(data), BOOT_LOG, section="boot-log").log)


def unpacked(data: bytes) -> None:
    assert len(unpack(data, largest=65_536)) <= 65_536


JSON_WORDS = (
    b'"type":"tpm"', b'"type":"token"', b'"type":"ask"', b'"type":"none"', b'"nonce"', b'"quote"', b'"signature"',
    b'"claims"', b'"ima"', b'"start"', b'"data"', b'"more"', b'"registers"', b'"tampers"', b'"debug_ports"',
    b'"lifecycle"', b'"components"', b'"place"', b'"identity"', b'"state":"locked"', b'"opened"', b'"token"', b'"why"',
    b'"log"', b"null", b"true", b"[", b"{", b"\\u0000", b"\\ud800", b"1e999", b"-9223372036854775809", b"\xff",
)  # fmt: skip

TARGETS = {
    "tpm-attest": Target(
        attest.parse_attestation, (b"\xffTCG\x80\x18", b"\xffTCG\x80\x17", b"\xffTCG\x80\x1a", b"\0\x0b\x03"), 1_100
    ),
    "tpm-signature": Target(signature, (b"\0\x18\0\x0b", b"\0\x14\0\x0b", b"\0\x16\0\x0c"), 1_100),
    "tpm-public": Target(
        public, (b"\0\x23\0\x0b", b"\0\x01\0\x0b", b"\0\x03\0\x10", b"\0\x06\0\x80\0\x43", b"\x08\0\0\0\0\0"), 1_100
    ),
    "event-log": Target(event_log, LOG_WORDS, 20_000),
    "ima": Target(ima, IMA_WORDS, 16_384),
    "evidence": Target(section, JSON_WORDS, 8_192),
    "boot-log": Target(boot_log, (b'{"log":"', b'"}', b"eJw", b"eNo"), 8_192),
    "unpack": Target(unpacked, (b"x\x9c", b"x\xda", b"\x03\0\0\0\0\1"), 4_096),
}
