"""The state folder: everything the agent keeps, written so that a crash at any moment leaves the old or the new.

::

    config.json    which server, which device, which root; written at enrollment
    root.pem       the authority that the operator pinned
    identity.pem   private key and certificate chain; one file, so that both change in one rename. Of a key in the
                   TPM only the chip's own encrypted blob stands here, which loads in no other chip; of one in a PKCS#11
                   token nothing
    attestation.pem  the same of the TPM's attestation key; there only where the key is in the TPM
    quoting.json   where in the chip that key stays
    renewal.pem    the key of the next certificate, while it is asked for
    state.json     the protocol's state and the marks of the last audit: at most two writes a check-in
    plan.json      what the server asks to be audited; written when it changes
    findings.json  what the last audit found; written when it changes
    sent.json      what the server holds, while that is an earlier audit: only the changes are sent then
    walk.json      where a costly look was put down, for the next sitting; there only in between
    erasing.json   the order to erase the device and what came of it, from the order until its end
    retired.json   that this device was retired; once it is there, nothing else is
    update/        everything of updates, where the device has an installer (`update.joining`)
    lock           held by the one agent that may use the folder

1. The folder is 0700 and belongs to the agent's user, files are 0600.
2. Written is: a temporary file, fsync, rename, fsync of the folder.
3. A device that was retired stays so: the mark is durable before the key goes, and whoever finds the mark removes what
   a crash left, folders with all that is in them (`emptying`).
4. A state that cannot be read is never silently started anew: its count would repeat, and look like a clone.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import msgspec

from holdfast_agent.durable import sync_folder, write_synced
from holdfast_agent.emptying import remove_any
from holdfast_core.baseline.model import Findings, Plan
from holdfast_core.inventory.erasure import EraseArgs, ErasureReport
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.errors import WorldError
from holdfast_core.wire.confirm import Moment
from holdfast_core.wire.device import DeviceState

MAX_FILE_BYTES = 4 * 1024 * 1024
"""More than any of these files ever holds."""

CONFIG, ROOT, IDENTITY = "config.json", "root.pem", "identity.pem"
RENEWAL = "renewal.pem"
ATTESTATION = "attestation.pem"
QUOTING = "quoting.json"
ENROLLMENT = "enrollment.json"
"""There only while an enrollment is being put in force."""
STATE, PLAN, FINDINGS, SENT, LOCK = "state.json", "plan.json", "findings.json", "sent.json", "lock"
WALK = "walk.json"
ERASING, RETIRED = "erasing.json", "retired.json"
_TEMPORARY = ".new"
DEFAULT_TCTI = "device:/dev/tpmrm0"
"""The kernel's resource manager, which shares the chip among programs."""

_T = TypeVar("_T")


class LightAudit(StrEnum):
    """When the cheap controls (accounts, listening sockets, file modes) are looked at again between full audits."""

    EVERY_CHECK_IN = "every-check-in"
    INTERVAL = "interval"


