"""A target as a repository's verified metadata states it, in the core's words.

1. The path must be the one of the release that the offer names: the keys of one product sign below its own name only,
   and an offer for another product's release would reach beyond them.
2. What a repository says of a target may come from a thief of its keys, so it is parsed as everything else.
"""

from __future__ import annotations

from typing import Any

import msgspec

from holdfast_core.kernel.digests import parse_digest
from holdfast_core.kernel.errors import HostileData
from holdfast_core.supply.model import LARGEST_PAYLOAD, Offer, parse_release_id
from holdfast_core.update.agreement import OFFER, Target


def stated(path: str, length: int, hashes: dict[str, str], custom: Any) -> Target:
    """The target.

    Args:
        path: its path in the repository.
        length: bytes of the payload.
        hashes: digests by algorithm, hexadecimal.
        custom: the target's member ``custom``.

    Raises:
        HostileData: ``update.target_malformed``, ``update.target_path``.
    """
    try:
        digest = parse_digest(f"sha256:{hashes.get('sha256', '')}")
        offer = msgspec.convert(custom[OFFER] if isinstance(custom, dict) else None, Offer)
        model, version = parse_release_id(offer.release)
    except (msgspec.ValidationError, KeyError, HostileData) as error:
        raise _refused("malformed", f"What is signed of {path[:200]!r} is no release: {error}.") from None
    if length > LARGEST_PAYLOAD:
        raise _refused("malformed", f"{path[:200]!r} would have {length} bytes; {LARGEST_PAYLOAD} are allowed.")
    if not path.startswith(f"{model}/{version}/"):
        raise _refused("path", f"{path[:200]!r} offers {offer.release}, which does not belong there.")
    return Target(path, length, digest, offer)


def _refused(name: str, sentence: str) -> HostileData:
    return HostileData(f"update.target_{name}", sentence, remedy="Publish the release again; ask who signed this one.")
