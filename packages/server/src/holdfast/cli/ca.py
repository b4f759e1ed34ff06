"""``holdfast ca``: the authorities that certify devices, and how one follows another."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from holdfast.cli.session import Session, command, usage


class Algorithm(StrEnum):
    """The kinds of key that an issuer may have."""

    P256 = "p256"
    P384 = "p384"
    ED25519 = "ed25519"
    RSA3072 = "rsa3072"


class Which(StrEnum):
    """What can be exported."""

    ROOT = "root"
    SERVICES = "services"
    ISSUERS = "issuers"
    ANCHORS = "anchors"


TenantOption = Annotated[str, typer.Option(help="The tenant; that of holdfast.toml if left out.", show_default=False)]
EnvironmentOption = Annotated[str, typer.Option(help="Its environment; likewise.", show_default=False)]
AlgorithmOption = Annotated[Algorithm, typer.Option(help="The new issuer's key.")]
RootKeyOption = Annotated[
    Path | None,
    typer.Option("--root-key", metavar="FILE", help="The root's key, brought for this one command.", exists=True),
]
BeginOption = Annotated[bool, typer.Option("--begin", help="Make the next issuer; nothing is issued by it yet.")]
SwitchOption = Annotated[bool, typer.Option("--switch", help="Let it certify; devices of the old one renew.")]
EndOption = Annotated[bool, typer.Option("--end", help="Trust the old one no more.")]
ForceOption = Annotated[bool, typer.Option("--force", help="End it though devices still have its certificates.")]
WhichArgument = Annotated[Which, typer.Argument(help="Which certificates.")]
OutOption = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Where to; stdout if left out.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "init")(init)
    command(app, "show")(show)
    command(app, "rotate")(rotate)
    command(app, "export")(export)


def init(
    session: Session,
    *,
    tenant: TenantOption = "",
    environment: EnvironmentOption = "",
    algorithm: AlgorithmOption = Algorithm.P256,
    root_key: RootKeyOption = None,
) -> None:
    """Make the first issuer of a tenant and environment. Those of holdfast.toml have theirs from holdfast init."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415
    from holdfast.config import load  # noqa: PLC0415
    from holdfast_core.identity.issuers import FIRST  # noqa: PLC0415
    from holdfast_core.kernel.ids import Scope  # noqa: PLC0415

    config = load(session.folder, os.environ)
    scope = Scope(tenant or config.tenant, environment or config.environment)
    if root_key is not None:
        _make(session, scope, FIRST, algorithm, root_key)
    with connected(session.folder) as api:
        body = {"tenant": scope.tenant, "environment": scope.environment, "algorithm": algorithm.value}
        told = api.post("/authority/scopes", body)
    if session.json:
        emit(told)
    else:
        words(("✓ ", "green"), f"Devices of {scope} are certified by an issuer of their own.")


def show(session: Session) -> None:
    """Show the root, the issuers, and the devices that are still on the retiring one."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.get("/authority")
    if session.json:
        emit(told)
    else:
        _shown(told)


def rotate(
    session: Session,
    *,
    begin: BeginOption = False,
    switch: SwitchOption = False,
    end: EndOption = False,
    force: ForceOption = False,
    algorithm: AlgorithmOption = Algorithm.P256,
    root_key: RootKeyOption = None,
) -> None:
    """Roll the issuer over: --begin, then --switch once brokers have the new anchor, then --end once nobody lags."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit  # noqa: PLC0415
    from holdfast.config import load  # noqa: PLC0415

    chosen = [name for name, wanted in (("begin", begin), ("switch", switch), ("end", end)) if wanted]
    if len(chosen) != 1:
        usage("Say one of --begin, --switch and --end.")
    with connected(session.folder) as api:
        if begin and root_key is not None:
            number = max(issuer["number"] for issuer in api.get("/authority")["issuers"]) + 1
            _make(session, load(session.folder, os.environ).scope, number, algorithm, root_key)
        told = api.post("/authority/rollover", {"step": chosen[0], "force": force, "algorithm": algorithm.value})
    if session.json:
        emit(told)
    else:
        _shown(told)


def export(session: Session, which: WhichArgument, *, out: OutOption = None) -> None:
    """Write certificates as PEM. A broker of this environment trusts the anchors, everything else the root."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, raw, words  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.get(f"/authority/certificates/{which.value}")
    if out is not None:
        out.write_text(told["pem"])
    if session.json:
        emit(told)
    elif out is None:
        raw(told["pem"].rstrip())
    else:
        words(("✓ ", "green"), f"Certificates written to {out}: {told['count']}.")


def _make(session: Session, scope: Any, number: int, algorithm: Algorithm, root_key: Path) -> None:
    """Make the issuer here, under a root's key that the server does not have; the server takes it up afterwards."""
    from holdfast.adapters.pki import FileAuthority, FileKeyStore, find_passphrase  # noqa: PLC0415  (rule 3)
    from holdfast.adapters.pki.keystores import open_key_store  # noqa: PLC0415
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415
    from holdfast.config import load  # noqa: PLC0415
    from holdfast.ports.keystore import KeyAlgorithm  # noqa: PLC0415

    keys = session.folder / "keys"
    passphrase = find_passphrase(keys, os.environ)
    store = open_key_store(load(session.folder, os.environ), keys, passphrase, os.environ)
    brought = FileKeyStore(root_key.parent, passphrase).load(root_key.name.removesuffix(".key"))
    kind, now = KeyAlgorithm(algorithm.value), SystemClock().now()
    FileAuthority(keys, store).add_issuer(scope, number, now=now, algorithm=kind, root_key=brought)


def _shown(told: dict[str, Any]) -> None:
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import ago, show, table, words  # noqa: PLC0415

    now = SystemClock().now()
    here = told["root_key_is_here"]
    show(("root  ", "dim"), told["root_fingerprint"])
    show(("      ", "dim"), f"its key is {'still on this machine: take it away' if here else 'away, as it should be'}")
    columns = ("issuer", "stands", "since", "key", "ends", "in force", "fingerprint")
    rows = [
        (
            str(issuer["number"]),
            issuer["standing"],
            ago(issuer["since"], now),
            issuer["algorithm"],
            issuer["not_after"][:10],
            str(issuer["in_force"]),
            issuer["fingerprint"][7:23],
        )
        for issuer in told["issuers"]
    ]
    table(columns, rows)
    if told["laggard_count"]:
        rest = told["laggard_count"] - len(told["laggards"])
        more = f" and {rest} more" if rest else ""
        words(f"Still on the retiring issuer: {', '.join(told['laggards'])}{more}. They renew when they next call.")
