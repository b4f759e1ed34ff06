"""The probes of what starts, what listens and what guards the network."""

from __future__ import annotations

from typing import TypeAlias

from holdfast_core.baseline.probes.logs import LogProbe
from holdfast_core.baseline.probes.network import NetworkProbe
from holdfast_core.baseline.probes.shape import Names, Probe


class Service(Probe, frozen=True, tag="service"):
    """None of `names` is started by systemd, rc.d, init or inetd. An applet or a program lying about is no service.

    A name is compared with unit, script and program names without suffix and start number; ``*`` and ``?`` match:
    ``telnetd`` matches ``S50telnetd``, ``telnetd.socket`` and ``::respawn:/usr/sbin/telnetd -l /bin/sh``.
    """

    names: Names


class Runs(Probe, frozen=True, tag="runs"):
    """Something of `names` is started, as `Service` compares names; nothing is: fail.

    No known way of starting: unknown. What systemd starts unasked (``systemd-journald``) counts, unless it is masked.
    """

    names: Names


class ConsoleLogin(Probe, frozen=True, tag="console_login"):
    """No console opens a shell without a login: inittab, getty's autologin, systemd's debug shell, OpenWrt's ttylogin.

    No known way of starting: unknown.
    """


class Autostart(Probe, frozen=True, tag="autostart"):
    """Everything that starts by itself is in the plan's `autostart` (names without suffix and start number)."""


class Listening(Probe, frozen=True, tag="listening"):
    """Every listening TCP or bound UDP port is in the plan's `listening`.

    Ports bound to loopback only are left out unless `loopback`; so are UDP ports of the kernel's ephemeral range, which
    are a client's and change with every query. Where no kernel runs, the ports are those that everything
    that starts opens by its settings; a program whose ports nobody knows leaves it unknown.
    """

    loopback: bool = False


ServiceProbe: TypeAlias = Service | Runs | ConsoleLogin | Autostart | Listening | NetworkProbe | LogProbe
"""The probes of this area."""
