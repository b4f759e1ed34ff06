"""Does a model argue with itself, or with the calendar?

1. A contradiction is no error: the model is possible, but two things in it cannot both be wanted. It is reported with
   what to change, and nothing is refused.
2. Every rule is one small function; each yields reasons with a code ``model.*`` of its own.
3. A compensation that has not expired answers a contradiction that a control speaks of (`_answered`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from holdfast_core.inventory.model import (
    Classification,
    DeviceClass,
    DeviceModel,
    Direction,
    Eraser,
    Exposure,
    Fallback,
    Flow,
    Power,
    Reachability,
    RenewalKey,
    RootFilesystem,
    RootOfTrust,
    Transport,
    UpdateKind,
)
from holdfast_core.inventory.topics import crosses, parse_filter
from holdfast_core.inventory.validation import last_day_ends
from holdfast_core.kernel.instants import DAY, SECOND, Instant, in_words
from holdfast_core.kernel.reasons import Reason

SHORT_SUPPORT = 365 * DAY
"""Support that ends sooner than this is reported: replacing a fleet takes about a year."""

LIGHT_AUDIT_S = 7 * 86_400
"""The heavy part of an audit reads every file; more often than weekly is too much for a device that saves energy."""

CHECK_IN_FLASH_KIB = 16
"""Flash written by one check-in of the one-shot agent: state file, journal and metadata, a few 4 KiB pages."""

DEBUG_KINDS = frozenset({"jtag", "swd", "debug", "debug-uart", "uart", "console", "serial-console"})
ANYBODY = frozenset({"any", "*", "all", "internet", "0.0.0.0/0", "::/0"})
OPEN_PLACES = frozenset({Exposure.PUBLIC, Exposure.REMOTE_SITE})
SENSITIVE = frozenset({Classification.CONFIDENTIAL, Classification.PERSONAL, Classification.SAFETY})
REBOOTING = frozenset({UpdateKind.AB_IMAGE, UpdateKind.SINGLE_IMAGE, UpdateKind.MCU_SWAP})
"""Kinds of update that end in a reboot."""
TWO_SLOTS = frozenset({UpdateKind.AB_IMAGE, UpdateKind.MCU_SWAP})
ATTESTING = frozenset({RootOfTrust.TPM, RootOfTrust.PSA})
"""Roots of trust whose word for a device's state is understood."""

TLS_CONTROL = "CRY-06"
AT_REST_CONTROL = "DAT-01"
INBOUND_CONTROL = "NET-01"


def contradictions(model: DeviceModel, now: Instant) -> tuple[Reason, ...]:
    """What `model` asks for and cannot have, as of `now` (milliseconds); empty when it is at one with itself."""
    return tuple(reason for rule in _RULES for reason in rule(model, now))


def support_ends(model: DeviceModel) -> Instant:
    """The instant at which the last day of security support is over."""
    return last_day_ends(model.supplier.support_end)


def update_needs_window(model: DeviceModel) -> bool:
    """Whether an update must reboot a device that may not, with no window in which it might."""
    limits = model.constraints
    return model.update.kind in REBOOTING and not limits.reboot_allowed and limits.maintenance_window is None


def _answered(model: DeviceModel, control: str, now: Instant) -> bool:
    """Whether a compensation for `control` is in force."""
    return any(entry.control == control and last_day_ends(entry.expires) > now for entry in model.compensations)


def _renewal(model: DeviceModel, _now: Instant) -> Iterator[Reason]:
    """A certificate is renewed in a contact of the last part of its life, and one contact may fail."""
    interval, days = model.constraints.contact_interval_s, model.identity.leaf_days
    if 2 * interval > days * DAY // SECOND // 4:
        yield Reason(
            "model.renewal_missed",
            f"The device is heard every {in_words(interval * SECOND)}; a certificate of {days} days can end before two "
            "contacts have tried to renew it.",
            "Let it call more often, or raise identity.leaf_days; identity.grace_days says how late it may still come.",
        )


def _renewal_key(model: DeviceModel, _now: Instant) -> Iterator[Reason]:
    held_in_hardware = model.constraints.root_of_trust is not RootOfTrust.NONE
    if model.identity.renewal_key is RenewalKey.SAME and not held_in_hardware:
        yield Reason(
            "model.key_never_changes",
            "identity.renewal_key is same, and the key lies in a file: who copied it once holds it for ever.",
            "Leave renewal_key out, or say which root_of_trust holds the key.",
        )


