"""Finding the parts of an image: containers in containers, file systems at any place, kernels and boot environments.

1. What begins at the first byte and is a container of its own (archive, disk) is read as that; everything else is
   searched from end to end, since vendors put their headers in front and their signatures behind.
2. Containers in containers are followed to a bounded depth, through a bounded number of unpacked bytes and seconds.
3. A part that does not read stays named, with its place; what goes wrong in one leaves the others to be read.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping

from holdfast_probe.images import filesystems, loaders, wrappers
from holdfast_probe.images.cramfs import Cramfs
from holdfast_probe.images.disk import partitions
from holdfast_probe.images.fat import Fat, is_fat
from holdfast_probe.images.filesystems import MEMBER_BYTES, NodeSource
from holdfast_probe.images.finds import Finds, Place
from holdfast_probe.images.limits import Damaged, Exceeded
from holdfast_probe.images.magics import Search
from holdfast_probe.images.romfs import Romfs
from holdfast_probe.images.source import Slice, Source
from holdfast_probe.images.survey import Survey
from holdfast_probe.images.tar import is_tar
from holdfast_probe.images.tree import Tree
from holdfast_probe.images.unknown import ENCRYPTED, NAMED, looks_random, only_padding
from holdfast_probe.images.zipped import MAGIC as ZIP

_GAP_BYTES = 4096
_TREES = 64
_REMAINS = 64
_KEY_BYTES = 48
"""The shortest stretch that may hold a key."""
_PIECE = 256 * 1024
_BLANK_BYTES = 64 * 1024 * 1024
_BOOT_FILES = 64
_KERNELS = ("vmlinu", "zimage", "bzimage", "image", "uimage", "fitimage", "kernel")
"""How the names of kernels begin, in small letters."""


class Explorer(Finds):
    """Explores one source, and what is in it."""

    def __init__(self, survey: Survey, source: Source, place: Place = Place()) -> None:  # noqa: B008  (frozen)
        super().__init__(survey, source, place)
        self._meter = survey.meter

    def run(self) -> None:
        """Find everything. Limits that are reached become gaps."""
        try:
            self._explore()
        except Exceeded as error:
            self.survey.limited = True
            self.survey.gap(error.sentence)
        except OSError as error:
            self.survey.gap(f"{self.place.name('part', 0)}: {error.strerror or 'it does not read'}.")

    def _explore(self) -> None:
        if len(self.place.names) > self._meter.limits.nesting:
            raise Exceeded(f"It is a container in more than {self._meter.limits.nesting} containers.")
        self._meter.look()
        head = self.source.read_at(0, 1024)
        if is_tar(head):
            self._behind(filesystems.tar(self, 0))
        elif head[:4] == ZIP:
            filesystems.zip_(self)
        elif table := partitions(self.source):
            for each in table:
                place = Place((*self.place.names, f"partition {each.number}"), each.number, each.uuid)
                self.say("partition", each.start, each.size, f"Partition {each.number}.")
                self.too_long("partition", each.start, each.start + each.size)
                self.explore(Slice(self.source, each.start, each.size), place)
        elif not (is_fat(head) and self._fat()):
            self._search_all()

    def _behind(self, end: int) -> None:
        """What was appended to an archive: another one, or anything else."""
        if end <= 0:
            return
        for at in range(end, self.source.size, _PIECE):
            self._meter.look()
            piece = self.source.read_at(at, _PIECE)
            padding = len(piece) - len(piece.lstrip(b"\0"))
            if padding < len(piece):
                start = at + padding // 512 * 512
                self.explore(Slice(self.source, start), self.place.inside(f"behind {start:#x}"))
                return

    def _fat(self) -> bool:
        try:
            return filesystems.any_volume(self, Fat, "vfat", 0) > 0
        except Damaged:
            return False

    def _search_all(self) -> None:
        loose: list[tuple[int, int]] = []
        search = Search(self.source, self._meter)
        for kind, offset in search.suspects():
            if offset < self.position:
                continue
            self.began = offset
            end = self._try(kind, offset)
            if end > offset:
                if self.began > self.position:
                    loose.append((self.position, self.began))
                self.position = search.position = end
            if len(self.survey.parts) >= self._meter.limits.parts or len(self.survey.trees) >= _TREES:
                raise Exceeded("It has more parts than are looked at.")
        if search.cut:
            self.survey.gap(f"{self.place.name('part', 0)}: {search.cut}.")
        if self.position < self.source.size:
            loose.append((self.position, self.source.size))
        if not self.kernel:
            self._tell_loose(loose)

    def _tell_loose(self, loose: list[tuple[int, int]]) -> None:
        """Name what lies between the parts and is not known."""
        for start, end in loose[: self._meter.limits.parts]:
            if self.named:  # it lies in, or behind, what is known by name only
                continue
            self._keep(start, end)
            if end - start < _GAP_BYTES or only_padding(self.source, start, end):
                continue
            if looks_random(self.source, start, end):
                self.survey.encrypted = True
                self.unknown("packed or encrypted", start, end - start, "It looks packed or encrypted.")
            else:
                self.survey.part(
                    self.part("data", start, end - start, "Nothing in it is known.", understood=False), gap=False
                )

    def _keep(self, start: int, end: int) -> None:
        """Keep a stretch for the walk, unless it is too short for a key or nothing but padding."""
        if end - start < _KEY_BYTES or self._is_blank(start, end):
            return
        if len(self.survey.remains) == _REMAINS:
            self.survey.gap(f"More than {_REMAINS} stretches between its parts are known to nobody.")
            return
        self.survey.remains.append((self.place.name("data", start), Slice(self.source, start, end - start)))

    def _is_blank(self, start: int, end: int) -> bool:
        """Whether a stretch is nothing but zeros or erased flash; beyond `_BLANK_BYTES` nobody looks."""
        for low, high in self.source.data(start, min(end, start + _BLANK_BYTES)):
            for at in range(low, high, _PIECE):
                self._meter.look()
                if self.source.read_at(at, min(_PIECE, high - at)).strip(b"\0\xff"):
                    return False
        return end - start <= _BLANK_BYTES

    def _try(self, kind: str, offset: int) -> int:
        """How far what is suspected at `offset` reaches; `offset`: it is none."""
        try:
            if kind in NAMED:
                return self._by_name(kind, offset)
            return _READERS[kind](self, offset)
        except Damaged:
            return offset

    def _by_name(self, kind: str, offset: int) -> int:
        if kind == self.named:  # every node of such a file system begins alike
            return offset
        name, sentence = NAMED[kind]
        whole = offset == 0
        self.unknown(name, offset, self.source.size if whole else 0, sentence)
        self.survey.encrypted |= kind in ENCRYPTED
        self.named = kind
        return self.source.size if whole else offset + 4


def look_at_kernels(survey: Survey, tree: Tree) -> None:
    """What the kernels in ``/boot`` tell, where none lies outside the files."""
    boot = (tree.top.children or {}).get("boot")
    if survey.knows_kernel() or boot is None:
        return
    for name, node in sorted((boot.children or {}).items())[:_BOOT_FILES]:
        if name.lower().startswith(_KERNELS) and stat.S_ISREG(node.mode) and node.size >= MEMBER_BYTES:
            aside = Survey(survey.meter)
            try:
                Explorer(aside, NodeSource(node)).run()
            finally:
                aside.close()
            survey.learn(aside)
            if survey.knows_kernel():
                return


def _stream_of(kind: str) -> Callable[[Finds, int], int]:
    return lambda finds, at: wrappers.stream(finds, kind, at)


_READERS: Mapping[str, Callable[[Finds, int], int]] = {
    "squashfs": filesystems.squashfs, "cpio": filesystems.cpio, "tar": filesystems.tar, "ext": filesystems.ext_,
    "cramfs": lambda finds, at: filesystems.any_volume(finds, Cramfs, "cramfs", at),
    "romfs": lambda finds, at: filesystems.any_volume(finds, Romfs, "romfs", at),
    "ubi": wrappers.ubi, "uimage": loaders.uimage, "trx": loaders.trx, "android": loaders.android,
    "device_tree": loaders.device_tree, "config": loaders.config, "banner": loaders.banner,
    "environment": loaders.environment, "lz4k": _stream_of("lz4 of a kernel"),
    **{kind: _stream_of(kind) for kind in ("gzip", "xz", "bzip2", "zstd", "lz4", "lzop", "lzma")},
}  # fmt: skip
"""What reads each suspicion: how far it reaches, or its own place when it is none."""
