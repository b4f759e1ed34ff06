"""``holdfast crl``: revocation lists, as they are made here and as relying parties have them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.cli.session import Exit, Session, command, finish, usage

if TYPE_CHECKING:
    from holdfast_core.identity.published import Expected
    from holdfast_core.kernel.reasons import Reason

IssuerOption = Annotated[
    str, typer.Option("--issuer", metavar="ISSUER", help="Only this issuer's list; all of them without it.")
]
ShardOption = Annotated[
    int | None, typer.Option("--shard", min=0, help="One shard of the issuer's list.", show_default=False)
]
DerOption = Annotated[bool, typer.Option("--der", help="DER instead of PEM; needs --issuer.")]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="Where to; - is stdout.")]
TargetArgument = Annotated[
    str, typer.Argument(metavar="FILE|URL", help="Where a relying party has its lists, or fetches them.")
]
CertificateOption = Annotated[
    Path | None,
    typer.Option(
        "--issuer-certificate",
        metavar="PEM",
        help="Check by these issuers' certificates alone, without a control plane.",
        show_default=False,
    ),
]
CERTIFICATES_BYTES = 1024 * 1024


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "list")(list_crls)
    command(app, "export")(export)
    command(app, "check", epilog="Exit: 0 a relying party may go by it, 3 it may not, or not for long.")(check)


def list_crls(session: Session) -> None:
    """List the revocation lists: whose, their numbers, and until when they hold."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, table  # noqa: PLC0415

    with connected(session.folder) as api:
        items = api.get("/crls")["items"]
    if session.json:
        emit({"items": items})
        return
    rows = [
        (i["issuer"], str(i["number"]), str(i["entries"]), _moment(i["this_update"]), _moment(i["next_update"]))
        for i in items
    ]
    table(("issuer", "number", "revoked", "made", "holds until"), rows)


def _moment(text: str) -> str:
    return text[:16].replace("T", " ")


def export(
    session: Session,
    *,
    file: FileArgument,
    issuer: IssuerOption = "",
    shard: ShardOption = None,
    der: DerOption = False,
) -> None:
    """Write the current lists to a file, whole or not at all; without --issuer those of every issuer, for a broker."""
    import sys  # noqa: PLC0415  (rule 3 of the package)

    from holdfast.cli.connection import connected, part  # noqa: PLC0415
    from holdfast.cli.files import STANDARD, write_whole  # noqa: PLC0415
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    if (der or shard is not None) and not issuer:
        usage("--der and --shard are of one list: name its issuer with --issuer (holdfast crl list).")
    if file == STANDARD and session.json:
        usage("--json speaks of a file, and - writes the lists themselves to stdout: leave one of them out.")
    query = f"?form={'der' if der else 'pem'}" + ("" if shard is None else f"&shard={shard}")
    parts: list[bytes] = []
    with connected(session.folder) as api:
        api.lines(f"/crls/{part(issuer)}{query}" if issuer else "/crls/bundle", parts.append)
    data = b"".join(parts)
    if file == STANDARD:
        sys.stdout.buffer.write(data)
        return
    write_whole(file, data)
    if session.json:
        emit({"file": str(file), "bytes": len(data)})
    else:
        words(("✓ ", "green"), f"{len(data)} bytes in {file}. Have it read, then check it: holdfast crl check {file}")


def check(session: Session, *, target: TargetArgument, certificate: CertificateOption = None) -> None:
    """Check lists as they are published: whole, signed, in time, not older than ours, and with the canary in them."""
    import asyncio  # noqa: PLC0415  (rule 3 of the package)

    from holdfast.adapters.published import ListFetcher  # noqa: PLC0415
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415
    from holdfast.cli.terminal import emit, show, words  # noqa: PLC0415
    from holdfast_core.identity.published import examine, read_lists  # noqa: PLC0415
    from holdfast_core.kernel.errors import HoldfastError  # noqa: PLC0415
    from holdfast_core.kernel.limits import LIMITS  # noqa: PLC0415
    from holdfast_core.kernel.reasons import Reason  # noqa: PLC0415

    expected = _of_files(certificate) if certificate else _of_plane(session)
    found: tuple[Reason, ...]
    try:
        lists = read_lists(asyncio.run(ListFetcher(LIMITS).fetch(target)), LIMITS)
        found = examine(lists, expected, SystemClock().now())
    except HoldfastError as error:
        found = (Reason(error.code, error.sentence, error.remedy),)
    if session.json:
        emit({"target": target, "findings": found})
    else:
        for reason in found:
            show(("✗ ", "red"), reason.sentence, (f" [{reason.code}]", "dim"))
            show(("do this: ", "bold"), reason.remedy, indent=4)
        if not found:
            canaries = sum(len(one.canaries) for one in expected)
            told = f"{canaries} canary in them" if canaries == 1 else f"{canaries} canaries in them"
            lists_of = "the list of 1 issuer" if len(expected) == 1 else f"the lists of {len(expected)} issuers"
            words(("✓ ", "green"), f"{target}: {lists_of}, signed, in time, {told}.")
    finish(Exit.FINDINGS if found else Exit.FINE)


def _of_plane(session: Session) -> list[Expected]:
    """What the control plane expects of a published list now."""
    from cryptography import x509  # noqa: PLC0415  (rule 3 of the package)

    from holdfast.cli.connection import connected  # noqa: PLC0415
    from holdfast_core.identity.published import Expected  # noqa: PLC0415

    def one(item: dict[str, Any]) -> Expected:
        certificate = x509.load_pem_x509_certificate(item["certificate"].encode())
        canaries = frozenset(int(serial, 16) for serial in item["canaries"])
        return Expected(certificate, item["issuer"], item["expected_number"], canaries, item["shards"])

    with connected(session.folder) as api:
        return [one(item) for item in api.get("/crls")["items"]]


def _of_files(path: Path) -> list[Expected]:
    """What can be expected by who has the issuers' certificates and nothing else."""
    from cryptography import x509  # noqa: PLC0415  (rule 3 of the package)

    from holdfast.cli.files import read_bounded  # noqa: PLC0415
    from holdfast_core.identity.published import Expected  # noqa: PLC0415
    from holdfast_core.kernel.errors import WorldError  # noqa: PLC0415

    try:
        certificates = x509.load_pem_x509_certificates(read_bounded(path, CERTIFICATES_BYTES))
    except ValueError as error:
        raise WorldError(
            "files.no_certificate",
            f"{path} holds no certificate that can be read.",
            remedy="Give a PEM file with the certificates of the issuers: holdfast ca export.",
        ) from error
    return [Expected(one, one.subject.rfc4514_string(), 0, frozenset(), 1) for one in certificates]