class KeyPlace(StrEnum):
    """Where the device's private key lies."""

    FILE = "file"
    TPM = "tpm"
    TOKEN = "token"  # noqa: S105  (a place, no secret)


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was decided at enrollment. `proc` is where the device's own procfs is mounted, `root` its file tree."""

    server: str
    device: str
    root: str = "/"
    proc: str = "/proc"
    release_file: str = ""
    """A JSON file with `build`, `version` and `slot`; empty: ``etc/os-release`` is read."""
    light_audit: LightAudit = LightAudit.INTERVAL
    light_interval_s: int = 0
    """Seconds; 0: as the plan says."""
    key: KeyPlace = KeyPlace.FILE
    tcti: str = ""
    """How the TPM is reached, as tpm2-tss writes it; empty where the key is not in one."""
    token: str = ""
    """Which key of which PKCS#11 token it is (RFC 7512); empty where the key is not in one."""
    sys: str = "/sys"
    """Where the device's own sysfs is mounted."""
    boot_log: str = ""
    """The firmware's event log; empty: where the kernel shows it in sysfs."""
    claims_file: str = ""
    """A JSON file of `wire.attestation.Claims` that the maker's own code keeps."""
    attest_token: tuple[str, ...] = ()
    """The program that prints an attestation token, by its whole path, and its arguments; without a shell."""
    installer: str = ""
    """What writes this device's slots, as `update.joining.installer_of` reads it; empty: it is not updated."""
    hardware: tuple[str, ...] = ()
    """The names of this board, as releases name theirs."""
    model: str = ""
    """The device's model, as releases name it; empty: that of the release that runs (`update.install.model_of`)."""
    reboot_command: tuple[str, ...] = ("systemctl", "reboot")
    """What begins a new boot; without a shell. For a board behind a gateway: what resets it."""
    update_cache: str = ""
    """The cache of the site's gateway, ``http://HOST:PORT``; empty: payloads come from the server."""
    update_roots: str = ""
    """The folder of the factory's first roots of both update repositories; empty: the server's are pinned."""


class AuditMark(msgspec.Struct, frozen=True):
    """The last audit: of which plan (its digest), when all of it ran, when the light part ran."""

    plan: Digest
    full: Moment
    light: Moment
    begun: Moment | None = None
    """When the costly part began that is not finished yet."""
    whole: bool = True
    """Whether everything that the plan asks was looked at once."""


class Written(msgspec.Struct, frozen=True):
    """What was written to the folder since the first enrollment: files replaced, and their bytes."""

    files: int = 0
    bytes: int = 0


class ImaPlaces(msgspec.Struct, frozen=True):
    """Where entries of a boot's IMA list begin: the entry's number and its offset in bytes."""

    boot: str = ""
    places: tuple[tuple[int, int], ...] = ()


class Stored(msgspec.Struct, frozen=True, omit_defaults=True):
    """The content of ``state.json``."""

    protocol: DeviceState = DeviceState()
    audit: AuditMark | None = None
    written: Written = Written()
    ima: ImaPlaces = ImaPlaces()


class Kept(msgspec.Struct, frozen=True):
    """A key that stays in the chip: its persistent handle, and its public area to know it by."""

    handle: int
    public: bytes


class QuotingKey(msgspec.Struct, frozen=True, omit_defaults=True):
    """The attestation key (TPM2B_PUBLIC and TPM2B_PRIVATE) and where in the chip it stays.

    `handle` is 0, and `why` says the reason, where the chip did not take it. `earlier` are those before it, until they
    are removed from the chip.
    """

    public: bytes
    private: bytes
    handle: int = 0
    why: str = ""
    earlier: tuple[Kept, ...] = ()


class Erasing(msgspec.Struct, frozen=True, omit_defaults=True):
    """The order to erase the device: the directive's number, what it asks, and once it was done what came of it."""

    directive: int
    args: EraseArgs
    report: ErasureReport | None = None


class _Mark(msgspec.Struct, frozen=True):
    device: str
    at_s: int


class Enrollment(msgspec.Struct, frozen=True):
    """What an enrollment leaves: certificates as PEM, the identity with its key."""

    root: str
    identity: str
    config: Config
    state: Stored
    attestation: str = ""
    quoting: QuotingKey | None = None


