"""What ``holdfast doctor`` looks at. Each check yields what it found wrong; a check that finds nothing is fine.

1. A finding says what is wrong in a sentence and what to do about it; it has a stable code.
2. Looking changes nothing.
3. A check that cannot look says so as a finding: it never passes for fine.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography import x509

from holdfast.adapters.pki.authority import ISSUERS, SERVICES
from holdfast.adapters.pki.keystores import open_key_store
from holdfast.adapters.pki.passphrase import BESIDE, Source, find_passphrase
from holdfast.adapters.store import open_engine
from holdfast.adapters.store.backup import examine
from holdfast.adapters.store.schema import check_version
from holdfast.bootstrap import DATABASE
from holdfast.cli.connection import connected, server_runs
from holdfast.cli.founding import KEYS, needed_keys
from holdfast.config import FILE, Config, load
from holdfast.ports.keystore import missing
from holdfast_core.kernel.errors import HoldfastError
from holdfast_core.kernel.instants import DAY, MINUTE, Instant, from_datetime, in_words, rfc3339
from holdfast_core.kernel.reasons import Reason

SOON = 30 * DAY
"""A certificate that ends within this is told."""
SPACE_BYTES = 1024**3
SPACE_SHARE = 0.05
SKEW = 5 * MINUTE
PRIVATE = (".key", ".secret", "passphrase")

Check = Callable[["Patient"], Iterator[Reason]]


class Patient:
    """What is looked at: the folder, its configuration if that can be read, and the time."""

    def __init__(self, folder: Path, now: Instant) -> None:
        self.folder = folder
        self.now = now
        self.config: Config | None = None
        self.running = False


def folder_is_private(patient: Patient) -> Iterator[Reason]:
    """The data folder and its keys are their owner's alone."""
    for path in (patient.folder, patient.folder / KEYS):
        if not path.is_dir():
            remedy = "Run holdfast init, or name the data folder with --data."
            yield Reason("doctor.folder_missing", f"There is no folder {path}.", remedy)
        elif extra := stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield Reason(
                "doctor.folder_open",
                f"{path} can be used by others (mode {stat.S_IMODE(path.stat().st_mode):04o}).",
                f"Close it: chmod go-rwx {path}" if extra else "",
            )
    for path in sorted((patient.folder / KEYS).glob("*")):
        if path.name.endswith(PRIVATE) and stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield Reason(
                "doctor.key_open",
                f"{path} can be read by others: whoever read it can act as this server.",
                f"Close it: chmod 600 {path}. If others had access to this machine, make new keys.",
            )


def configuration(patient: Patient) -> Iterator[Reason]:
    """The configuration can be read."""
    try:
        patient.config = load(patient.folder, os.environ)
    except HoldfastError as error:
        yield Reason(error.code, error.sentence, error.remedy)


def keys_present(patient: Patient) -> Iterator[Reason]:
    """Every key that serving needs is there, and the root's own is not."""
    keys = patient.folder / KEYS
    if missing := [name for name in needed_keys(patient.config) if not (keys / name).is_file()]:
        yield Reason(
            "doctor.keys_missing",
            f"{keys} lacks {', '.join(missing)}.",
            "Restore them from a backup; devices trust these keys, so new ones would lock every device out.",
        )
    if (keys / "root.key").exists():
        yield Reason(
            "doctor.root_key_here",
            "The root authority's key is still on this machine: whoever takes it over can found another authority.",
            f"Copy {keys / 'root.key'} to two safe places off this machine, check the copies, then delete it here.",
        )


def token(patient: Patient) -> Iterator[Reason]:
    """The token answers and has its keys, where keys lie in one."""
    config, keys = patient.config, patient.folder / KEYS
    if config is None or config.keys != "pkcs11":
        return
    try:
        store = open_key_store(config, keys, find_passphrase(keys, os.environ), os.environ)
        if not store.holds(SERVICES):
            raise missing(SERVICES, f"the token {config.pkcs11_token!r}")
    except HoldfastError as error:
        yield Reason(error.code, error.sentence, error.remedy)


def certificates_hold(patient: Patient) -> Iterator[Reason]:
    """No certificate of the server's own has ended, or soon will."""
    keys, config = patient.folder / KEYS, patient.config
    own = config.operator_certificate if config else ""
    anew = "Move {stem}.pem and {stem}.key in keys/ away, run holdfast init, and restart the server."
    ends_issuer = "Let the next issuer take over well before: holdfast ca rotate --begin."
    ends = "Plan a new authority: devices must learn to trust it before this day."
    for path, remedy in (
        (keys / "root.pem", ends),
        (keys / "services.pem", ends),
        *((path, ends_issuer) for path in sorted((keys / ISSUERS).glob("*/*/*[0-9].pem"))),
        (keys / "device-port.pem", anew.format(stem="device-port")),
        (
            Path(own) if own else keys / "operator-port.pem",
            "Put in a new one." if own else anew.format(stem="operator-port"),
        ),
    ):
        yield from _ends(path, remedy, patient.now)


def names_certified(patient: Patient) -> Iterator[Reason]:
    """The server's certificates are of the names that devices and people are told."""
    config, keys = patient.config, patient.folder / KEYS
    if config is None:
        return  # another check tells
    own = bool(config.operator_certificate)
    for stem, whom in (("device-port", "devices"), *(() if own else (("operator-port", "people"),))):
        certificate = _certificate(keys / f"{stem}.pem")
        if certificate is None:
            continue  # another check tells
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        certified = {*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))}
        if missing := [name for name in config.names if name not in certified]:
            yield Reason(
                "doctor.names",
                f"The certificate of the port for {whom} is not of {', '.join(missing)}: who calls by that refuses it.",
                f"Move keys/{stem}.pem and keys/{stem}.key away, run holdfast init, and restart the server.",
            )


