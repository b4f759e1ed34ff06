"""What fuzzing begins with: real logs, quotes and tokens, and small good ones made here.

The public vectors lie in a folder ``shared`` beside the checkout; without it the rest is taken.
"""

from __future__ import annotations

import functools
import json
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from unittest import mock

import cbor2
import msgspec

import boot_builders as boot
import event_log_builders as logs
import ima_builders as lists
import pe_builders as programs
from attest_builders import DEVICE, NONCE, SoftTpm, booted, log_of, statement
from fuzz import keys
from fuzz.appraisals import BOUND, INSTANCE_ID
from fuzz.images import KINDS
from fuzz.targets import target_of
from holdfast_core.attestation.ear import PROFILE, signed_result
from holdfast_core.attestation.reference import STATEMENT_TYPE, statement_bytes
from holdfast_core.formats import mcuboot_verify
from holdfast_core.formats.dsse import pae
from holdfast_core.formats.eventlog import kinds
from holdfast_core.supply.model import ArtefactKind
from holdfast_core.wire.attestation import (
    Asking,
    BootLog,
    Claims,
    Component,
    Debug,
    DebugPort,
    Evidence,
    ImaSlice,
    Tamper,
    TokenEvidence,
    TpmEvidence,
    Unable,
    pack,
)
from psa_builders import component, psa_claims, sign1

TESTS = Path(__file__).resolve().parents[1]
VECTORS = TESTS.parent / "../shared/vectors/attestation"
FOUND = Path(__file__).with_name("found")
SHA256_NUMBER = 0x000B


def seeds_of(name: str) -> list[bytes]:
    """The inputs that fuzzing of a target begins with: its findings of old, what it is made for, and nothing at all."""
    found = [each.read_bytes() for each in sorted((FOUND / name).glob("*"))]
    return list(
        dict.fromkeys([b"", *found, *(each for each in _SEEDS[name]() if len(each) <= target_of(name).longest)])
    )


def _files(*patterns: str) -> list[bytes]:
    """Vectors and kept boots whose path fits; a pattern is of `VECTORS` or of the checkout's own data."""
    roots = (VECTORS, TESTS / "data/ovmf")
    return [path.read_bytes() for root in roots for each in patterns for path in sorted(root.glob(each))]


def _event_logs() -> list[bytes]:
    real = _files("tpm2-tools/event*.bin", "tpm2-tools/specid*.bin", "keylime/*binary_bios*", "*/events.bin")
    odd = [
        logs.agile_log(logs.locality(3), logs.separator(0)),
        logs.agile_log(logs.event(0, 0x3, b"SP800-155 Event3\0" + bytes(60), digests=[(SHA256_NUMBER, bytes(32))])),
        logs.agile_log(logs.setting("db", logs.signature_list("a5c059a1-94e4-4aa7-87b5-ab155c2bf072", _OWNED))),
        logs.agile_log(*_every_kind()),
        logs.agile_log(logs.event(4, kinds.EFI_BOOT_SERVICES_APPLICATION, struct.pack("<4Q", 1, 2, 3, 999) + _PATH)),
    ]
    return [*real, *odd, logs.a_boot(), logs.an_old_boot(), log_of(), log_of(booted("2.0.0"))]


