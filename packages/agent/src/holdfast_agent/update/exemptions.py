"""Exemptions from the order of releases: small targets of the image repository, signed as any target is.

1. Each is a target ``exemptions/NAME.json``; its content came with the metadata, or is kept from before.
2. One whose content is not here, or is not what the metadata says, is none. An exemption only ever allows.
3. Of so many, `CONSIDERED` are looked at, in the order of their names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.update.agreement import EXEMPTIONS, Exemption
from holdfast_core.wire.update_metadata import LARGEST_FILE

if TYPE_CHECKING:
    from tuf.api.metadata import TargetFile  # type: ignore[attr-defined]  # (exported without being listed)

    from holdfast_agent.update.verified import Verified

CONSIDERED = 64
MISSING = "update.metadata_missing"
ROLE = EXEMPTIONS
PROBE = f"{EXEMPTIONS}/-"
"""A path that leads to the role and names no exemption."""


def content_name(path: str, sha256: str) -> str:
    """Under what name the content of a target travels: ``targets/exemptions/HEX.NAME.json``."""
    folder, _, name = path.rpartition("/")
    return f"targets/{folder}/{sha256}.{name}"


def contents_in(verified: Verified, name: str, content: Callable[[str], bytes]) -> dict[str, bytes]:
    """The contents of the exemptions that a repository lists, as `read_contents`; none where the role did not come.

    Raises:
        HostileData: ``update.metadata_*``.
    """
    try:
        verified.look_up(name, PROBE)
    except HostileData as error:
        if error.code == MISSING:
            return {}
        raise
    paths = sorted(verified.repository(name).paths(ROLE))[:CONSIDERED]
    found: list[TargetFile | None] = [verified.look_up(name, path) for path in paths]
    listed = [(target.path, target.length, target.hashes) for target in found if target is not None]
    return read_contents(listed, content)


def read_contents(
    listed: Iterable[tuple[str, int, Mapping[str, str]]], content: Callable[[str], bytes]
) -> dict[str, bytes]:
    """The contents that are here and are what the metadata says, by the name under which they travel.

    Args:
        listed: path, length in bytes and digests of each, as verified metadata says.
        content: the content under a name of `content_name`; empty where there is none.
    """
    found = {}
    for path, length, hashes in listed:
        digest = hashes.get("sha256", "")
        name = content_name(path, digest)
        data = content(name)
        if len(data) == length <= LARGEST_FILE and digest_of(data) == f"sha256:{digest}":
            found[name] = data
    return found


def exempting(contents: Iterable[bytes], release: str) -> tuple[Exemption, ...]:
    """The exemptions among these contents that are for `release`, ``MODEL:VERSION``."""
    parsed = (_parsed(data) for data in contents)
    return tuple(each for each in parsed if each is not None and each.release == release)


def _parsed(data: bytes) -> Exemption | None:
    try:
        return msgspec.json.decode(data, type=Exemption)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        return None