def _certificate(path: Path) -> x509.Certificate | None:
    """The first certificate of a PEM file; `None` where it cannot be read."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return None


def _ends(path: Path, remedy: str, now: Instant) -> Iterator[Reason]:
    certificate = _certificate(path)
    if certificate is None:
        yield Reason("doctor.certificate", f"{path} is no certificate that can be read.", remedy)
        return
    end = from_datetime(certificate.not_valid_after_utc)
    if end <= now:
        yield Reason("doctor.certificate_ended", f"{path} ended on {rfc3339(end)[:10]}.", remedy)
    elif end - now < SOON:
        yield Reason("doctor.certificate_ends", f"{path} ends in {in_words(end - now)}.", remedy)


def passphrase(patient: Patient) -> Iterator[Reason]:
    """The passphrase is there, and lies elsewhere than what it opens."""
    keys = patient.folder / KEYS
    try:
        found = find_passphrase(keys, os.environ)
    except HoldfastError as error:
        yield Reason(error.code, error.sentence, error.remedy)
        return
    if found.source is Source.BESIDE:
        yield Reason(
            "doctor.passphrase_beside",
            f"The passphrase lies beside what it opens, in {keys / BESIDE}: whoever copies the folder has both.",
            "Move it to where only the server's start can read it, and pass it with LoadCredential= or "
            "HOLDFAST_PASSPHRASE_FILE; docs/how-to/keep-keys.md says how. Keep a copy: without it nothing opens.",
        )


def database(patient: Patient) -> Iterator[Reason]:
    """The database is whole and of this program's version."""
    path = patient.folder / DATABASE
    try:
        seen = examine(path)
        engine = open_engine(path)
        try:
            check_version(engine)
        finally:
            engine.dispose()
    except HoldfastError as error:
        yield Reason(error.code, error.sentence, error.remedy)
        return
    for fault in seen.faults[:1]:
        yield Reason(
            "doctor.database_damaged",
            f"{path} is damaged: {fault}",
            "Stop the server, keep a copy of the folder, restore the newest backup, and check the disk.",
        )
    if seen.newest_at is not None and seen.newest_at > patient.now + SKEW:
        ahead = in_words(seen.newest_at - patient.now)
        yield Reason(
            "doctor.clock_behind",
            f"The clock is {ahead} behind the newest entry of the record: it was set back, or was wrong then.",
            "Check the time source (timedatectl, chronyc tracking). Verdicts and certificates follow this clock.",
        )


def clock(patient: Patient) -> Iterator[Reason]:
    """The clock is not before the day the authority was made."""
    root = _certificate(patient.folder / KEYS / "root.pem")
    if root is None:
        return  # another check tells
    if from_datetime(root.not_valid_before_utc) > patient.now:
        yield Reason(
            "doctor.clock_wrong",
            f"The clock says {rfc3339(patient.now)}, which is before this server was founded.",
            "Set it, and see that a time service keeps it: timedatectl set-ntp true.",
        )


def space(patient: Patient) -> Iterator[Reason]:
    """The disk has room."""
    if not patient.folder.is_dir():
        return  # another check tells
    usage = shutil.disk_usage(patient.folder)
    if usage.free < SPACE_BYTES or usage.free < usage.total * SPACE_SHARE:
        yield Reason(
            "doctor.disk_full",
            f"{usage.free / 1024**3:.1f} GiB are free under {patient.folder}. On a full disk no device is answered.",
            "Free space, or move the data folder to a larger disk while the server is stopped.",
        )


def server(patient: Patient) -> Iterator[Reason]:
    """A server runs and answers."""
    try:
        patient.running = server_runs(patient.folder)
        if not patient.running:
            yield Reason(
                "doctor.no_server",
                "No server runs on this folder.",
                "Start it: holdfast serve, or systemctl start holdfast.",
            )
            return
        with connected(patient.folder) as api:
            api.get("/status")
    except HoldfastError as error:
        yield Reason(error.code, error.sentence, error.remedy)


def ports(patient: Patient) -> Iterator[Reason]:
    """A running server's ports answer; a stopped one's are free."""
    config = patient.config
    if config is None:
        return  # another check tells
    for what, host, port in (
        ("devices", config.device_host, config.device_port),
        ("EST clients", config.device_host, config.est_port),
        ("people", config.operator_host, config.operator_port),
        ("health", "127.0.0.1", config.metrics_port),
    ):
        local = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104  (compared with)
        answers = port != 0 and _answers(local, port)
        if patient.running and port != 0 and not answers:
            remedy = f"Look at its log, and restart it. {FILE} names the ports."
            yield Reason("doctor.port_silent", f"Nothing answers on {local}:{port}, the port for {what}.", remedy)
        if not patient.running and answers:
            remedy = f"Find it (ss -ltnp 'sport = :{port}') and stop it, or set another port in {FILE}."
            yield Reason("doctor.port_taken", f"Another program has port {port}, which is for {what}.", remedy)


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=3):
            return True
    except OSError:
        return False


CHECKS: tuple[tuple[str, Check], ...] = (
    ("folder and key permissions", folder_is_private),
    ("configuration", configuration),
    ("keys", keys_present),
    ("passphrase", passphrase),
    ("token", token),
    ("certificates", certificates_hold),
    ("names", names_certified),
    ("database", database),
    ("clock", clock),
    ("disk space", space),
    ("server", server),
    ("ports", ports),
)
"""In this order: later checks read what earlier ones found out."""
