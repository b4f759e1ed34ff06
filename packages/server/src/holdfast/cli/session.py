"""How every command begins and ends: where the data lies, how it prints, and what its exit code says.

1. Exit codes are `Exit` and nothing else; a shell script can rely on them.
2. An error is shown as the sentence, what to do about it, and its code, on stderr, whoever raised it; with ``--json``
   it is also the one document on stdout.
3. Every command has ``--json`` and ``--data``; `command` adds them, so that none can forget.
4. No secret is taken from an argument: every process on the machine can read those.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from holdfast_core.kernel.errors import Bug, HoldfastError, WorldError


class Exit(IntEnum):
    """What a command ends with."""

    FINE = 0
    FAILED = 1
    USAGE = 2
    FINDINGS = 3
    """It ran fine, and there is something to act on."""
    UNDECIDED = 4
    """It ran fine, and could not decide."""


@dataclass(frozen=True)
class Session:
    """One call of a command: the data folder, and whether it answers in JSON."""

    folder: Path
    json: bool


DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="FOLDER",
        help="The data folder. Default: HOLDFAST_DATA, else the system's or your own place.",
        show_default=False,
        file_okay=False,
        rich_help_panel="Everywhere",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.", rich_help_panel="Everywhere")]


def command(app: typer.Typer, name: str, *, epilog: str | None = None) -> Callable[[Callable[..., None]], Any]:
    """Register a function of a `Session` and typer parameters as a command of `app`."""

    def register(work: Callable[..., None]) -> Callable[..., None]:
        _, *own = inspect.signature(work, eval_str=True).parameters.values()

        @functools.wraps(work)
        def run(*, data: Path | None, json: bool, **arguments: Any) -> None:
            with shown_errors(json=json):
                work(Session(data if data is not None else default_folder(), json), **arguments)

        named = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # typer reads it; functions may carry one
            [*named, _parameter("json", JsonOption, default=False), _parameter("data", DataOption, default=None)]
        )
        app.command(name, epilog=epilog, help=_paragraphs(work))(run)
        return work

    return register


def _paragraphs(work: Callable[..., None]) -> str:
    """The docstring with its lines joined, for the terminal to wrap anew."""
    told = inspect.getdoc(work) or ""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in told.split("\n\n"))


def _parameter(name: str, annotation: Any, *, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def default_folder() -> Path:
    """The data folder when nobody names one: ``HOLDFAST_DATA``, else the system's or the user's own place."""
    if named := os.environ.get("HOLDFAST_DATA"):
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/lib/holdfast")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "holdfast"


@contextmanager
def shown_errors(*, json: bool = False) -> Iterator[None]:
    """End the process with exit 1 where the block raises one of ours: told in words, with `json` as a problem too."""
    try:
        yield
    except HoldfastError as error:
        fail(error, json=json)
    except PermissionError as error:
        where = error.filename or "a file"
        fail(
            WorldError(
                "files.permission",
                f"{where} may not be used by you: {error.strerror}.",
                remedy="Run the command as the user who owns it (for a packaged server: sudo -u holdfast).",
            ),
            json=json,
        )
    except BrokenPipeError:
        raise
    except OSError as error:
        fail(
            WorldError(
                "files.failed",
                f"{error.filename or 'A file or the disk'} could not be used: {error.strerror or error}.",
                remedy="Look at free space (df -h), permissions and the path, then repeat the command.",
            ),
            json=json,
        )


def fail(error: HoldfastError, *, json: bool = False) -> NoReturn:
    """Show `error` and end with exit 1."""
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415  (rich only when something is printed)

    if json:
        emit({"code": error.code, "sentence": error.sentence, "remedy": error.remedy})

    words(("error: ", "bold red"), (error.sentence, ""), (f" [{error.code}]", "dim"))
    if error.remedy:
        words(("  do this: ", "bold"), (error.remedy, ""))
    if isinstance(error, Bug):
        words("  This is a fault of Holdfast. Please report it, with the command and the code in brackets.")
    raise typer.Exit(Exit.FAILED)


def finish(code: Exit) -> None:
    """End with `code` unless it is fine, in which case the command simply returns."""
    if code is not Exit.FINE:
        raise typer.Exit(int(code))


def usage(sentence: str) -> NoReturn:
    """End with exit 2: the command was not understood."""
    raise typer.BadParameter(sentence)


def confirmed(question: str, *, yes: bool) -> None:
    """Ask before what cannot be taken back; without a terminal, ``--yes`` has to be given."""
    if yes:
        return
    if not sys.stdin.isatty():
        usage("This cannot be taken back. Add --yes to do it without being asked.")
    if not typer.confirm(question, err=True):
        raise typer.Exit(Exit.FAILED)
