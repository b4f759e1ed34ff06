"""Log files and who may read and write them.

1. Three levels below ``/var/log`` are looked at, and no more than `_MOST` files.
2. Records that every system keeps for everybody (who is logged in, what was installed) may be read by everyone.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator

from holdfast_probe.case import Case
from holdfast_probe.patterns import PathPattern
from holdfast_probe.roots import Root, Unreadable
from holdfast_probe.services.texts import exists, names
from holdfast_probe.sight import Sight, judged, unknown

FOLDER = "/var/log"
WRONG_BITS = 0o007
"""What everybody may do; a group is how several programs share a log."""
_MOST = 4096
_DEEPEST = 3
_PUBLIC = PathPattern([
    "/var/log/wtmp*", "/var/log/lastlog*", "/var/log/faillog*", "/var/log/dpkg.log*", "/var/log/alternatives.log*",
    "/var/log/apt/*", "/var/log/bootstrap.log", "/var/log/fontconfig.log", "/var/log/installer/*", "/var/log/README",
    "/var/log/apk.log", "/var/log/opkg.log", "/var/log/dnf*.log", "/var/log/yum.log", "/var/log/tallylog",
])  # fmt: skip


def see_private_logs(case: Case) -> Sight:
    """Judge who may read and write log files."""
    root = case.root
    if not exists(root, FOLDER):
        return unknown(f"There is no {FOLDER} to look at.")
    bad = [f"{path} has mode {mode:04o}, wanted nothing for everyone" for path, mode in open_files(root)]
    bad += [
        f"{path} belongs to uid {uid} and can be replaced by it, wanted root" for path, uid in _foreign_folders(root)
    ]
    return judged(bad, f"no file in {FOLDER} is open to everyone")


def open_files(root: Root) -> list[tuple[str, int]]:
    """The log files that everyone can read or write, with their modes."""
    found = []
    for path in _files(root, FOLDER, 1):
        status = root.status(path)
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISREG(status.st_mode) and mode & WRONG_BITS and not _PUBLIC.matches(path):
            found.append((path, mode))
    return found


def _foreign_folders(root: Root) -> list[tuple[str, int]]:
    status = root.status(FOLDER)
    foreign = root.owners_kept and status.st_uid != 0 and status.st_mode & stat.S_IWUSR
    return [(FOLDER, status.st_uid)] if foreign else []


def _files(root: Root, folder: str, depth: int) -> Iterator[str]:
    count = 0
    for name in names(root, folder):
        path = f"{folder}/{name}"
        if root.link(path) or not exists(root, path):
            continue
        count += 1
        if count > _MOST:
            raise Unreadable(folder, f"it holds more than {_MOST} files")
        if stat.S_ISDIR(root.status(path).st_mode):
            if depth < _DEEPEST:
                yield from _files(root, path, depth + 1)
        else:
            yield path
