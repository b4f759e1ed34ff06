"""The model file: what one device model is, can bear and must go on doing (DESIGN.md §3).

1. One reviewed file per model, declared once, by the maker; baseline, policy and evidence owed are compiled from it.
2. An unknown key is an error: a misspelt constraint must never silently be a missing one.
3. Values only; what follows from them is in `rules`.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class DeviceClass(StrEnum):
    """The five kinds of device that get separate baselines."""

    SERVER = "server"
    GATEWAY = "gateway"
    LINUX_IOT = "linux-iot"
    OT = "ot"
    MCU = "mcu"


class Power(StrEnum):
    """Where the device's energy comes from."""

    MAINS = "mains"
    BATTERY = "battery"
    HARVESTED = "harvested"


class RootFilesystem(StrEnum):
    """Whether the running system can change its own root."""

    MUTABLE = "mutable"
    IMMUTABLE = "immutable"


class RootOfTrust(StrEnum):
    """The hardware that can hold a key the software cannot read."""

    TPM = "tpm"
    SECURE_ELEMENT = "secure-element"
    PSA = "psa"
    NONE = "none"


class Reachability(StrEnum):
    """Who can start a conversation with the device."""

    DIRECT = "direct"
    NAT = "nat"
    INTERMITTENT = "intermittent"
    OFFLINE = "offline"


class Exposure(StrEnum):
    """Who can touch the device."""

    LOCKED_ROOM = "locked-room"
    STAFF_AREA = "staff-area"
    PUBLIC = "public"
    REMOTE_SITE = "remote-site"


class Classification(StrEnum):
    """How much the data on the device matters; ordered, least first."""

    PUBLIC = "public"
    OPERATIONAL = "operational"
    CONFIDENTIAL = "confidential"
    PERSONAL = "personal"
    SAFETY = "safety"


class UpdateKind(StrEnum):
    """How new software gets onto the device."""

    AB_IMAGE = "ab-image"
    PACKAGE_MANAGER = "package-manager"
    MCU_SWAP = "mcu-swap"
    SINGLE_IMAGE = "single-image"
    VENDOR = "vendor"
    NONE = "none"


class Fallback(StrEnum):
    """What happens when an update does not boot."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"
    NONE = "none"


class Direction(StrEnum):
    """Who opens the connection, seen from the device."""

    IN = "in"
    OUT = "out"


class Transport(StrEnum):
    """What carries a flow."""

    TCP = "tcp"
    UDP = "udp"


class _Declared(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of what a model file declares."""


class Constraints(_Declared, frozen=True):
    """What the device can bear."""

    memory_mib: int
    storage_mib: int
    contact_interval_s: int
    """How often it can be expected to check in; silence is measured against it."""
    cpu_mhz: int = 1000
    cpu_cores: int = 1
    power: Power = Power.MAINS
    flash_writes_mib_per_day: int | None = None
    """What its flash can bear; `None` when wear does not matter."""
    bandwidth_kbit_s: int | None = None
    reboot_allowed: bool = True
    maintenance_window: str | None = None
    """When it may be disturbed, local time, ``HH:MM-HH:MM``."""
    reachability: Reachability = Reachability.DIRECT
    exposure: Exposure = Exposure.LOCKED_ROOM
    root_filesystem: RootFilesystem = RootFilesystem.MUTABLE
    root_of_trust: RootOfTrust = RootOfTrust.NONE
    vendor_locked: bool = False
    """Nobody but the vendor can change its software or settings."""
    heavy_audit_interval_s: int = 86_400
    """How often the costly part of the audit is asked for."""


class DataItem(_Declared, frozen=True):
    """Something the device holds."""

    name: str
    classification: Classification
    encrypted_at_rest: bool = False


class Interface(_Declared, frozen=True):
    """A way in or out of the device's case, and why it is there."""

    name: str
    kind: str
    reason: str
    enabled_in_production: bool = True


