"""Talking to RAUC's service: methods and properties of ``de.pengutronix.rauc.Installer``, through ``busctl``.

1. ``busctl --json`` speaks D-Bus, so that no D-Bus library is needed on the device.
2. A call that fails is told apart: a service that still answers and is idle refused the bundle; one that is busy
   refuses everything, and says nothing of the bundle (measured with 1.8); one that does not answer is gone.

Source: RAUC 1.8 and later, docs/reference.rst, "D-Bus API"; busctl(1).
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from holdfast_agent.update.installers.programs import Ended, run
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.kernel.printable import printable

SERVICE = "de.pengutronix.rauc"
INTERFACE = "de.pengutronix.rauc.Installer"
_CALL_S = 600.0
"""Reading a bundle of gigabytes to check its signature takes its time."""
_T = TypeVar("_T")


class Progress(msgspec.Struct, frozen=True, array_like=True):
    """How far RAUC has come: percent, what it does, and how deep in the tree of its steps that is."""

    percent: int
    message: str
    depth: int


class RaucSlot(msgspec.Struct, frozen=True):
    """A slot as RAUC knows it; `sha256` and `size` are those of the image last installed, from its signed manifest."""

    name: str
    kind: str
    """How it is written: ``raw``, ``ext4``, ``ubivol``, …"""
    device: str
    state: str
    """``booted``, ``active`` (of the booted group), ``inactive``."""
    bootname: str = ""
    parent: str = ""
    good: bool = False
    status: str = ""
    """``ok`` once an installation finished, ``pending`` while one is under way."""
    sha256: str = ""
    size: int = 0
    count: int = 0
    """How often it was installed."""
    version: str = ""


class Bus:
    """RAUC's service on the bus at `address`; empty: the system bus."""

    def __init__(self, address: str = "", *, program: str = "busctl", seconds: float = _CALL_S) -> None:
        where = f"--address={address}" if address else "--system"
        self._argv = (program, where, "--json=short", f"--timeout={seconds:g}")
        self._seconds = seconds

    def inspect(self, bundle: str) -> tuple[str, str]:
        """Compatible and version of a bundle, once its signature was found right.

        Raises:
            HostileData: ``installer.bundle``.
            WorldError: ``installer.rauc``.
        """
        compatible, version = self._call("Info", tuple[str, str], "s", bundle, file=True)
        return compatible, version

    def install(self, bundle: str) -> None:
        """Begin to install.

        Raises:
            HostileData: ``installer.bundle``.
            WorldError: ``installer.rauc``.
        """
        self._call("InstallBundle", Any, "sa{sv}", bundle, "0", file=True)

    def mark(self, state: str, slot: str) -> None:
        """Mark ``good``, ``bad`` or ``active`` the ``booted`` or ``other`` slot.

        Raises:
            WorldError: ``installer.rauc``.
        """
        self._call("Mark", tuple[str, str], "ss", state, slot)

    def primary(self) -> str:
        """The name of the slot that the next boot tries."""
        return self._call("GetPrimary", tuple[str], "")[0]

    def slots(self) -> tuple[RaucSlot, ...]:
        """All slots."""
        (found,) = self._call("GetSlotStatus", tuple[list[tuple[str, dict[str, _Variant]]]], "")
        return tuple(_slot(name, {key: each.data for key, each in facts.items()}) for name, facts in found)

    def operation(self) -> str:
        """``idle``, or what it does."""
        return self._property("Operation", str)

    def progress(self) -> Progress:
        """How far the last or current installation has come."""
        return self._property("Progress", Progress)

    def last_error(self) -> str:
        """What the last installation failed with; empty where it did not."""
        return printable(self._property("LastError", str)[:400])

    def boot_slot(self) -> str:
        """The boot name of the slot that runs."""
        return self._property("BootSlot", str)

    def compatible(self) -> str:
        """What bundles must say that they are for."""
        return self._property("Compatible", str)

    def _property(self, name: str, kind: type[_T]) -> _T:
        ended = self._run("get-property", SERVICE, "/", INTERFACE, name)
        if ended.code:
            raise gone(_said(ended))
        return _decoded(ended, kind)

    def _call(self, method: str, kind: type[_T], signature: str, *arguments: str, file: bool = False) -> _T:
        words = (signature, *arguments) if signature else ()
        ended = self._run("call", SERVICE, "/", INTERFACE, method, *words)
        if not ended.code:
            return _decoded(ended, kind)
        busy = self.operation() != "idle"  # raises where nobody answers
        if file and not busy:
            raise refused(_said(ended))
        raise gone(_said(ended))

    def _run(self, *words: str) -> Ended:
        return run((*self._argv, *words), self._seconds + 10)


class _Variant(msgspec.Struct, frozen=True):
    data: Any


def _decoded(ended: Ended, kind: type[_T]) -> _T:
    """The ``data`` of what busctl prints; a method without a return value prints nothing, or no data."""
    try:
        return msgspec.convert(msgspec.json.decode(ended.out or "{}").get("data", []), kind, strict=True)
    except (msgspec.DecodeError, msgspec.ValidationError, AttributeError, RecursionError) as error:
        raise gone(f"busctl printed what is no answer ({printable(ended.out[:80])})") from error


def _slot(name: str, facts: dict[str, Any]) -> RaucSlot:
    words = {"class", "type", "device", "state", "bootname", "parent", "boot-status", "status", "sha256"}
    said = {word: facts[word] if isinstance(facts.get(word), str) else "" for word in (*words, "bundle.version")}
    size, count = (facts.get(key, 0) for key in ("size", "installed.count"))
    return RaucSlot(
        name,
        said["type"],
        said["device"],
        said["state"],
        said["bootname"],
        said["parent"],
        said["boot-status"] == "good",
        said["status"],
        said["sha256"],
        size if isinstance(size, int) else 0,
        count if isinstance(count, int) else 0,
        said["bundle.version"],
    )


def _said(ended: Ended) -> str:
    return printable(ended.err.strip()[:300]) or f"busctl ended with {ended.code}"


def refused(why: str) -> HostileData:
    """The refusal of a bundle by RAUC."""
    return HostileData(
        "installer.bundle",
        f"RAUC refuses the bundle: {why.rstrip('.')}.",
        remedy="Look at it: rauc info --keyring CA BUNDLE. It may be signed by another CA, or be damaged.",
    )


def gone(why: str) -> WorldError:
    """The error of a service that does not answer, or not what it should."""
    return WorldError(
        "installer.rauc",
        f"RAUC's service did not do what it should: {why.rstrip('.')}.",
        remedy="Look at it: systemctl status rauc; journalctl -u rauc.",
        retry_after_s=30,
    )