def _energy(model: DeviceModel, _now: Instant) -> Iterator[Reason]:
    limits = model.constraints
    if limits.power is not Power.MAINS and limits.heavy_audit_interval_s < LIGHT_AUDIT_S:
        every = in_words(limits.heavy_audit_interval_s * SECOND)
        yield Reason(
            "model.heavy_audit_drains",
            f"A device on {limits.power.value} power is asked for a heavy audit every {every}.",
            f"Raise constraints.heavy_audit_interval_s to {LIGHT_AUDIT_S} or more.",
        )


def _packages(model: DeviceModel, _now: Instant) -> Iterator[Reason]:
    if model.update.kind is not UpdateKind.PACKAGE_MANAGER:
        return
    if model.constraints.root_filesystem is RootFilesystem.IMMUTABLE:
        yield Reason(
            "model.immutable_packages",
            "The root file system is immutable, yet a package manager is to update it.",
            "Update by image, or declare the root mutable.",
        )
    if model.device_class is DeviceClass.MCU:
        yield Reason(
            "model.mcu_packages",
            "A microcontroller cannot run a package manager.",
            "Set update.kind to mcu-swap or single-image.",
        )


def _fallback(model: DeviceModel, _now: Instant) -> Iterator[Reason]:
    update = model.update
    if update.kind is UpdateKind.NONE or update.fallback is not Fallback.NONE:
        return
    if update.kind in TWO_SLOTS:
        yield Reason(
            "model.slots_without_fallback",
            f"The device has two slots ({update.kind.value}), yet nothing falls back to the old one.",
            "Let the boot loader count boot attempts and set update.fallback to automatic, or to manual.",
        )
    if not update.recovery.strip():
        yield Reason(
            "model.no_way_back",
            "An update that does not boot leaves the device dead: nothing falls back and nobody can recover it.",
            "Say in update.recovery who can bring it back and how, or give it a fallback.",
        )


def _reboot(model: DeviceModel, _now: Instant) -> Iterator[Reason]:
    if update_needs_window(model):
        yield Reason(
            "model.reboot_never",
            f"An update ({model.update.kind.value}) needs a reboot, yet the device may never reboot.",
            "Agree on a constraints.maintenance_window, or on an update that needs no reboot.",
        )


def _support(model: DeviceModel, now: Instant) -> Iterator[Reason]:
    left = support_ends(model) - now
    if left <= 0:
        yield Reason(
            "model.support_ended",
            f"Security support ended on {model.supplier.support_end}.",
            "Extend the support, replace the device, or isolate it and say so in a compensation.",
        )
        return
    if left < SHORT_SUPPORT:
        yield Reason(
            "model.support_ends_soon",
            f"Security support ends on {model.supplier.support_end}, in {in_words(left)}.",
            "Plan the replacement now, or extend the support.",
        )
    if model.update.kind is UpdateKind.NONE:
        yield Reason(
            "model.support_without_updates",
            "The supplier promises security support, yet nothing can bring a fix onto the device.",
            "Declare how updates arrive, or do not promise support.",
        )


def _boot(model: DeviceModel, _now: Instant) -> Iterator[Reason]:
    rootless = model.constraints.root_of_trust is RootOfTrust.NONE
    if model.boot.measured_boot and rootless:
        yield Reason(
            "model.measured_without_root",
            "Boot is measured, yet no root of trust can sign the measurements.",
            "Name the constraints.root_of_trust, or set boot.measured_boot to false.",
        )
    if rootless and any(need.appraisal == "attestation" for need in model.needs):
        yield Reason(
            "model.attestation_without_root",
            "The verdict needs attestation, yet the device has no root of trust to attest with.",
            "Name the constraints.root_of_trust, or remove attestation from needs.",
        )
    if model.boot.anti_rollback and not model.boot.secure_boot:
        yield Reason(
            "model.rollback_unguarded",
            "Rollback is to be refused, yet nothing verifies what boots.",
            "Set boot.secure_boot, or do not claim anti_rollback.",
        )


def _renewal_attested(model: DeviceModel, _now: Instant) -> Iterator[Reason]:
    asked = model.boot.measured_boot or any(need.appraisal == "attestation" for need in model.needs)
    if model.attestation.before_renewal and not (asked and model.constraints.root_of_trust in ATTESTING):
        yield Reason(
            "model.renewal_unattested",
            "A renewal demands fresh attestation, yet the device is never asked to attest: its certificate would end.",
            "Let constraints.root_of_trust be tpm or psa, and set boot.measured_boot or a need of attestation; or "
            "leave attestation.before_renewal out.",
        )