class Flow(_Declared, frozen=True):
    """One conversation the device needs, and why."""

    name: str
    direction: Direction
    transport: Transport
    port: int
    peer: str
    reason: str
    encrypted: bool = True
    program: str = ""
    """The device's own program that serves it, for incoming flows: an image does not tell which ports it takes."""
    carries: tuple[str, ...] = ()
    """Names of the data items it carries; when none is named, it is taken to carry all of them."""
    publish: tuple[str, ...] = ()
    """MQTT topic filters it publishes to, beyond the device's own; ``{device}`` and ``{site}`` are filled in."""
    subscribe: tuple[str, ...] = ()
    """MQTT topic filters it reads, beyond the device's own."""


class Boot(_Declared, frozen=True):
    """What is checked and measured on the way up."""

    secure_boot: bool = False
    measured_boot: bool = False
    anti_rollback: bool = False


class Update(_Declared, frozen=True):
    """How the device is updated, and what happens when that fails."""

    kind: UpdateKind
    signed: bool = False
    fallback: Fallback = Fallback.NONE
    recovery: str = ""
    """Who can bring a dead device back, and how; empty when nobody can."""


class Supplier(_Declared, frozen=True):
    """Who answers for the model."""

    name: str
    security_contact: str
    support_end: str
    """Last day of security support, ``YYYY-MM-DD``."""


class HealthProbe(_Declared, frozen=True):
    """How the device itself can tell that its essential function works.

    `kind` is ``tcp`` (connect to 127.0.0.1:`port`), ``file-fresh`` (`path` changed within `max_age_s`),
    ``process`` (a process named `process` runs) or ``self-reported`` (an MCU's own word).
    """

    kind: str
    port: int = 0
    path: str = ""
    process: str = ""
    max_age_s: int = 0


class RenewalKey(StrEnum):
    """Whether a renewed certificate is of a new key."""

    NEW = "new"
    SAME = "same"
    """For a chip whose key cannot be made anew. A stolen key then stays good until it is revoked."""


class Identity(_Declared, frozen=True):
    """How the device's certificates live."""

    leaf_days: int = 30
    grace_days: int = 30
    """For how long after its end a certificate may still be renewed; 0: not at all."""
    renewal_key: RenewalKey = RenewalKey.NEW


class Eraser(StrEnum):
    """Who erases a device that is retired."""

    AGENT = "agent"
    BY_HAND = "by-hand"
    NONE = "none"
    """It holds nothing that would have to be erased."""


class Sanitizing(StrEnum):
    """How thoroughly, in the words of NIST SP 800-88r2; least first."""

    CLEAR = "clear"
    PURGE = "purge"
    DESTROY = "destroy"

    def reaches(self, wanted: Sanitizing) -> bool:
        """Whether this is at least as thorough as `wanted`."""
        order = list(Sanitizing)
        return order.index(self) >= order.index(wanted)


class Retirement(_Declared, frozen=True):
    """What has to be erased when the device's life ends, and who does it."""

    erase: Eraser = Eraser.BY_HAND
    method: Sanitizing = Sanitizing.CLEAR
    paths: tuple[str, ...] = ()
    """What the agent erases: files, folders, or LUKS containers, whose keys it destroys. Its own key it always does."""
    media: str = ""
    """What the data lies on, for the certificate of sanitization, such as ``eMMC, soldered``."""


class EssentialFunction(_Declared, frozen=True):
    """What must go on whatever Holdfast does: its flows and the probe that tells."""

    name: str
    flows: tuple[str, ...]
    probe: HealthProbe


class Expected(_Declared, frozen=True):
    """The lists that an audit compares the device with; the maker's statement of what belongs there."""

    autostart: tuple[str, ...] = ()
    setuid: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    """Accounts that may log in."""
    root_fs_drivers: tuple[str, ...] = ()
    """File systems the device boots from; disabling one is forbidden."""
    components: tuple[str, ...] = ()
    """Packages that some function needs; what else is installed is needed by none."""
    root_daemons: tuple[str, ...] = ()
    """Programs that start by themselves and must keep running as root."""
    feed_keys: tuple[str, ...] = ()
    """SHA-256 (hexadecimal) of the public keys that updates are checked with, as files."""


class Compensation(_Declared, frozen=True):
    """A control the device cannot meet, and what stands in for it until when."""

    control: str
    by: tuple[str, ...]
    reason: str
    owner: str
    expires: str
    """Last day it counts, ``YYYY-MM-DD``."""


