"""What a boot was, in facts that a policy can judge, from a log whose replay in the same bank has matched.

1. A content counts only where its digest in the bank is of it (`digest_matches`); where it had to be and is not, the
   event is named in `unproven` and gives no fact.
2. Secure Boot's configuration is what PCR 7 was extended with before its separator. What says two things of one
   variable says nothing: the fact is None, and the event is named.
3. A variable that was measured without data does not exist on that machine: Secure Boot is off, a database is empty.
4. Images count by their digests. Their paths are the firmware's word, for people.
5. A fact that something was measured does not say by whom: whoever runs later can extend most registers too. Policies
   ask that nothing is there which may not be, not only that something is.

Source: PFP 1.06, sections 3.3.4.8 and 10.4; TCG PC Client Reference Integrity Manifest.
"""

from __future__ import annotations

import msgspec

from holdfast_core.formats.eventlog import kinds
from holdfast_core.formats.eventlog.banks import hasher
from holdfast_core.formats.eventlog.contents import ERROR_SEPARATOR, NORMAL_SEPARATORS, content_of
from holdfast_core.formats.eventlog.firmware import Image
from holdfast_core.formats.eventlog.log import Event, EventLog
from holdfast_core.formats.eventlog.preimage import digest_matches
from holdfast_core.formats.eventlog.signatures import Signature
from holdfast_core.formats.eventlog.texts import Text
from holdfast_core.formats.eventlog.variables import (
    GLOBAL,
    SECURITY_DATABASE,
    SHIM,
    Authority,
    Signatures,
    Switch,
    Variable,
    Words,
)

SECURE_BOOT_REGISTER = 7
DEBUG_MODE = "UEFI Debug Mode"
"""The EV_EFI_ACTION that PCR 7 is extended with when a debugger may be attached (PFP, section 3.3.4.8)."""
_IMAGES = frozenset(
    {kinds.EFI_BOOT_SERVICES_APPLICATION, kinds.EFI_BOOT_SERVICES_DRIVER, kinds.EFI_RUNTIME_SERVICES_DRIVER}
)


class LoadedImage(msgspec.Struct, frozen=True):
    """An image that ran: event number, register, kind of event, its digest in the bank, and where it came from."""

    number: int
    register: int
    kind: int
    digest: bytes
    path: str


class UsedAuthority(msgspec.Struct, frozen=True):
    """By what an image was allowed: event number, database, its GUID, and the entry."""

    number: int
    name: str
    guid: str
    entry: Signature


class BootFacts(msgspec.Struct, frozen=True):
    """A boot in facts.

    `secure_boot`, `setup_mode`, `audit_mode` and `deployed_mode` are None where nothing proven says them, and so are
    `pk`, `kek`, `db` and `dbx`. `separators` are the registers with a normal separator, `failed` those with an
    error's. `command_lines` are those of the kernel that GRUB names so and whose digest matches, without that word
    being proven. `unproven` are the numbers of the events whose data is not what was measured, or contradicts another.
    """

    bank: int
    secure_boot: bool | None
    setup_mode: bool | None
    audit_mode: bool | None
    deployed_mode: bool | None
    debug: bool
    pk: tuple[Signature, ...] | None
    kek: tuple[Signature, ...] | None
    db: tuple[Signature, ...] | None
    dbx: tuple[Signature, ...] | None
    separators: tuple[int, ...]
    failed: tuple[int, ...]
    images: tuple[LoadedImage, ...]
    authorities: tuple[UsedAuthority, ...]
    sbat_level: str | None
    command_lines: tuple[str, ...]
    unproven: tuple[int, ...]


def facts_of(log: EventLog, bank: int) -> BootFacts:
    """The facts of `log` as far as its digests in `bank` (TPM_ALG_ID) prove them.

    Raises:
        HostileData: ``eventlog.bank`` for a bank that cannot be computed.
    """
    gathered = _Gathered(bank)
    for event in log.events:
        gathered.take(event)
    return gathered.facts()


