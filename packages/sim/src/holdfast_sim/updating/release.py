"""Releases of a virtual camera: images whose content decides how the camera behaves that boots them.

1. An image is a line that names it, a line of JSON (`Behaviour`), and filler that is another for every version. Nothing
   but the image that was booted decides how a camera behaves, so what is written to a slot is what is seen.
2. What a boot loader measures is the digest of the whole image; a statement (`stated`) names the values that the
   security processor then signs.
"""

from __future__ import annotations

import hashlib

import msgspec

from holdfast_core.attestation.reference import Statement
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import Instant
from holdfast_sim import psa

MAGIC = b"holdfast virtual camera\n"
SIZE = 96 * 1024
LARGEST = 1024 * 1024
_LONGEST_LINE = 1024


class Behaviour(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a release of the camera does.

    `boots`: whether it comes up at all. `streams`: whether its essential function does. `calls`: whether it finds the
    control plane. `leaks`: whether it shows its settings to whoever asks, the flaw of release 1.0.0.
    """

    version: str
    boots: bool = True
    streams: bool = True
    calls: bool = True
    leaks: bool = False


def image_of(behaviour: Behaviour, size: int = SIZE) -> bytes:
    """The image of a release, `size` bytes."""
    head = MAGIC + msgspec.json.encode(behaviour) + b"\n"
    return head + hashlib.shake_256(head).digest(size - len(head))


def behaviour_of(image: bytes) -> Behaviour:
    """How a camera behaves that booted `image`. Raises HostileData ``camera.image``."""
    head, _, rest = image[: len(MAGIC) + _LONGEST_LINE].partition(b"\n")
    try:
        if head + b"\n" != MAGIC or len(image) > LARGEST:
            raise _refused()
        return msgspec.json.decode(rest.partition(b"\n")[0], type=Behaviour)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _refused() from error


def stated(model: str, version: str, svn: int, image: bytes, made_at: Instant) -> Statement:
    """What the builder of an image says of it: the components of a token of a camera of `model` that booted it."""
    return psa.statement(model, version, svn, digest_of(image), made_at)


def _refused() -> HostileData:
    return HostileData("camera.image", "This is no image of a virtual camera.", remedy="Make one with image_of.")
