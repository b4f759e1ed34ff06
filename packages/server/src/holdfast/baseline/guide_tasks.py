"""What the owner of a device does, as its hardening guide tells it: each task follows from the model file."""

from __future__ import annotations

import msgspec

from holdfast_core.inventory.contradictions import DEBUG_KINDS
from holdfast_core.inventory.model import (
    Classification,
    DeviceModel,
    Direction,
    Exposure,
    Fallback,
    Flow,
    UpdateKind,
)
from holdfast_core.kernel.instants import SECOND, in_words

_PLANES = frozenset({"control-plane", "holdfast"})
"""What models call the control plane as a peer."""
_PLANE_PORT = 8444
"""Where it takes devices, unless it is set otherwise."""
SENSITIVE = frozenset({Classification.CONFIDENTIAL, Classification.PERSONAL, Classification.SAFETY})
_EXPOSED = {
    Exposure.LOCKED_ROOM: "It is built for a locked room. Keep it there, and know who has the key.",
    Exposure.STAFF_AREA: "Staff pass by it. Mount it so that opening its case is seen.",
    Exposure.PUBLIC: "Anybody can touch it. Mount it so that its case and its cable cannot be reached without tools.",
    Exposure.REMOTE_SITE: "Nobody is near it. Visit it on a schedule, and look for an opened case.",
}
_UPDATED = {
    UpdateKind.AB_IMAGE: "It takes whole images, and keeps the one before beside the new one.",
    UpdateKind.PACKAGE_MANAGER: "It takes packages from its maker's feed; install them as they come.",
    UpdateKind.MCU_SWAP: "It takes a whole image, and swaps it in at the next start.",
    UpdateKind.SINGLE_IMAGE: "It takes whole images and has room for one: never cut the power during an update.",
    UpdateKind.VENDOR: "Only the vendor can update it: agree on how often, and ask for the record.",
    UpdateKind.NONE: "Nothing can update it. Plan its replacement, and let nothing reach it that need not.",
}
_FELL_BACK = {
    Fallback.AUTOMATIC: "An update that does not start is taken back by itself.",
    Fallback.MANUAL: "An update that does not start has to be taken back by hand; rehearse that once.",
    Fallback.NONE: "An update that does not start is not taken back.",
}


class Task(msgspec.Struct, frozen=True):
    """Something that the owner does: what, and in which sentences."""

    title: str
    steps: tuple[str, ...]


def tasks_of(model: DeviceModel) -> tuple[Task, ...]:
    """Everything that the owner of a device of `model` does, in order."""
    return (
        Task("Give it its own place in the network", tuple(_network(model))),
        Task("Decide who may log in", tuple(_accounts(model))),
        Task("Guard its case", tuple(_case(model))),
        Task("Keep it up to date", tuple(_updates(model))),
        Task("Know what it holds", tuple(_data(model))),
        Task("Watch it", tuple(_watch(model))),
        Task("Before you give it away", tuple(_disposal(model))),
    )


def _network(model: DeviceModel) -> list[str]:
    if not model.flows:
        return ["Its maker declares no conversations. Connect it to nothing it does not need for its work."]
    told = [
        "Put it in a segment of its own, and refuse everything there by default, in both directions.",
        "Let through what the table of conversations below lists, and nothing else.",
    ]
    open_ones = [flow for flow in model.flows if not flow.encrypted]
    if open_ones:
        names = ", ".join(_named(flow) for flow in open_ones)
        told.append(f"Not encrypted: {names}. Let them run only inside that segment, or through a tunnel.")
    if any(flow.direction is Direction.IN for flow in model.flows):
        told.append("Never make it reachable from the internet, and switch UPnP off on the router in front of it.")
    return told


