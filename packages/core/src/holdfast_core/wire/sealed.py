"""Sealed secrets on the wire: where an attested device asks for what was sealed for it, and how much comes.

1. The answer is the secret's bytes, 1 to `LARGEST`, and nothing around them.
"""

from __future__ import annotations

PATH = "/v1/sealed/"
"""``POST PATH{name}`` with an empty body tells the secret."""
LARGEST = 8 * 1024
"""Bytes of one secret: keys and tokens, not files."""
