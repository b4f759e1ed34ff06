"""What goes wrong between a device and its artefact, each with its code, its status and when to come again."""

from __future__ import annotations

from holdfast_core.kernel.errors import WorldError

_DIRECT = "Come again after the time in Retry-After, or fetch it from the control plane directly."


def absent(path: str) -> WorldError:
    """The control plane does not have it, or not for this gateway."""
    return WorldError(
        "gateway.absent",
        f"The control plane has no {path}.",
        remedy="Fetch the update metadata again: the artefact may have been withdrawn.",
        http_status=404,
    )


def fetching(path: str, have: int, length: int, after_s: int) -> WorldError:
    """It is on its way."""
    return WorldError(
        "gateway.fetching", f"{path} is being fetched: {have} of {length} bytes.", remedy=_DIRECT, retry_after_s=after_s
    )


def busy(why: str, after_s: int) -> WorldError:
    """A bound was reached that has nothing to do with this artefact."""
    return WorldError("gateway.busy", f"The cache is busy: {why}.", remedy=_DIRECT, retry_after_s=after_s)


def wrong(path: str) -> WorldError:
    """It came and is something else."""
    return WorldError(
        "gateway.wrong",
        f"What the control plane sent as {path} is not what its digest says; it was thrown away.",
        remedy="Have the artefact checked on the control plane; the cache tries it again by itself after a while.",
        http_status=502,
    )


def no_room(length: int) -> WorldError:
    """It does not fit, even after everything was thrown away that may be."""
    return WorldError(
        "gateway.no_room",
        f"There is no room for an artefact of {length} bytes.",
        remedy="Give the cache more with --size, or free its disk; until then devices fetch it from the control plane.",
    )


def disk(why: str) -> WorldError:
    """The cache's own folder cannot be used."""
    return WorldError(
        "gateway.disk",
        f"The folder of the cache cannot be used: {why}.",
        remedy="Make room or repair the disk; what was fetched so far is kept, as far as it was written.",
    )


def spent() -> WorldError:
    """The line was used as much as it may be in a day."""
    return WorldError(
        "gateway.daily_spent",
        "The cache has fetched as much as it may within a day.",
        remedy="Raise --daily if the line may carry more; otherwise it goes on by itself as the day passes.",
        retry_after_s=600,
    )


def unreachable(why: str, after_s: int = 0) -> WorldError:
    """The control plane does not answer, or the connection to it broke."""
    return WorldError(
        "gateway.upstream",
        f"The control plane could not be used: {why}.",
        remedy="Check the gateway's line, and its agent with 'holdfast-agent status'. It is tried again by itself.",
        retry_after_s=after_s,
    )


def refused(status: int) -> WorldError:
    """The control plane does not let this gateway have it."""
    return WorldError(
        "gateway.upstream_refused",
        f"The control plane answered {status}.",
        remedy="Check that the gateway's own device is enrolled and trusted: holdfast-agent status.",
    )


def lying(why: str) -> WorldError:
    """The control plane's answer contradicts itself or what it said before."""
    return WorldError(
        "gateway.upstream_answer",
        f"The control plane's answer cannot be: {why}.",
        remedy="Look for a proxy between the gateway and the control plane; nothing of the answer was kept.",
    )


def stopping() -> WorldError:
    """The cache is being stopped."""
    return WorldError("gateway.stopping", "The cache is being stopped.", remedy=_DIRECT, retry_after_s=10)
