"""The dm-verity roots that a kernel's command line names, and what on it takes their strength away.

1. Every root is returned that some part of the boot may act on: systemd's ``roothash=`` and ``usrhash=``, also with
   ``rd.`` before it and also behind ``--``, and the tables of ``dm-mod.create=``. Of several with one name the last one
   counts on the device; so who compares must want all of them.
2. A root says nothing where corruption is let pass or verity is switched off: that is asked with `verity_lapses_in`.
3. The kernel and systemd read quotes differently, so a root could be hidden from either reading. Roots have no blanks:
   every word is looked at with all its quotes taken off. Only tables need quotes, and only the kernel reads them.
4. A dash and an underscore in a parameter's name are one.

Source: Linux, kernel/params.c, Documentation/admin-guide/device-mapper/{dm-init,verity}.rst;
systemd, systemd-veritysetup-generator(8).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from holdfast_core.kernel.errors import HostileData, LimitExceeded

LARGEST_COMMAND_LINE = 16 * 1024
"""More than COMMAND_LINE_SIZE is on any machine (4,096)."""
_PARAMETER = re.compile(r'(?:[^\s"]|"[^"]*"?)+')
_ROOT = re.compile(r"(?:[0-9a-fA-F]{2}){20,64}")
_ROOTS = frozenset({"roothash", "usrhash"})
_OPTIONS = frozenset({"systemd.verity_root_options", "systemd.verity_usr_options"})
_SWITCH = "systemd.verity"
_TABLE = "dm_mod.create"
_DIGEST, _OPTIONAL = 11, 14
"""Where in a table (start, length, target, version, two devices, two block sizes, count, offset, hash) they stand."""
_NO_QUOTES = {ord(quote): None for quote in "\"'"}
_OFF = frozenset({"0", "no", "n", "false", "f", "off"})
_LETS_PASS = frozenset({"ignore_corruption", "ignore_zero_blocks"})


def verity_roots_in(cmdline: str) -> tuple[str, ...]:
    """The roots, as lower-case hexadecimal: those of systemd in their order, then those of tables.

    Raises:
        HostileData: ``verity.root`` when one is no digest.
        LimitExceeded: ``verity.cmdline``.
    """
    named = [value for name, value in _words(cmdline) if name in _ROOTS]
    return tuple(_root(text) for text in (*named, *(table[_DIGEST] for table in _tables(cmdline))))


def verity_lapses_in(cmdline: str) -> tuple[str, ...]:
    """What lets other data pass than a root is of; nothing is how it should be.

    Raises:
        LimitExceeded: ``verity.cmdline``.
    """
    named = [f"{name}={value}" for name, value in _words(cmdline) if _lapses(name, value)]
    return (*named, *(option for table in _tables(cmdline) for option in table[_OPTIONAL:] if option in _LETS_PASS))


def _lapses(name: str, value: str) -> bool:
    if name == _SWITCH:
        return value.lower() in _OFF
    return name in _OPTIONS and not _LETS_PASS.isdisjoint(value.replace("-", "_").split(","))


def _words(cmdline: str) -> Iterator[tuple[str, str]]:
    for word in _bounded(cmdline).translate(_NO_QUOTES).split():
        name, _, value = word.partition("=")
        yield name.replace("-", "_").removeprefix("rd."), value


def _tables(cmdline: str) -> Iterator[list[str]]:
    """The verity tables of ``dm-mod.create``; devices are parted by semicolons, their tables by commas."""
    for parameter in _PARAMETER.findall(_bounded(cmdline)):
        name, _, value = parameter.replace('"', "").partition("=")
        if name.replace("-", "_") == _TABLE:
            for table in re.split("[;,]", value):
                fields = table.split()
                if fields[2:3] == ["verity"]:
                    yield fields if len(fields) > _DIGEST else [*fields, *[""] * _DIGEST]


def _bounded(cmdline: str) -> str:
    if len(cmdline) > LARGEST_COMMAND_LINE:
        raise LimitExceeded(
            "verity.cmdline",
            f"The command line has {len(cmdline)} characters.",
            remedy=f"Boot with at most {LARGEST_COMMAND_LINE}; kernels take fewer.",
        )
    return cmdline


def _root(text: str) -> str:
    if not _ROOT.fullmatch(text):
        raise HostileData(
            "verity.root",
            f"{text[:80]!r} on the command line is no root hash.",
            remedy="Write what veritysetup format printed as root hash, in hexadecimal.",
        )
    return text.lower()
