"""``holdfast log``: the record. Exporting and showing need the control plane; verifying needs nothing but the file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.cli.session import Exit, Session, command, finish, usage

if TYPE_CHECKING:
    from holdfast_core.record.report import VerifyReport

DEFAULT_SHOWN = 40
LONG = frozenset({"facts", "policy"})
"""What a verdict was made from: in the export and in --json, too long for a table."""
VALUE_SHOWN = 60
DIGEST_SHOWN = 12
FIRST_INSTANT, LAST_INSTANT = 1_000_000_000_000, 9_999_999_999_999
"""Numbers that are times in milliseconds: from 2001 to 2286; nothing else in the record is as large."""

StartOption = Annotated[int | None, typer.Option(min=0, help="First leaf; without it, the newest.", show_default=False)]
CountOption = Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many leaves.")]
OfDeviceOption = Annotated[str, typer.Option("--device", help="Only the entries of this device.")]
ExportArgument = Annotated[Path, typer.Argument(metavar="FILE", help="Where to; - is stdout.")]
VerifyArgument = Annotated[Path, typer.Argument(metavar="FILE", help="An export; - reads stdin.")]
PinOption = Annotated[
    list[Path] | None,
    typer.Option("--pin", metavar="FILE", help="A checkpoint kept elsewhere, as an agent pins it; repeat it."),
]
KeyOption = Annotated[
    str,
    typer.Option(
        "--key", metavar="KEY|FILE", help="The log's verifier key, from anywhere but the export.", show_default=False
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "show")(show)
    command(app, "export")(export)
    command(app, "verify", epilog="Exit: 0 proven, 3 broken, 4 consistent but the key is only the export's own word.")(
        verify
    )


def show(
    session: Session, start: StartOption = None, limit: CountOption = DEFAULT_SHOWN, device: OfDeviceOption = ""
) -> None:
    """Show entries of the record and its newest checkpoint."""
    from holdfast.cli.connection import connected, part  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, exact, table, words  # noqa: PLC0415

    with connected(session.folder) as api:
        head = api.get("/log/checkpoint")
        if device:
            items = list(reversed(api.get(f"/devices/{part(device)}/history", limit=limit)["items"]))
        else:
            first = max(0, head["size"] - limit) if start is None else start
            items = api.get("/log/leaves", start=first, limit=limit)["items"]
    if session.json:
        emit({**head, "items": items})
        return
    table(("leaf", "when", "who", "what"), [_row(item) for item in items], fold=("who", "what"))
    words("")
    exact(f"{head['size']} leaves. Log key: {head['verifier_key']}")
    words(("Newest checkpoint (write it down elsewhere, and a cut tail can be found):", "dim"))
    exact(head["checkpoint"].rstrip())


def _row(item: dict[str, Any]) -> tuple[str, ...]:
    entry = item["entry"]
    what = f"{entry['kind']} {entry['device']}".strip()
    details = ", ".join(f"{name} {brief(value)}" for name, value in entry["data"].items() if name not in LONG and value)
    return str(item["index"]), entry["at"][:19].replace("T", " "), entry["actor"], f"{what}  {details}".strip()


def brief(value: object) -> str:
    """A value of an entry's data in a few characters; all of it, with times in milliseconds, is in --json."""
    import msgspec  # noqa: PLC0415  (rule 3 of the package)

    from holdfast_core.kernel.instants import Instant, rfc3339  # noqa: PLC0415

    if isinstance(value, int) and FIRST_INSTANT <= value <= LAST_INSTANT:
        return rfc3339(Instant(value))[:19].replace("T", " ")

    plain = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    short = plain[: len("sha256:") + DIGEST_SHOWN] if plain.startswith("sha256:") else plain
    return short if len(short) <= VALUE_SHOWN else short[: VALUE_SHOWN - 1] + "…"


def export(session: Session, *, file: ExportArgument) -> None:
    """Write the whole record to a file that anybody can verify offline."""
    from holdfast.cli.connection import exported  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.files import STANDARD, whole_file  # noqa: PLC0415
    from holdfast.cli.terminal import emit, progress, words  # noqa: PLC0415

    if file == STANDARD and session.json:
        usage("The export on stdout is JSON Lines already; leave --json out.")
    done = 0
    with exported(session.folder) as export:
        if file == STANDARD:
            export.each(sys.stdout.buffer.write)
            return
        with progress("Exporting", total=export.size + 1) as advance, whole_file(file) as target:

            def take(line: bytes) -> None:
                nonlocal done
                target.write(line)
                done += 1
                if done % 1000 == 0:
                    advance(done)

            export.each(take)
    if session.json:
        emit({"file": str(file), "leaves": done - 1})
    else:
        words(("✓ ", "green"), f"{done - 1} leaves in {file}. Check it anywhere: holdfast log verify {file} --key KEY")