def _cleartext(model: DeviceModel, now: Instant) -> Iterator[Reason]:
    if _answered(model, TLS_CONTROL, now):
        return
    for flow in model.flows:
        if flow.encrypted:
            continue
        carried = _carried(model, flow)
        if carried:
            yield Reason(
                "model.cleartext_data",
                f"The flow {flow.name} is not encrypted and may carry {', '.join(carried)}.",
                f"Encrypt it, say in carries what it does carry, or compensate {TLS_CONTROL}.",
            )
        elif model.constraints.exposure is Exposure.PUBLIC:
            yield Reason(
                "model.cleartext_in_public",
                f"The flow {flow.name} is not encrypted, and anybody can touch the device and its cable.",
                f"Encrypt it, or compensate {TLS_CONTROL}.",
            )


def _carried(model: DeviceModel, flow: Flow) -> tuple[str, ...]:
    """The sensitive data that a flow carries, ``name (classification)``."""
    return tuple(
        f"{item.name} ({item.classification.value})"
        for item in model.data
        if item.classification in SENSITIVE and (not flow.carries or item.name in flow.carries)
    )


def _at_rest(model: DeviceModel, now: Instant) -> Iterator[Reason]:
    if model.constraints.exposure not in OPEN_PLACES or _answered(model, AT_REST_CONTROL, now):
        return
    for item in model.data:
        if item.classification in SENSITIVE and not item.encrypted_at_rest:
            yield Reason(
                "model.plaintext_at_rest",
                f"{item.name} ({item.classification.value}) is stored unencrypted where strangers can take the device.",
                f"Encrypt it at rest, do not store it, or compensate {AT_REST_CONTROL}.",
            )


def _erasure(model: DeviceModel, _now: Instant) -> Iterator[Reason]:
    retirement = model.retirement
    held = [item for item in model.data if item.classification in SENSITIVE]
    nothing = retirement.erase is Eraser.NONE or (retirement.erase is Eraser.AGENT and not retirement.paths)
    if held and nothing:
        yield Reason(
            "model.erases_nothing",
            f"The device holds {held[0].name} ({held[0].classification.value}), and nothing erases it in the end.",
            "Name where it lies in retirement.paths, or write retirement.erase: by-hand.",
        )


def _debug(model: DeviceModel, _now: Instant) -> Iterator[Reason]:
    for interface in model.interfaces:
        if interface.enabled_in_production and interface.kind.lower() in DEBUG_KINDS:
            yield Reason(
                "model.debug_in_production",
                f"The debug interface {interface.name} ({interface.kind}) is enabled in production.",
                "Lock it at the end of the line and set enabled_in_production to false.",
            )


def _needs(model: DeviceModel, _now: Instant) -> Iterator[Reason]:
    limits = model.constraints
    every = in_words(limits.contact_interval_s * SECOND)
    for need in model.needs:
        if need.max_age_s <= limits.contact_interval_s:
            yield Reason(
                "model.need_never_fresh",
                f"The {need.appraisal} evidence may be {in_words(need.max_age_s * SECOND)} old, yet the device checks "
                f"in every {every}: it lapses between any two check-ins.",
                "Raise the need's max_age_s to at least twice constraints.contact_interval_s, or check in more often.",
            )
    if limits.reachability is Reachability.OFFLINE:
        yield Reason(
            "model.offline_owes_evidence",
            "The device is offline, yet its verdict needs evidence that only a check-in brings.",
            "Set constraints.reachability to intermittent and say how often it is in contact.",
        )


def _essential_function(model: DeviceModel, _now: Instant) -> Iterator[Reason]:
    function = model.essential_function
    declared = {flow.name for flow in model.flows}
    missing = [name for name in function.flows if name not in declared]
    if missing or not function.flows:
        yield Reason(
            "model.essential_flow_missing",
            f"The essential function {function.name} has no flow that could be kept open"
            + (f" for {', '.join(missing)}." if missing else "."),
            "Declare its flows and name them in essential_function.flows.",
        )


def _probe(model: DeviceModel, _now: Instant) -> Iterator[Reason]:
    probe = model.essential_function.probe
    if model.device_class is DeviceClass.MCU and probe.kind != "self-reported":
        yield Reason(
            "model.probe_impossible",
            f"A microcontroller runs no agent that could do a {probe.kind} probe.",
            "Set essential_function.probe.kind to self-reported.",
        )
    if model.device_class is not DeviceClass.MCU and probe.kind == "self-reported":
        yield Reason(
            "model.probe_own_word",
            f"A device of class {model.device_class.value} can be probed, yet only its own word is asked for.",
            "Use a tcp, file-fresh or process probe.",
        )
    if probe.kind == "tcp" and (Transport.TCP, probe.port) not in model.listening:
        yield Reason(
            "model.probe_undeclared_port",
            f"The health probe connects to tcp {probe.port}, on which no declared flow comes in.",
            "Declare the flow, or probe a port that is declared.",
        )


