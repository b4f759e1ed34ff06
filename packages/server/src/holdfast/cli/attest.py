"""``holdfast attest``: what a device booted. Reading an event log needs nothing but the file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.cli.session import Session, command, usage

if TYPE_CHECKING:
    from holdfast_core.formats.eventlog.log import Event, EventLog

DIGEST_SHOWN = 12
"""Hexadecimal digits of a digest in the table; all of it is in --json."""

LogArgument = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="A TCG event log, as /sys/kernel/security/tpm0/binary_bios_measurements, or base64 of one; - reads stdin.",
    ),
]
BankOption = Annotated[
    str,
    typer.Option("--bank", metavar="NAME", help="Only this bank: sha256, sha384, sha1, ...", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "log")(log)


def log(session: Session, *, file: LogArgument, bank: BankOption = "") -> None:
    """Show a boot's event log: each event in words, and the PCRs that the log replays to."""
    from holdfast.cli.attest_text import saying  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit  # noqa: PLC0415
    from holdfast_core.formats.eventlog.log import parse_event_log  # noqa: PLC0415

    read = parse_event_log(log_bytes(file))
    banks = _chosen(read, bank)
    if session.json:
        emit(_document(read, banks))
    else:
        _show(read, banks, [saying(event, banks) for event in read.events])


def log_bytes(file: Path) -> bytes:
    """The log in `file`, out of base64 where it is that.

    The two cannot be taken for each other: a log begins with a register's number, 0 to 23 in four bytes.
    """
    import base64  # noqa: PLC0415  (rule 3 of the package)
    import binascii  # noqa: PLC0415

    from holdfast.cli.files import read_bounded  # noqa: PLC0415
    from holdfast_core.formats.eventlog.log import LARGEST_LOG  # noqa: PLC0415

    data = read_bounded(file, 2 * LARGEST_LOG)
    try:
        decoded = base64.b64decode(b"".join(data.split()), validate=True)
    except binascii.Error:
        return data
    return decoded if decoded[1:4] == bytes(3) else data


def _chosen(log: EventLog, name: str) -> tuple[int, ...]:
    """The banks to show: all of the log, or the one that is named."""
    from holdfast_core.formats.eventlog.banks import BANKS, bank_name  # noqa: PLC0415  (rule 3 of the package)

    if not name:
        return log.banks
    if name not in {each.name for each in BANKS.values()}:
        usage(f"{name} is no bank. Give one of {', '.join(each.name for each in BANKS.values())}.")
    chosen = tuple(bank for bank in log.banks if bank_name(bank) == name)
    if not chosen:
        usage(f"The log has no bank {name}, only {', '.join(bank_name(bank) for bank in log.banks)}.")
    return chosen


def _document(log: EventLog, banks: tuple[int, ...]) -> dict[str, Any]:
    """The log as one JSON document; digests and other bytes in lower-case hexadecimal."""
    from holdfast.cli.attest_text import plain  # noqa: PLC0415  (rule 3 of the package)
    from holdfast_core.formats.eventlog.banks import bank_name, computable  # noqa: PLC0415
    from holdfast_core.formats.eventlog.facts import facts_of  # noqa: PLC0415
    from holdfast_core.formats.eventlog.replay import gaps, replay  # noqa: PLC0415

    known = [bank for bank in banks if computable(bank)]
    return {
        "banks": [bank_name(bank) for bank in banks],
        "events": [_event(event, banks) for event in log.events],
        "pcrs": {
            bank_name(bank): {str(register): value.hex() for register, value in sorted(replay(log, bank).items())}
            for bank in known
        },
        "not_replayed": {
            bank_name(bank): sorted(gaps(log, bank)) if bank in known else "the bank's hash cannot be computed here"
            for bank in banks
            if bank not in known or gaps(log, bank)
        },
        "facts": {bank_name(bank): plain(facts_of(log, bank)) for bank in known},
        "filling": log.filling,
    }


def _event(event: Event, banks: tuple[int, ...]) -> dict[str, Any]:
    from holdfast.cli.attest_text import plain, proofs, saying  # noqa: PLC0415  (rule 3 of the package)
    from holdfast_core.formats.eventlog.banks import bank_name  # noqa: PLC0415
    from holdfast_core.formats.eventlog.contents import content_of  # noqa: PLC0415
    from holdfast_core.formats.eventlog.kinds import kind_name  # noqa: PLC0415

    return {
        "number": event.number,
        "pcr": event.register,
        "kind": kind_name(event.kind),
        "type": event.kind,
        "digests": {bank_name(bank): digest.hex() for bank, digest in event.digests.items() if bank in banks},
        "digest_matches": {bank_name(bank): matches for bank, matches in proofs(event, banks).items()},
        "says": saying(event, banks),
        "content": plain(content_of(event)),
        "data": event.data.hex(),
    }


def _show(log: EventLog, banks: tuple[int, ...], sayings: list[str]) -> None:
    from holdfast.cli.terminal import heading, raw, table, words  # noqa: PLC0415  (rule 3 of the package)
    from holdfast_core.formats.eventlog.banks import bank_name, computable  # noqa: PLC0415
    from holdfast_core.formats.eventlog.kinds import kind_name  # noqa: PLC0415
    from holdfast_core.formats.eventlog.log import REGISTERS  # noqa: PLC0415
    from holdfast_core.formats.eventlog.replay import gaps, replay  # noqa: PLC0415

    shown = _preferred(banks)
    rows = [
        (
            str(event.number),
            str(event.register) if event.register < REGISTERS else "-",
            kind_name(event.kind),
            event.digests.get(shown, b"").hex()[:DIGEST_SHOWN],
            says,
        )
        for event, says in zip(log.events, sayings, strict=True)
    ]
    table(("event", "pcr", "kind", bank_name(shown), "what it says"), rows, fold=("kind", "what it says"))
    for bank in banks:
        heading(f"PCRs, {bank_name(bank)}")
        if not computable(bank):
            words(f"The hash of the bank {bank_name(bank)} cannot be computed here, so it was not replayed.")
            continue
        for register, value in sorted(replay(log, bank).items()):
            raw(f"{register:>2}  {value.hex()}")
        if missing := gaps(log, bank):
            without = ", ".join(map(str, sorted(missing)))
            words(f"Not replayed: {without}. Events of it have no digest in {bank_name(bank)}.")
    if log.filling:
        words(f"{log.filling} bytes behind the last event fill up the log's area.")


def _preferred(banks: tuple[int, ...]) -> int:
    """The bank whose digests are shown: SHA-256 where it is there, else the last, which is the longest as a rule."""
    from holdfast_core.formats.eventlog.banks import SHA256  # noqa: PLC0415  (rule 3 of the package)

    return SHA256 if SHA256 in banks else banks[-1]
