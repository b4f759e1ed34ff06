"""Documents of the Direct Device Integration API of Eclipse hawkBit, as far as its clients read and write them.

1. What clients send is read leniently: a key that is not needed is ignored, whatever is under it.
2. What they are answered has the names and the order that hawkBit gives, for some clients look for fixed parts of it.
3. Numbers that clients keep in 32 bits (actions) stay below 2**31.

Source: Eclipse hawkBit, Direct Device Integration API v1.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from holdfast_core.wire.frame import Whole


class Execution(StrEnum):
    """How far an action is, in the client's words."""

    CLOSED = "closed"
    PROCEEDING = "proceeding"
    CANCELED = "canceled"
    SCHEDULED = "scheduled"
    REJECTED = "rejected"
    RESUMED = "resumed"
    DOWNLOADED = "downloaded"
    DOWNLOAD = "download"


class Finished(StrEnum):
    """How an action ended, in the client's words."""

    SUCCESS = "success"
    FAILURE = "failure"
    NONE = "none"


class Progress(msgspec.Struct, frozen=True):
    """`cnt` of `of` parts are done; `of` is 0 where the client counts in no whole."""

    cnt: Whole = 0
    of: Whole = 0


class Outcome(msgspec.Struct, frozen=True):
    """The result in a feedback."""

    finished: Finished = Finished.NONE
    progress: Progress | None = None


class Status(msgspec.Struct, frozen=True):
    """The status in a feedback; `details` are lines for people."""

    execution: Execution
    result: Outcome = Outcome()
    details: tuple[str, ...] = ()


class Feedback(msgspec.Struct, frozen=True):
    """What a client says of an action."""

    status: Status


class Mode(StrEnum):
    """What attributes do to those that are known."""

    MERGE = "merge"
    REPLACE = "replace"
    REMOVE = "remove"


class ConfigData(msgspec.Struct, frozen=True):
    """What a client says of its device."""

    data: dict[str, str]
    mode: Mode = Mode.MERGE


class Link(msgspec.Struct, frozen=True):
    """A link to another document."""

    href: str


class Polling(msgspec.Struct, frozen=True):
    """When to poll again: ``HH:MM:SS``."""

    sleep: str


class Config(msgspec.Struct, frozen=True):
    """The configuration of a client."""

    polling: Polling


class Links(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What waits for a client."""

    deployment_base: Link | None = None
    cancel_action: Link | None = None
    config_data: Link | None = None
    installed_base: Link | None = None


class Base(msgspec.Struct, frozen=True):
    """The answer to a poll."""

    config: Config
    links: Links = msgspec.field(name="_links", default=Links())


class ArtifactLinks(msgspec.Struct, frozen=True, rename="kebab"):
    """Where an artifact is. Both pairs lead to the same place over TLS: some clients know only the second."""

    download: Link
    md5sum: Link
    download_http: Link
    md5sum_http: Link


class Hashes(msgspec.Struct, frozen=True):
    """Digests of an artifact, lower-case hexadecimal."""

    sha1: str
    md5: str
    sha256: str


class Artifact(msgspec.Struct, frozen=True):
    """One file; `size` in bytes."""

    filename: str
    hashes: Hashes
    size: int
    links: ArtifactLinks = msgspec.field(name="_links")


class Chunk(msgspec.Struct, frozen=True):
    """One piece of software."""

    part: str
    version: str
    name: str
    artifacts: tuple[Artifact, ...]


class Handling(StrEnum):
    """What a client should do now: at once, when it suits the device, or not."""

    FORCED = "forced"
    ATTEMPT = "attempt"
    SKIP = "skip"


class Deployment(msgspec.Struct, frozen=True, rename="camel"):
    """What to install, and whether to."""

    download: Handling
    update: Handling
    maintenance_window: str
    chunks: tuple[Chunk, ...]


class DeploymentBase(msgspec.Struct, frozen=True):
    """An action and its deployment."""

    id: str
    deployment: Deployment


class Stop(msgspec.Struct, frozen=True, rename="camel"):
    """Which action to stop."""

    stop_id: str


class CancelAction(msgspec.Struct, frozen=True, rename="camel"):
    """An action that is called off."""

    id: str
    cancel_action: Stop


class AutoConfirm(msgspec.Struct, frozen=True):
    """Whether actions need no confirmation on the device."""

    active: bool


class ConfirmationBase(msgspec.Struct, frozen=True, rename="camel"):
    """People confirm releases at the control plane, before they roll out: nothing waits for a device's consent."""

    auto_confirm: AutoConfirm = AutoConfirm(active=True)
