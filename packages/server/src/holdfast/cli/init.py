"""``holdfast init``: make the data folder of a new control plane."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from holdfast.cli.session import Session, command, default_folder

if TYPE_CHECKING:
    from holdfast.cli.founding import Founded

NameOption = Annotated[
    list[str] | None,
    typer.Option(
        "--name",
        metavar="HOST",
        help="A name or address by which devices reach this server; repeat it. Default: this host, localhost.",
        show_default=False,
    ),
]
TenantOption = Annotated[str, typer.Option(help="Who the devices belong to; stands in every key.")]
EnvironmentOption = Annotated[str, typer.Option(help="Which environment this is.")]
DevicePort = Annotated[int, typer.Option(min=0, max=65_535, help="Where devices call (mutual TLS).")]
EstPort = Annotated[int, typer.Option(min=0, max=65_535, help="Where EST clients call that speak no TLS 1.3.")]
OperatorPort = Annotated[int, typer.Option(min=0, max=65_535, help="Where people and programs call (API).")]
MetricsPort = Annotated[int, typer.Option(min=0, max=65_535, help="Health and metrics, on 127.0.0.1.")]
CertificateOption = Annotated[
    str,
    typer.Option(
        "--operator-certificate",
        metavar="PEM",
        help="Your own certificate chain for the port for people; needs --operator-key.",
        show_default=False,
    ),
]
KeysOption = Annotated[
    str, typer.Option("--keys", metavar="WHERE", help="Where the authorities' keys lie: files, or pkcs11 for a token.")
]
ModuleOption = Annotated[
    str, typer.Option("--pkcs11-module", metavar="FILE", help="The token's shared library.", show_default=False)
]
LabelOption = Annotated[
    str, typer.Option("--pkcs11-token", metavar="LABEL", help="The token's label.", show_default=False)
]
KeyOption = Annotated[str, typer.Option("--operator-key", metavar="PEM", help="Its key.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    command(app, "init")(run)


def run(
    session: Session,
    *,
    names: NameOption = None,
    tenant: TenantOption = "default",
    environment: EnvironmentOption = "production",
    device_port: DevicePort = 8444,
    est_port: EstPort = 8445,
    operator_port: OperatorPort = 8443,
    metrics_port: MetricsPort = 9464,
    certificate: CertificateOption = "",
    key: KeyOption = "",
    keys: KeysOption = "files",
    pkcs11_module: ModuleOption = "",
    pkcs11_token: LabelOption = "",
) -> None:
    """Make the data folder: keys, configuration, database, the first API token.

    Safe to repeat: what is there is left alone, what is missing is made, no key is ever overwritten. Settings given
    here count only for a new folder; afterwards edit holdfast.toml. The first token is printed on stdout, once.
    """
    import asyncio  # noqa: PLC0415  (rule 3 of the package)

    from holdfast.cli.founding import found, prepare_folder  # noqa: PLC0415
    from holdfast.cli.session import usage  # noqa: PLC0415
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415
    from holdfast.config import Config  # noqa: PLC0415

    if bool(certificate) != bool(key):
        usage("--operator-certificate and --operator-key go together.")
    wanted = Config(
        tenant=tenant,
        environment=environment,
        names=tuple(names or _own_names()),
        device_port=device_port,
        est_port=est_port,
        operator_port=operator_port,
        metrics_port=metrics_port,
        operator_certificate=certificate,
        operator_key=key,
        keys=_where(keys),
        pkcs11_module=pkcs11_module,
        pkcs11_token=pkcs11_token,
    )
    _ = wanted.scope  # refuses what is no name, before anything is made
    prepare_folder(session.folder)
    founded = asyncio.run(found(session.folder, wanted, dict(os.environ), lambda step: words(("  ✓ ", "green"), step)))
    if session.json:
        emit(founded)
    else:
        _show(founded)


def _where(keys: str) -> Literal["files", "pkcs11"]:
    from holdfast.cli.session import usage  # noqa: PLC0415  (rule 3 of the package)

    if keys == "files":
        return "files"
    if keys != "pkcs11":
        usage("--keys is files or pkcs11.")
    return "pkcs11"


def _own_names() -> list[str]:
    import socket  # noqa: PLC0415  (rule 3 of the package)

    host = socket.gethostname().lower()
    return [*([host] if host not in {"", "localhost"} else []), "localhost", "127.0.0.1"]


def _show(founded: Founded) -> None:
    from holdfast.cli.founding import FIRST_TOKEN  # noqa: PLC0415
    from holdfast.cli.terminal import exact, raw, words  # noqa: PLC0415

    config = founded.config
    if not founded.done:
        words("Everything was there already; nothing was changed.")
    words("")
    exact(("Data folder    ", "dim"), founded.folder)
    exact(("Root authority ", "dim"), founded.root_fingerprint)
    exact(("People's port  ", "dim"), f"https://{config.names[0]}:{config.operator_port}, certificate")
    exact("               ", founded.people_certificate)
    exact(("Log key        ", "dim"), founded.verifier_key)
    exact(("Devices call   ", "dim"), f"https://{config.names[0]}:{config.device_port}")
    words(("Example models ", "dim"), ", ".join(founded.models))
    words("")
    if founded.token:
        words((f"The first API token, {FIRST_TOKEN!r} (admin, 90 days). It is shown this once; keep it safe:", "bold"))
        raw(founded.token)
    else:
        words("A token was made before and cannot be shown again. If you lost it: holdfast token revoke first,")
        words("then holdfast token create first --permission admin.")
    flag = "" if Path(founded.folder) == default_folder() else f" --data {founded.folder}"
    words("")
    words(("Next", "bold"))
    exact(f"  1. holdfast serve{flag}")
    exact(f"  2. holdfast device add door-1 --model {_example(founded)}{flag}")
    exact(f"  3. holdfast claim create door-1{flag}      prints the command for the device")
    words("")
    words("Move keys/root.key to a safe place off this machine: it is needed only to make another authority.")
    words("Keep the log key somewhere else too: with it anybody can verify the record (holdfast log verify --key).")


def _example(founded: Founded) -> str:
    return next((each for each in founded.models if each.startswith("door-camera")), "MODEL")
