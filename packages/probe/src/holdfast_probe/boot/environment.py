"""U-Boot's environment: reading it where it lies, and the probe of what its variables allow.

1. Only blocks whose checksum is right count; of two, the one that was written last, as U-Boot has it.
2. Only regular files are read. A block on a flash device stays closed: the device's own node is never opened, and what
   it holds is unknown.
3. A variable's value is never shown beyond those that the probe judges.

Sources: U-Boot's env/ and tools/env/fw_env.config, doc/README.autoboot.
"""

from __future__ import annotations

import zlib
from contextlib import suppress

import msgspec

from holdfast_core.baseline.probes.boot import BootEnvironment, BootEnvironmentCheck
from holdfast_probe.boot.conf import lines_of
from holdfast_probe.case import Case
from holdfast_probe.roots import Missing, Root, Unreadable
from holdfast_probe.sight import Sight, failed, judged, not_applicable, passed, unknown

_FILES = ("/boot/uboot.env", "/boot/firmware/uboot.env", "/boot/uboot-redund.env", "/boot/firmware/uboot-redund.env")
_CONFIG = "/etc/fw_env.config"
_COLUMNS = 3
_MOST_PLACES = 8
_MOST_BYTES = 1024 * 1024
_MTD_WRITEABLE = 0x400
_HASHED_STOPS = ("bootstopkeysha256", "bootstopkeycrypt")
_NO_UBOOT = "There is no sign of U-Boot here."


class Place(msgspec.Struct, frozen=True):
    """Where a block of variables lies: a path, and the part of it."""

    path: str
    offset: int = 0
    size: int = 0
    """0: all of it."""


class Environment(msgspec.Struct, frozen=True):
    """The variables as far as they could be read."""

    variables: dict[str, str]
    where: str
    places: tuple[Place, ...]
    gap: str = ""
    """Why there are no variables, though there is an environment."""


def boot_environment(root: Root) -> Environment | None:
    """U-Boot's environment, or `None` where there is no sign of one. Raises `Unreadable`."""
    places = _places(root)
    if root.told.boot_environment:
        return Environment(root.told.boot_environment, "the image's boot environment", places)
    if not places:
        return None
    blocks: list[tuple[int, dict[str, str], str]] = []
    gap = ""
    for place in places:
        try:
            block = _block(root, place)
        except (Missing, Unreadable) as error:
            gap = error.sentence
            continue
        if block is None:
            gap = f"The boot environment in {place.path} has a wrong checksum."
        else:
            blocks.append((*block, place.path))
    if not blocks:
        return Environment({}, "", places, gap)
    _, variables, where = max(blocks, key=lambda block: block[0])
    # The count that tells which block is newer goes from 255 to 0.
    if {0, 255} <= {serial for serial, *_ in blocks}:
        _, variables, where = min(blocks, key=lambda block: block[0])
    return Environment(variables, where, places)


def _places(root: Root) -> tuple[Place, ...]:
    found = [Place(path) for path in _FILES if root.glob(path)]
    with suppress(Missing):
        for line in lines_of(root, _CONFIG)[:_MOST_PLACES]:
            fields = line.split()
            if len(fields) >= _COLUMNS and fields[0].startswith("/"):
                with suppress(ValueError):
                    place = Place(fields[0], int(fields[1], 0), int(fields[2], 0))
                    if place.offset >= 0 and 0 < place.size <= _MOST_BYTES:
                        found = [each for each in found if each.path != place.path] + [place]
    return tuple(found)


def _block(root: Root, place: Place) -> tuple[int, dict[str, str]] | None:
    """The serial and the variables of one block, `None` if its checksum is wrong. Raises `Missing`, `Unreadable`."""
    data = root.read(place.path, limit=_MOST_BYTES)[place.offset :]
    return parse_block(data[: place.size] if place.size else data)


def parse_block(data: bytes) -> tuple[int, dict[str, str]] | None:
    """Take a block of U-Boot's environment apart, single or redundant; `None` if its checksum is wrong."""
    for start, serial in ((4, 0), (5, data[4] if len(data) > 4 else 0)):  # noqa: PLR2004  (a checksum, and a serial)
        body = data[start:]
        checksum = zlib.crc32(body)
        if body and data[:4] in (checksum.to_bytes(4, "little"), checksum.to_bytes(4, "big")):
            return serial, _variables(body)
    return None


def _variables(body: bytes) -> dict[str, str]:
    found = {}
    for entry in body.split(b"\0\0", 1)[0].split(b"\0"):
        name, sign, value = entry.decode("utf-8", "replace").partition("=")
        if sign and name:
            found[name] = value
    return found


def see_boot_environment(case: Case, spec: BootEnvironment) -> Sight:
    """Judge one `BootEnvironment` probe."""
    environment = case.once(boot_environment)
    if environment is None:
        gaps = " ".join(case.root.told.gaps)
        return unknown(gaps) if gaps else not_applicable(_NO_UBOOT)
    if spec.check is BootEnvironmentCheck.GUARDED:
        return _guarded(case.root, environment)
    return unknown(environment.gap) if environment.gap else _shell_locked(environment)


def _shell_locked(environment: Environment) -> Sight:
    delay = environment.variables.get("bootdelay")
    if delay is None:
        return unknown(f"bootdelay is not set in {environment.where}; what U-Boot was built with decides.")
    said = f"bootdelay is {delay[:20]!r} ({environment.where})"
    if delay.strip() == "-2":
        return passed(said)
    hashed = next((name for name in _HASHED_STOPS if environment.variables.get(name)), "")
    if hashed and not delay.strip().startswith("-"):
        return passed(f"{said}, and stopping it needs the password that {hashed} is the hash of")
    return failed([said])


def _guarded(root: Root, environment: Environment) -> Sight:
    if not environment.places:
        return unknown("An image does not tell who may write its boot environment.")
    devices = [place.path for place in environment.places if place.path.startswith("/dev/")]
    if devices and not root.live:
        return unknown(f"Whether {devices[0]} can be written shows on the running system only.")
    bad = [f"{place.path} can be written" for place in environment.places if not _read_only(root, place.path)]
    return judged(bad, f"{', '.join(devices)} cannot be written")


def _read_only(root: Root, path: str) -> bool:
    """Whether the kernel refuses to write a flash device; a file is never safe from root."""
    name = path.removeprefix("/dev/").replace("mtdblock", "mtd")
    with suppress(Missing, ValueError):
        if name.startswith("mtd"):
            return not int(root.read(f"/sys/class/mtd/{name}/flags").strip(), 16) & _MTD_WRITEABLE
        return root.read(f"/sys/block/{name}/ro_lock_until_next_power_on").strip() == b"1"
    return False
