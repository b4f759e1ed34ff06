"""Group SVC: buildroot's numbered scripts start a shell for administration, a web page, a broker and an SNMP agent."""

from __future__ import annotations

from typing import Any

from hardened.shape import Break
from probe_builders import Files

ADDRESS = "192.0.2.10"
"""The device's own, on the management network."""
MOSQUITTO = """\
listener 8883
cafile /etc/mosquitto/ca.crt
crlfile /etc/mosquitto/revoked.pem
require_certificate true
allow_anonymous false
"""
LIGHTTPD = f"""\
server.port = 443
server.bind = "{ADDRESS}"
server.username = "www"
server.modules = ( "mod_auth", "mod_cgi", "mod_openssl" )
cgi.assign = ( ".cgi" => "" )
auth.require = ( "/" => ( "method" => "digest", "realm" => "device", "require" => "valid-user" ) )
"""
SNMPD = f"agentaddress udp:{ADDRESS}:161\nrouser monitor priv\n"
TCP = "  sl  local_address rem_address   st\n   0: 0A0200C0:0016 00000000:0000 0A 0:0\n"


def script(program: str, user: str = "") -> tuple[str, int]:
    """An init script as buildroot has it."""
    given = f" -c {user}" if user else ""
    return f'#!/bin/sh\n[ "$1" = start ] && start-stop-daemon -S{given} -x /usr/sbin/{program}\n', 0o755


def started_as_ssh(program: str) -> Break:
    """inetd starts a program on a port, and under a name, that are declared: only what it is shows."""
    return Break(files={"etc/inetd.conf": f"{ADDRESS}:ssh stream tcp nowait root /usr/sbin/{program} {program}\n"})


GOOD: Files = {
    "etc/init.d/rcS": "#!/bin/sh\nfor each in /etc/init.d/S??*; do $each start; done\n",
    "etc/init.d/S50sshd": script("sshd"),
    "etc/init.d/S50lighttpd": script("lighttpd"),
    "etc/init.d/S50mosquitto": script("mosquitto", "mosquitto"),
    "etc/init.d/S59snmpd": script("snmpd", "snmp"),
    "etc/lighttpd/lighttpd.conf": LIGHTTPD,
    "etc/mosquitto/mosquitto.conf": MOSQUITTO,
    "etc/snmp/snmpd.conf": SNMPD,
    "proc/net/tcp": TCP,
}
PLAN: dict[str, tuple[Any, ...]] = {
    "autostart": ("sshd", "ssh", "lighttpd", "mosquitto", "snmpd"),
    "listening": (("tcp", 22), ("tcp", 443), ("tcp", 8883), ("udp", 161)),
    "root_daemons": ("sshd", "ssh"),
}
FACTS: dict[str, Any] = {}
LIVE_ONLY: frozenset[str] = frozenset()
FOLDER_ONLY: frozenset[str] = frozenset()
BREAKS: dict[str, Break] = {
    "SVC-01": started_as_ssh("telnetd"),
    "SVC-02": started_as_ssh("tftpd"),
    "SVC-03": Break(files={"proc/net/tcp": TCP.replace("0016", "1F90")}, live=True),
    "SVC-05": started_as_ssh("miniupnpd"),
    "SVC-06": Break(files={"etc/mosquitto/mosquitto.conf": MOSQUITTO.replace("ous false", "ous true # for tests")}),
    "SVC-07": Break(files={"etc/snmp/snmpd.conf": f"# who looks\n{SNMPD}rocommunity public\n"}),
    "SVC-08": Break(files={"etc/init.d/S60smartd": ("#!/bin/sh\n", 0o755)}),
    "SVC-09": started_as_ssh("gdbserver"),
    "SVC-10": Break(files={"etc/init.d/S59snmpd": script("snmpd")}),
    "SVC-11": Break(files={"etc/lighttpd/lighttpd.conf": LIGHTTPD.partition("auth.require")[0]}),
}
