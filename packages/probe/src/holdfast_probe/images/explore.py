"""Finding the parts of an image: containers in containers, file systems at any place, kernels and boot environments.

1. What begins at the first byte and is a container of its own (archive, disk) is read as that; everything else is
   searched from end to end, since vendors put their headers in front and their signatures behind.
2. Containers in containers are followed to a bounded depth, through a bounded number of unpacked bytes and seconds.
3. A part that does not read stays named, with its place; what goes wrong in one leaves the others to be read.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from holdfast_probe.images import ext, loaders
from holdfast_probe.images.archives import Archive
from holdfast_probe.images.codecs import NoLibrary
from holdfast_probe.images.cpio import read_cpio
from holdfast_probe.images.cramfs import Cramfs
from holdfast_probe.images.disk import partitions
from holdfast_probe.images.fat import Fat, is_fat
from holdfast_probe.images.finds import Finds, Place
from holdfast_probe.images.growing import Volume, grown
from holdfast_probe.images.limits import Damaged, Exceeded
from holdfast_probe.images.magics import Search
from holdfast_probe.images.romfs import Romfs
from holdfast_probe.images.source import FileSource, Slice, Source, spool
from holdfast_probe.images.squashfs_old import opened, plausible
from holdfast_probe.images.streams import EMPTY, Stream
from holdfast_probe.images.survey import Found, Survey, rooted
from holdfast_probe.images.tar import is_tar, read_tar
from holdfast_probe.images.tree import Content, Node, Tree
from holdfast_probe.images.ubi import read_ubi
from holdfast_probe.images.unknown import ENCRYPTED, NAMED, looks_random, only_padding
from holdfast_probe.images.zipped import MAGIC as ZIP
from holdfast_probe.images.zipped import read_zip

_MEMBER_BYTES = 4 * 1024
"""Members of an archive smaller than this are no images."""
_MEMBERS = 64
_PIECE = 256 * 1024
_GAP_BYTES = 4096
_TREES = 64
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
            self.read_tar(0)
        elif head[:4] == ZIP:
            self._zip()
        elif table := partitions(self.source):
            for each in table:
                place = Place((*self.place.names, f"partition {each.number}"), each.number, each.uuid)
                self.say("partition", each.start, each.size, f"Partition {each.number}.")
                self.too_long("partition", each.start, each.start + each.size)
                Explorer(self.survey, Slice(self.source, each.start, each.size), place).run()
        elif is_fat(head):
            self.read_volume(Fat, "vfat", 0)
        else:
            self._search_all()

    # ------------------------------------------------------------------------------------------------ searching

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
            if end - start < _GAP_BYTES or only_padding(self.source, start, end):
                continue
            if self.named:  # it lies in, or behind, what is known by name only
                continue
            if looks_random(self.source, start, end):
                self.survey.encrypted = True
                self.unknown("packed or encrypted", start, end - start, "It looks packed or encrypted.")
            else:
                self.survey.part(
                    self.part("data", start, end - start, "Nothing in it is known.", understood=False), gap=False
                )

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

    # ---------------------------------------------------------------------------------------------- file systems

    def _found(self, tree: Tree, offset: int, label: str = "", uuid: str = "") -> None:
        """Keep a tree, and look into the members of an archive that is no root."""
        found = Found(
            tree=tree, name=self.place.name(tree.kind, offset), source=Slice(self.source, offset, tree.size or None),
            label=label, uuid=uuid, partition=self.place.partition, partuuid=self.place.partuuid,
        )  # fmt: skip
        rooted(found)
        self.survey.trees.append(found)
        whole = "" if not tree.damage else f" It is damaged: {tree.damage.rstrip('.')}."
        self.survey.truncated |= "ends" in tree.damage
        self.survey.limited |= "more than" in tree.damage or "longer than" in tree.damage
        sentence = f"{tree.count} files and directories.{whole}"
        self.named = ""
        self.survey.part(
            self.part(tree.kind, offset, tree.size, sentence, understood=not tree.damage), gap=bool(tree.damage)
        )
        if isinstance(tree, Archive) and not found.rank[0]:
            self._members(tree, offset)

    def _members(self, tree: Archive, offset: int) -> None:
        place = self.place.inside(f"{tree.kind} at {offset:#x}")
        before = len(self.survey.trees)
        for path, node in _large_files(tree):
            self._meter.look()
            source: Source = _NodeSource(node)
            if tree.kind == "zip":  # reading back in it would unpack it again and again
                kept: list[FileSource] = []
                try:
                    spool(_pieces(source), self._meter, kept.append, packed=lambda: self.source.size)
                except OSError as error:
                    self.survey.gap(f"{path}: {error}.")
                source = kept[0]
                self.survey.kept += kept
            Explorer(self.survey, source, place.inside(path)).run()
        if len(self.survey.trees) > before:
            self.survey.trees.remove(next(found for found in self.survey.trees if found.tree is tree))

    def read_squashfs(self, offset: int) -> int:
        """A squashfs of any version."""
        source = Slice(self.source, offset)
        if not plausible(source):
            return offset
        try:
            volume = opened(source)
            self.too_long("squashfs", offset, offset + volume.size)
            tree = grown(volume, self._meter)
        except Damaged as error:
            self.damaged("squashfs", offset, 0, error)
            return offset + 4
        self._found(tree, offset)
        return offset + max(96, volume.size)

    def read_volume(self, make: Callable[[Source], Volume[Any]], kind: str, offset: int) -> int:
        """A file system that says how long it is."""
        source = Slice(self.source, offset)
        volume = make(source)
        self.too_long(kind, offset, offset + volume.size)
        try:
            tree = grown(volume, self._meter)
        except Damaged as error:  # what it says of its size may be as wrong
            self.damaged(kind, offset, volume.size, error)
            return offset + 4
        else:
            label, uuid = getattr(volume, "label", ""), getattr(volume, "uuid", "")
            self._found(tree, offset, label, uuid)
        return offset + volume.size

    def read_ext(self, offset: int) -> int:
        """Ext2, ext3 or ext4."""
        if offset < 0:
            return offset
        volume = ext.Volume(Slice(self.source, offset))
        if volume.journal_pending:
            self.survey.gap(f"{self.place.name(volume.kind, offset)}: its journal holds changes that were not read.")
        return self.read_volume(ext.Volume, volume.kind, offset)

    def read_cpio(self, offset: int) -> int:
        """A cpio archive."""
        tree = read_cpio(Slice(self.source, offset), self._meter)
        if not tree.count and tree.damage:
            return offset
        self._found(tree, offset)
        return offset + tree.size

    def read_tar(self, offset: int) -> int:
        """A tar archive."""
        source = Slice(self.source, offset)
        if offset < 0 or not is_tar(source.read_at(0, 512)):
            return offset
        tree = read_tar(source, self._meter)
        self._found(tree, offset)
        return offset + tree.size

    def _zip(self) -> None:
        try:
            tree = read_zip(self.source, self._meter)
        except Damaged as error:
            self.damaged("zip", 0, self.source.size, error)
        else:
            self._found(tree, 0)

    def read_ubi(self, offset: int) -> int:
        """A flash of volumes."""
        volumes, end = read_ubi(self.source, offset, self._meter)
        self.say("UBI", offset, end - offset, f"{len(volumes)} volumes on flash.")
        place = self.place.inside(f"UBI at {offset:#x}")
        for number, source in volumes.items():
            Explorer(self.survey, source, place.inside(f"volume {number}")).run()
        return end

    # -------------------------------------------------------------------------------------------------- streams

    def read_stream(self, kind: str, offset: int) -> int:
        """A compressed stream."""
        stream = Stream(kind, self.source, offset)
        kept: list[FileSource] = []
        broken: Damaged | None = None
        try:
            spool(stream, self._meter, kept.append, packed=lambda: stream.end - offset)
        except NoLibrary as error:
            broken = error
        except Damaged as error:
            broken = error
            if not kept or kept[0].size < EMPTY:
                _close(kept)
                return offset
        except Exceeded as error:
            broken = Damaged(error.sentence)
            self.survey.limited = True
        size = stream.end - offset
        if broken is None:
            self.say(kind, offset, size, f"It unpacks to {kept[0].size} bytes.")
        elif isinstance(broken, NoLibrary):
            self.unknown(kind, offset, 0, f"{broken.sentence}.")
        else:
            self.damaged(kind, offset, size, broken)
        self._unpacked(kept[0], kind, offset)
        return offset + max(size, 4)

    def _unpacked(self, source: FileSource, kind: str, offset: int) -> None:
        """Explore what a stream unpacked to, and let go of it where nothing was found that is still to be read."""
        before = len(self.survey.trees)
        Explorer(self.survey, source, self.place.inside(f"{kind} at {offset:#x}")).run()
        if len(self.survey.trees) > before:
            self.survey.kept.append(source)
        else:
            source.close()

    # ---------------------------------------------------------------------------------- headers, kernels, loaders


class _NodeSource(Source):
    """A file of an archive, as a source."""

    def __init__(self, node: Node) -> None:
        self._content: Content | None = node.content
        self.size = node.size

    def read_at(self, offset: int, size: int) -> bytes:
        """See `Source`."""
        size = min(size, self.size - offset)
        return self._content.read_at(offset, size) if self._content is not None and size > 0 <= offset else b""


def look_at_kernels(survey: Survey, tree: Tree) -> None:
    """What the kernels in ``/boot`` tell, where none lies outside the files."""
    boot = (tree.top.children or {}).get("boot")
    if survey.knows_kernel() or boot is None:
        return
    for name, node in sorted((boot.children or {}).items())[:_BOOT_FILES]:
        if name.lower().startswith(_KERNELS) and stat.S_ISREG(node.mode) and node.size >= _MEMBER_BYTES:
            aside = Survey(survey.meter)
            try:
                Explorer(aside, _NodeSource(node)).run()
            finally:
                aside.close()
            survey.learn(aside)
            if survey.knows_kernel():
                return


def _pieces(source: Source) -> Iterator[bytes]:
    for at in range(0, source.size, _PIECE):
        yield source.read_at(at, _PIECE)


def _large_files(tree: Archive) -> list[tuple[str, Node]]:
    found: list[tuple[str, Node]] = []
    todo = [("", tree.top)]
    while todo and len(found) < _MEMBERS:
        path, folder = todo.pop()
        for name, node in (folder.children or {}).items():
            if node.children is not None:
                todo.append((f"{path}{name}/", node))
            elif stat.S_ISREG(node.mode) and node.size >= _MEMBER_BYTES:
                found.append((path + name, node))
    return found[:_MEMBERS]


def _close(kept: list[FileSource]) -> None:
    for source in kept:
        source.close()


def _stream_of(kind: str) -> Callable[[Explorer, int], int]:
    return lambda explorer, at: explorer.read_stream(kind, at)


_READERS: Mapping[str, Callable[[Explorer, int], int]] = {
    "squashfs": Explorer.read_squashfs, "cpio": Explorer.read_cpio, "tar": Explorer.read_tar, "ext": Explorer.read_ext,
    "cramfs": lambda explorer, at: explorer.read_volume(Cramfs, "cramfs", at),
    "romfs": lambda explorer, at: explorer.read_volume(Romfs, "romfs", at),
    "ubi": Explorer.read_ubi, "uimage": loaders.uimage, "trx": loaders.trx, "android": loaders.android,
    "device_tree": loaders.device_tree, "config": loaders.config, "banner": loaders.banner,
    "environment": loaders.environment,
    **{
        key: _stream_of(kind) for key, kind in {
            "gzip": "gzip", "xz": "xz", "bzip2": "bzip2", "zstd": "zstd", "lz4": "lz4", "lz4k": "lz4 of a kernel",
            "lzop": "lzop", "lzma": "lzma",
        }.items()
    },
}  # fmt: skip
"""What reads each suspicion: how far it reaches, or its own place when it is none."""
