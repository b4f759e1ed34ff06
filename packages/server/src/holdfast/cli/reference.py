"""``holdfast reference``: the releases that the control plane knows, and what people decide about them.

Building a statement and explaining a boot stand in `reference_build` and `reference_explain`; keys in `reference_keys`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.cli.device import DeviceArgument
from holdfast.cli.session import Session, command, confirmed

if TYPE_CHECKING:
    from holdfast.cli.connection import Api
    from holdfast_core.attestation.reference import Statement

ReleaseArgument = Annotated[str, typer.Argument(metavar="MODEL:VERSION", help="The release.")]
EnvelopeArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="What holdfast reference build wrote; - reads stdin.")
]
OfModelOption = Annotated[str, typer.Option("--model", metavar="NAME", help="Only those of this model.")]
DevicesOption = Annotated[bool, typer.Option("--devices", help="Also list the devices that are known to run it.")]
WhyOption = Annotated[str, typer.Option("--why", help="Why, in a sentence; it stands in the record.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
AtOption = Annotated[
    str, typer.Option("--at", metavar="DATE", help="Its last day (YYYY-MM-DD), a time (RFC 3339), or 'now'.")
]
VersionOption = Annotated[str, typer.Option("--version", metavar="VERSION", help="What the release is called.")]
SvnOption = Annotated[int, typer.Option("--svn", metavar="N", min=0, help="Its security version number.")]
BeforeArgument = Annotated[
    str, typer.Argument(metavar="BEFORE", help="A release (MODEL:VERSION), or a statement file.")
]
AfterArgument = Annotated[str, typer.Argument(metavar="AFTER", help="The same, for what came after.")]
NOW = "now"


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "add")(add)
    command(app, "list")(list_releases)
    command(app, "show")(show)
    command(app, "diff")(diff)
    command(app, "learn")(learn)
    command(app, "retire")(retire)
    command(app, "revoke")(revoke)


def add(session: Session, *, file: EnvelopeArgument) -> None:
    """Add a release that a trusted key signed. Devices that booted it are recognized from then on."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.files import read_bounded  # noqa: PLC0415
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415
    from holdfast_core.formats.dsse import LARGEST_ENVELOPE  # noqa: PLC0415

    data = read_bounded(file, LARGEST_ENVELOPE)
    with connected(session.folder) as api:
        # An empty file is sent as an empty document, for the server to refuse in its words.
        told = api.post("/releases", content=data or b"{}", media="application/vnd.dsse.envelope.v1+json")
    if session.json:
        emit(told)
        return
    words(("✓ ", "green"), f"{told['release']} is known, svn {told['svn']}, signed by {told['signer']}.")
    if told["retire_at"]:
        words(f"It is good until {told['retire_at']}.")


def list_releases(session: Session, *, model: OfModelOption = "") -> None:
    """List the releases, what each is worth now, and until when."""
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.connection import connected  # noqa: PLC0415
    from holdfast.cli.reference_text import show_list  # noqa: PLC0415
    from holdfast.cli.terminal import emit  # noqa: PLC0415

    with connected(session.folder) as api:
        items = api.get("/releases", model=model)["items"]
    if session.json:
        emit({"items": items})
    else:
        show_list(items, SystemClock().now())


def show(session: Session, *, release: ReleaseArgument, devices: DevicesOption = False) -> None:
    """Show a release: who signed it, what it is worth, its files, and what a boot of it measures."""
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.connection import connected  # noqa: PLC0415
    from holdfast.cli.reference_text import show_release  # noqa: PLC0415
    from holdfast.cli.terminal import emit  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.get(_path(release))
        if devices:
            told["devices"] = list(api.pages(_path(release, "/devices")))
    if session.json:
        emit(told)
    else:
        show_release(told, SystemClock().now())


