"""The control catalogue that ships with the probes, compiled at build time from ``packages/probe/catalogue``.

1. Read once, then kept: it is frozen and small.
2. Its digest is that of its meaning (the canonical form), not of the file's layout.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from holdfast_core.baseline.control import Catalogue, parse_catalogue
from holdfast_core.kernel.digests import Digest


@cache
def shipped_catalogue() -> Catalogue:
    """The catalogue of this version."""
    return parse_catalogue(files("holdfast_probe").joinpath("catalogue.json").read_bytes())


@cache
def shipped_digest() -> Digest:
    """What plans and baselines name it by."""
    return shipped_catalogue().digest