def _every_kind() -> list[bytes]:
    """An event of each kind whose data have a form of their own."""
    named, blob = b"\x04name", struct.pack("<QQ", 0x1000, 0x2000)
    tables = struct.pack("<Q", 1) + bytes(24)
    table = b"EFI PART".ljust(92, b"\0")
    path = struct.pack("<4Q", 1, 2, 3, len(_PATH)) + _PATH
    option = struct.pack("<IH", 1, len(_PATH)) + "Linux\0".encode("utf-16-le") + _PATH + b"quiet"
    forms = [
        (kinds.EFI_PLATFORM_FIRMWARE_BLOB, blob),
        (kinds.EFI_PLATFORM_FIRMWARE_BLOB2, named + blob),
        (kinds.EFI_PLATFORM_FIRMWARE_BLOB2, blob),
        (kinds.POST_CODE, blob),
        (kinds.POST_CODE2, named + blob),
        (kinds.S_CRTM_CONTENTS, b"Boot Guard"),
        (kinds.EFI_HANDOFF_TABLES, tables),
        (kinds.EFI_HANDOFF_TABLES2, named + tables),
        (kinds.EFI_GPT_EVENT, table + bytes(16) + struct.pack("<Q", 1) + bytes(128)),
        (kinds.EFI_GPT_EVENT2, table + struct.pack("<Q", 1) + bytes(128)),
        (kinds.EFI_BOOT_SERVICES_APPLICATION, path),
        (kinds.EFI_VARIABLE_BOOT, logs.variable("Boot0001", option)),
        (kinds.EFI_VARIABLE_BOOT2, logs.variable("BootOrder", b"\1\0\2\0")),
        (kinds.EFI_VARIABLE_AUTHORITY, logs.variable("db", bytes(16) + b"certificate")),
        (kinds.EFI_VARIABLE_AUTHORITY, logs.variable("SbatLevel", b"sbat,1,2022052400\n")),
        (kinds.EVENT_TAG, struct.pack("<II", 0x8F3B22ED, 4) + b"tags"),
        (kinds.EFI_ACTION, b"DMA Protection Disabled"),
        (kinds.EFI_ACTION, b"UEFI Debug Mode"),
        (kinds.S_CRTM_VERSION, bytes(16)),
        (kinds.SEPARATOR, b"\1\0\0\0"),
    ]
    return [logs.event(7, kind, data) for kind, data in forms]


def _node(kind: int, sub: int, body: bytes) -> bytes:
    return struct.pack("<BBH", kind, sub, 4 + len(body)) + body


_PATH = b"".join(
    _node(kind, sub, bytes(size))
    for kind, sub, size in (
        (2, 1, 8), (1, 1, 2), (3, 5, 2), (3, 18, 6), (3, 2, 4), (3, 23, 12), (3, 11, 33), (3, 24, 9), (4, 1, 38),
        (4, 2, 20), (4, 6, 16), (4, 7, 16), (4, 8, 20), (3, 12, 19), (3, 26, 0),
    )
) + logs.file_path("\\EFI\\BOOT\\BOOTX64.EFI")  # fmt: skip
"""A device path with a node of each form."""
_OWNED = [("8be4df61-93ca-11d2-aa0d-00e098032b8c", b"certificate")]


def _lists() -> list[bytes]:
    real = [each[:20_000].rpartition(b"\n")[0] + b"\n" for each in _files("keylime/*ima-log*", "*/ima-*.txt")]
    return [*real, *(each[:12_000] for each in _files("*/ima-*.bin")), *_made_lists()]


def _made_lists() -> list[bytes]:
    signed = bytes.fromhex("030204") + b"\1\2\3\4" + struct.pack(">H", 70) + bytes(70)
    entries = (
        lists.Made(name=b"boot_aggregate"),
        lists.Made(),
        lists.Made(template="ima-sig", extra=(signed,)),
        lists.Made(template="ima-buf", extra=(b"buffer",)),
        lists.Made(template="ima-ngv2", kind="ima"),
        lists.Made(template="ima-sigv2", kind="verity", extra=(b"\6\3" + signed[2:],)),
        lists.Made(template="ima-modsig", extra=(signed, lists.Made().fields[0], b"appended")),
        lists.Made(template="ima", digest=bytes(20)),
        lists.Made(violation=True),
    )
    whole = [lists.text(*entries), lists.binary(*entries), lists.binary(*entries, bank="sha256")]
    return [*whole, *(form(each) for each in entries for form in (lists.text, lists.binary))]