def _vendor(model: DeviceModel, _now: Instant) -> Iterator[Reason]:
    locked = model.constraints.vendor_locked or model.update.kind is UpdateKind.VENDOR
    if locked and not model.supplier.security_contact.strip():
        yield Reason(
            "model.vendor_unreachable",
            "Only the vendor can change the device, yet nobody there is named who could be asked.",
            "Write the vendor's security contact in supplier.security_contact.",
        )


def _flash(model: DeviceModel, _now: Instant) -> Iterator[Reason]:
    limits = model.constraints
    if limits.flash_writes_mib_per_day is None:
        return
    daily_kib = 86_400 * CHECK_IN_FLASH_KIB // limits.contact_interval_s
    if daily_kib > limits.flash_writes_mib_per_day * 1024:
        yield Reason(
            "model.flash_worn",
            f"Checking in every {in_words(limits.contact_interval_s * SECOND)} writes about {daily_kib // 1024} MiB "
            f"of flash a day; it can bear {limits.flash_writes_mib_per_day}.",
            "Raise constraints.contact_interval_s, or keep the agent's state on a part that bears more writes.",
        )


def _open_inbound(model: DeviceModel, now: Instant) -> Iterator[Reason]:
    if model.constraints.exposure not in OPEN_PLACES or _answered(model, INBOUND_CONTROL, now):
        return
    for flow in model.flows:
        if flow.direction is Direction.IN and flow.peer.strip().lower() in ANYBODY:
            yield Reason(
                "model.open_inbound",
                f"The flow {flow.name} lets anybody connect to a device that stands where strangers are.",
                f"Name the peer: an address range, a zone or a host; or compensate {INBOUND_CONTROL}.",
            )


def _drivers(model: DeviceModel, _now: Instant) -> Iterator[Reason]:
    """Without the name of the root's driver, nothing can promise that hardening leaves it alone."""
    immutable = model.constraints.root_filesystem is RootFilesystem.IMMUTABLE
    if immutable and model.device_class is not DeviceClass.MCU and not model.expected.root_fs_drivers:
        yield Reason(
            "model.root_driver_unnamed",
            "The root is immutable, yet no file system is named that the device boots from.",
            "List it in expected.root_fs_drivers (squashfs, erofs, ext4), so that hardening never disables it.",
        )


def _expired(model: DeviceModel, now: Instant) -> Iterator[Reason]:
    for entry in model.compensations:
        if last_day_ends(entry.expires) <= now:
            yield Reason(
                "model.compensation_expired",
                f"What stands in for {entry.control} counted until {entry.expires}.",
                f"Let {entry.owner} renew it, or meet the control.",
            )


def _topics(model: DeviceModel, now: Instant) -> Iterator[Reason]:
    """A filter beyond the device's own name is granted only under an exception in force."""
    wanted = {text for flow in model.flows for text in (*flow.publish, *flow.subscribe)}
    excepted = {text for entry in model.exceptions if last_day_ends(entry.expires) > now for text in entry.filters}
    for text in sorted(wanted - excepted):
        if crosses(parse_filter(text)):
            yield Reason(
                "model.topic_unexcepted",
                f"The topics {text} reach beyond the device's own name, and no exception in force allows them.",
                "Narrow the filter to {device}, or write an exception with its owner and last day; until then no "
                "broker grants it.",
            )
    for entry in model.exceptions:
        if last_day_ends(entry.expires) <= now:
            yield Reason(
                "model.exception_expired",
                f"The exception {entry.name} counted until {entry.expires}.",
                f"Let {entry.owner} renew it, or remove it together with its flow.",
            )
        unused = [text for text in entry.filters if text not in wanted or not crosses(parse_filter(text))]
        if unused:
            yield Reason(
                "model.exception_unused",
                f"The exception {entry.name} allows {unused[0]}, which no flow asks for or which needs none.",
                "Remove it from the exception, so that nobody relies on it.",
            )


_RULES: tuple[Callable[[DeviceModel, Instant], Iterator[Reason]], ...] = (
    _fallback,
    _packages,
    _drivers,
    _reboot,
    _support,
    _expired,
    _boot,
    _renewal_attested,
    _essential_function,
    _probe,
    _needs,
    _cleartext,
    _at_rest,
    _erasure,
    _open_inbound,
    _topics,
    _debug,
    _vendor,
    _renewal_key,
    _renewal,
    _energy,
    _flash,
)
"""Worst first: what can kill a device, then what can never be proven, then what leaks, then what wears out."""
