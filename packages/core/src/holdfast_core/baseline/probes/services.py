"""The probes of what starts, what listens and what guards the network."""

from __future__ import annotations

from typing import TypeAlias

from holdfast_core.baseline.probes.logs import LogProbe
from holdfast_core.baseline.probes.network import NetworkProbe
from holdfast_core.baseline.probes.shape import Names, Probe


class Service(Probe, frozen=True, tag="service"):
    """None of `names` is started by systemd, rc.d, OpenRC, init, inetd or cron.

    An applet or a program lying about is no service.

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

    No known way of starting, and a program on a console that nobody here knows: unknown.
    """


class Autostart(Probe, frozen=True, tag="autostart"):
    """Everything that starts by itself is in the plan's `autostart` (names without suffix and start number).

    A program of a start-up script that nobody here knows to end, and a script that cannot be followed: unknown.
    """


class Listening(Probe, frozen=True, tag="listening"):
    """Every listening TCP or bound UDP port is in the plan's `listening`.

    Ports bound to loopback only are left out unless `loopback`; so are UDP ports of the kernel's ephemeral range, which
    are a client's and change with every query. Where no kernel runs, the ports are those that everything
    that starts opens by its settings; a program whose ports nobody knows leaves it unknown.
    """

    loopback: bool = False


class DaemonUsers(Probe, frozen=True, tag="daemon_users"):
    """Every daemon that starts gives up root, but for those of the plan's `root_daemons`.

    A unit's ``User=`` or ``DynamicUser=``, procd's and OpenRC's user, ``start-stop-daemon --chuid``, inetd's column, or
    the daemon's own setting. What starts and ends again is no daemon. No known way of starting: unknown.
    """


class WebAdministration(Probe, frozen=True, tag="web_administration"):
    """Every page that a web server computes (cgi, FastCGI, proxied, goahead's forms) is behind a login.

    No web server is started: not applicable. A server whose settings are not found: unknown.
    """


class Broker(Probe, frozen=True, tag="broker"):
    """No message broker that is started lets anybody in without a password, a certificate or a plugin that decides.

    mosquitto is read; of another broker it is unknown; none started: not applicable. Before version 2, mosquitto
    let anybody in unless it was told otherwise: a port that says nothing of it leaves it unknown.
    """


class Snmp(Probe, frozen=True, tag="snmp"):
    """The SNMP agent that is started speaks version 3 only: no community of versions 1 and 2c. None: not applicable.

    A community is masked in proof, unless it is ``public`` or ``private``. No settings: unknown.
    """


class Dropbear(Probe, frozen=True, tag="dropbear"):
    """The dropbear that is started takes keys only: ``-s`` is among the options that it really gets.

    A file of options counts only where what starts dropbear reads it. OpenWrt's script, which makes the options of
    ``/etc/config/dropbear``: not applicable, that file is a setting. Nothing starts dropbear: not applicable.
    Options that are worked out when it runs, and no known way of starting: unknown.
    """


ServiceProbe: TypeAlias = (
    Service
    | Runs
    | ConsoleLogin
    | Autostart
    | Listening
    | DaemonUsers
    | WebAdministration
    | Broker
    | Snmp
    | Dropbear
    | NetworkProbe
    | LogProbe
)
"""The probes of this area."""