def _by_swtpm(*names: str) -> list[bytes]:
    """Structures that a software TPM made."""
    made = json.loads((TESTS / "unit/formats/swtpm.json").read_text())
    return [bytes.fromhex(made[name]) for name in names]


def _quotes() -> list[bytes]:
    tpm = SoftTpm(keys.P256)
    tpm.boot()
    other = [tpm.attest(b"n" * 32, tag=0x8017), tpm.attest(b"", registers=range(24)), tpm.evidence().quote]
    return [
        *other,
        *_by_swtpm("creation", "certify", "quote", "quote_rsa"),
        *_files("*/quote-*.msg", "keylime/*quote.out"),
    ]


def _signatures() -> list[bytes]:
    rsa = [struct.pack(">HHH", kind, SHA256_NUMBER, 256) + bytes(256) for kind in (0x14, 0x16)]
    made = _by_swtpm("quote_signature", "quote_rsa_signature")
    return [SoftTpm(keys.P256).sign(b"what was signed"), *rsa, *made, *_files("*/quote-*.sig", "keylime/*quotesig.out")]


def _publics() -> list[bytes]:
    made = _by_swtpm("ek_rsa", "ek_ecc", "ak", "ak_rsa", "key")
    return [
        SoftTpm(keys.P256).area,
        *made,
        *_files("*/ak.pub", "keylime/*ak.pub", "keylime/*ek.pub", "tpm2-tools/ek-tem*"),
    ]


def _evidence() -> list[bytes]:
    tpm = SoftTpm(keys.P256)
    tpm.boot()
    claims = Claims(
        (Tamper("lid", open=True, opened=2),),
        (DebugPort("jtag", Debug.LOCKED),),
        "secured",
        (Component("usb:1-1", "0bda:8153"),),
    )
    part = ImaSlice(0, pack(lists.text(*lists.many(3))), more=True)
    values = {str(register): tpm.value(register).hex() for register in range(10)}
    told: tuple[Evidence, ...] = (
        tpm.evidence(),
        tpm.evidence(claims=claims, ima=part),
        msgspec.structs.replace(tpm.evidence(claims=claims), registers=values),
        TokenEvidence(NONCE, sign1(keys.P256, _claims()[0])),
        TokenEvidence(NONCE, b"", claims),
        TpmEvidence(NONCE, b"", b""),
        Asking(),
        Unable("no-tpm"),
    )
    return [msgspec.json.encode(each) for each in told]


def _claims() -> list[bytes]:
    made = [psa_claims(BOUND, instance_id=INSTANCE_ID, profile=profile) for profile in _profiles()]
    bare = psa_claims(BOUND, components=None, certification=None, vsi=None, boot_seed=None, **{"-75007": 1})
    rich = {
        10: [BOUND, b"n" * 16], 256: b"\1" + bytes(16), 257: {"a": b"\1" + bytes(16)}, 258: b"\0\1\2", 259: b"board",
        260: ["1.2", 1], 261: 7, 262: True, 263: 2, 265: "2.999.1", 268: b"s" * 32, 269: 3, 270: "name", 271: ["1"],
        272: [[258, b"manifest"]], 273: [[600, b"measured"]],
        266: {"cpu": {10: b"n" * 16}, "digest": ["sha-256", b"d" * 32], "jwt": ["JWT", "text"]},
    }  # fmt: skip
    return [cbor2.dumps(each) for each in (*made, bare, rich, psa_claims(BOUND, components=[component()] * 3))]


def _profiles():
    from holdfast_core.formats.psa_model import Profile  # noqa: PLC0415  (a cycle otherwise)

    return tuple(Profile)


def _tokens() -> list[bytes]:
    signed = [sign1(keys.P256, each) for each in _claims()]
    others = [
        sign1(keys.ED25519, b"payload"),
        sign1(keys.P384, b"payload", unprotected={4: b"kid"}),
        sign1(keys.P256, b"payload", protected={1: -7, 2: [1], 4: b"kid"}, tag=None),
    ]
    return [*signed, *others, *_files("psatoken/*.bin")]


