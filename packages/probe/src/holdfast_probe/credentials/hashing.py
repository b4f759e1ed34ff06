"""The C library's password hash, through whichever door is open.

1. No hash is computed here: yescrypt, bcrypt, SHA-2, MD5 and DES are the C library's, which alone knows them all.
2. `crypt` is deprecated since Python 3.11 and gone in 3.13; there, and where it was left out, `crypt_r` is called
   through ctypes. No program is run to find the library.
3. An answer is taken only if it is a hash in the form of the salt; a library that refuses a scheme says so by a star,
   by nothing, or by an error, and all of these mean "cannot".
"""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache

Crypt = Callable[[str, str], str | None]
"""From a password and a hash (for its salt) to the hash of that password; `None`: the scheme is not known here."""

_LIBRARIES = ("libcrypt.so.2", "libcrypt.so.1", None)
"""libxcrypt under both its names, then what this process has loaded already: musl's own."""
_STATE_BYTES = 256 * 1024
"""More than any library's `struct crypt_data`; old glibc asks for 131,232 bytes."""


@cache
def crypt() -> Crypt | None:
    """The hash function, or `None` where there is none."""
    return standard() or foreign()


def standard() -> Crypt | None:
    """The standard library's module."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            import crypt as module  # noqa: PLC0415  (rule 2)
    except ImportError:
        return None

    def run(word: str, hashed: str) -> str | None:
        try:
            return _answer(module.crypt(word, hashed), hashed)
        except (OSError, ValueError):  # how a malformed salt, and what is no text, is refused
            return None

    return run


def foreign() -> Crypt | None:
    """`crypt_r` of the C library itself."""
    for name in _LIBRARIES:
        with suppress(OSError, AttributeError):
            return _foreign(ctypes.CDLL(name))
    return None


def _foreign(library: ctypes.CDLL) -> Crypt:
    function = library.crypt_r
    function.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p]
    function.restype = ctypes.c_char_p

    def run(word: str, hashed: str) -> str | None:
        try:
            key, salt = word.encode("utf-8", "surrogateescape"), hashed.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            return None
        if b"\0" in key or b"\0" in salt:
            return None
        state = ctypes.create_string_buffer(_STATE_BYTES)
        answer = function(key, salt, state)
        return None if answer is None else _answer(answer.decode("utf-8", "replace"), hashed)

    return run


def _answer(answer: str | None, hashed: str) -> str | None:
    """Rule 3."""
    if not answer or answer.startswith("*") or len(answer) < 13 or answer[:2] != hashed[:2]:  # noqa: PLR2004  (DES)
        return None
    return answer