def verify(session: Session, *, file: VerifyArgument, pins: PinOption = None, key: KeyOption = "") -> None:
    """Verify an exported record offline: finds an edited, dropped or reordered leaf, and with --pin a cut tail."""
    from holdfast.cli.files import read_bounded  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, progress  # noqa: PLC0415
    from holdfast_core.kernel.limits import LIMITS  # noqa: PLC0415
    from holdfast_core.record.report import Outcome  # noqa: PLC0415
    from holdfast_core.record.verify import verify_export  # noqa: PLC0415

    held = [_checkpoint(read_bounded(pin, LIMITS.note_bytes)) for pin in pins or ()]
    trusted = verifier_key(key) if key else None
    with progress("Verifying") as advance:
        report = verify_export(_lines(file, advance), pins=held, trusted_key=trusted)
    if session.json:
        emit(report)
    else:
        _show_report(report, pinned=bool(held))
    codes = {Outcome.VERIFIED: Exit.FINE, Outcome.KEY_UNTRUSTED: Exit.UNDECIDED, Outcome.BROKEN: Exit.FINDINGS}
    finish(codes[report.outcome])


def _checkpoint(data: bytes) -> str:
    """A pinned checkpoint. What is none is a mistake of the command line, not a finding about the record.

    Raises:
        HostileData: ``note.malformed``.
    """
    from holdfast_core.formats.note import parse_note  # noqa: PLC0415  (rule 3 of the package)

    # Editors and tools add line ends, which are no part of a note.
    text = data.decode("utf-8", "replace").rstrip("\n") + "\n"
    parse_note(text)
    return text


def verifier_key(given: str) -> str:
    """The key itself, or the first line of the file that holds it."""
    from holdfast.cli.files import read_bounded  # noqa: PLC0415  (rule 3 of the package)
    from holdfast_core.kernel.limits import LIMITS  # noqa: PLC0415

    if Path(given).is_file():
        return read_bounded(Path(given), LIMITS.note_bytes).decode("utf-8", "replace").strip()
    return given


def _lines(file: Path, advance: Any) -> Iterator[bytes]:
    from holdfast.cli.files import STANDARD, unreadable  # noqa: PLC0415  (rule 3 of the package)
    from holdfast_core.kernel.limits import LIMITS  # noqa: PLC0415

    try:
        source = sys.stdin.buffer if file == STANDARD else file.open("rb")
        with source:
            count = 0
            while line := source.readline(LIMITS.export_line_bytes + 1):
                yield line
                count += 1
                if count % 1000 == 0:
                    advance(count)
    except OSError as error:
        raise unreadable(file, error) from error


def _show_report(report: VerifyReport, *, pinned: bool) -> None:
    from holdfast.cli.terminal import fields, show, words  # noqa: PLC0415  (rule 3 of the package)
    from holdfast_core.record.report import Outcome  # noqa: PLC0415

    said = {
        Outcome.VERIFIED: ("Verified: every leaf is the one that was signed.", "bold green"),
        Outcome.KEY_UNTRUSTED: (
            "Consistent, but the key came with the export: this proves nothing about who wrote it.",
            "bold yellow",
        ),
        Outcome.BROKEN: ("Broken: this is not the record that was signed.", "bold red"),
    }
    show(said[report.outcome])
    told = "proven" if report.first_bad_proven else "by the export's own word"
    first = "" if report.first_bad is None else f"{report.first_bad} ({told})"
    fields(
        [
            ("log", report.origin),
            ("key", report.key),
            ("leaves", f"{report.leaves} read, checkpoint of {report.size}"),
            ("proven", f"the first {report.proven_prefix}"),
            ("pins", str(report.pins_checked)),
            ("first bad", first),
        ]
    )
    for finding in report.findings:
        show("✗ ", finding.sentence, (f" [{finding.code}]", "dim"), indent=2)
        show(("do this: ", "bold"), finding.remedy, indent=4)
    if report.key_from_export:
        words("Give --key with the key that holdfast init printed, or that log show prints on the server itself.")
    if not pinned:
        words("No --pin was given, so a cut tail would not show. An agent's pinned checkpoint is one.")