class _Gathered:
    """The facts while the log is walked once."""

    def __init__(self, bank: int) -> None:
        self._bank = bank
        hashed = hasher(bank)
        self._normal = frozenset(hashed(each) for each in NORMAL_SEPARATORS)
        self._error = hashed(ERROR_SEPARATOR)
        self._separated: set[int] = set()
        self._failed: set[int] = set()
        self._variables: dict[tuple[str, str], Switch | Signatures | Words | None] = {}
        self._images: list[LoadedImage] = []
        self._authorities: list[UsedAuthority] = []
        self._lines: list[str] = []
        self._unproven: list[int] = []
        self._debug = False

    def take(self, event: Event) -> None:
        """Add what `event` proves."""
        digest = event.digests.get(self._bank)
        if event.kind == kinds.NO_ACTION:
            return
        if event.kind == kinds.SEPARATOR:
            self._separator(event, digest)
        elif event.kind in _IMAGES:
            self._image(event, digest)
        else:
            self._content(event)

    def _separator(self, event: Event, digest: bytes | None) -> None:
        # An error's separator has the error in its data, and the digest of a constant: the digest decides.
        if digest in self._normal:
            self._separated.add(event.register)
        else:
            self._failed.add(event.register)
            if digest != self._error:
                self._unproven.append(event.number)

    def _image(self, event: Event, digest: bytes | None) -> None:
        if digest is None:
            self._unproven.append(event.number)
            return
        content = content_of(event)
        path = content.path.text if isinstance(content, Image) else ""
        self._images.append(LoadedImage(event.number, event.register, event.kind, digest, path))

    def _content(self, event: Event) -> None:
        matches = digest_matches(event, self._bank)
        if matches is not True:
            if matches is False:
                self._unproven.append(event.number)
            return
        content = content_of(event)
        if isinstance(content, Variable):
            self._variable(event, content)
        elif isinstance(content, Text):
            self._text(event, content)

    def _variable(self, event: Event, variable: Variable) -> None:
        if event.register != SECURE_BOOT_REGISTER:
            return
        if isinstance(variable.reading, Authority):
            used = UsedAuthority(event.number, variable.name, variable.guid, variable.reading.entry)
            self._authorities.append(used)
            return
        if event.kind == kinds.EFI_VARIABLE_DRIVER_CONFIG or isinstance(variable.reading, Words):
            self._setting(event, variable)

    def _setting(self, event: Event, variable: Variable) -> None:
        name = (variable.guid, variable.name)
        reading = variable.reading if isinstance(variable.reading, Switch | Signatures | Words) else None
        late = SECURE_BOOT_REGISTER in self._separated and not isinstance(reading, Words)
        if late or self._variables.get(name, reading) != reading:
            self._variables[name] = None
            self._unproven.append(event.number)
        else:
            self._variables[name] = reading

    def _text(self, event: Event, text: Text) -> None:
        if event.register == SECURE_BOOT_REGISTER and text.text == DEBUG_MODE:
            self._debug = True
        if text.word.startswith("kernel_cmdline") or text.word == "grub_kernel_cmdline":
            self._lines.append(text.text)

    def _switch(self, name: str) -> bool | None:
        found = self._variables.get((GLOBAL, name))
        return found.on if isinstance(found, Switch) else None

    def _entries(self, guid: str, name: str) -> tuple[Signature, ...] | None:
        found = self._variables.get((guid, name))
        return found.entries if isinstance(found, Signatures) else None

    def facts(self) -> BootFacts:
        """What was gathered."""
        sbat = self._variables.get((SHIM, "SbatLevel"))
        return BootFacts(
            bank=self._bank,
            secure_boot=self._switch("SecureBoot"),
            setup_mode=self._switch("SetupMode"),
            audit_mode=self._switch("AuditMode"),
            deployed_mode=self._switch("DeployedMode"),
            debug=self._debug,
            pk=self._entries(GLOBAL, "PK"),
            kek=self._entries(GLOBAL, "KEK"),
            db=self._entries(SECURITY_DATABASE, "db"),
            dbx=self._entries(SECURITY_DATABASE, "dbx"),
            separators=tuple(sorted(self._separated - self._failed)),
            failed=tuple(sorted(self._failed)),
            images=tuple(self._images),
            authorities=tuple(self._authorities),
            sbat_level=sbat.text if isinstance(sbat, Words) else None,
            command_lines=tuple(self._lines),
            unproven=tuple(self._unproven),
        )
