"""Group PHY: what production fused, a console that asks, and USB sticks that are not let in."""

from __future__ import annotations

from typing import Any

from hardened.shape import Break
from probe_builders import Files

GOOD: Files = {"etc/modprobe.d/usb.conf": "install usb-storage /bin/false\n"}
PLAN: dict[str, tuple[Any, ...]] = {}
FACTS: dict[str, Any] = {
    "debug_port_locked": True,
    "serial_shell_off": True,
    "rom_loader_locked": True,
    "readout_protected": True,
    "usb_closed": True,
    "tamper_event": True,
    "radios_off": True,
    "debug_pads": "dead",
    "lifecycle": "production",
    "reset_wipes": True,
}
LIVE_ONLY: frozenset[str] = frozenset()
FOLDER_ONLY: frozenset[str] = frozenset()
BREAKS: dict[str, Break] = {
    "PHY-01": Break(facts={"debug_port_locked": False}),
    "PHY-02": Break(
        files={"etc/inittab": "::sysinit:/etc/init.d/rcS\nttyS0::respawn:/sbin/getty -n -l /bin/sh ttyS0 115200\n"}
    ),
    "PHY-03": Break(facts={"rom_loader_locked": False}),
    "PHY-04": Break(facts={"readout_protected": False}),
    "PHY-05": Break(gone=("/etc/modprobe.d/usb.conf",), facts={"usb_closed": False}),
    "PHY-06": Break(facts={"tamper_event": False}),
    "PHY-07": Break(facts={"radios_off": False}),
    "PHY-08": Break(facts={"debug_pads": "live"}),
    "PHY-09": Break(facts={"lifecycle": "development"}),
    "PHY-10": Break(facts={"reset_wipes": False}),
}
