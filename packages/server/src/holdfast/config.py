"""The server's configuration: one TOML file, parsed once, frozen; unknown keys are errors.

Order: the defaults here, then ``holdfast.toml`` in the data folder, then ``HOLDFAST_*`` variables that the caller
passes in. Secrets never stand in it: they are files in the data folder.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.limits import LIMITS, Limits

FILE = "holdfast.toml"
PREFIX = "HOLDFAST_"


Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
"""0 means any free one."""
Count = Annotated[int, msgspec.Meta(ge=1)]
_LISTS = frozenset({"names", "catalogues", "provisioning_hook", "watched_lists", "watched_parties"})
_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*", re.IGNORECASE
)
"""A host name (RFC 1123, section 2.1; with the underscores that some networks have)."""


_VALIDATION_URL = re.compile(r"http://([A-Za-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(:[0-9]{1,5})?")


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What can be set. Hosts are addresses to listen on; names are what goes into certificates.

    Raises:
        HostileData: ``config.invalid`` when built from what cannot be.
    """

    tenant: str = "default"
    environment: str = "production"
    names: tuple[str, ...] = ("localhost", "127.0.0.1")
    """Under which names and addresses devices and people reach this server."""
    device_host: str = "0.0.0.0"  # noqa: S104  (devices call from outside; mutual TLS guards the port)
    device_port: Port = 8444
    est_port: Port = 8445
    """EST (RFC 7030) over TLS 1.2, for clients that speak no newer one; on the host of the device port."""
    operator_host: str = "127.0.0.1"
    operator_port: Port = 8443
    operator_certificate: str = ""
    """PEM file with your own certificate chain for people; empty: Holdfast makes one."""
    operator_key: str = ""
    validation_url: str = ""
    """Where anybody asks which certificates are revoked, ``http://HOST[:PORT]``, as it stands in every certificate that
    is issued from then on; empty: nothing is served, and certificates say nothing of it."""
    validation_host: str = "0.0.0.0"  # noqa: S104  (asked from outside; what is served is public and signed)
    validation_port: Port = 8446
    watched_parties: tuple[str, ...] = ()
    """``HOST:PORT`` of servers that let devices in by their certificates; each is tried with a revoked one."""
    watched_lists: tuple[str, ...] = ()
    """Files and addresses where brokers and others find our revocation lists; looked at every minute."""
    metrics_port: Port = 9464
    """Health and metrics, on 127.0.0.1 only."""
    webhook_url: str = ""
    keys: Literal["files", "pkcs11"] = "files"
    """Where the keys lie that sign for devices."""
    pkcs11_module: str = ""
    """The shared library of the token, for ``keys = "pkcs11"``."""
    pkcs11_token: str = ""
    """The token's label."""
    provisioning_hook: tuple[str, ...] = ()
    """A program and its arguments, asked about each device of a production line."""
    catalogues: tuple[str, ...] = ()
    """Folders with controls of your own, laid over the shipped ones in this order."""
    connections: Count = 4096
    check_ins_per_contact: Count = 64
    """Check-ins of one device within its model's contact interval; beyond it is told to come later."""

    def __post_init__(self) -> None:
        """Refuse names that no certificate can have, and hosts that are no addresses."""
        if not self.names:
            raise _invalid("names is empty")
        for name in self.names:
            if not (_is_address(name) or _NAME.fullmatch(name)):
                raise _invalid(f"{name[:80]!r} in names is neither a host name nor an address (without scheme or port)")
        if self.keys == "pkcs11" and not (self.pkcs11_module and self.pkcs11_token):
            raise _invalid('keys = "pkcs11" needs pkcs11_module and pkcs11_token')
        if self.validation_url and not _VALIDATION_URL.fullmatch(self.validation_url):
            raise _invalid(
                f"validation_url {self.validation_url[:80]!r} is not http://HOST[:PORT] (plain HTTP, no path)"
            )
        for key, host in (
            ("device_host", self.device_host),
            ("operator_host", self.operator_host),
            ("validation_host", self.validation_host),
        ):
            if not _is_address(host):
                raise _invalid(f"{key} {host[:80]!r} is not an address; listen on 0.0.0.0, :: or one of this machine's")

    def operator_files(self, keys: Path) -> tuple[Path, Path]:
        """Certificate chain and key of the port for people: your own, or those in the folder `keys`."""
        certificate = Path(self.operator_certificate or keys / "operator-port.pem")
        return certificate, Path(self.operator_key or keys / "operator-port.key")

    @property
    def limits(self) -> Limits:
        """The limits in force under this configuration."""
        return msgspec.structs.replace(
            LIMITS, connections=self.connections, check_ins_per_contact=self.check_ins_per_contact
        )

    @property
    def scope(self) -> Scope:
        """The scope in which the command line works."""
        return Scope(self.tenant, self.environment)


def load(folder: Path, environ: Mapping[str, str]) -> Config:
    """The configuration of a data folder.

    Raises:
        WorldError: ``config.missing``.
        HostileData: ``config.invalid``.
    """
    path = folder / FILE
    try:
        raw = tomllib.loads(path.read_text())
    except OSError as error:
        raise WorldError(
            "config.missing",
            f"{path} could not be read: {error.strerror}.",
            remedy="Run holdfast init first, or name the data folder with --data or HOLDFAST_DATA.",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _invalid(f"{path}: {error}") from error
    for field in msgspec.structs.fields(Config):
        if value := environ.get(PREFIX + field.name.upper()):
            raw[field.name] = value.split(",") if field.name in _LISTS else value
    try:
        return msgspec.convert(raw, Config, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from error


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _invalid(why: str) -> HostileData:
    return HostileData(
        "config.invalid",
        f"The configuration is not right: {why}.",
        remedy=f"Correct {FILE} or the {PREFIX}* variable; docs/reference/configuration.md lists every key.",
    )


def render(config: Config) -> str:
    """The text of a configuration file that says what `config` says."""
    lines = ["# Holdfast: see docs/reference/configuration.md. Unknown keys are errors.", ""]
    for name, value in msgspec.structs.asdict(config).items():
        text = msgspec.json.encode(value).decode()  # JSON scalars and arrays of strings are TOML too
        lines.append(f"{name} = {text}")
    return "\n".join(lines) + "\n"
