"""The TPM commands of an enrollment and of a quote, sent by hand: a thousand chips on a small machine.

1. A command is one exchange on a connection of its own, so the chip is free for the next boot in between.
2. Keys are primary keys: they follow from the chip's seed and their template, and no file has to be kept. What a real
   agent makes differs in nothing that a server sees.
3. A result other than success is `WorldError` ``sim.tpm`` with its number.

Source: TPM 2.0 Library, Part 3, sections 11.1 (TPM2_StartAuthSession), 12.5 (TPM2_ActivateCredential), 18.2
(TPM2_Certify), 20.2 (TPM2_Sign), 23.4 (TPM2_PolicySecret), 24.1 (TPM2_CreatePrimary), 28.4 (TPM2_FlushContext) and 28.5
(TPM2_EvictControl); TCG EK Credential Profile, section B.3.4 (template L-2).
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterable
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from holdfast_agent.tpm_commands import BANKS, Quote, quote_command, read_quote
from holdfast_core.formats.tpm.public import Algorithm, Attribute, Curve
from holdfast_core.formats.tpm.reader import Reader, tpm2b, u16, u32
from holdfast_core.kernel.errors import WorldError

PATIENCE_S = 60.0
HANDLE = 0x81010100
"""Where the attestation key stays."""
_NO_SESSIONS, _SESSIONS = 0x8001, 0x8002
_OWNER, _NOBODY, _ENDORSEMENT = 0x40000001, 0x40000007, 0x4000000B
_CERTIFY, _CREATE_PRIMARY, _EVICT, _ACTIVATE = 0x148, 0x131, 0x120, 0x147
_POLICY_SECRET, _START_SESSION, _FLUSH, _SIGN = 0x151, 0x176, 0x165, 0x15D
_HASH_CHECK = 0x8024
_POLICY = 1
_PASSWORD = u32(0x40000009) + u16(0) + b"\0" + u16(0)
_HEADER_BYTES = 10
_LARGEST_ANSWER = 4096
_WHAT = "answer of the TPM"

_BORN_HERE = (
    Attribute.FIXED_TPM | Attribute.FIXED_PARENT | Attribute.SENSITIVE_DATA_ORIGIN | Attribute.USER_WITH_AUTH
    | Attribute.NO_DA
)  # fmt: skip


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


_EK_POLICY = _hash(_hash(bytes(32) + u32(_POLICY_SECRET) + u32(_ENDORSEMENT)))
"""PolicyA: whoever knows the endorsement hierarchy's password, which is empty here."""


def _template(attributes: int, *, policy: bytes = b"", cipher: bytes = u16(Algorithm.NULL), scheme: bytes) -> bytes:
    """A TPMT_PUBLIC of a P-256 key, its point left to the chip."""
    head = u16(Algorithm.ECC) + u16(Algorithm.SHA256) + u32(attributes) + tpm2b(policy)
    point = tpm2b(bytes(32)) * 2 if policy else tpm2b(b"") * 2
    return head + cipher + scheme + u16(Curve.P256) + u16(Algorithm.NULL) + point


_NO_SCHEME = u16(Algorithm.NULL)
_ECDSA = u16(Algorithm.ECDSA) + u16(Algorithm.SHA256)
EK = _template(
    Attribute.FIXED_TPM | Attribute.FIXED_PARENT | Attribute.SENSITIVE_DATA_ORIGIN | Attribute.ADMIN_WITH_POLICY
    | Attribute.RESTRICTED | Attribute.DECRYPT,
    policy=_EK_POLICY, cipher=u16(Algorithm.AES) + u16(128) + u16(Algorithm.CFB), scheme=_NO_SCHEME,
)  # fmt: skip
AK = _template(_BORN_HERE | Attribute.SIGN | Attribute.RESTRICTED, scheme=_ECDSA)
KEY = _template(_BORN_HERE | Attribute.SIGN, scheme=_NO_SCHEME)


class Loaded(msgspec.Struct, frozen=True):
    """A key in the chip: its handle, and its public area (TPM2B_PUBLIC)."""

    handle: int
    public: bytes


