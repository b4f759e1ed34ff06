"""``holdfast attest``: how devices stand with what they booted, kept evidence, old verdicts made again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.cli.device import DeviceArgument
from holdfast.cli.session import Exit, Session, command, confirmed, finish, usage

if TYPE_CHECKING:
    from holdfast.cli.connection import Api

PAGE = 100
LARGEST_KEY = 4 * 1024
NumberOption = Annotated[
    int | None,
    typer.Option("--number", metavar="N", min=1, help="Of this evidence; without it, the newest.", show_default=False),
]
AllOption = Annotated[bool, typer.Option("--all", help="All evidence that is kept of the device.")]
BeforeOption = Annotated[
    int | None, typer.Option("--before", metavar="N", min=1, help="Only evidence with a lower number.")
]
CountOption = Annotated[int, typer.Option("--limit", min=1, max=PAGE, help="How many at most.")]
WhyOption = Annotated[str, typer.Option("--why", help="Why, in a sentence; it stands in the record.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
KeyArgument = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="The public key that signs its tokens, PEM or DER, as its maker lists it."),
]
OutArgument = Annotated[Path, typer.Argument(metavar="FILE", help="Where to; - is stdout.")]
BootOption = Annotated[
    int | None,
    typer.Option(
        "--number",
        metavar="N",
        min=1,
        help="Of this evidence; without it, of the last boot that was proved, good or bad.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "show")(show)
    command(app, "evidence")(evidence)
    command(
        app, "replay", epilog="Exit: 0 the same comes out, 3 something else does, or evidence was changed or dropped."
    )(replay)
    command(app, "boot-log")(boot_log)
    command(app, "reset")(reset)
    command(app, "key")(key)


def show(session: Session, *, device: DeviceArgument) -> None:
    """Show how a device stands: tier and freshness, why, which release it runs, and what it is asked for."""
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.attest_state_text import show_state  # noqa: PLC0415
    from holdfast.cli.connection import connected  # noqa: PLC0415
    from holdfast.cli.terminal import emit  # noqa: PLC0415

    with connected(session.folder) as api:
        page = api.get(_path(device))
    if session.json:
        emit(page)
    else:
        show_state(page, SystemClock().now())


def evidence(session: Session, *, device: DeviceArgument, before: BeforeOption = None, limit: CountOption = 20) -> None:
    """List the evidence that is kept of a device, newest first, also what was refused."""
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.attest_state_text import told  # noqa: PLC0415
    from holdfast.cli.connection import connected  # noqa: PLC0415
    from holdfast.cli.terminal import ago, emit, table, words  # noqa: PLC0415

    with connected(session.folder) as api:
        page = api.get(_path(device, "/evidence"), before=before, limit=limit)
    if session.json:
        emit(page)
        return
    now = SystemClock().now()
    rows = [
        (
            str(each["number"]),
            ago(each["at"], now),
            told(each["tier"]) if each["taken"] else ("refused", "red"),
            each["release"] or "-",
            each["reasons"][0]["code"].removeprefix("attestation.") if each["reasons"] else "",
        )
        for each in page["items"]
    ]
    if rows:
        table(("no.", "when", "came to", "release", "because"), rows, fold=("release", "because"))
    else:
        words(f"No evidence of {device} is kept. Why none comes: holdfast attest show {device}")
    if page["next"]:
        words(f"There is more: holdfast attest evidence {device} --before {page['next']}")


def replay(
    session: Session, *, device: DeviceArgument, number: NumberOption = None, everything: AllOption = False
) -> None:
    """Appraise kept evidence again, by nothing but what was kept, and say whether the same verdict comes out."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit  # noqa: PLC0415

    if number is not None and everything:
        usage("--all is every evidence: leave --number out.")
    with connected(session.folder) as api:
        if everything:
            items = _replay_all(api, device)
        else:
            items = [api.post(_path(device, "/replay"), {"number": number} if number is not None else {})]
    good = all(each["same"] and each["chained"] for each in items)
    if session.json:
        emit({"items": items, "good": good})
    else:
        _show_replayed(device, items, good=good)
    finish(Exit.FINE if good else Exit.FINDINGS)


def _replay_all(api: Api, device: str) -> list[Any]:
    from holdfast.cli.terminal import progress  # noqa: PLC0415  (rule 3 of the package)

    items: list[Any] = []
    newest = int(api.get(_path(device))["evidence"])
    before: int | None = newest + 1
    with progress("Appraising again", total=newest) as advance:
        while before is not None:
            page = api.get(_path(device, "/evidence"), before=before, limit=PAGE)
            for each in page["items"]:
                items.append(api.post(_path(device, "/replay"), {"number": each["number"]}))
                advance(len(items))
            before = page["next"]
    return items