def _envelopes() -> list[bytes]:
    payload = statement_bytes(statement())[0]
    envelope = {
        "payload": payload,
        "payloadType": STATEMENT_TYPE,
        "signatures": [{"keyid": "fuzz", "sig": keys.ED25519.sign(pae(STATEMENT_TYPE, payload))}],
    }
    return [msgspec.json.encode(envelope), b'{"payload":"","payloadType":"","signatures":[{"sig":""}]}']


def _keys() -> list[bytes]:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415  (only here)

    forms = (Encoding.DER, Encoding.PEM)
    return [key.public_bytes(form, PublicFormat.SubjectPublicKeyInfo) for key in keys.PUBLIC for form in forms]


def _statements() -> list[bytes]:
    return [statement_bytes(each)[0] for each in (statement(), statement(retire_at=1, file_keys=(b"key",)))]


def _results() -> list[bytes]:
    claims = {"eat_profile": PROFILE, "iat": 1, "iss": "fuzz", "submods": {DEVICE: {"ear.status": 2}}}
    from fuzz.documents import RESULT_KEY  # noqa: PLC0415  (only here)

    text = signed_result(claims, RESULT_KEY, keys.ED25519.sign)
    return [text.encode(), b'{"alg":"EdDSA","typ":"JWT"}\0' + json.dumps(claims).encode(), b"{}\0[]"]


def _trees() -> list[bytes]:
    small = boot.Tree([("compatible", boot.texts("a,b", "c")), ("node", [("reg", bytes(8)), ("inner", [])])])
    return [small.bytes(), boot.Tree([]).bytes(), *_fits()]


@functools.cache
def _fits() -> tuple[bytes, ...]:
    made = [
        boot.fit_by_hand(key=keys.P256, signature={"algorithm": "sha256,ecdsa256"}),
        boot.fit_by_hand(key=keys.P256, signature={"algorithm": "sha256,ecdsa256"}, images=_hashed_by_sha512()),
    ]
    made += [boot.fit_by_mkimage(**how) for how in ({}, {"external": True}, {"signed": False}) if _have("mkimage")]
    return tuple(made)


def _hashed_by_sha512() -> list:
    return [(name, boot.image_node(f"the {name}".encode(), name, algorithm="sha512")) for name in boot.IMAGES]


@functools.cache
def _mcu_images() -> tuple[bytes, ...]:
    """Images of imgtool under the keys that the target trusts."""
    if not Path(boot.imgtool()).exists():
        return ()
    fixed = {"ecdsa-p256": keys.P256, "ecdsa-p384": keys.P384, "ed25519": keys.ED25519}
    real = boot._key  # what makes a key for a kind
    with mock.patch.object(boot, "_key", lambda kind, name: fixed.get(kind) or real(kind, name)):
        made = [boot.mcu_image(kind=kind, size=64) for kind in (*fixed, "")]
        made.append(boot.mcu_image("--security-counter", "7", "--boot-record", "APP", size=64))
        made.append(boot.mcu_image("-d", "(1, 1.2.3)", "--pad-sig", "--public-key-format", "full", size=64))
        signed = boot.mcu_image(kind="rsa-2048", size=64)
        mine = mcuboot_verify.key_hash_of(boot.mcu_key("rsa-2048").public_key())
    return (*made, signed.replace(mine, mcuboot_verify.key_hash_of(keys.RSA_PUBLIC)))


def _have(command: str) -> bool:
    from shutil import which  # noqa: PLC0415  (only here)

    return which(command) is not None


