"""``holdfast doctor``: what is wrong with this installation, and what to do about it."""

from __future__ import annotations

import typer

from holdfast.cli.session import Exit, Session, command, finish


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    command(app, "doctor", epilog="Exit: 0 nothing found, 3 findings.")(run)


def run(session: Session) -> None:
    """Check folder, keys, certificates, database, clock, disk, ports and server; say what to do."""
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.checks import CHECKS, Patient  # noqa: PLC0415
    from holdfast.cli.terminal import emit, heading, progress, show  # noqa: PLC0415

    patient = Patient(session.folder, SystemClock().now())
    with progress("Looking", total=len(CHECKS)) as advance:
        results = []
        for number, (name, check) in enumerate(CHECKS, 1):
            results.append((name, list(check(patient))))
            advance(number)
            if any(found.code == "doctor.folder_missing" for found in results[-1][1]):
                break  # whatever else is missing is missing for this reason
    count = sum(len(found) for _, found in results)
    if session.json:
        emit({"folder": str(session.folder), "checks": [{"check": name, "findings": found} for name, found in results]})
    else:
        for name, found in results:
            show(("✗ ", "red") if found else ("✓ ", "green"), name)
            for reason in found:
                show(reason.sentence, (f" [{reason.code}]", "dim"), indent=4)
                show(("do this: ", "bold"), reason.remedy, indent=4)
        heading(f"{count} finding{'s' if count > 1 else ''}." if count else "Nothing found.")
    finish(Exit.FINDINGS if count else Exit.FINE)
