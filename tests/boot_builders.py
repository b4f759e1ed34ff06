"""What boots: device trees written by hand, FIT and MCUboot images made by the real tools, and keys for them."""

from __future__ import annotations

import functools
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from holdfast_core.formats.eventlog.banks import SHA256
from holdfast_core.formats.eventlog.log import EventLog, parse_event_log
from holdfast_core.formats.eventlog.replay import replay
from holdfast_core.formats.fit import parse_fit
from holdfast_core.formats.fit_verify import signed_bytes
from holdfast_sim.boot.artefacts import LINUX, BootRelease, make_release
from holdfast_sim.boot.keys import BootKeys
from holdfast_sim.boot.machine import BootReport
from holdfast_sim.boot.measurements import expected_measurements
from holdfast_sim.boot.swtpm import Swtpm
from tpm_builders import need

IMAGES = ("kernel", "ramdisk", "fdt")
HASHED = ("/", "/configurations/conf", *(f"/images/{n}{h}" for n in IMAGES for h in ("", "/hash-1")))


def rsa_key(name: str = "dev", *, bits: int = 2048) -> rsa.RSAPrivateKey:
    """The same key for the same name, within one run."""
    return mcu_key(f"rsa-{bits}", name)


def ec_key(name: str = "dev") -> ec.EllipticCurvePrivateKey:
    return mcu_key("ecdsa-p256", name)


def mcu_key(kind: str, name: str = "dev") -> object:
    """The same key for the same kind and name, within one run."""
    return _key(kind, name)


@functools.cache
def _key(kind: str, name: str) -> object:
    assert name
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind[4:]))
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP384R1() if "384" in kind else ec.SECP256R1())


def pem(key: object) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


# --- device trees by hand


class Tree:
    """Writes a flattened device tree; says nothing against trees that make no sense.

    A node is a list of ("property", bytes) pairs and ("node", [...]) pairs in the order in which they are written.
    """

    def __init__(self, root: list, *, order: tuple[str, ...] = ()) -> None:
        self.strings = b"".join(name.encode() + b"\0" for name in order)
        self.structure = self._node("", root) + struct.pack(">I", 9)

    def _offset(self, name: str) -> int:
        raw = name.encode() + b"\0"
        at = (b"\0" + self.strings).find(b"\0" + raw)
        if at < 0:
            at = len(self.strings)
            self.strings += raw
        return at

    def _node(self, name: str, parts: list) -> bytes:
        written = struct.pack(">I", 1) + padded(name.encode() + b"\0")
        for each, value in parts:
            if isinstance(value, list):
                written += self._node(each, value)
            else:
                written += struct.pack(">III", 3, len(value), self._offset(each)) + padded(value)
        return written + struct.pack(">I", 2)

    def bytes(self, **header: int) -> bytes:
        """The tree; `header` replaces fields of the header."""
        at = {"reserved": 40, "structure": 56, "strings": 56 + len(self.structure)}
        fields = {
            "magic": 0xD00DFEED, "size": at["strings"] + len(self.strings), **at, "version": 17, "compatible": 16,
            "cpu": 0, "strings_size": len(self.strings), "structure_size": len(self.structure), **header,
        }  # fmt: skip
        names = ("magic", "size", "structure", "strings", "reserved", "version", "compatible", "cpu",
                 "strings_size", "structure_size")  # fmt: skip
        return struct.pack(">10I", *(fields[name] for name in names)) + bytes(16) + self.structure + self.strings


def padded(raw: bytes) -> bytes:
    return raw + bytes(-len(raw) % 4)


def texts(*parts: str) -> bytes:
    return b"".join(part.encode() + b"\0" for part in parts)


def hash_node(data: bytes, algorithm: str = "sha256") -> list:
    digest = hashes.Hash({"sha256": hashes.SHA256(), "sha512": hashes.SHA512(), "sha1": hashes.SHA1()}[algorithm])  # noqa: S303  (made to see it refused)
    digest.update(data)
    return [("value", digest.finalize()), ("algo", texts(algorithm))]


def image_node(data: bytes, kind: str = "kernel", **hashed: str) -> list:
    return [("data", data), ("type", texts(kind)), ("hash-1", hash_node(data, **hashed))]