def _verities() -> list[bytes]:
    """Superblocks as veritysetup writes them, each with a block or two behind it."""
    layout = struct.Struct("<8sII16s32sIIQH6s256s168s")
    hows = ((1, b"sha256", 4096, 4096, 2, b"salt"), (0, b"sha1", 512, 512, 9, b""), (1, b"sha512", 512, 1024, 1, b"s"))
    return [
        layout.pack(b"verity\0\0", 1, kind, b"u" * 16, name, data, tree, blocks, len(salt), b"", salt, b"")
        + bytes(range(256)) * 32
        for kind, name, data, tree, blocks, salt in hows
    ]


def _lines() -> list[bytes]:
    root = "ab" * 32
    return [
        f"root=/dev/dm-0 roothash={root} systemd.verity=1 usrhash={root} -- quiet".encode(),
        f'dm-mod.create="r,,,ro,0 8 verity 1 /dev/a /dev/b 512 512 1 1 sha256 {root} - 1 ignore_corruption"'.encode(),
        b"systemd.verity_root_options=ignore-zero-blocks systemd.verity=off 'roothash=12'",
    ]


def _programs() -> list[bytes]:
    small = programs.Pe((".text", b"code"), (".data", b"data"))
    signed = programs.Pe((".text", b"code"), plus=False, directories=6, signatures=programs.signature(b"signed by"))
    named = {
        "linux": b"kernel",
        "osrel": b"ID=x",
        "cmdline": b"quiet",
        "initrd": b"cpio",
        "uname": b"6.1",
        "sbat": b"s,1",
    }
    images = [programs.kernel_image(version, **named) for version in (252, 256, 260, 261)]
    return [small.bytes(), signed.bytes(), programs.Pe(trailing=b"behind").bytes(), *images]


def _artefacts() -> list[bytes]:
    of: dict[ArtefactKind, Iterable[bytes]] = {
        ArtefactKind.FILE: [b"file"],
        ArtefactKind.COMMAND_LINE: _lines(),
        ArtefactKind.EFI: _programs(),
        ArtefactKind.UKI: _programs(),
        ArtefactKind.FIT: _fits(),
        ArtefactKind.VERITY: _verities(),
        ArtefactKind.MCUBOOT: _mcu_images(),
        ArtefactKind.EVENT_LOG: [logs.a_boot()],
    }
    return [bytes([KINDS.index(kind)]) + each for kind, made in of.items() for each in made]


def _led_by(*heads: int) -> Callable[[], Iterable[bytes]]:
    """Measurement lists behind the byte that their target begins with."""
    return lambda: [bytes([head]) + each for each in _lists() for head in heads]


_SEEDS: dict[str, Callable[[], Iterable[bytes]]] = {
    "tpm-attest": _quotes,
    "tpm-signature": _signatures,
    "tpm-public": _publics,
    "event-log": _event_logs,
    "ima": _led_by(0, 5),
    "evidence": _evidence,
    "boot-log": lambda: [msgspec.json.encode(BootLog(pack(each))) for each in (b"", logs.a_boot())],
    "unpack": lambda: [pack(b""), pack(b"log" * 50), pack(logs.a_boot())],
    "cbor": lambda: [*_claims(), *_tokens()],
    "cose": _tokens,
    "eat": lambda: [*_claims(), *_tokens()],
    "psa": lambda: [*_claims(), *_tokens()],
    "dsse": _envelopes,
    "keys": _keys,
    "statement": _statements,
    "result": _results,
    "device-tree": _trees,
    "fit": _fits,
    "fit-verified": _fits,
    "mcuboot": _mcu_images,
    "verity": _verities,
    "command-line": _lines,
    "pe": _programs,
    "uki": _programs,
    "artefact": _artefacts,
    "planted": lambda: [SoftTpm(keys.P256).attest(b"n" * 32)],
    "appraise-evidence": _evidence,
    "appraise-quote": _quotes,
    "appraise-log": _event_logs,
    "appraise-list": _led_by(1, 0x82),
    "appraise-token": lambda: [*_claims(), *_tokens()],
}
