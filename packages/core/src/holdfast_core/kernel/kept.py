"""Small records, few enough to be held whole: the one shape of what a feature only looks up by its name.

1. A record is known by its type, its scope and its `id`; putting one replaces the one of the same three.
2. `id` is a name or a digest, never a secret: it is shown, and stands in paths of the API.
3. What grows with every check-in does not belong here: a store holds every record of this shape in memory.
"""

from __future__ import annotations

import msgspec

from holdfast_core.kernel.ids import Scope


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of the small records; a subclass adds what it is about."""

    scope: Scope
    id: str