def _accounts(model: DeviceModel) -> list[str]:
    accounts = model.expected.accounts
    if not accounts:
        return ["Nobody is meant to log in. If it asks you for a password, ask its maker why."]
    beyond = "that" if len(accounts) == 1 else "these"
    contact = model.supplier.security_contact.strip() or model.supplier.name
    own = "it a password or key of its own" if len(accounts) == 1 else "each its own password or key"
    return [
        f"By its model file only {listed(accounts)} may log in. Give {own}, on every device another one.",
        "Do that before it is connected for the first time: what it came with is known to others.",
        "Keep them in a password safe, and change them when somebody leaves who knew them.",
        f"An account beyond {beyond} does not belong there: report it to {contact}.",
    ]


def _case(model: DeviceModel) -> list[str]:
    told = [_EXPOSED[model.constraints.exposure]]
    off = [entry.name for entry in model.interfaces if not entry.enabled_in_production]
    if off:
        told.append(
            f"Declared as switched off in production: {listed(off)}. If one of them answers, it is not as sold."
        )
    on = [entry for entry in model.interfaces if entry.enabled_in_production]
    told += [
        f"Warning: {entry.name} ({entry.kind}) is for debugging and is left on in production, so whoever opens the "
        "case has a way in. Ask its maker to switch it off, and let nobody reach it until then."
        for entry in on
        if entry.kind in DEBUG_KINDS
    ]
    used = [f"{entry.name} ({entry.reason.rstrip('.')})" for entry in on if entry.kind not in DEBUG_KINDS]
    if used:
        told.append(f"In use: {'; '.join(used)}. Leave every other connector empty.")
    return told


def _updates(model: DeviceModel) -> list[str]:
    update = model.update
    told = [_UPDATED[update.kind]]
    if update.kind is UpdateKind.NONE:
        return told
    if not update.signed:
        told.append("Updates are not signed: take them only from its maker, over a connection you trust.")
    told.append(_FELL_BACK[update.fallback])
    if model.constraints.maintenance_window:
        told.append(f"It may be disturbed between {model.constraints.maintenance_window.replace('-', ' and ')}.")
    if not model.constraints.reboot_allowed:
        told.append(f"It must not restart while it works: {model.essential_function.name} would stop.")
    if update.recovery:
        told.append(f"If it does not come up: {update.recovery.rstrip('.')}.")
    return told


def _data(model: DeviceModel) -> list[str]:
    return [
        f"{item.name} ({item.classification.value}) is declared as encrypted on it."
        if item.encrypted_at_rest
        else f"{item.name} ({item.classification.value}) lies on it in the clear."
        + (" Who holds the device can read that." if item.classification in SENSITIVE else "")
        for item in model.data
    ]


def _watch(model: DeviceModel) -> list[str]:
    interval = model.constraints.contact_interval_s * SECOND
    function = model.essential_function.name
    return [
        f"It calls every {in_words(interval)}; when it is silent for {in_words(3 * interval)}, see what is wrong."
        if _reports(model)
        else f"It reports to no control plane by itself: see on a schedule that this still works: {function}.",
        f"Report a weakness to {model.supplier.security_contact.strip() or model.supplier.name}.",
    ]


def _reports(model: DeviceModel) -> bool:
    """Whether the model declares that the device calls a control plane."""
    return any(
        flow.direction is Direction.OUT and (flow.peer.lower() in _PLANES or flow.port == _PLANE_PORT)
        for flow in model.flows
    )


def _disposal(model: DeviceModel) -> list[str]:
    held = [item.name for item in model.data if item.classification in SENSITIVE]
    told = [
        "End its keys first: holdfast device retire NAME. It is refused from then on, wherever it goes."
        if _reports(model)
        else "First take away what lets it in: its keys, passwords and accounts at everything that it talks to."
    ]
    if held:
        told.append(f"Set it back to factory state, and see that nothing is left of {listed(held)}.")
        if any(not item.encrypted_at_rest for item in model.data if item.classification in SENSITIVE):
            told.append(
                "Some of that lies on it in the clear: where you cannot see that it is gone, destroy the memory."
            )
    return told


def _named(flow: Flow) -> str:
    return f"{flow.name} ({flow.transport.value} {flow.port})"


def listed(names: tuple[str, ...] | list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([*([", ".join(names[:-1])] if names[:-1] else []), names[-1]]) if names else ""
