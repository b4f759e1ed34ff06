"""``holdfast reference build``: what a release will look like when it is booted, computed from its files and signed.

It needs no server, no data folder and no network: it belongs into the build, beside the files it is about.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.session import Session, command, usage

if TYPE_CHECKING:
    from holdfast_core.attestation.building import Source
    from holdfast_core.attestation.reference import FileValue, Learned, Statement
    from holdfast_core.kernel.instants import Instant

EPOCH = "SOURCE_DATE_EPOCH"


class Bank(StrEnum):
    """The hash of the registers that are quoted."""

    SHA256 = "sha256"
    SHA384 = "sha384"
    SHA512 = "sha512"


ModelOption = Annotated[str, typer.Option("--model", metavar="NAME", help="The device model, by its name alone.")]
VersionOption = Annotated[str, typer.Option("--version", metavar="VERSION", help="The release's version.")]
SvnOption = Annotated[
    int | None,
    typer.Option(
        "--svn",
        metavar="N",
        min=0,
        help="Security version number: raise it when going back must be refused. An MCUboot image may state it.",
        show_default=False,
    ),
]
RetireOption = Annotated[
    str,
    typer.Option(
        "--retire", metavar="DATE", help="Its last day (YYYY-MM-DD), or a time (RFC 3339).", show_default=False
    ),
]
BankOption = Annotated[Bank, typer.Option("--bank", help="The bank that devices quote.")]
KeyOption = Annotated[
    Path, typer.Option("--key", metavar="FILE", help="The builder's private key, PEM: Ed25519, P-256 or P-384.")
]
ArtefactOption = Annotated[
    list[str] | None,
    typer.Option(
        "--artefact",
        metavar="[NAME=]KIND:FILE[@PCR]",
        help="A file of the release, its kind, and the register where the kind does not say it; repeat it.",
    ),
]
FilesOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--files-from",
        metavar="FOLDER|LIST",
        help="Files that it runs, for IMA: a folder, or a list as sha256sum writes it; repeat it.",
    ),
]
FileKeyOption = Annotated[
    list[Path] | None,
    typer.Option("--file-key", metavar="FILE", help="A key or certificate (PEM) that signs its files; repeat it."),
]
OutOption = Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write it; - is stdout.")]
MadeOption = Annotated[
    str,
    typer.Option(
        "--made-at", metavar="TIME", help=f"When it was built (RFC 3339); else {EPOCH}, else now.", show_default=False
    ),
]
LearnedOption = Annotated[
    str,
    typer.Option(
        "--learned-from", metavar="DEVICE", help="The device that an event log is of; needs --why.", show_default=False
    ),
]
WhyOption = Annotated[str, typer.Option("--why", help="Why a device's log is good enough; it stands in the statement.")]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    command(app, "build")(build)


def build(
    session: Session,
    *,
    model: ModelOption,
    version: VersionOption,
    key: KeyOption,
    out: OutOption,
    artefacts: ArtefactOption = None,
    svn: SvnOption = None,
    retire: RetireOption = "",
    bank: BankOption = Bank.SHA256,
    files_from: FilesOption = None,
    file_keys: FileKeyOption = None,
    made_at: MadeOption = "",
    learned_from: LearnedOption = "",
    why: WhyOption = "",
) -> None:
    """Compute what a release measures when it is booted, from its files, and sign it. Needs no server.

    Kinds: file (needs @PCR), command-line (PCR 8), efi (4), uki (4 and its stub's), fit (9 and 8), verity (a hash tree;
    checked against the command lines), mcuboot (a token's component), event-log (of one boot).
    """
    from holdfast.cli.files import STANDARD  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.reference_files import end_of  # noqa: PLC0415
    from holdfast.cli.reference_signing import read_signing_key, signed_envelope  # noqa: PLC0415
    from holdfast.cli.reference_sources import file_key  # noqa: PLC0415
    from holdfast_core.attestation.building import build_statement  # noqa: PLC0415
    from holdfast_core.kernel.digests import digest_of  # noqa: PLC0415

    if out == STANDARD and session.json:
        usage("--json speaks of a file, and - writes the statement itself to stdout: leave one of them out.")
    learned, made = _learned(learned_from, why), _made(made_at)
    ends = end_of(retire) if retire else None
    if ends is not None and ends <= made:
        usage(f"--retire {retire} is over before the release is made.")
    signer = read_signing_key(key)
    sources, files = _sources(artefacts or []), _files(files_from or [])
    statement = build_statement(
        sources,
        model=model,
        version=version,
        svn=svn,
        made_at=made,
        retire_at=ends,
        bank=bank.value,
        files=files,
        file_keys=tuple(file_key(path) for path in file_keys or ()),
        learned=learned,
    )
    payload = _checked(statement)
    _tell(session, statement, out, signed_envelope(payload, signer), digest=digest_of(payload))


def _learned(device: str, why: str) -> Learned | None:
    from holdfast_core.attestation.reference import Learned  # noqa: PLC0415  (rule 3 of the package)
    from holdfast_core.kernel.reasons import require_why  # noqa: PLC0415

    if not device:
        return None
    require_why(why)
    return Learned(device, why)


def _made(text: str) -> Instant:
    """When the statement says that it was made, so that a build can be repeated to the byte."""
    import os  # noqa: PLC0415  (rule 3 of the package)

    from holdfast.adapters.system import SystemClock  # noqa: PLC0415
    from holdfast_core.kernel.instants import LATEST, SECOND, Instant, parse_rfc3339  # noqa: PLC0415

    if text:
        return parse_rfc3339(text)
    epoch = os.environ.get(EPOCH, "")
    if not epoch:
        return SystemClock().now()
    if not (epoch.isascii() and epoch.isdecimal() and len(epoch) < len(str(LATEST))):
        usage(f"{EPOCH} is {epoch[:40]!r}: it must be seconds since 1970 (reproducible-builds.org).")
    return Instant(int(epoch) * SECOND)


def _sources(artefacts: list[str]) -> list[Source]:
    from holdfast.cli.reference_sources import parse_artefact, read_source, size_of  # noqa: PLC0415  (rule 3)
    from holdfast.cli.terminal import progress  # noqa: PLC0415  (rule 3 of the package)

    named = [parse_artefact(text) for text in artefacts]
    done = 0
    with progress("Reading", total=sum(map(size_of, named)) or None) as advance:

        def took(count: int) -> None:
            nonlocal done
            done += count
            advance(done)

        return [read_source(each, took) for each in named]


def _files(places: list[Path]) -> tuple[FileValue, ...]:
    from holdfast.cli.reference_sources import file_values  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import progress  # noqa: PLC0415

    done = 0
    with progress("Hashing files") as advance:

        def took(count: int) -> None:
            nonlocal done
            done += count
            advance(done)

        return tuple(value for place in places for value in file_values(place, took))


def _checked(statement: Statement) -> bytes:
    """The statement's bytes, which a control plane must be able to take.

    Raises:
        HostileData: ``reference.malformed``, ``reference.empty``, ``name.invalid``.
        LimitExceeded: ``reference.too_large``.
    """
    from holdfast_core.attestation.reference import (  # noqa: PLC0415  (rule 3 of the package)
        LARGEST_STATEMENT,
        parse_statement,
        statement_bytes,
    )
    from holdfast_core.kernel.errors import LimitExceeded  # noqa: PLC0415

    payload, _ = statement_bytes(statement)
    if len(payload) > LARGEST_STATEMENT:
        raise LimitExceeded(
            "reference.too_large",
            f"The statement has {len(payload)} bytes; {LARGEST_STATEMENT} are taken.",
            remedy="Name fewer files, or sign them and give --file-key.",
        )
    parse_statement(payload)
    return payload


def _tell(session: Session, statement: Statement, out: Path, envelope: bytes, *, digest: str) -> None:
    import sys  # noqa: PLC0415  (rule 3 of the package)

    from holdfast.cli.files import STANDARD, write_whole  # noqa: PLC0415
    from holdfast.cli.reference_text import show_components, show_measured  # noqa: PLC0415
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415
    from holdfast_core.formats.dsse import parse_envelope  # noqa: PLC0415

    if out == STANDARD:
        sys.stdout.buffer.write(envelope)
        return
    write_whole(out, envelope)
    signer = parse_envelope(envelope).signatures[0].keyid
    if session.json:
        emit({"release": statement.id, "file": str(out), "digest": digest, "signer": signer, "statement": statement})
        return
    show_measured([(m.register, m.what, m.digest, m.optional) for m in statement.measurements])
    show_components([(c.kind, c.version, c.digest, c.signer) for c in statement.components])
    if statement.files:
        words(f"{len(statement.files)} files by their digest.")
    words(("✓ ", "green"), f"{statement.id}, svn {statement.svn}, is in {out}, signed by {signer}.")
    words(f"On the server: holdfast reference add {out}")