def signature_node(
    *, nodes: tuple[str, ...] = HASHED, strings: int = 0, algorithm: str = "sha256,rsa2048", key: str = "dev",
    value: bytes = bytes(256), pss: bool = False,
) -> list:  # fmt: skip
    return [
        ("algo", texts(algorithm)),
        ("key-name-hint", texts(key)),
        ("value", value),
        ("hashed-nodes", texts(*nodes)),
        ("hashed-strings", struct.pack(">II", 0, strings)),
        *([("padding", texts("pss"))] if pss else []),
    ]


NAMES = ("timestamp", "data", "type", "value", "algo", "default", "description", *IMAGES)


def fit_by_hand(**other: object) -> bytes:
    """A FIT signed by hand over `HASHED`. `images`, `conf`, `signature` and `key` replace parts of it."""
    images = other.get("images", [(name, image_node(f"the {name}".encode(), name)) for name in IMAGES])
    conf = other.get("conf", [(name, texts(name)) for name in IMAGES])
    strings = sum(len(name) + 1 for name in NAMES)
    signature = {"strings": strings, **other.get("signature", {})}
    key = other.get("key", rsa_key())

    def built(value: bytes) -> bytes:
        node = signature_node(**{**signature, "value": value})
        root = [
            ("timestamp", struct.pack(">I", 1)),
            ("images", list(images)),
            ("configurations", [("default", texts("conf")), ("conf", [*conf, ("signature-1", node)])]),
        ]
        return Tree(root, order=NAMES).bytes()

    placed = built(bytes(64 if isinstance(key, ec.EllipticCurvePrivateKey) else key.key_size // 8))
    fit = parse_fit(placed)
    over = signed_bytes(placed, fit, fit.configurations["conf"].signatures[0])
    return built(_signed(key, over, pss=bool(signature.get("pss"))))


def _signed(key: object, over: bytes, *, pss: bool) -> bytes:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(key.sign(over, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    way = padding.PSS(padding.MGF1(hashes.SHA256()), 32) if pss else padding.PKCS1v15()
    return key.sign(over, way, hashes.SHA256())


# --- images by the real tools

ITS = """/dts-v1/;
/ {
  description = "release";
  images {
    kernel { data = /incbin/("kernel"); type = "kernel"; arch = "arm64"; os = "linux"; compression = "none";
             load = <0x40000000>; entry = <0x40000000>; hash-1 { algo = "HASH"; }; INSIDE };
    ramdisk { data = /incbin/("ramdisk"); type = "ramdisk"; arch = "arm64"; os = "linux"; compression = "none";
              hash-1 { algo = "HASH"; }; };
    fdt { data = /incbin/("fdt"); type = "flat_dt"; arch = "arm64"; compression = "none"; hash-1 { algo = "HASH"; }; };
    MORE
  };
  configurations {
    default = "conf";
    conf { kernel = "kernel"; ramdisk = "ramdisk"; fdt = "fdt";
           signature-1 { algo = "ALGORITHM"; key-name-hint = "dev"; PADDING sign-images = SIGNED; }; };
  };
};
"""


@functools.cache
def fit_by_mkimage(
    *, algorithm: str = "sha256,rsa2048", hashed: str = "sha256", pss: bool = False, external: bool = False,
    signed: bool = True, covered: str = '"fdt", "kernel", "ramdisk"', more: str = "", inside: str = "",
) -> bytes:  # fmt: skip
    """A FIT as U-Boot's own tool makes and signs it, with `rsa_key` of the bits that `algorithm` names, or `ec_key`.

    `more` are further images, `inside` is more of the kernel's node.
    """
    need("mkimage", "dtc")
    with scratch() as folder:
        for name in IMAGES:
            (folder / name).write_bytes(name.encode() * 100)
        its = ITS.replace("ALGORITHM", algorithm).replace("HASH", hashed).replace("SIGNED", covered)
        its = its.replace("MORE", more).replace("INSIDE", inside)
        (folder / "fit.its").write_text(its.replace("PADDING", 'padding = "pss";' if pss else ""))
        key = ec_key() if "ecdsa" in algorithm else rsa_key(bits=int(algorithm[-4:]))
        write_keys(folder, {"dev": key})
        signing = ["-k", ".", "-r"] if signed else []
        run("mkimage", *(["-E"] if external else []), "-f", "fit.its", *signing, "fit.itb", folder=folder)
        return (folder / "fit.itb").read_bytes()


def write_keys(folder: Path, keys: Mapping[str, object]) -> None:
    """Keys as mkimage looks for them: <name>.key with <name>.crt, and <name>.pem for elliptic curves."""
    for name, key in keys.items():
        if isinstance(key, ec.EllipticCurvePrivateKey):
            (folder / f"{name}.pem").write_bytes(
                key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
            )
            continue
        (folder / f"{name}.key").write_bytes(pem(key))
        (folder / f"{name}.crt").write_bytes(certificate(key).public_bytes(Encoding.PEM))


def certificate(key: rsa.RSAPrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "boot")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1)
    dated = builder.not_valid_before(datetime(2026, 1, 1, tzinfo=UTC)).not_valid_after(datetime(2046, 1, 1, tzinfo=UTC))
    return dated.sign(key, hashes.SHA256())


@functools.cache
def mcu_image(*arguments: str, kind: str = "ecdsa-p256", name: str = "dev", size: int = 3000) -> bytes:
    """An image as imgtool signs it; `kind` empty for an unsigned one. `arguments` go to imgtool."""
    with scratch() as folder:
        (folder / "app").write_bytes(b"firmware" * (size // 8))
        key = []
        if kind:
            (folder / "key.pem").write_bytes(pem(mcu_key(kind, name)))
            key = ["-k", "key.pem"]
        run(imgtool(), "sign", *key, "--align", "4", "--header-size", "0x100", "--pad-header", "--slot-size", "0x8000",
            "-v", "1.2.3", *arguments, "app", "signed", folder=folder)  # fmt: skip
        return (folder / "signed").read_bytes()


def imgtool_verifies(image: bytes, kind: str, name: str = "dev") -> bool:
    with scratch() as folder:
        (folder / "key.pem").write_bytes(pem(mcu_key(kind, name)))
        (folder / "image").write_bytes(image)
        done = subprocess.run(
            [imgtool(), "verify", "-k", "key.pem", "image"], cwd=folder, check=False, capture_output=True, timeout=60
        )
        return done.returncode == 0


def imgtool() -> str:
    return str(Path(sys.executable).parent / "imgtool")


def run(*argv: str, folder: Path) -> None:
    done = subprocess.run(argv, cwd=folder, check=False, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()


@contextmanager
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hf-boot-") as name:
        yield Path(name)


# --- releases that boot, and machines


def boot_keys(name: str = "product") -> BootKeys:
    """The keys of a product, the same for the same name within one run."""
    return _boot_keys(name)


@functools.cache
def _boot_keys(name: str) -> BootKeys:
    assert name
    return BootKeys.generate()


def boot_release(version: str = "1.4.0", svn: int = 4, *, chain: str = LINUX, keys: str = "product") -> BootRelease:
    """A release by the real tools, the same for the same arguments within one run."""
    return _release(version, svn, chain, keys)


@functools.cache
def _release(version: str, svn: int, chain: str, keys: str) -> BootRelease:
    need("mkimage", "dtc", "veritysetup")
    with scratch() as folder:
        return make_release(folder, version=version, svn=svn, keys=boot_keys(keys), chain=chain)


@contextmanager
def powered_tpm() -> Iterator[Swtpm]:
    need("swtpm")
    with Swtpm() as tpm:
        yield tpm


def registers(tpm: Swtpm) -> dict[int, bytes]:
    """The SHA-256 bank, as the TPM itself says."""
    with tpm.link() as link:
        return link.read(tuple(range(24)))


def attests(report: BootReport, tpm: Swtpm) -> EventLog:
    """The log of a boot, once it was found to replay to the registers, all of them."""
    log = parse_event_log(report.log)
    replayed, values = replay(log, SHA256), registers(tpm)
    at_reset = {register: bytes(32) for register in range(17)}
    assert {register: values[register] for register in range(17)} == at_reset | replayed
    return log


def measured(log: EventLog) -> dict[int, list[bytes]]:
    """The digests of a log by register, in order."""
    found: dict[int, list[bytes]] = {}
    for event in log.events:
        if event.digests:
            found.setdefault(event.register, []).append(event.digests[SHA256])
    return found


def expected(release: BootRelease) -> dict[int, list[bytes]]:
    """What a good boot measures, by register, from the files."""
    found: dict[int, list[bytes]] = {}
    for register, digest, _ in expected_measurements(release):
        found.setdefault(register, []).append(digest)
    return found
