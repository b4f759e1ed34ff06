"""Real Debian packages for device roots: fetched once, kept in the checkout, checked before every use.

1. ``apt-get download`` needs no root and checks every package against the distribution's signed index. Where this
   machine has no package lists (a fresh one), lists are fetched into a private state folder; the machine's own stay.
2. A package is never installed and none of its scripts run: ``dpkg -x`` unpacks its files into a folder.
3. Versions are not pinned, because a mirror drops the old ones; what was fetched is noted with its SHA-256 and checked
   before every use. A file that does not fit its note is fetched again, never used.
4. What a set of packages unpacks to is kept too and copied, because unpacking takes most of a build's time.
5. What is there already needs no network.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from holdfast_core.kernel.errors import WorldError

FETCH_SECONDS = 300
"""A slow mirror is waited for this long."""
_PRUNED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/share/bug", "lib/systemd")
"""What image builders leave out; there is no systemd in these images, so its units would start nothing."""


class Package(msgspec.Struct, frozen=True):
    """One package in the cache; `sha256` in hex."""

    name: str
    version: str
    architecture: str
    file: str
    sha256: str


class PackageStore:
    """The packages in one folder, e.g. ``.cache/debs`` of the checkout.

    Args:
        folder: where packages, notes and private package lists are kept; made when needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._notes = folder / "packages.json"

    def fetch(self, names: Iterable[str]) -> dict[str, Package]:
        """Have all of `names` in the folder, downloading only what is missing or damaged.

        Returns:
            The packages by name.

        Raises:
            WorldError: ``packages.no_tools`` without apt and dpkg, ``packages.unreachable`` when a download failed.
        """
        wanted = sorted(set(names))
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._alone():
            have = self._intact(wanted)
            missing = [name for name in wanted if name not in have]
            if missing:
                have |= self._download(missing)
                self._note(have)
        return have

    def unpack(self, packages: Iterable[Package], target: Path) -> None:
        """Unpack the files of `packages`, in order, into `target`; as root, owners and modes are the packages' own.

        Raises:
            WorldError: ``packages.unpack`` when dpkg or cp refuses.
        """
        with self._alone():
            tree = self._unpacked(tuple(packages))
            _run(["cp", "-a", "--reflink=auto", f"{tree}/.", str(target)], code="packages.unpack")

    def _unpacked(self, packages: tuple[Package, ...]) -> Path:
        # What was unpacked without root has lost its owners and will not do for root.
        owner = "root" if os.geteuid() == 0 else "user"
        key = hashlib.sha256("\n".join([owner, *(package.sha256 for package in packages)]).encode()).hexdigest()
        tree = self._folder / "trees" / key[:32]
        if not tree.exists():
            fresh = tree.with_suffix(".new")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
            for package in packages:
                _run(["dpkg", "-x", str(self._folder / package.file), str(fresh)], code="packages.unpack")
            for path in _PRUNED:
                shutil.rmtree(fresh / path, ignore_errors=True)
            fresh.replace(tree)
        return tree

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two builds at once must not download into each other's files."""
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _noted(self) -> dict[str, Package]:
        try:
            return msgspec.json.decode(self._notes.read_bytes(), type=dict[str, Package])
        except (FileNotFoundError, msgspec.MsgspecError):
            # A damaged note costs a download, nothing else.
            return {}

    def _intact(self, names: list[str]) -> dict[str, Package]:
        noted = self._noted()
        return {name: noted[name] for name in names if name in noted and self._fits(noted[name])}

    def _fits(self, package: Package) -> bool:
        path = self._folder / Path(package.file).name
        return path.is_file() and _sha256(path) == package.sha256

    def _note(self, packages: dict[str, Package]) -> None:
        fresh = self._notes.with_suffix(".new")
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(self._noted() | packages)))
        fresh.replace(self._notes)

    def _download(self, names: list[str]) -> dict[str, Package]:
        if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
            raise WorldError(
                "packages.no_tools",
                "Device roots are built from Debian packages, and apt-get and dpkg-deb were not found.",
                remedy="Run this on Debian or Ubuntu, or copy a filled .cache/debs into the checkout.",
            )
        fresh = self._folder / "fresh"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        try:
            self._apt_download(names, fresh)
            found = {package.name: package for package in map(_described, fresh.glob("*.deb"))}
            if lost := [name for name in names if name not in found]:
                raise _unreachable(lost, "apt-get brought other packages than those asked for")
            for package in found.values():
                (fresh / package.file).replace(self._folder / package.file)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return found

    def _apt_download(self, names: list[str], target: Path) -> None:
        """With the machine's own package lists if they will do, else with lists of our own."""
        # apt otherwise drops to a user who cannot write into the checkout.
        common = ["apt-get", "-q", "-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else ["apt-get", "-q"]
        if _apt([*common, "download", *names], target).returncode == 0:
            return
        state = (self._folder / "apt").absolute()
        for part in ("lists/partial", "cache/archives/partial"):
            (state / part).mkdir(parents=True, exist_ok=True)
        private = [
            *common,
            *("-o", f"Dir::State::Lists={state / 'lists'}"),
            *("-o", f"Dir::Cache={state / 'cache'}"),
        ]
        # One broken source of many fails the update; the download decides.
        _apt([*private, "update"], target)
        result = _apt([*private, "download", *names], target)
        if result.returncode != 0:
            raise _unreachable(names, result.stderr.decode(errors="replace").strip().splitlines()[-1:])


def _apt(argv: list[str], folder: Path) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(  # noqa: S603  (fixed words and package names of our own)
            argv, cwd=folder, check=False, capture_output=True, stdin=subprocess.DEVNULL, timeout=FETCH_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise _unreachable([], f"no answer within {FETCH_SECONDS} s") from error


def _unreachable(names: list[str], why: object) -> WorldError:
    return WorldError(
        "packages.unreachable",
        f"These Debian packages could not be fetched: {' '.join(names) or 'the package lists'} ({why}).",
        remedy="Check that `apt-get download busybox` works here, or copy a filled .cache/debs into the checkout.",
    )


def _described(path: Path) -> Package:
    form = "${Package}\n${Version}\n${Architecture}\n"
    output = _run(["dpkg-deb", "-W", f"--showformat={form}", str(path)], code="packages.damaged")
    name, version, architecture = output.decode().split("\n")[:3]
    return Package(name, version, architecture, path.name, _sha256(path))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _run(argv: list[str], *, code: str) -> bytes:
    try:
        return subprocess.run(  # noqa: S603  (fixed words and paths of our own)
            argv, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=FETCH_SECONDS
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", b"") or b""
        raise WorldError(
            code,
            f"{argv[0]} failed: {detail.decode(errors='replace').strip() or error}.",
            remedy="Remove the package from .cache/debs and try again; check the free space.",
        ) from error
