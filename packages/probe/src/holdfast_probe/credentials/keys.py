"""Telling a private key from a file that merely talks about one.

1. A header proves nothing: crypto libraries and multi-call SSH programs carry the words "PRIVATE KEY" to write and to
   look for them. What counts is a body that decodes to the structure of a key.
2. A key under a passphrase is not counted: what lies there cannot be used as it is.
3. Self-test keys that a stock library publishes in its own source are no secret; they are known by digest, not by
   where they lie, so that a vendor's key baked into the same library is still found.
4. What follows a key in its file, a line's end or the rest of a flash page, makes it no less one.
5. The key itself never leaves this module: callers learn its kind.

Structures: RFC 8017 A.1.2 (RSA), RFC 5915 (EC), RFC 5958 (PKCS#8), RFC 7468 (PEM), OpenSSH PROTOCOL.key, and
dropbear's own file, which is the SSH wire form of the numbers.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from itertools import zip_longest

from holdfast_probe.credentials.der import INTEGER, OCTETS, OID, SEQUENCE, element_at, elements

MARK = b"PRIVATE KEY-----"
"""What a PEM or OpenSSH key cannot do without; cheap to search for."""
KEY_BYTES = 16 * 1024
"""No single key is larger."""

_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]{0,24}?) ?PRIVATE KEY-----")
_FILLER = re.compile(rb"\\[nrt]|[\s\"',\\]")
_MODULUS_BYTES = 64
_SECRET_BYTES = 16
"""The least that the secret number of any key has; in Ed25519's file it is 64, seed and public key."""
_SSH_NAMES = (
    b"ssh-rsa",
    b"ssh-dss",
    b"ssh-ed25519",
    b"ecdsa-sha2-nistp256",
    b"ecdsa-sha2-nistp384",
    b"ecdsa-sha2-nistp521",
)

_PUBLISHED = frozenset(
    {
        "87e288dc7dbc29a24241b596ec8c84f949d9f09f34fc0cf69242481fb2274770",
        "d245e52c341a76645e1b0e56c58dc964cd4f3ecaea64a9c6d6db9897d4948a8a",
        "0294b4406902e33bb02f89eaf4c691328790d7a9cd01b873d68edac994f310a1",
        "60c323abe4854b03743005874156ef6e0343bc9c05c09a2a43335cdda19342b3",
        "995b8d5b08ac126a74f39d812fc8cce270d026093d810f366de923bb0fe47f60",
        "09416ba3e0782523c56225fb168cd58cda7796e938db1b53f79b6abbaed2bbc7",
        "7e38af7715bbb425a6aa8060b7c0af60aeb81d39975c55e83edcb9eae7a5e9f8",
        "458022ddcb5598b39253bc027eb02c4f3dba00e2bdbaef239a35bc91c9bd4f3a",
        "09f1c1a4680df80b9e8e6e587d3a787de7402a919e366426ad807a1c0f8c98c1",
        "2859ff03b44c8f0e4f96604b8cced325ef4d01ca935422b2041d88d8809f8fa1",
    }
)
"""SHA-256 of the DER of keys published in the source of GnuTLS, lib/crypto-selftests-pk.c."""


def private_keys(data: bytes) -> tuple[str, ...]:
    """The kinds of the private keys anywhere in `data`, in order: ``RSA``, ``EC``, ``DSA``, ``PKCS#8``, ``SSH``."""
    kinds = []
    begins = list(_BEGIN.finditer(data))
    for match, after in zip_longest(begins, begins[1:]):
        # A key ends before another begins: so each byte is decoded once, however many begin and none ends.
        limit = min(match.end() + KEY_BYTES, after.start() if after else len(data))
        end = data.find(b"-----END", match.end(), limit)
        if end > 0 and (kind := _pem_kind(match.group(1), data[match.end() : end])):
            kinds.append(kind)
    return tuple(kinds)


