"""Images for tests: from a folder by the tools that make them, and by hand where no tool is left that does."""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
import stat
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

SQUASHFS = ("gzip", "xz", "zstd", "lzo", "lz4", "lzma")


def run(*command: str | Path, cwd: Path | None = None, given: bytes | None = None) -> bytes:
    """A tool's output; without the tool the test is skipped."""
    if shutil.which(str(command[0]), path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
        pytest.skip(f"{command[0]} is not here")
    env = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    done = subprocess.run(
        [str(each) for each in command], cwd=cwd, input=given, capture_output=True, check=True, env=env
    )
    return done.stdout


def tar(tree: Path, image: Path, mode: str = "w", **options: int) -> Path:
    """A tar, by the standard library."""
    with tarfile.open(image, mode, **options) as archive:  # type: ignore[call-overload]  # the mode is a table's
        archive.add(tree, ".")
    return image


def cpio(tree: Path, image: Path) -> Path:
    names = "\n".join(sorted(["."] + [str(p.relative_to(tree)) for p in tree.rglob("*")])) + "\n"
    image.write_bytes(run("cpio", "-o", "-H", "newc", "--quiet", cwd=tree, given=os.fsencode(names)))
    return image


def squashfs(tree: Path, image: Path, compression: str = "gzip", *options: str) -> Path:
    image.unlink(missing_ok=True)
    run("mksquashfs", tree, image, "-noappend", "-quiet", "-no-progress", "-comp", compression, *options)
    return image


def ext(tree: Path, image: Path, kind: str = "ext4", *options: str, megabytes: int = 8) -> Path:
    image.unlink(missing_ok=True)
    run("mke2fs", "-q", "-t", kind, *options, "-d", tree, image, f"{megabytes}M")
    return image


def cramfs(tree: Path, image: Path, order: str = "little") -> Path:
    run("mkfs.cramfs", "-N", order, tree, image)
    return image


def romfs(tree: Path, image: Path) -> Path:
    run("genromfs", "-d", tree, "-f", image)
    return image


def zipped(tree: Path, image: Path) -> Path:
    with zipfile.ZipFile(image, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(tree.rglob("*")):
            if path.is_symlink():
                info = zipfile.ZipInfo(str(path.relative_to(tree)))
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
                archive.writestr(info, str(path.readlink()))
            else:
                archive.write(path, path.relative_to(tree))
    return image


# ------------------------------------------------------------------------------------ squashfs as routers have it


def raw_lzma(data: bytes, lc: int = 3, lp: int = 0) -> bytes:
    """LZMA without any header, as some vendors have it."""
    options = {"id": lzma.FILTER_LZMA1, "lc": lc, "lp": lp, "pb": 2, "dict_size": 1 << 20}
    return lzma.compress(data, lzma.FORMAT_RAW, filters=[options])


def without_length(data: bytes) -> bytes:
    """The header of LZMA, its length taken out."""
    return data[:5] + data[13:]


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "zlib": zlib.compress,
    "lzma alone": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "lzma without a length": lambda data: without_length(lzma.compress(data, lzma.FORMAT_ALONE)),
    "raw lzma": raw_lzma,
    "raw lzma of one vendor": lambda data: raw_lzma(data, 0, 2),
}


class OldSquashfs:
    """Squashfs 2.1 or 3.1 in either byte order, from a folder; enough of it for a reader to be wrong about.

    Args:
        order: ``<`` or ``>``.
        major: 2 or 3.
        magic: what stands first.
        pack: the compression of every block.
    """

    block = 4096

    def __init__(self, order: str, major: int, magic: bytes, pack: Callable[[bytes], bytes]) -> None:
        self.order, self.major, self.magic, self.pack = order, major, magic, pack
        self.head = 63 if major == 2 else 119
        self.data = bytearray(self.head)
        self.inodes = bytearray()
        self.directories = bytearray()
        self.fragments: list[tuple[int, int]] = []
        self.number = 0
        self.uids: list[int] = []

    def bits(self, size: int, *fields: tuple[int, int]) -> bytes:
        value, place = 0, 0
        for number, width in fields:
            shift = place if self.order == "<" else 8 * size - place - width
            value |= number << shift
            place += width
        return value.to_bytes(size, "little" if self.order == "<" else "big")

    def base(self, kind: int, status: os.stat_result) -> bytes:
        for uid in (status.st_uid, status.st_gid):
            if uid not in self.uids:
                self.uids.append(uid)
        ids = bytes([self.uids.index(status.st_uid), self.uids.index(status.st_gid)])
        head = self.bits(2, (kind, 4), (stat.S_IMODE(status.st_mode), 12)) + ids
        if self.major == 3:
            self.number += 1
            head += struct.pack(self.order + "II", int(status.st_mtime), self.number)
        return head

    def keep(self, raw: bytes) -> tuple[int, int]:
        """Put a block of data down: its size with the mark of what is stored as it is."""
        packed = self.pack(raw)
        word = len(packed) if len(packed) < len(raw) else len(raw) | 0x1000000
        place = len(self.data)
        self.data += packed if len(packed) < len(raw) else raw
        return place, word

    def file(self, path: Path) -> bytes:
        status, content = path.lstat(), path.read_bytes()
        start = len(self.data)
        whole = len(content) // self.block
        words = [self.keep(content[number * self.block :][: self.block])[1] for number in range(whole)]
        fragment = 0xFFFFFFFF
        if len(content) % self.block:
            place, word = self.keep(content[whole * self.block :])
            fragment = len(self.fragments)
            self.fragments.append((place, word))
        if self.major == 3:
            body = struct.pack(self.order + "QIII", start, fragment, 0, len(content))
        else:
            body = struct.pack(self.order + "5I", int(status.st_mtime), start, fragment, 0, len(content))
        return self.base(2, status) + body + struct.pack(f"{self.order}{len(words)}I", *words)

    def link(self, path: Path) -> bytes:
        target = os.fsencode(path.readlink())
        links = struct.pack(self.order + "I", 1) if self.major == 3 else b""
        return self.base(3, path.lstat()) + links + struct.pack(self.order + "H", len(target)) + target

    def folder(self, path: Path) -> bytes:
        entries = [
            (os.fsencode(below.name), 3 if below.is_symlink() else 1 if below.is_dir() else 2, self.add(below))
            for below in sorted(path.iterdir())
        ]
        start = len(self.directories)
        for entry, kind, place in entries:
            head = b"\0" + (struct.pack(self.order + "II", 0, 1) if self.major == 3 else self.bits(3, (0, 24)))
            number = struct.pack(self.order + "h", 1) if self.major == 3 else b""
            self.directories += head + self.bits(2, (place, 13), (kind, 3)) + bytes([len(entry) - 1]) + number + entry
        size = len(self.directories) - start + (3 if self.major == 3 else 0)
        status = path.lstat()
        sizes = self.bits(4, (size, 19), (start, 13))
        if self.major == 3:
            links, tail = struct.pack(self.order + "I", 2), struct.pack(self.order + "II", 0, 0)
            return self.base(1, status) + links + sizes + tail
        return self.base(1, status) + sizes + struct.pack(self.order + "I", int(status.st_mtime)) + bytes(3)

    def add(self, path: Path) -> int:
        """An inode for what is at `path`; its place in the one block of inodes that this builder makes."""
        make = self.link if path.is_symlink() else self.folder if path.is_dir() else self.file
        raw = make(path)
        place = len(self.inodes)
        self.inodes += raw
        return place

    def metadata(self, raw: bytes | bytearray) -> int:
        assert len(raw) <= 8192, "this builder makes one block of metadata only"
        place = len(self.data)
        packed = self.pack(bytes(raw))
        short = len(packed) < len(raw)
        self.data += struct.pack(self.order + "H", len(packed) if short else len(raw) | 0x8000)
        self.data += packed if short else raw
        return place

    def image(self, tree: Path) -> bytes:
        root = self.add(tree)
        inodes, directories = self.metadata(self.inodes), self.metadata(self.directories)
        entry, pointer = ("II", "I") if self.major == 2 else ("QII", "Q")
        rows = [(*each, 0)[: len(entry)] for each in self.fragments]
        table = self.metadata(b"".join(struct.pack(self.order + entry, *row) for row in rows))
        fragments = len(self.data)
        self.data += struct.pack(self.order + pointer, table)
        users = len(self.data)
        self.data += struct.pack(f"{self.order}{len(self.uids)}I", *self.uids)
        groups = len(self.data)
        self.data += struct.pack(f"{self.order}{len(self.uids)}I", *self.uids)
        old = self.order + "5I4H3BiQ3I"
        version = (self.major, 1, self.block, 12)
        size, count = len(self.data), len(self.uids)
        places = (size, users, groups, inodes, directories)
        head = self.magic + struct.pack(self.order + "I", self.number)
        tail = (0, count, count, 0, root, self.block, len(self.fragments), fragments)
        head += (
            struct.pack(old, *places, *version, *tail)
            if self.major == 2
            else struct.pack(old, *(0,) * 5, *version, *tail[:-1], 0)
            + struct.pack(self.order + "7Q", *places, fragments, 0)
        )
        assert len(head) == self.head
        self.data[: self.head] = head
        return bytes(self.data)


# ------------------------------------------------------------------------------------------------ firmware


def uimage(payload: bytes, name: bytes = b"test") -> bytes:
    head = struct.pack(">7I4B32s", 0x27051956, 0, 0, len(payload), 0, 0, zlib.crc32(payload), 5, 8, 2, 3, name)
    return head[:4] + struct.pack(">I", zlib.crc32(head)) + head[8:] + payload


def kernel(release: str = "5.4.99", config: str = "CONFIG_STACKPROTECTOR=y\n# CONFIG_DEVMEM is not set\n") -> bytes:
    """What is known of a kernel by its bytes."""
    program = bytes((i * 7919 >> 3) & 0x3F for i in range(200_000))
    banner = f"Linux version {release} (a@b) (gcc) #1 SMP\n".encode()
    return (
        program + banner + program[:999] + b"IKCFG_ST" + gzip.compress(config.encode(), mtime=0) + b"IKCFG_ED" + program
    )


def environment(variables: dict[str, str], size: int = 0x4000, flag: int | None = None, order: str = "<") -> bytes:
    """A block of U-Boot's variables."""
    text = b"\0".join(f"{key}={value}".encode() for key, value in variables.items()) + b"\0\0"
    head = 4 if flag is None else 5
    body = text + b"\xff" * (size - head - len(text))
    return struct.pack(order + "I", zlib.crc32(body)) + (b"" if flag is None else bytes([flag])) + body


def router(tree: Path, folder: Path, compression: str = "xz") -> bytes:
    """A router's flash: boot loader, its variables, a kernel packed behind a header, squashfs, an erased rest."""
    loader = (b"U-Boot 1.1.4\0" + bytes(range(256)) * 16).ljust(0x10000, b"\xff")
    variables = environment({"bootargs": "console=ttyS0,115200 root=/dev/mtdblock2", "bootdelay": "3"}).ljust(
        0x10000, b"\xff"
    )
    packed = uimage(lzma.compress(kernel(), lzma.FORMAT_ALONE), b"MIPS Linux-5.4.99")
    root = squashfs(tree, folder / "root.squashfs", compression).read_bytes()
    start = loader + variables + packed.ljust(-(-len(packed) // 0x10000) * 0x10000, b"\xff")
    return (start + root).ljust(0x400000, b"\xff")