class TopicException(_Declared, frozen=True):
    """Leave for topic filters of the model's flows that reach beyond a device's own name."""

    name: str
    filters: tuple[str, ...]
    reason: str
    owner: str
    expires: str
    """Last day it counts, ``YYYY-MM-DD``."""


class SharedService(_Declared, frozen=True):
    """A service of this device that other classes depend on; it inherits the demands of the strictest of them."""

    name: str
    dependants: tuple[DeviceClass, ...]


class AccountKind(StrEnum):
    """What a local account is for."""

    SERVICE = "service"
    BMC = "bmc"
    CAMERA = "camera"
    CONSOLE = "console"


class SetBy(StrEnum):
    """How a new secret gets onto the device: its agent runs ``chpasswd``, or a person types it in."""

    AGENT = "agent"
    HAND = "hand"


class Alphabet(StrEnum):
    """What a secret is made of. None has characters that look alike or that a shell or a form treats in its own way."""

    LETTERS_DIGITS = "letters-digits"
    LETTERS_DIGITS_SIGNS = "letters-digits-signs"
    DIGITS = "digits"


class LocalAccount(_Declared, frozen=True):
    """An account on the device itself that needs a secret: Holdfast makes one for each device, keeps and rotates it."""

    name: str
    kind: AccountKind
    set_by: SetBy = SetBy.AGENT
    rotate_days: int = 90
    length: int = 24
    alphabet: Alphabet = Alphabet.LETTERS_DIGITS


class Need(_Declared, frozen=True):
    """An appraisal that a verdict of this model requires, and how old it may be."""

    appraisal: str
    max_age_s: int


class Bank(StrEnum):
    """The hash of the TPM registers that are quoted."""

    SHA256 = "sha256"
    SHA384 = "sha384"


class HardwarePart(_Declared, frozen=True):
    """A part that is expected on the device: where (``usb:1-1``), and what it says that it is (``0bda:8153``)."""

    place: str
    identity: str


class Attestation(_Declared, frozen=True):
    """What the device's evidence of its state must show, beyond what follows from its root of trust."""

    registers: tuple[int, ...] = ()
    """Of the TPM; none named: 0 to 7."""
    bank: Bank = Bank.SHA256
    ima: bool = False
    """Whether its kernel measures the files that it runs."""
    lifecycle: tuple[str, ...] = ()
    """States of its security lifecycle that are good, such as ``secured``; none named: any."""
    debug_off: bool = False
    """Its debug ports must be closed."""
    tamper_proof: bool = False
    """It has tamper switches, and they must never have opened."""
    components: tuple[HardwarePart, ...] | None = None
    """The hardware that is expected; none named: any."""
    before_renewal: bool = False
    """Its certificate is renewed only on fresh, affirming evidence."""


class DeviceModel(_Declared, frozen=True):
    """One device model, as its maker declares it."""

    schema: int
    """Version of this format: 1."""
    name: str
    version: str
    device_class: DeviceClass = msgspec.field(name="class")
    description: str
    constraints: Constraints
    supplier: Supplier
    update: Update
    essential_function: EssentialFunction
    boot: Boot = Boot()
    data: tuple[DataItem, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    flows: tuple[Flow, ...] = ()
    expected: Expected = Expected()
    compensations: tuple[Compensation, ...] = ()
    exceptions: tuple[TopicException, ...] = ()
    shared_services: tuple[SharedService, ...] = ()
    needs: tuple[Need, ...] = (Need("baseline", 172_800), Need("health", 86_400))
    identity: Identity = Identity()
    local_accounts: tuple[LocalAccount, ...] = ()
    retirement: Retirement = Retirement()
    attestation: Attestation = Attestation()
    forbidden: tuple[str, ...] = ()
    """Controls that must never be applied to this model, beyond those that tailoring forbids by itself."""

    @property
    def listening(self) -> tuple[tuple[Transport, int], ...]:
        """The transports and ports on which the device is meant to accept connections."""
        return tuple((flow.transport, flow.port) for flow in self.flows if flow.direction is Direction.IN)