def _show_replayed(device: str, items: list[Any], *, good: bool) -> None:
    from holdfast.cli.attest_state_text import told  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import show, table, words  # noqa: PLC0415

    if not items:
        words(f"No evidence of {device} is kept, so there is nothing to appraise again.")
        return
    bad = [each for each in items if not (each["same"] and each["chained"])]
    shown = items if len(items) == 1 else bad
    rows = []
    for each in shown:
        was = each["evidence"]
        then = told(was["tier"]) if was["taken"] else ("refused", "red")
        now = told(each["tier"]) if each["tier"] else ("refused", "red")
        same = ("the same", "green") if each["same"] else ("ANOTHER", "bold red")
        chain = ("whole", "green") if each["chained"] else ("BROKEN", "bold red")
        rows.append((str(was["number"]), was["at"][:19].replace("T", " "), then, now, same, chain))
    if rows:
        table(("no.", "when", "then", "again", "verdict", "chain"), rows)
    many = f"all {len(items)} pieces of evidence" if len(items) > 1 else "the evidence"
    if good:
        words(("✓ ", "green"), f"The same verdict comes out of {many} of {device}, and the chain is whole.")
        return
    if not all(each["chained"] for each in bad):
        show(("Evidence was changed or dropped since it was kept: compare with a backup.", "bold red"))
    if not all(each["same"] for each in bad):
        show("Another verdict comes out. After an update of Holdfast, read its changelog: its rules may have changed.")


def boot_log(session: Session, *, device: DeviceArgument, file: OutArgument, number: BootOption = None) -> None:
    """Write the event log of a device's boot to a file; holdfast attest log reads it."""
    import sys  # noqa: PLC0415  (rule 3 of the package)

    from holdfast.cli.connection import connected  # noqa: PLC0415
    from holdfast.cli.files import STANDARD, write_whole  # noqa: PLC0415
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    if file == STANDARD and session.json:
        usage("--json speaks of a file, and - writes the log itself to stdout: leave one of them out.")
    parts: list[bytes] = []
    with connected(session.folder) as api:
        api.lines(_path(device, "/log") + (f"?number={number}" if number is not None else ""), parts.append)
    data = b"".join(parts)
    if file == STANDARD:
        sys.stdout.buffer.write(data)
        return
    write_whole(file, data)
    if session.json:
        emit({"file": str(file), "bytes": len(data)})
    else:
        words(("✓ ", "green"), f"{len(data)} bytes in {file}. Read it: holdfast attest log {file}")


def reset(session: Session, *, device: DeviceArgument, why: WhyOption = "", yes: YesOption = False) -> None:
    """Forget what is remembered of a device's TPM, also that it was cloned. Its next evidence begins anew."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    confirmed(f"Forget what the TPM of {device} counted? A clone of it would then not be noticed by that.", yes=yes)
    with connected(session.folder) as api:
        page = api.post(_path(device, "/reset"), {"why": why})
    if session.json:
        emit(page)
    else:
        words(
            ("✓ ", "green"), f"{device} begins anew with its next evidence. What was kept stays, and can be replayed."
        )


def key(session: Session, *, device: DeviceArgument, file: KeyArgument) -> None:
    """Name the key that signs a device's tokens, as its maker lists it. A TPM's key binds itself at enrollment."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.files import read_bounded  # noqa: PLC0415
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415
    from holdfast_core.attestation.tokens import read_token_key  # noqa: PLC0415

    der = read_token_key(read_bounded(file, LARGEST_KEY))
    with connected(session.folder) as api:
        bound = api.post(_path(device, "/key"), {"key": _pem(der)})
    if session.json:
        emit(bound)
    else:
        words(("✓ ", "green"), f"Tokens of {device} count under this key: {bound['digest']}")


def _pem(der: bytes) -> str:
    import base64  # noqa: PLC0415  (rule 3 of the package)

    return f"-----BEGIN PUBLIC KEY-----\n{base64.encodebytes(der).decode()}-----END PUBLIC KEY-----\n"


def _path(device: str, what: str = "") -> str:
    from holdfast.cli.connection import part  # noqa: PLC0415  (rule 3 of the package)

    return f"/devices/{part(device)}/attestation{what}"