class Chip:
    """The TPM whose data socket is at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, command: bytes) -> bytes:
        """One command and its answer. Raises WorldError ``sim.tpm``."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(PATIENCE_S)
                connection.connect(str(self._path))
                connection.sendall(command)
                return _answer(connection)
        except OSError as error:
            raise _failed(f"it does not answer: {error}") from error

    def make(self, template: bytes, hierarchy: int = _OWNER) -> Loaded:
        """TPM2_CreatePrimary of a key of `template`."""
        sensitive = tpm2b(tpm2b(b"") + tpm2b(b""))
        body = sensitive + tpm2b(template) + tpm2b(b"") + u32(0)
        answer = self._run(_CREATE_PRIMARY, u32(hierarchy), _PASSWORD, body)
        handle, parameters = answer.number(4), Reader(answer.take(answer.number(4)), _WHAT)
        return Loaded(handle, tpm2b(parameters.sized()))

    def endorsement(self) -> Loaded:
        """The endorsement key."""
        return self.make(EK, _ENDORSEMENT)

    def keep(self, key: Loaded) -> None:
        """TPM2_EvictControl: `key` stays in the chip, at `HANDLE`."""
        self._run(_EVICT, u32(_OWNER) + u32(key.handle), _PASSWORD, u32(HANDLE))

    def flush(self, handle: int) -> None:
        """TPM2_FlushContext."""
        self._run(_FLUSH, u32(handle))

    def activate(self, ak: Loaded, ek: Loaded, blob: bytes, secret: bytes) -> bytes:
        """TPM2_ActivateCredential: the secret that was wrapped for this chip and `ak`."""
        start = tpm2b(bytes(16)) + tpm2b(b"") + bytes([_POLICY]) + u16(Algorithm.NULL) + u16(Algorithm.SHA256)
        session = self._run(_START_SESSION, u32(_NOBODY) * 2, None, start).number(4)
        proof = tpm2b(b"") + tpm2b(b"") + tpm2b(b"") + u32(0)
        self._run(_POLICY_SECRET, u32(_ENDORSEMENT) + u32(session), _PASSWORD, proof)
        both = _PASSWORD + u32(session) + u16(0) + b"\0" + u16(0)
        answer = self._run(_ACTIVATE, u32(ak.handle) + u32(ek.handle), both, blob + secret)
        answer.number(4)
        return answer.sized()

    def certify(self, key: Loaded, ak: Loaded, nonce: bytes) -> Quote:
        """TPM2_Certify: the word of `ak` for `key`, with its signature."""
        handles = u32(key.handle) + u32(ak.handle)
        data = self._exchange(_SESSIONS, _CERTIFY, handles, _PASSWORD * 2, tpm2b(nonce) + u16(Algorithm.NULL))
        return read_quote(data)  # an answer of the same form

    def sign(self, key: Loaded, digest: bytes) -> bytes:
        """TPM2_Sign: an ECDSA signature over a SHA-256 digest, in DER."""
        ticket = u16(_HASH_CHECK) + u32(_NOBODY) + tpm2b(b"")
        answer = self._run(_SIGN, u32(key.handle), _PASSWORD, tpm2b(digest) + _ECDSA + ticket)
        answer.take(4 + 2 + 2)
        r, s = answer.sized(), answer.sized()
        return encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))

    def quote(self, bound: bytes, bank: str, registers: Iterable[int]) -> Quote:
        """TPM2_Quote by the key at `HANDLE`. Raises WorldError ``sim.tpm``, ``agent.tpm``."""
        return read_quote(self.send(quote_command(HANDLE, bound, BANKS[bank], registers)))

    def _run(self, code: int, head: bytes, authorization: bytes | None = None, body: bytes = b"") -> Reader:
        """The answer after its header; a handle, then the length of the parameters where there is an authorization."""
        tag = _NO_SESSIONS if authorization is None else _SESSIONS
        reader = Reader(self._exchange(tag, code, head, authorization, body), _WHAT)
        reader.take(_HEADER_BYTES)
        return reader

    def _exchange(self, tag: int, code: int, head: bytes, authorization: bytes | None, body: bytes) -> bytes:
        area = b"" if authorization is None else u32(len(authorization)) + authorization
        command = head + area + body
        answer = self.send(u16(tag) + u32(_HEADER_BYTES + len(command)) + u32(code) + command)
        result = int.from_bytes(answer[6:_HEADER_BYTES], "big")
        if result:
            raise _failed(f"command {code:#x} came to {result:#x}")
        return answer


def _answer(connection: socket.socket) -> bytes:
    found = b""
    while len(found) < _HEADER_BYTES or len(found) < int.from_bytes(found[2:6], "big"):
        part = connection.recv(_LARGEST_ANSWER)
        if not part:
            raise _failed("it hung up")
        found += part
    return found


def _failed(why: str) -> WorldError:
    return WorldError(
        "sim.tpm",
        f"The TPM of a simulated device failed: {why}.",
        remedy="Look a number up in TPM 2.0 Library, Part 2, section 6.6, or with tpm2_rc_decode.",
    )
