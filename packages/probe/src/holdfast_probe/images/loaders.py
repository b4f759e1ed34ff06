"""What boot loaders and kernels leave in an image: headers, device trees, configurations, variables.

Each reader is given a suspicion's place and returns how far it reaches; its own place says that it is none.
"""

from __future__ import annotations

import re
import struct
import zlib

from holdfast_probe.images.devicetree import read_device_tree
from holdfast_probe.images.environment import find_environment
from holdfast_probe.images.finds import Finds

_CONFIG_BYTES = 4 * 1024 * 1024
_TRX_HEADER = 28
_BANNER = re.compile(rb"Linux version ([0-9][!-~]{0,80}) ")


def uimage(finds: Finds, offset: int) -> int:
    """A header of U-Boot, whose own checksum is right."""
    head = finds.source.whole(offset, 64)
    if zlib.crc32(head[:4] + bytes(4) + head[8:]) != int.from_bytes(head[4:8], "big"):
        return offset
    size = int.from_bytes(head[12:16], "big")
    name = head[32:].split(b"\0")[0].decode("ascii", "replace")
    finds.too_long("uImage", offset, offset + 64 + size)
    finds.say("uImage", offset, 64 + size, f"U-Boot's header of {name!r}, without a signature.")
    return offset + 64


def trx(finds: Finds, offset: int) -> int:
    """A header of routers."""
    size, _, _, first = struct.unpack("<4I", finds.source.whole(offset + 4, 16))
    if not _TRX_HEADER <= first <= size <= finds.source.size:
        return offset
    finds.say("TRX", offset, size, "A router's header, with a checksum and without a signature.")
    return offset + _TRX_HEADER


def android(finds: Finds, offset: int) -> int:
    """A header of Android's boot loaders."""
    line = finds.source.whole(offset + 64, 512).split(b"\0")[0].decode("utf-8", "replace")
    finds.survey.command_line(line)
    finds.say("Android boot image", offset, 0, "A kernel and its first root.")
    return offset + 8


def device_tree(finds: Finds, offset: int) -> int:
    """A device tree, or a FIT image."""
    found = read_device_tree(finds.source, offset)
    if found.fit:
        finds.survey.fit(signed=found.signed)
        finds.say("FIT", offset, found.size, "Kernels and what goes with them, " + ["un", ""][found.signed] + "signed.")
        return offset + 40
    finds.survey.command_line(found.bootargs)
    finds.say("device tree", offset, found.size, f"For {found.model[:80]!r}.")
    return offset + found.size


def config(finds: Finds, offset: int) -> int:
    """A kernel's own configuration."""
    reader = zlib.decompressobj(31)
    try:
        packed = finds.source.read_at(offset + 8, 1024 * 1024)
        text = reader.decompress(packed, _CONFIG_BYTES)
    except zlib.error:
        return offset
    if not reader.eof or b"CONFIG_" not in text:
        return offset
    finds.survey.config(text.decode("ascii", "replace"))
    size = 8 + len(packed) - len(reader.unused_data)
    finds.say("kernel configuration", offset, size, "The configuration that the kernel carries.")
    return offset + size


def banner(finds: Finds, offset: int) -> int:
    """A kernel's own name."""
    found = _BANNER.match(finds.source.read_at(offset, 128))
    if found is None:
        return offset
    release = found.group(1).decode("ascii")
    finds.kernel = True
    finds.survey.kernel(release)
    finds.say("kernel", offset, 0, f"Linux {release}.")
    return offset + found.end()


def environment(finds: Finds, offset: int) -> int:
    """A boot loader's variables."""
    if offset < finds.no_environment_before:
        return offset
    found = find_environment(finds.source, offset)
    if found is None or found.offset < finds.position:
        finds.no_environment_before = offset + 1024
        return offset
    finds.began = found.offset
    finds.survey.environment(found)
    finds.say("boot environment", found.offset, found.size, f"{len(found.variables)} variables of U-Boot.")
    return found.offset + found.size