class Folder:
    """The state folder at `path`; made if it is missing.

    Raises:
        WorldError: ``agent.state_folder``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written = Written()
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = path.stat()
            if status.st_uid != os.geteuid():
                raise _world(PermissionError(errno.EPERM, "it belongs to another user"), path)
            if status.st_mode & 0o077:
                path.chmod(0o700)
        except OSError as error:
            raise _world(error, path) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the one agent that uses the folder, while the context lasts. Raises WorldError ``agent.busy``."""
        descriptor = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if (self.path / RETIRED).exists():
                self._empty()
            self.check_living()
            self._take_over()
            yield
        except BlockingIOError as error:
            raise WorldError(
                "agent.busy",
                f"Another agent is using {self.path}.",
                remedy="Let it finish, or stop the resident one before running a one-shot command.",
            ) from error
        finally:
            os.close(descriptor)

    @property
    def enrolled(self) -> bool:
        """Whether an enrollment was finished here."""
        return all((self.path / name).exists() for name in (CONFIG, ROOT, IDENTITY))

    def config(self) -> Config:
        """What was decided at enrollment.

        Raises:
            WorldError: ``agent.retired``, ``agent.not_enrolled``, ``agent.state_damaged``.
        """
        self.check_living()
        config = self._load(CONFIG, Config)
        if config is None or not self.enrolled:
            raise WorldError(
                "agent.not_enrolled",
                f"There is no finished enrollment in {self.path}.",
                remedy="Run the 'holdfast-agent enroll' command that 'holdfast claim create' prints.",
            )
        return config

    def state(self) -> Stored:
        """The state. Raises WorldError ``agent.state_damaged``, also when it is missing after an enrollment."""
        stored = self._load(STATE, Stored)
        if stored is None and self.enrolled:
            raise _damaged(self.path / STATE, "it is missing")
        stored = stored or Stored()
        self.written = stored.written
        # A process killed between rename and fsync left a name that is not durable yet, and we are about to act on it.
        try:
            sync_folder(self.path)
        except OSError as error:
            raise _disk(error, self.path) from error
        return stored

    def check_living(self) -> None:
        """Raises WorldError ``agent.retired``, once the device was retired."""
        if (self.path / RETIRED).exists():
            raise WorldError(
                "agent.retired",
                "This device was retired: it erased its data and its key, and stays silent.",
                remedy=f"For a new life under another name, remove {self.path / RETIRED}, then enroll it.",
            )

    def erasing(self) -> Erasing | None:
        """The order to erase the device, if there is one."""
        return self._load(ERASING, Erasing)

    def retire(self, device: str, at_s: int) -> None:
        """End the device's life here: the mark first, then everything else goes. Raises WorldError ``agent.disk``."""
        self.write(RETIRED, msgspec.json.encode(_Mark(device, at_s)))
        self._empty()

    def _empty(self) -> None:
        """Remove everything but the mark, the key first."""
        try:
            for name in (IDENTITY, RENEWAL):
                self.remove(name)
            sync_folder(self.path)
            folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                # The files first: what cannot be removed of a folder shall not keep them.
                for path in sorted(self.path.iterdir(), key=lambda path: path.is_dir()):
                    if path.name not in (RETIRED, LOCK):
                        remove_any(path.name, folder)
            finally:
                os.close(folder)
            sync_folder(self.path)
        except OSError as error:
            raise _disk(error, self.path) from error

    def plan(self) -> Plan | None:
        """What to audit, if the server has said."""
        return self._load(PLAN, Plan)

    def findings(self) -> Findings | None:
        """What the last audit found."""
        return self._load(FINDINGS, Findings)

    def sent(self) -> Findings | None:
        """The earlier audit that the server holds, if it was kept."""
        return self._load(SENT, Findings)

    def quoting(self) -> QuotingKey | None:
        """The attestation key and where in the chip it stays, if there is one."""
        return self._load(QUOTING, QuotingKey)

    def walk(self) -> bytes:
        """Where the last look was put down; empty when it was finished."""
        return self._read(WALK) or b""

    def keep_walk(self, data: bytes) -> None:
        """Keep where a look was put down, or nothing. Raises WorldError ``agent.disk``."""
        if data:
            self.write(WALK, data)
        else:
            self.remove(WALK)

    def keep_sent(self) -> None:
        """Keep the last audit, which the server holds, as the earlier one; a new one is written next.

        A second name for the same file, so that no byte is written; where the file system has none, nothing is kept
        and the next audit travels whole.
        """
        new = self.path / (SENT + _TEMPORARY)
        new.unlink(missing_ok=True)
        with suppress(OSError):
            new.hardlink_to(self.path / FINDINGS)
            new.replace(self.path / SENT)

    def enroll(self, enrollment: Enrollment) -> None:
        """Replace whatever was enrolled here, wholly or not at all, wherever the process may be killed.

        Raises:
            WorldError: ``agent.disk``.
        """
        self.write(ENROLLMENT, msgspec.json.encode(enrollment))
        self._take_over()

    def _take_over(self) -> None:
        """Put an enrollment that is durable in force; one that was interrupted is put in force again."""
        enrollment = self._load(ENROLLMENT, Enrollment)
        if enrollment is None:
            return
        self.write(ROOT, enrollment.root.encode())
        self.write(CONFIG, msgspec.json.encode(enrollment.config))
        self.save(enrollment.state)
        if enrollment.attestation:
            self.write(ATTESTATION, enrollment.attestation.encode())
        else:
            self.remove(ATTESTATION)
        if enrollment.quoting is not None:
            self.write(QUOTING, msgspec.json.encode(enrollment.quoting))
        else:
            self.remove(QUOTING)
        self.write(IDENTITY, enrollment.identity.encode())
        self.remove(RENEWAL)  # of the identity before
        self.remove(ENROLLMENT)

    def save(self, stored: Stored) -> None:
        """Make the state durable; what it says of writes is filled in here. Raises WorldError ``agent.disk``."""
        # The count includes this very write; its own digits may be a few bytes off, and nobody minds.
        size = len(msgspec.json.encode(msgspec.structs.replace(stored, written=self.written)))
        counted = Written(self.written.files + 1, self.written.bytes + size)
        self._replace(STATE, msgspec.json.encode(msgspec.structs.replace(stored, written=counted)))
        self.written = counted

    def write(self, name: str, data: bytes) -> None:
        """Replace a file of the folder by `data`, durable when this returns. Raises WorldError ``agent.disk``."""
        self._replace(name, data)
        self.written = Written(self.written.files + 1, self.written.bytes + len(data))

    def _replace(self, name: str, data: bytes) -> None:
        target, temporary = self.path / name, self.path / (name + _TEMPORARY)
        try:
            write_synced(temporary, data)
            temporary.replace(target)
            sync_folder(self.path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise _disk(error, target) from error

    def write_if_changed(self, name: str, data: bytes) -> bool:
        """`write`, unless the file holds `data` already; whether it was written."""
        if self._read(name) == data:
            return False
        self.write(name, data)
        return True

    def remove(self, name: str) -> None:
        """Remove a file that may be missing."""
        (self.path / name).unlink(missing_ok=True)

    def _read(self, name: str) -> bytes | None:
        path = self.path / name
        try:
            with path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _world(error, path) from error
        if len(data) > MAX_FILE_BYTES:
            raise _damaged(path, "it is far too large")
        return data

    def _load(self, name: str, kind: type[_T]) -> _T | None:
        data = self._read(name)
        if data is None:
            return None
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise _damaged(self.path / name, str(error)) from error


def _world(error: OSError, path: Path) -> WorldError:
    return WorldError(
        "agent.state_folder",
        f"{path} cannot be used: {error.strerror}.",
        remedy="Run the agent as the user that enrolled the device, or name another folder with --state.",
    )


def _disk(error: OSError, path: Path) -> WorldError:
    return WorldError(
        "agent.disk",
        f"{path} could not be written: {error.strerror}.",
        remedy="Make room or repair the disk; nothing was sent that is not written, and nothing is lost.",
    )


def _damaged(path: Path, why: str) -> WorldError:
    return WorldError(
        "agent.state_damaged",
        f"{path} cannot be read as what it should be: {why}.",
        remedy="Ask an operator for a new claim and enroll the device again; do not restore an old copy of the folder.",
    )
