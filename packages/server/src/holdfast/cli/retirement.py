"""The end of a device's life: ``holdfast device retire|replace|erased|certificate``, ``holdfast certificate verify``.

Verifying needs nothing but the file and the log's key, so that whoever the certificate is for can do it alone.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.cli.device import DeviceArgument
from holdfast.cli.device_actions import WhyOption, YesOption, file_digest
from holdfast.cli.session import Session, command, confirmed
from holdfast_core.inventory.model import Sanitizing

if TYPE_CHECKING:
    from holdfast_core.inventory.sanitization import Sanitization

NewArgument = Annotated[str, typer.Argument(metavar="NEW", help="Who takes over; a new name is added.")]
DaysOption = Annotated[int, typer.Option("--days", min=1, max=90, help="How long to wait for its erasure.")]
NowOption = Annotated[bool, typer.Option("--now", help="Do not ask the device to erase itself, or wait no longer.")]
MethodOption = Annotated[Sanitizing, typer.Option("--method", help="How thoroughly (NIST SP 800-88r2).")]
TechniqueOption = Annotated[str, typer.Option("--technique", help="What was done, such as 'shredded to 2 mm'.")]
ToolOption = Annotated[str, typer.Option("--tool", help="With what, and its version.")]
ByOption = Annotated[str, typer.Option("--by", metavar="NAME", help="Who did it.")]
EvidenceOption = Annotated[
    Path, typer.Option("--evidence", metavar="FILE", help="A picture or receipt; its digest is kept, not it.")
]
AtOption = Annotated[str, typer.Option("--at", metavar="TIME", help="When (RFC 3339); left out: now.")]
HtmlOption = Annotated[bool, typer.Option("--html", help="A page for people instead of the signed note.")]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to; left out: stdout.", show_default=False)
]
CertificateArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A certificate; - reads stdin.")]
KeyOption = Annotated[
    str, typer.Option("--key", metavar="KEY|FILE", help="The log's verifier key, from who issued it.")
]


def register(app: typer.Typer) -> None:
    """Add the commands of devices to `app`."""
    command(app, "retire")(retire)
    command(app, "replace")(replace)
    command(app, "erased")(erased)
    command(app, "certificate")(certificate)


def register_certificate(app: typer.Typer) -> None:
    """Add the commands of certificates to `app`."""
    # A lone command would become the group itself.
    app.callback()(_group)
    command(app, "verify")(verify)


def _group() -> None:
    """Certificates of sanitization: verify them."""


def retire(
    session: Session,
    *,
    device: DeviceArgument,
    why: WhyOption,
    days: DaysOption = 7,
    now: NowOption = False,
    yes: YesOption = False,
) -> None:
    """End a device's life here: its rights end, it is erased, and its name is never used again."""
    from holdfast.cli.connection import connected, part  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit  # noqa: PLC0415

    confirmed(f"Retire {device} for ever? Its rights end now and its name cannot be used again.", yes=yes)
    with connected(session.folder) as api:
        told = api.post(f"/devices/{part(device)}/retire", {"why": why, "days": days, "now": now})
    if session.json:
        emit(told)
    else:
        _show_retired(told)


def replace(
    session: Session,
    *,
    device: DeviceArgument,
    new: NewArgument,
    why: WhyOption,
    days: DaysOption = 7,
    now: NowOption = False,
    yes: YesOption = False,
) -> None:
    """Give a device's role to another one and retire it. Owner, site, zone, labels and note move; keys never do."""
    from holdfast.cli.connection import connected, part  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, raw, words  # noqa: PLC0415

    confirmed(f"Give the role of {device} to {new}, and retire {device} for ever?", yes=yes)
    body = {"new": new, "why": why, "days": days, "now": now}
    with connected(session.folder) as api:
        told = api.post(f"/devices/{part(device)}/replace", body)
    if session.json:
        emit(told)
        return
    _show_retired(told["old"])
    words(("✓ ", "green"), f"{new} is expected in its place, of {told['new']['model']}.")
    words(f"Run this on {new} as root. It works once, until {told['claim']['expires_at']}, and is not shown again:")
    words("")
    raw(told["claim"]["command"])


