"""``holdfast reference explain``: why what was booted is of no release, for a device, or for files with no server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.cli.session import Exit, Session, command, finish, usage

if TYPE_CHECKING:
    from holdfast.cli.reference_files import Read
    from holdfast_core.attestation.explaining import Explanation
    from holdfast_core.attestation.model import Policy

OptionalDevice = Annotated[str, typer.Argument(metavar="[DEVICE]", help="The device's id.", show_default=False)]
LogOption = Annotated[
    Path | None,
    typer.Option(
        "--log",
        metavar="FILE",
        help="Instead of a device: an event log, as of holdfast attest log.",
        show_default=False,
    ),
]
ReferenceOption = Annotated[
    list[Path] | None,
    typer.Option("--reference", metavar="FILE", help="With --log: a statement to compare with; repeat it."),
]
KeyOption = Annotated[
    list[Path] | None,
    typer.Option("--key", metavar="FILE", help="With --log: a public key that must have signed them; repeat it."),
]
CURRENT = "current"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    command(
        app, "explain", epilog="Exit: 0 a current release was booted, 3 something else, 4 there is nothing to compare."
    )(explain)


def explain(
    session: Session,
    *,
    device: OptionalDevice = "",
    log: LogOption = None,
    references: ReferenceOption = None,
    keys: KeyOption = None,
) -> None:
    """Say in words why a boot is of no release: which event, which file, and of which release that one is.

    With --log and --reference it needs no server: an event log is compared with statement files.
    """
    from holdfast.cli.reference_text import show_explanation  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit  # noqa: PLC0415

    if (log is None) == (not device):
        usage("Name a device, or an event log with --log and statements with --reference.")
    if log is None and (references or keys):
        usage("--reference and --key go with --log; a device is compared with the releases of the server.")
    page = _of_device(session, device) if log is None else _of_files(log, references or [], keys)
    if session.json:
        emit(page)
    else:
        show_explanation(page, about=device or str(log), proved=log is None)
    if not page["release"]:
        finish(Exit.UNDECIDED)
    finish(Exit.FINDINGS if page["differences"] or page["standing"] != CURRENT else Exit.FINE)


def _of_device(session: Session, device: str) -> dict[str, Any]:
    from holdfast.cli.connection import connected, part  # noqa: PLC0415  (rule 3 of the package)

    with connected(session.folder) as api:
        told: dict[str, Any] = api.get(f"/devices/{part(device)}/attestation/explain")
    return told


def _of_files(log: Path, references: list[Path], keys: list[Path] | None) -> dict[str, Any]:
    from holdfast.cli.attest import log_bytes  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.reference_files import read_keys, read_statement  # noqa: PLC0415
    from holdfast.cli.terminal import words  # noqa: PLC0415

    if not references:
        usage("Name what to compare with: --reference FILE, as holdfast reference build wrote it.")
    trusted = read_keys(keys)
    read = [read_statement(path, trusted) for path in references]
    if not trusted:
        words(("Nothing vouches for these statements: no --key was given, so anybody may have written them.", "yellow"))
    told = _compared(log_bytes(log), read)
    differences = [
        {
            "pcr": each.register,
            "digest": each.digest,
            "sentence": each.sentence,
            "event": each.event,
            "known_as": each.known_as,
        }
        for each in told.differences
    ]
    return {
        "release": told.release,
        "standing": told.standing,
        "summary": told.summary,
        "differences": differences,
        "signed": [each.signer for each in read],
    }


def _compared(data: bytes, read: list[Read]) -> Explanation:
    """The log against the statements, in the bank of the first.

    Raises:
        HostileData: ``reference.log_unreadable``.
    """
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast_core.attestation.boot import measured, parse_log, values_of  # noqa: PLC0415
    from holdfast_core.attestation.comparison import gaps  # noqa: PLC0415
    from holdfast_core.attestation.explaining import explain as explained  # noqa: PLC0415
    from holdfast_core.attestation.reference import Reference, standings  # noqa: PLC0415
    from holdfast_core.attestation.refusals import Refused  # noqa: PLC0415
    from holdfast_core.kernel.errors import HostileData  # noqa: PLC0415
    from holdfast_core.kernel.ids import Scope  # noqa: PLC0415

    policy, now = _policy(read), SystemClock().now()
    try:
        log = parse_log(data)
        events, values = measured(log, policy), values_of(log, policy)
    except Refused as refused:
        raise HostileData("reference.log_unreadable", refused.reason.sentence, remedy=refused.reason.remedy) from None
    nowhere = Scope("files", "files")
    references = [
        Reference(
            nowhere,
            each.statement.id,
            statement=each.statement,
            digest=each.digest,
            signer=each.signer,
            added_at=now,
            retire_at=each.statement.retire_at,
        )
        for each in read
    ]
    judged = standings(references, now)
    return explained(gaps(events, values, policy, judged), judged)


def _policy(read: list[Read]) -> Policy:
    """All registers that a statement says something of, in the bank of the first."""
    from holdfast_core.attestation.model import Method, Policy  # noqa: PLC0415  (rule 3 of the package)

    registers = sorted({register for each in read for register in each.statement.registers})
    return Policy(Method.TPM, bank=read[0].statement.bank, registers=tuple(registers))
