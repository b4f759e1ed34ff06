"""Files of stanzas: fields up to an empty line, as dpkg, opkg and apt write them (deb822), and apk in its own way.

1. One pass over bytes; only the fields that are asked for are decoded.
2. Names of fields are compared as they are written: apk means different things by ``P`` and ``p``.
3. Bounded by the size of the file alone: nothing but the asked fields of one stanza is held.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO


def stanzas(data: bytes, *fields: str) -> Iterator[dict[str, str]]:
    """Every stanza with those of `fields` that it has, by their names as given; of a field its first line."""
    wanted = {field.encode(): field for field in fields}
    found: dict[str, str] = {}
    for line in BytesIO(data):  # line by line: a list of all lines would take several times the file
        if not line.strip():
            if found:
                yield found
            found = {}
        elif line[:1] not in b"# \t":
            name, _, value = line.partition(b":")
            if field := wanted.get(name):
                found[field] = value.strip().decode("utf-8", "replace")
    if found:
        yield found
