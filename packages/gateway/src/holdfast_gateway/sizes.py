"""Sizes as people write them: ``500MB``, ``2GiB``."""

from __future__ import annotations

import re

from holdfast_core.kernel.errors import HostileData

_UNITS = {
    "": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
_SIZE = re.compile(r"([0-9]{1,15})(|[kMGT]B|[KMGT]iB)")


def parse_size(text: str) -> int:
    """Bytes in `text`. Raises HostileData ``gateway.size``."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise HostileData(
            "gateway.size",
            f"{text[:40]!r} is not a size.",
            remedy="Write bytes, or a number with kB, MB, GB, TB, KiB, MiB, GiB or TiB, such as 2GiB.",
        )
    return int(found[1]) * _UNITS[found[2]]


def in_units(size: int) -> str:
    """`size` bytes in the binary unit that suits it."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:  # noqa: PLR2004  (what the units are apart)
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
