"""What is wrapped around parts: compressed streams, and the volumes of a flash."""

from __future__ import annotations

from holdfast_probe.images.codecs import NoLibrary
from holdfast_probe.images.finds import Finds
from holdfast_probe.images.limits import Damaged, Exceeded
from holdfast_probe.images.source import FileSource, anonymous, spool
from holdfast_probe.images.streams import EMPTY, Stream
from holdfast_probe.images.ubi import read_ubi


def ubi(finds: Finds, offset: int) -> int:
    """A flash of volumes."""
    volumes, end = read_ubi(finds.source, offset, finds.survey.meter)
    finds.say("UBI", offset, end - offset, f"{len(volumes)} volumes on flash.")
    place = finds.place.inside(f"UBI at {offset:#x}")
    for number, source in volumes.items():
        finds.explore(source, place.inside(f"volume {number}"))
    return end


def stream(finds: Finds, kind: str, offset: int) -> int:
    """A compressed stream: unpacked, and what is in it explored."""
    packed = Stream(kind, finds.source, offset)
    source = anonymous()
    finds.survey.kept.append(source)
    broken: Damaged | None = None
    try:
        spool(packed, source, finds.survey.meter, packed=lambda: packed.end - offset)
    except Damaged as error:
        broken = error
        if source.size < EMPTY and not isinstance(error, NoLibrary):
            finds.survey.let_go(source)
            return offset
    except Exceeded as error:
        broken = Damaged(error.sentence)
        finds.survey.limited = True
    size = packed.end - offset
    if broken is None:
        finds.say(kind, offset, size, f"It unpacks to {source.size} bytes.")
    elif isinstance(broken, NoLibrary):
        finds.unknown(kind, offset, 0, f"{broken.sentence}.")
    else:
        finds.damaged(kind, offset, size, broken)
    _explored(finds, source, f"{kind} at {offset:#x}")
    return offset + max(size, 4)


def _explored(finds: Finds, source: FileSource, name: str) -> None:
    """Explore what a stream unpacked to, and let go of it where nothing was found that is still to be read."""
    before = len(finds.survey.trees)
    finds.explore(source, finds.place.inside(name))
    if len(finds.survey.trees) == before:
        finds.survey.let_go(source)