def diff(session: Session, *, before: BeforeArgument, after: AfterArgument) -> None:
    """Show what changed from one release to another: of two on the server, two files, or one of each."""
    from holdfast.attestation.differing import differences  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.reference_text import show_changes  # noqa: PLC0415
    from holdfast.cli.terminal import emit  # noqa: PLC0415

    old, new = _statements(session, before, after)
    changes = differences(old, new)
    if session.json:
        versions = {"before": old.id, "after": new.id, "svn_before": old.svn, "svn_after": new.svn}
        told = [
            {"sign": each.sign, "part": each.part, "pcr": each.register, "what": each.what, "digest": each.digest}
            for each in changes
        ]
        emit({**versions, "changes": told})
    else:
        show_changes(old, new, changes)


def _statements(session: Session, *named: str) -> list[Statement]:
    """Each of what was named: a file where there is one, or it is named like one; else a release of the server."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.reference_files import read_statement  # noqa: PLC0415

    files = {name: read_statement(Path(name), {}).statement for name in named if _is_file(name)}
    if len(files) < len(set(named)):
        with connected(session.folder) as api:
            files |= {name: _of_server(api, name) for name in named if name not in files}
    return [files[name] for name in named]


def _is_file(name: str) -> bool:
    # A file that was mistyped is told as missing, not as a release that nobody knows, nor as a server that is not here.
    return Path(name).is_file() or (":" not in name and bool(Path(name).suffix))


def _of_server(api: Api, name: str) -> Statement:
    from holdfast_core.attestation.reference import parse_statement  # noqa: PLC0415  (rule 3 of the package)

    parts: list[bytes] = []
    api.lines(_path(name, "/statement"), parts.append)
    return parse_statement(b"".join(parts))


def learn(
    session: Session, *, device: DeviceArgument, version: VersionOption, svn: SvnOption, why: WhyOption = ""
) -> None:
    """Take what a device's last boot proved as a release. Nobody signs it: only for images that never change."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.post("/releases/learn", {"device": device, "version": version, "svn": svn, "why": why})
    if session.json:
        emit(told)
        return
    words(("✓ ", "green"), f"{told['release']} is what {device} booted: {told['measurements']} measurements.")
    words("If that device was tampered with, so is this release. Who learned it, and why, is on record.")


def retire(session: Session, *, release: ReleaseArgument, at: AtOption, why: WhyOption = "") -> None:
    """Say until when a release is good. Devices that run it are warned of after that. The date only comes nearer."""
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.connection import connected  # noqa: PLC0415
    from holdfast.cli.reference_files import end_of  # noqa: PLC0415
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415
    from holdfast_core.kernel.instants import rfc3339  # noqa: PLC0415

    moment = SystemClock().now() if at == NOW else end_of(at)
    with connected(session.folder) as api:
        told = api.post(_path(release, "/retire"), {"at": rfc3339(moment), "why": why})
    if session.json:
        emit(told)
    else:
        words(("✓ ", "green"), f"{release} is good until {told['retire_at']}; it is {told['standing']} now.")


def revoke(session: Session, *, release: ReleaseArgument, why: WhyOption = "", yes: YesOption = False) -> None:
    """Take a release back for good. Devices that run it are contraindicated at once, also those that are away."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    with connected(session.folder) as api:
        if not yes:
            confirmed(f"Take {release} back for good? {_told_running(api, release)}", yes=yes)
        told: dict[str, Any] = api.post(_path(release, "/revoke"), {"why": why})
    if session.json:
        emit(told)
        return
    words(("✓ ", "green"), f"{release} is revoked. {_many(told['devices'])} known to run it, and held against it now.")
    if told["devices"]:
        words(f"Which: holdfast reference show {release} --devices")


def _told_running(api: Api, release: str) -> str:
    shown = 1000
    page = api.get(_path(release, "/devices"), limit=shown)
    more = "More than " if page["next"] else ""
    return f"{more}{_many(len(page['items']))} known to run it, and will be contraindicated."


def _many(count: int) -> str:
    return "1 device is" if count == 1 else f"{count} devices are"


def _path(release: str, what: str = "") -> str:
    from holdfast.cli.connection import part  # noqa: PLC0415  (rule 3 of the package)

    return f"/releases/{part(release)}{what}"