def _show_retired(told: dict[str, Any]) -> None:
    from holdfast.cli.terminal import words  # noqa: PLC0415  (rule 3 of the package)

    device, ended = told["device"], told["retirement"]
    said = {
        "ordered": f"{device} is asked to erase itself at its next check-in, until {ended['deadline']}. "
        "Its credential speaks for that alone.",
        "by-hand": f"{device} is retired; its keys have ended. Erase it by hand until {ended['deadline']}, then: "
        f"holdfast device erased {device} --method {ended['method']} --technique WHAT --by WHO --evidence FILE",
        "not-owed": f"{device} is retired; its keys have ended, and nothing has to be erased.",
    }
    words(("✓ ", "green"), said.get(ended["step"], f"{device} is retired; its erasure is {ended['step']}."))


def erased(
    session: Session,
    *,
    device: DeviceArgument,
    method: MethodOption,
    technique: TechniqueOption,
    by: ByOption,
    evidence: EvidenceOption,
    tool: ToolOption = "",
    at: AtOption = "",
) -> None:
    """Confirm that a retired device was erased, with what shows it. It is certified then."""
    from holdfast.cli.connection import connected, part  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    body = {
        "method": method.value,
        "technique": technique,
        "tool": tool,
        "by": by,
        "at": at,
        "evidence": file_digest(evidence),
    }
    with connected(session.folder) as api:
        told = api.post(f"/devices/{part(device)}/erased", body)
    if session.json:
        emit(told)
    else:
        words(("✓ ", "green"), f"{device} was erased, on the word of {by}. holdfast device certificate {device}")


def certificate(
    session: Session, *, device: DeviceArgument, html: HtmlOption = False, output: OutputOption = None
) -> None:
    """Write the certificate of sanitization of a retired device: a signed note, or with --html a page for people."""
    from holdfast.cli.connection import connected, part  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.files import STANDARD, write_whole  # noqa: PLC0415
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.get(f"/devices/{part(device)}/certificate")
    text = _page(told) if html else told["certificate"]
    if output is not None and output != STANDARD:
        write_whole(output, text.encode())
        words(("✓ ", "green"), f"{output} is written. Anybody can check it: holdfast certificate verify FILE --key KEY")
    if session.json:
        emit(told)
    elif output is None or output == STANDARD:
        sys.stdout.write(text)


def _page(told: dict[str, Any]) -> str:
    from holdfast.inventory.certificate_html import page  # noqa: PLC0415  (Jinja2 only where it lays something out)
    from holdfast_core.formats.note import parse_verifier_key  # noqa: PLC0415
    from holdfast_core.inventory.sanitization import read_certificate  # noqa: PLC0415

    key = parse_verifier_key(told["verifier_key"])
    return page(read_certificate(told["certificate"], [key]), told["certificate"], key)


def verify(session: Session, *, file: CertificateArgument, key: KeyOption) -> None:
    """Verify a certificate of sanitization offline: that it is signed with the key, and what it says."""
    from holdfast.cli.files import read_bounded  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.log import verifier_key  # noqa: PLC0415
    from holdfast.cli.terminal import emit  # noqa: PLC0415
    from holdfast_core.formats.note import parse_verifier_key  # noqa: PLC0415
    from holdfast_core.inventory.sanitization import read_certificate  # noqa: PLC0415
    from holdfast_core.kernel.limits import LIMITS  # noqa: PLC0415

    text = read_bounded(file, LIMITS.note_bytes).decode("utf-8", "replace")
    said = read_certificate(text, [parse_verifier_key(verifier_key(key))])
    if session.json:
        emit(said)
    else:
        _show(said)


def _show(said: Sanitization) -> None:
    from holdfast.cli.terminal import fields, show  # noqa: PLC0415  (rule 3 of the package)
    from holdfast_core.kernel.instants import rfc3339  # noqa: PLC0415

    show(("Verified: this certificate is the one that was signed.", "bold green"))
    fields(
        [
            ("device", f"{said.tenant}/{said.environment}/{said.device}"),
            ("maker, model", ", ".join(filter(None, (said.maker, said.model)))),
            ("serial number", said.serial),
            ("media", said.media),
            ("method", f"{said.method.value} ({said.standard})"),
            ("technique", said.technique),
            ("tool", said.tool),
            ("verified by", f"{said.verified_by} ({said.verification.value}), {rfc3339(said.verified_at)}"),
            ("evidence", said.evidence or ""),
            ("ordered by", f"{said.ordered_by}, {rfc3339(said.ordered_at)}: {said.why}"),
            ("issued", rfc3339(said.issued_at)),
        ]
    )
    for item in said.items:
        show(f"{item.path}: {item.technique.value}", indent=2)
    for sentence in said.limits:
        show("• ", sentence, indent=2)
