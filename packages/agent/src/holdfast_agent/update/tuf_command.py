"""``holdfast-agent tuf``: any TUF repository, fetched and verified; the contract of the public conformance suite.

1. Metadata lies in a folder of the caller's, unversioned (``timestamp.json``); what was verified is durable at the end.
2. A target stays within the target folder, whatever its name. One that is there and right is not fetched again.
3. The time is the machine's own clock, and nothing else: there is no enrollment here, so no server that could sign the
   time, and no floor. A fleet's updates never go this way (`trust`); a wrong clock makes this command err.
4. The chain of roots is followed from the one that was given to ``init``, so that a later one that a crash tore is
   only fetched again.

Source: theupdateframework/tuf-conformance, client command line; TUF specification 1.0.34, section 5.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from tuf.api.exceptions import RepositoryError
from tuf.ngclient.updater import Updater

from holdfast_agent.update.refusals import Refused, refusal
from holdfast_agent.update.web import WebFetcher
from holdfast_core.kernel.errors import HostileData, WorldError

LARGEST_ROOT = 512_000
"""As python-tuf bounds a root that it fetches."""
_HISTORY = "root_history"


def init(folder: Path, root: Path) -> None:
    """Trust the root in the file `root`, and forget whatever `folder` trusted before.

    Raises:
        HostileData: ``update.metadata_*``: it is none, or not signed by its own threshold.
        WorldError: ``tuf.folder``.
    """
    with _telling(root.name):
        with root.open("rb") as file:
            data = file.read(LARGEST_ROOT)
        with tempfile.TemporaryDirectory() as aside:
            Updater(aside, "", bootstrap=data)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder / _HISTORY, ignore_errors=True)
        for path in folder.glob("*.json"):
            path.unlink()
        Updater(str(folder), "", bootstrap=data)
        _sync(folder)


def refresh(folder: Path, url: str) -> None:
    """Bring the metadata in `folder` up to date from `url`. Raises HostileData, WorldError."""
    fetcher = WebFetcher()
    with _telling("root.json", fetcher), _durable(folder):
        _updater(folder, url, fetcher).refresh()


def download(folder: Path, url: str, names: Iterable[str], targets_url: str, targets: Path) -> Iterator[str]:
    """Fetch targets into the folder `targets`, and tell where each of them lies.

    Raises:
        HostileData: ``update.metadata_*``; ``tuf.unknown_target``, ``tuf.url``.
        WorldError: ``tuf.folder``.
    """
    _checked_url(targets_url)
    fetcher = WebFetcher()
    with _telling("root.json", fetcher), _durable(folder):
        updater = _updater(folder, url, fetcher, str(targets), targets_url)
        for name in names:
            target = updater.get_targetinfo(name)
            if target is None:
                raise HostileData(
                    "tuf.unknown_target",
                    f"The repository lists no target {name[:200]!r}.",
                    remedy="Look at the targets that its metadata lists.",
                )
            fetcher.allow(target.length)
            yield updater.find_cached_target(target) or updater.download_target(target)


def _updater(
    folder: Path, url: str, fetcher: WebFetcher, targets: str | None = None, targets_url: str | None = None
) -> Updater:
    """python-tuf's client, at the root that was given to `init`, else at the newest that is kept."""
    _checked_url(url)
    numbered = sorted((folder / _HISTORY).glob("*.root.json"), key=lambda path: (len(path.name), path.name))
    for path in numbered[:1]:
        with suppress(RepositoryError):
            return Updater(str(folder), url, targets, targets_url, fetcher, bootstrap=path.read_bytes())
    return Updater(str(folder), url, targets, targets_url, fetcher, bootstrap=None)


def _checked_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise HostileData("tuf.url", f"{url[:200]!r} is no address.", remedy="Write http://HOST/PATH or https://….")


@contextmanager
def _telling(first: str, fetcher: WebFetcher | None = None) -> Iterator[None]:
    """What python-tuf and the disk say, in our words."""
    try:
        yield
    except Refused as error:
        asked = fetcher.asked if fetcher is not None else ""
        raise refusal(error, asked or first) from None
    except OSError as error:
        raise WorldError(
            "tuf.folder",
            f"{error.filename or 'A file'} could not be used: {error.strerror}.",
            remedy="Name folders that can be written, and trust a root first: holdfast-agent tuf ... init ROOT.",
        ) from error


@contextmanager
def _durable(folder: Path) -> Iterator[None]:
    """What was verified survives a power cut afterwards, whatever came of the rest: python-tuf does not sync."""
    try:
        yield
    finally:
        _sync(folder)


def _sync(folder: Path) -> None:
    places = [folder, folder / _HISTORY]
    for path in [*(each for place in places for each in place.glob("*.json")), *places]:
        if path.exists():
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
