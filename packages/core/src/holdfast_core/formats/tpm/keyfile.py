"""Keys of a TPM in files: the ASN.1 form that OpenSSL's tpm2 provider loads (``TSS2 PRIVATE KEY``).

1. Such a file is no secret: its private part is encrypted by the chip and loads in no other.
2. The parent is named by its hierarchy, so nothing has to stay in the chip's few persistent places: the provider makes
   the same parent anew each time, from the template that the draft names.

Source: ASN.1 Specification for TPM 2.0 Key Files (draft, oid 2.23.133.10.1).
"""

from __future__ import annotations

import base64

from holdfast_core.formats.tpm.reader import u32

OWNER = 0x40000001
"""TPM_RH_OWNER: the key's parent is the owner hierarchy's primary ECC P-256 key."""
BEGIN, END = "-----BEGIN TSS2 PRIVATE KEY-----", "-----END TSS2 PRIVATE KEY-----"
_LOADABLE = bytes.fromhex("0606678105" + "0a0103")
"""The object identifier 2.23.133.10.1.3: a loadable key."""
_EMPTY_AUTH = bytes.fromhex("a0030101ff")
_LINE = 64
_SHORT, _ONE_BYTE = 0x80, 0x100
_SEQUENCE, _INTEGER, _OCTETS = 0x30, 0x02, 0x04


def key_file(public: bytes, private: bytes) -> str:
    """The PEM of a key without a password.

    Args:
        public: the TPM2B_PUBLIC.
        private: the TPM2B_PRIVATE.
    """
    body = _LOADABLE + _EMPTY_AUTH + _tlv(_INTEGER, u32(OWNER)) + _tlv(_OCTETS, public) + _tlv(_OCTETS, private)
    text = base64.b64encode(_tlv(_SEQUENCE, body)).decode("ascii")
    lines = [text[start : start + _LINE] for start in range(0, len(text), _LINE)]
    return "\n".join([BEGIN, *lines, END, ""])


def _tlv(tag: int, data: bytes) -> bytes:
    size = len(data)
    if size < _SHORT:
        return bytes([tag, size]) + data
    if size < _ONE_BYTE:
        return bytes([tag, 0x81, size]) + data
    return bytes([tag, 0x82]) + size.to_bytes(2, "big") + data
