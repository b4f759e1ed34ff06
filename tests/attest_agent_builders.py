"""For tests of the agent's half of attestation: a root of sysfs, a quoting device, and a count of a chip's commands."""

from __future__ import annotations

import hashlib
import select
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from holdfast_agent.boot_log import LOG
from holdfast_agent.ima import LIST
from holdfast_core.formats.tpm.attest import Attestation, parse_attestation, parse_signature
from holdfast_core.formats.tpm.keys import verifies
from holdfast_core.formats.tpm.public import parse_public
from holdfast_core.formats.tpm.reader import Reader, tpm2b, u16, u32
from holdfast_core.kernel.instants import Instant
from holdfast_core.wire.attestation import SECTION, Ask, Evidence, unpack
from holdfast_core.wire.codec import encode
from holdfast_core.wire.confirm import Moment
from holdfast_core.wire.device import DeviceState
from holdfast_core.wire.frame import Level, Reply, VerdictNotice
from ima_builders import Made

QUOTE, PCR_READ = 0x0158, 0x017E
HANDLE = 0x81010100
BOOT = "b" * 32
NONCE = "nonce-000001"


class Sysfs:
    """What a kernel shows of a device: its logs, registers and buses."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "sys"
        self.path.mkdir()

    def log(self, data: bytes) -> Path:
        return self.write(LOG, data)

    def ima(self, first: int, count: int) -> None:
        """Append entries `first` to `first + count - 1`."""
        path = self.path / LIST
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.writelines(line(number) for number in range(first, first + count))

    def registers(self, values: dict[int, bytes], bank: str = "sha256") -> None:
        for number, value in values.items():
            self.write(f"class/tpm/tpm0/pcr-{bank}/{number}", value.hex().upper().encode() + b"\n")

    def usb(self, place: str, vendor: str, product: str) -> None:
        self.write(f"bus/usb/devices/{place}/idVendor", f"{vendor}\n".encode())
        self.write(f"bus/usb/devices/{place}/idProduct", f"{product}\n".encode())

    def pci(self, place: str, vendor: str, device: str) -> None:
        self.write(f"bus/pci/devices/{place}/vendor", f"{vendor}\n".encode())
        self.write(f"bus/pci/devices/{place}/device", f"{device}\n".encode())

    def write(self, name: str, data: bytes) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path


def line(number: int) -> bytes:
    """An entry of the IMA list in its binary form; every one different."""
    seen = hashlib.sha256(str(number).encode()).digest()
    return Made(name=f"/usr/bin/program-{number}".encode(), digest=seen).binary()


def lines_of(evidence: Evidence) -> list[bytes]:
    """The entries in a slice."""
    return split(unpack(evidence.ima.data))


def split(data: bytes) -> list[bytes]:
    """The entries of a binary list: 28 bytes of head with the template's name at 28, then a length and the rest."""
    entries = []
    while data:
        name = struct.unpack_from("<I", data, 24)[0]
        end = 32 + name + struct.unpack_from("<I", data, 28 + name)[0]
        entries.append(data[:end])
        data = data[end:]
    return entries


def state(ask: Ask | None = None, *, answered: Moment | None = None, wants: tuple[str, ...] = ()) -> DeviceState:
    """What the protocol remembers after a reply with `ask`."""
    answers = {} if ask is None else {SECTION: msgspec.json.encode(ask).decode()}
    return DeviceState(nonce=NONCE, answers=answers, answered=answered or Moment(BOOT, 100), wants=wants)


def answer(seq: int, ask: Ask | None, *, wants: tuple[str, ...] = (), nonce: str = "") -> tuple[int, str, bytes]:
    """A server's reply to check-in `seq`."""
    verdict = VerdictNotice(Level.TRUSTED, (), Instant(10**13))
    answers = {} if ask is None else {SECTION: msgspec.Raw(msgspec.json.encode(ask))}
    reply = Reply(1, seq, Instant(10**12), 300, nonce or f"nonce-{seq:06}", verdict, wants=wants, answers=answers)
    return 200, "application/json", encode(reply)


