"""What ``swupdate -v`` says that an archive would write, and why it refuses one.

1. Only what is understood is let through: one image, uncompressed, to the device that the caller
   names, by the handler ``raw``. Scripts, files, partitions and boot variables change a device in ways that
   nothing reads back, and are refused, as is every line of the description's parser that is not known here.

Source: SWUpdate 2022.12, parser/parser.c; measured.
"""

from __future__ import annotations

import os
import re

import msgspec

from holdfast_agent.update.installers.programs import Ended
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.printable import printable

_LINE = re.compile(r"\[TRACE\] : SWUPDATE running : +\[_?(parse_[a-z_]+)\] : (.*)")
_IMAGE = re.compile(r"Found Image: ([^\s/]{1,127}) in device : (\S{1,255}) for handler raw")
_HARMLESS = frozenset({"parse_cfg", "parse_hw_compatibility", "parse_hw_revision"})
_ERROR = re.compile(r"\[ERROR\] : SWUPDATE failed \[\d+\] (?:ERROR : )?(.*)")
_SIGN = "Sign it with the key whose certificate the device has."
_WHY = (
    ("Signature verification failed", "signature", _SIGN),
    ("Authentication of all signatures failed", "signature", _SIGN),
    ("not compatible with hardware", "compatible", "Build the archive for this board and revision."),
    ("HASH mismatch", "bundle", "The archive is damaged: fetch it anew."),
    ("Compatible SW not found", "selection", "Give the archive a set for each slot, as the device's selections say."),
)


class Image(msgspec.Struct, frozen=True):
    """An image of the archive, and the device that it goes to."""

    name: str
    device: str


def image_in(ended: Ended, device: str) -> Image:
    """The image that would be written to `device`.

    Raises:
        HostileData: ``installer.signature``, ``installer.compatible``, ``installer.bundle``, ``installer.selection``,
            ``installer.other_device``, ``installer.unread``.
    """
    if ended.code:
        raise refusal(ended)
    found: list[Image] = []
    for line in (ended.out + "\n" + ended.err).splitlines():
        said = _LINE.match(line)
        if said is None or said[1] in _HARMLESS:
            continue
        image = _IMAGE.fullmatch(said[2].strip())
        if image is None:
            raise _unread(said[2])
        if os.path.realpath(image[2]) != os.path.realpath(device):
            raise HostileData(
                "installer.other_device",
                f"The archive writes to {printable(image[2])}, and the slot to write is {device}.",
                remedy="Correct the devices in sw-description, or the selections in the agent's configuration.",
            )
        found.append(Image(image[1], image[2]))
    if len(found) != 1:
        raise _unread(f"{len(found)} images")
    return found[0]


def refusal(ended: Ended) -> HostileData:
    """Why SWUpdate refused an archive."""
    errors = [found[1] for line in (ended.out + "\n" + ended.err).splitlines() if (found := _ERROR.search(line))]
    for words, name, remedy in _WHY:
        if any(words in error for error in errors):
            return _refused(name, words, remedy)
    said = printable(errors[0][:200]) if errors else f"it ended with {ended.code}"
    return _refused("bundle", said, "Look at it by hand: swupdate -v -c -k CERT -i FILE.")


def _refused(name: str, said: str, remedy: str) -> HostileData:
    return HostileData(f"installer.{name}", f"SWUpdate refuses the archive: {said.rstrip('.')}.", remedy=remedy)


def _unread(what: str) -> HostileData:
    return HostileData(
        "installer.unread",
        f"The archive would do what cannot be read back and compared: {printable(what[:160])}.",
        remedy="Give each set one uncompressed image of type raw for the slot's device, and no scripts or files.",
    )
