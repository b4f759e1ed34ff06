"""Erasing what a retiring device holds: the directive ``erase``.

1. A place is reached step by step below the device's root; a link in the way ends it there, so that no link leads the
   agent to erase something else.
2. Files and folders are removed, then the file system tells its storage to discard what is free (FITRIM). Overwriting
   them would be for show: flash writes elsewhere and keeps the old blocks.
3. Of a LUKS container its header goes, with every key slot. It is overwritten, and where the storage takes a secure
   discard, that too; only then no copy of the keys is left.
4. Whatever cannot be done is reported with the reason and ends nothing: the other places are erased all the same.
5. Doing it again after a crash ends the same; what is gone already counts as removed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from holdfast_core.inventory.erasure import EraseArgs, Erased, ErasureReport, Technique
from holdfast_core.kernel.limits import LIMITS

Discard = Callable[[int], bool]
"""Has the file system of an open folder discard what is free; whether it did."""
SecureDiscard = Callable[[int, int], bool]
"""Has the storage of an open block device discard its first so many bytes for good; whether it did."""

_FITRIM = 0xC0185879
"""ioctl(2): ``struct fstrim_range`` (start, length, least length), linux/fs.h."""
_BLKSECDISCARD = 0x127D
"""ioctl(2): start and length, linux/fs.h."""
_WHOLE = 2**64 - 1
_LUKS = b"LUKS\xba\xbe"
_LUKS1, _LUKS2 = 1, 2
_SECTOR = 512
_LUKS1_PAYLOAD = 104
"""Where LUKS1 says in which sector its data begins (LUKS on-disk format 1.2.3, figure 1)."""
_LUKS2_JSON = 4096
"""Where the JSON of LUKS2 begins (LUKS2 on-disk format, section 2.1)."""
LARGEST_HEADER = 64 * 1024 * 1024
SMALLEST_HEADER = 4096
_CHUNK = 1024 * 1024


class _Segment(msgspec.Struct):
    offset: str = ""


class _Luks2(msgspec.Struct):
    segments: dict[str, _Segment] = {}


def discard(folder: int) -> bool:
    """FITRIM on the file system that the open `folder` is on."""
    try:
        fcntl.ioctl(folder, _FITRIM, struct.pack("=QQQ", 0, _WHOLE, 0))
    except OSError:
        return False
    return True


def secure_discard(device: int, size: int) -> bool:
    """BLKSECDISCARD on the first `size` bytes of an open block device."""
    try:
        fcntl.ioctl(device, _BLKSECDISCARD, struct.pack("=QQ", 0, size))
    except OSError:
        return False
    return True


def erase(
    args: EraseArgs, root: Path, *, discard: Discard = discard, secure_discard: SecureDiscard = secure_discard
) -> ErasureReport:
    """Erase every place of `args` below `root`, and say what became of each. Raises nothing."""
    done = [_erase(path, root, secure_discard) for path in args.paths]
    os.sync()  # what is freed can be discarded only once the journal has it
    return ErasureReport(tuple(_discarded(item, root, discard) for item in done))


def _erase(path: str, root: Path, secure_discard: SecureDiscard) -> Erased:
    try:
        parent, name = _parent(path, root)
    except FileNotFoundError:
        return Erased(path, Technique.REMOVE)  # rule 5
    except OSError as error:
        return _failed(path, error)
    try:
        return Erased(path, _gone(parent, name, secure_discard))
    except FileNotFoundError:
        return Erased(path, Technique.REMOVE)
    except OSError as error:
        return _failed(path, error)
    finally:
        os.close(parent)


def _failed(path: str, error: OSError) -> Erased:
    why = "a link is in the way" if error.errno in (errno.ELOOP, errno.ENOTDIR) else error.strerror or str(error)
    return Erased(path, Technique.FAILED, why[: LIMITS.erased_path])


def _parent(path: str, root: Path) -> tuple[int, str]:
    """An open descriptor of the folder that holds `path`, and the last part of its name; the caller closes it."""
    *parts, name = path.strip("/").split("/")
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for part in parts:
        try:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        finally:
            os.close(folder)
        folder = inner
    return folder, name


def _gone(parent: int, name: str, secure_discard: SecureDiscard) -> Technique:
    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if stat.S_ISDIR(status.st_mode):
        _remove_folder(parent, name)
        return Technique.REMOVE
    keys = Technique.REMOVE
    if stat.S_ISREG(status.st_mode) or stat.S_ISBLK(status.st_mode):
        found = _without_keys(parent, name, secure_discard)
        if stat.S_ISBLK(status.st_mode):
            if found is None:
                raise OSError(errno.EINVAL, "it is storage without a LUKS header")
            return found
        keys = found or keys
    os.unlink(name, dir_fd=parent)
    os.fsync(parent)
    return keys


def _remove_folder(parent: int, name: str) -> None:
    """Remove a folder with all that is in it; a mount point itself stays, empty."""
    folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        for inner in os.listdir(folder):  # noqa: PTH208  (a path is what an attacker could swap)
            if stat.S_ISDIR(os.stat(inner, dir_fd=folder, follow_symlinks=False).st_mode):
                shutil.rmtree(inner, dir_fd=folder)
            else:
                os.unlink(inner, dir_fd=folder)
        os.fsync(folder)
    finally:
        os.close(folder)
    try:
        os.rmdir(name, dir_fd=parent)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
    os.fsync(parent)


def _without_keys(parent: int, name: str, secure_discard: SecureDiscard) -> Technique | None:
    """Destroy the key slots of a LUKS container; `None` for what is none."""
    looked_at = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        size = header_size(lambda start, length: os.pread(looked_at, length, start))
    finally:
        os.close(looked_at)
    if size is None:
        return None  # not opened for writing, which a program that runs would not let us
    container = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        for start in range(0, size, _CHUNK):
            os.pwrite(container, bytes(min(_CHUNK, size - start)), start)
        os.fsync(container)
        return Technique.CRYPTOGRAPHIC_ERASE if secure_discard(container, size) else Technique.KEY_OVERWRITE
    finally:
        os.close(container)


def header_size(read: Callable[[int, int], bytes]) -> int | None:
    """How many bytes of a LUKS container are header and key slots; `None` for what is no container.

    Raises:
        OSError: it is a container whose header cannot be read as one.
    """
    head = read(0, _LUKS2_JSON)
    if head[:6] != _LUKS or len(head) < _LUKS2_JSON:
        return None
    version = int.from_bytes(head[6:8], "big")
    size = 0
    if version == _LUKS1:
        size = int.from_bytes(head[_LUKS1_PAYLOAD : _LUKS1_PAYLOAD + 4], "big") * _SECTOR
    elif version == _LUKS2:
        area = int.from_bytes(head[8:16], "big")
        if _LUKS2_JSON < area <= LARGEST_HEADER:
            text = read(_LUKS2_JSON, area - _LUKS2_JSON).partition(b"\0")[0]
            with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
                size = min(int(found.offset) for found in msgspec.json.decode(text, type=_Luks2).segments.values())
    if not SMALLEST_HEADER <= size <= LARGEST_HEADER:
        raise OSError(errno.EINVAL, "its LUKS header cannot be read")
    return size


def _discarded(item: Erased, root: Path, discard: Discard) -> Erased:
    """The item, with its removal made a discard where the storage took it."""
    if item.technique is not Technique.REMOVE:
        return item
    folder = os.open(_nearest(item.path, root), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return msgspec.structs.replace(item, technique=Technique.DISCARD) if discard(folder) else item
    finally:
        os.close(folder)


def _nearest(path: str, root: Path) -> Path:
    """The folder nearest to `path` that is there: itself where it is a mount point."""
    place = root / path.strip("/")
    while not place.is_dir() and place != root:
        place = place.parent
    return place