class QuotingDevice:
    """A stand-in for the chip at the end of a `quoting.Sender`: it signs as one does, with a key of ours."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.registers = {number: hashlib.sha256(bytes([number])).digest() for number in range(24)}
        self.commands: list[int] = []
        self.busy = 0
        """Answers of a busy chip before it does anything."""
        self.response = 0
        """What it answers instead, if not 0."""

    @property
    def public(self) -> bytes:
        """The key's TPM2B_PUBLIC: a restricted signing key bound to ECDSA with SHA-256."""
        numbers = self.key.public_key().public_numbers()
        point = tpm2b(numbers.x.to_bytes(32, "big")) + tpm2b(numbers.y.to_bytes(32, "big"))
        area = (
            u16(0x23) + u16(0x0B) + u32(0x50472) + tpm2b(b"") + u16(0x10) + u16(0x18) + u16(0x0B) + u16(3) + u16(0x10)
        )
        return tpm2b(area + point)

    def send(self, command: bytes) -> bytes:
        reader = Reader(command, "command")
        reader.take(2)
        assert reader.number(4) == len(command)
        code = reader.number(4)
        self.commands.append(code)
        if self.busy:
            self.busy -= 1
            return _answer(0x922)
        if self.response:
            return _answer(self.response)
        return self._quote(reader) if code == QUOTE else self._read(reader)

    def _quote(self, reader: Reader) -> bytes:
        assert reader.number(4) == HANDLE
        reader.take(reader.number(4))
        qualifying = reader.sized()
        assert reader.number(2) == 0x10, "the key's own scheme"
        selection, numbers = _selection(reader)
        digest = hashlib.sha256(b"".join(self.registers[number] for number in numbers)).digest()
        signer = u16(0x0B) + hashlib.sha256(self.public[2:]).digest()
        clock = bytes(7) + b"\x01" + u32(3) + u32(0) + b"\x01" + bytes(8)
        quote = b"\xffTCG\x80\x18" + tpm2b(signer) + tpm2b(qualifying) + clock + selection + tpm2b(digest)
        r, s = decode_dss_signature(self.key.sign(quote, ec.ECDSA(hashes.SHA256())))
        signature = u16(0x18) + u16(0x0B) + tpm2b(r.to_bytes(32, "big")) + tpm2b(s.to_bytes(32, "big"))
        parameters = tpm2b(quote) + signature
        return _answer(0, u32(len(parameters)) + parameters + bytes(2) + b"\x01" + bytes(2), tag=0x8002)

    def _read(self, reader: Reader) -> bytes:
        _, numbers = _selection(reader)
        given = numbers[:8]
        bits = sum(1 << number for number in given).to_bytes(3, "little")
        values = b"".join(tpm2b(self.registers[number]) for number in given)
        return _answer(0, u32(7) + u32(1) + u16(0x0B) + b"\x03" + bits + u32(len(given)) + values)


def _selection(reader: Reader) -> tuple[bytes, list[int]]:
    assert reader.number(4) == 1
    bank, size = reader.take(2), reader.take(1)
    data = reader.take(3)
    bits = int.from_bytes(data, "little")
    return u32(1) + bank + size + data, [number for number in range(24) if bits >> number & 1]


def _answer(response: int, body: bytes = b"", tag: int = 0x8001) -> bytes:
    return u16(tag) + u32(10 + len(body)) + u32(response) + body


def verified(quote: bytes, signature: bytes, public: bytes, nonce: bytes) -> Attestation:
    """The quote, once the core finds that the key of `public` made it for `nonce`."""
    assert verifies(parse_public(public), parse_signature(signature), quote)
    attestation = parse_attestation(quote)
    assert attestation.nonce == nonce
    return attestation


@contextmanager
def counting(tcti: str, folder: Path) -> Iterator[tuple[str, list[int]]]:
    """A relay in front of a chip (``swtpm:path=``): its TCTI, and the codes of the commands that went through."""
    target, here = tcti.removeprefix("swtpm:path="), folder / "r"
    seen: list[int] = []
    ends: list[socket.socket] = []

    def note(data: bytes) -> None:
        if len(data) >= 10 and data[:2] in (b"\x80\x01", b"\x80\x02"):
            seen.append(struct.unpack(">I", data[6:10])[0])

    for ending in ("", ".ctrl"):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{here}{ending}")
        listener.listen()
        ends.append(listener)
        take = note if not ending else (lambda _: None)
        threading.Thread(target=_relay, args=(listener, target + ending, take), daemon=True).start()
    try:
        yield f"swtpm:path={here}", seen
    finally:
        for listener in ends:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()


def _relay(listener: socket.socket, target: str, note: object) -> None:
    while True:
        try:
            near, _ = listener.accept()
        except OSError:
            return
        _pump(near, target, note)


def _pump(near: socket.socket, target: str, note: object) -> None:
    with near, socket.socket(socket.AF_UNIX) as far:
        far.connect(target)
        while True:
            for end in select.select([near, far], [], [])[0]:
                try:
                    data = end.recv(65536)
                except OSError:
                    return
                if not data:
                    return
                if end is near:
                    note(data)  # type: ignore[operator]  # a function of the caller above
                (far if end is near else near).sendall(data)