def bare_key(data: bytes) -> str | None:
    """The kind of the private key that a file begins with (DER or dropbear), or `None`."""
    if data[:1] == b"\x30":
        return _der_kind(data)
    if data[:3] == b"\0\0\0":
        return _dropbear_kind(data)
    return None


def may_be_bare(head: bytes) -> bool:
    """Whether a file that starts with `head` could begin with one bare key."""
    short = head[:1] == b"\x30" and head[2:4] == b"\x02\x01"
    return short or head[:2] in (b"\x30\x81", b"\x30\x82") or _ssh_name(head)


def _pem_kind(label: bytes, body: bytes) -> str | None:
    if label == b"ENCRYPTED" or b"Proc-Type" in body:
        return None
    try:
        data = base64.b64decode(_FILLER.sub(b"", body), validate=True)
    except (binascii.Error, ValueError):
        return None
    if label == b"OPENSSH":
        return _openssh_kind(data)
    if hashlib.sha256(data).hexdigest() in _PUBLISHED:
        return None
    return _der_kind(data)


def _openssh_kind(data: bytes) -> str | None:
    magic = b"openssh-key-v1\0"
    if not data.startswith(magic):
        return None
    cipher = _strings(data[len(magic) :], 1)
    return "SSH" if cipher == [b"none"] else None


def _dropbear_kind(data: bytes) -> str | None:
    """RSA is e, n, d, p, q; DSS p, q, g, y, x; ECDSA curve, point, d; Ed25519 one string of both halves."""
    if not _ssh_name(data):
        return None
    needed = {b"ssh-rsa": 4, b"ssh-dss": 6, b"ssh-ed25519": 2}.get(data[4 : 4 + data[3]], 4)
    parts = _strings(data, needed)
    if parts is None or len(parts) < needed:
        return None
    least = 64 if parts[0] == b"ssh-ed25519" else _SECRET_BYTES
    return "SSH" if len(parts[-1]) >= least else None


def _ssh_name(head: bytes) -> bool:
    return head[:3] == b"\0\0\0" and any(head[4 : 4 + len(n)] == n and head[3] == len(n) for n in _SSH_NAMES)


def _strings(data: bytes, most: int) -> list[bytes] | None:
    """Up to `most` length-prefixed strings (RFC 4251 §5); `None` if the last one is cut short."""
    parts: list[bytes] = []
    position = 0
    while position < len(data) and len(parts) < most:
        length = int.from_bytes(data[position : position + 4], "big")
        part = data[position + 4 : position + 4 + length]
        if len(part) < length or position + 4 > len(data):
            return None
        parts.append(part)
        position += 4 + length
    return parts or None


def _der_kind(data: bytes) -> str | None:  # noqa: PLR0911  (one a structure)
    outer = element_at(data, 0)
    if outer is None or outer[0][0] != SEQUENCE:
        return None
    inside = elements(outer[0][1])
    if not inside or inside[0][0] != INTEGER or inside[0][1] not in (b"\0", b"\1"):
        return None
    tags = [tag for tag, _ in inside]
    if tags[1:3] == [SEQUENCE, OCTETS]:
        algorithm = elements(inside[1][1])
        return "PKCS#8" if algorithm and algorithm[0][0] == OID and len(inside[2][1]) > 16 else None  # noqa: PLR2004
    if tags[:9] == [INTEGER] * 9:
        return "RSA" if len(inside[1][1]) >= _MODULUS_BYTES else None
    if tags == [INTEGER] * 6:
        return "DSA" if len(inside[1][1]) >= _MODULUS_BYTES else None
    if tags[1:2] == [OCTETS] and set(tags[2:]) <= {0xA0, 0xA1} and inside[0][1] == b"\1":
        return "EC" if 20 <= len(inside[1][1]) <= 72 and len(tags) > 2 else None  # noqa: PLR2004  (RFC 5915 widths)
    return None
