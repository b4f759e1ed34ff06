"""What the agent says of the hardware around it: the maker's word from a file, and what sysfs shows of two buses.

1. The file is kept by the maker's own code, which alone knows the tamper switches and debug ports of the board. What
   cannot be read is left out, never made up.
2. Components are listed by where they are, USB first: that is where somebody adds one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from holdfast_agent.sections import small_file
from holdfast_agent.state import Config
from holdfast_core.wire.attestation import Claims, Component

MOST_COMPONENTS = 64
MOST_ENTRIES = 1024
"""Of one bus that are looked at."""
BUSES = (("usb", "idVendor", "idProduct"), ("pci", "vendor", "device"))
_NUMBER = re.compile(r"(?:0x)?([0-9a-f]{4})\Z")


def claims(config: Config) -> tuple[Claims, str]:
    """The claims, and why the maker's are not among them; empty where they are, or where there is no such file."""
    said, why = _from_file(config.claims_file) if config.claims_file else (Claims(), "")
    seen = _seen(Path(config.sys))
    if seen is None:
        return said, why
    together = (*(said.components or ()), *seen)
    return msgspec.structs.replace(said, components=together[:MOST_COMPONENTS]), why


def _from_file(name: str) -> tuple[Claims, str]:
    data = small_file(Path(name))
    if data is None:
        return Claims(), f"{name} cannot be read"
    try:
        return msgspec.json.decode(data, type=Claims), ""
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return Claims(), f"{name} holds no claims: {str(error)[:120]}"


def _seen(sys: Path) -> tuple[Component, ...] | None:
    """The components on both buses; `None` where neither can be looked at."""
    looked, found = False, list[Component]()
    for bus, vendor, device in BUSES:
        folder = sys / "bus" / bus / "devices"
        try:
            names = sorted(os.listdir(folder))[:MOST_ENTRIES]  # noqa: PTH208  (names are enough)
        except OSError:
            continue
        looked = True
        found += _on(bus, folder, names, vendor, device)
    return tuple(found[:MOST_COMPONENTS]) if looked else None


def _on(bus: str, folder: Path, names: list[str], vendor: str, device: str) -> Iterator[Component]:
    for name in names:
        made_by, what = _number(folder / name / vendor), _number(folder / name / device)
        if made_by and what:
            yield Component(f"{bus}:{name}"[:120], f"{made_by}:{what}")


def _number(path: Path) -> str:
    """Four hexadecimal digits; empty for what has none, such as a USB device's interface."""
    data = small_file(path)
    match = _NUMBER.match((data or b"").decode("ascii", "replace").strip().lower())
    return match[1] if match else ""
