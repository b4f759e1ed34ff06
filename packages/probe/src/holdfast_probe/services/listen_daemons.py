"""Where known daemons listen: shells, brokers, names, files, time, management."""

from __future__ import annotations

from collections.abc import Iterable

from holdfast_probe.roots import Root
from holdfast_probe.services.entries import Started
from holdfast_probe.services.including import (
    MOSQUITTO_FILES,
    SNMPD_FILES,
    SSHD_FILES,
    own_files,
    own_options,
    spread,
)
from holdfast_probe.services.listen_common import Listener, Readers, arguments, at, fixed, joined, options, settings
from holdfast_probe.services.texts import exists, fitting, numbered, text, truthy, unquoted, words
from holdfast_probe.services.uci import sections

SSHD = ("ssh", "sshd", "openssh", "openssh-server", "ssh@", "sshd@*")
DROPBEAR = ("dropbear",)
MOSQUITTO = ("mosquitto",)
SNMPD = ("snmpd",)


def _sshd(root: Root, item: Started) -> list[Listener]:
    ports: list[str] = []
    bound: list[tuple[str, str]] = []
    for written, rest, where in spread(root, SSHD_FILES, own_files(root, [item], SSHD_FILES)):
        key, sign, own = written.partition("=")  # ``Port=22`` counts as ``Port 22`` does
        value = own if sign and own else rest.lstrip("= ")
        if key.lower() == "port":
            ports.append(value)
        elif key.lower() == "listenaddress":
            bound.append((value.split()[0] if value else "", where))
    ports = own_options(root, [item], SSHD_FILES, "-p") or ports
    port = int(ports[0][:6]) if ports and ports[0].isascii() and ports[0].isdigit() else 22
    if bound:
        return [at(item.name, "tcp", value, port, where) for value, where in bound]
    return [at(item.name, "tcp", value, 22, "/etc/ssh/sshd_config") for value in ports or ["22"]]


def _dropbear(root: Root, item: Started) -> list[Listener]:
    found = []
    for section in sections(root, "/etc/config/dropbear"):
        if section.kind == "dropbear" and truthy(section.last("enable", "1")):
            address = section.last("DirectInterface", section.last("Interface"))
            port = section.last("Port", "22")
            found.append(at(item.name, "tcp", joined(address, port), 22, section.where))
    if found or exists(root, "/etc/config/dropbear"):
        return found
    written = options(arguments(root, item, "dropbear"), "-p")
    written += [value for key, value, _ in settings(root, "/etc/default/dropbear", sign="=") if key == "DROPBEAR_PORT"]
    return [at(item.name, "tcp", value, 22, item.source) for value in written or ["22"]]


def mosquitto_listeners(root: Root, name: str, given: Iterable[str] = ()) -> list[Listener]:
    """The listeners that mosquitto.conf opens; none where it opens none by name."""
    found = []
    bind = ""
    for key, value, where in spread(root, MOSQUITTO_FILES, given):
        parts = value.split()
        if key == "bind_address":
            bind = value
        elif key == "listener" and parts and parts[0] != "0":
            address = parts[1] if len(parts) > 1 else ""
            found.append(at(name, "tcp", joined(address, parts[0]), 1883, where))
        elif key == "port" and parts:
            found.append(at(name, "tcp", joined(bind, parts[0]), 1883, where))
    return found


def _mosquitto(root: Root, item: Started) -> list[Listener] | None:
    # Without a listener, version 2 opens its port to the device alone, and those before to everybody.
    found = mosquitto_listeners(root, item.name, own_files(root, [item], MOSQUITTO_FILES))
    found += [
        at(item.name, "tcp", port, 1883, item.source) for port in own_options(root, [item], MOSQUITTO_FILES, "-p")
    ]
    return found or None


def _snmpd(root: Root, item: Started) -> list[Listener]:
    found = []
    for key, value, where in spread(root, SNMPD_FILES, own_files(root, [item], SNMPD_FILES)):
        if key.lower() == "agentaddress":
            for written in value.split(","):
                transport, sign, rest = written.strip().partition(":")
                kind = "tcp" if transport.lower().startswith("tcp") else "udp"
                plain = rest if sign and transport.lower() in ("udp", "udp6", "tcp", "tcp6") else written.strip()
                found.append(at(item.name, kind, plain, 161, where))
    for section in (each for each in sections(root, "/etc/config/snmpd") if each.kind == "agent"):
        written = section.last("agentaddress").split(":", 1)[-1] or "161"
        found += [at(item.name, "udp", written, 161, section.where)]
    return found or [Listener(item.name, "udp", 161, "", item.source)]


def _dnsmasq(root: Root, item: Started) -> list[Listener]:
    port, dhcp, tftp = "53", False, False
    for key, value, _ in settings(root, "/etc/dnsmasq.conf", "/etc/dnsmasq.d/*", sign="="):
        port = value if key == "port" else port
        dhcp |= key == "dhcp-range"
        tftp |= key == "enable-tftp"
    for section in sections(root, "/etc/config/dhcp"):
        dhcp |= section.kind == "dhcp" and not truthy(section.last("ignore", "0"))
        tftp |= truthy(section.last("enable_tftp", "0"))
        port = section.last("port", port) if section.kind == "dnsmasq" else port
    found = [at(item.name, kind, port, 53, item.source) for kind in ("tcp", "udp") if port != "0"]
    found += [Listener(item.name, "udp", 67, "", item.source)] if dhcp else []
    return found + ([Listener(item.name, "udp", 69, "", item.source)] if tftp else [])


def _chronyd(root: Root, item: Started) -> list[Listener]:
    patterns = ("/etc/chrony/chrony.conf", "/etc/chrony.conf", "/etc/chrony/conf.d/*.conf")
    serves = any(key in ("allow", "ntsservercert") for key, _, _ in settings(root, *patterns))
    return [Listener(item.name, "udp", 123, "", item.source)] if serves else []


def _ntpd(root: Root, item: Started) -> list[Listener]:
    if exists(root, "/etc/ntp.conf") or exists(root, "/etc/ntpsec/ntp.conf"):
        return [Listener(item.name, "udp", 123, "", item.source)]
    served = "-l" in arguments(root, item, "ntpd")
    for section in sections(root, "/etc/config/system"):
        served |= section.kind == "timeserver" and truthy(section.last("enable_server", "0"))
    return [Listener(item.name, "udp", 123, "", item.source)] if served else []


def _rsyslogd(root: Root, item: Started) -> list[Listener]:
    found = []
    for path in fitting(root, "/etc/rsyslog.conf", "/etc/rsyslog.d/*.conf"):
        for number, line in numbered(root, path) or ():
            kind = "tcp" if "imtcp" in line or "TCPServerRun" in line else "udp"
            if ("input(" in line and ("imtcp" in line or "imudp" in line)) or "ServerRun" in line:
                written = "".join(char if char.isdigit() else " " for char in line.rpartition("ort=")[2]).split()
                found.append(at(item.name, kind, (written or ["514"])[0], 514, f"{path}:{number}"))
    return found


def _cupsd(root: Root, item: Started) -> list[Listener]:
    lines = settings(root, "/etc/cups/cupsd.conf")
    written = [(value, where) for key, value, where in lines if key.lower() in ("listen", "port") and value[:1] != "/"]
    return [at(item.name, "tcp", value, 631, where) for value, where in written]


def _telnetd(root: Root, item: Started) -> list[Listener]:
    written = options(arguments(root, item, "telnetd"), "-p")
    return [at(item.name, "tcp", value, 23, item.source) for value in written or ["23"]]


def _vsftpd(root: Root, item: Started) -> list[Listener]:
    ports = [value for key, value, _ in settings(root, "/etc/vsftpd.conf", sign="=") if key == "listen_port"]
    return [at(item.name, "tcp", value, 21, item.source) for value in ports or ["21"]]


def _syslog_ng(root: Root, _item: Started) -> list[Listener] | None:
    content = text(root, "/etc/syslog-ng/syslog-ng.conf")
    listens = any(word in content for word in ("tcp(", "udp(", "network(", "syslog("))
    sources = [line for line in content.splitlines() if line.lstrip().startswith("source")]
    return (
        None
        if listens and any("(" in line and any(w in line for w in ("tcp", "udp", "network")) for line in sources)
        else []
    )


def _redis(root: Root, item: Started) -> list[Listener]:
    bound, port = ["127.0.0.1"], "6379"
    for key, value, _ in settings(root, "/etc/redis/redis.conf", "/etc/redis.conf"):
        bound = words(value) if key == "bind" else bound
        port = value if key == "port" else port
    return [at(item.name, "tcp", joined(address.lstrip("-"), port), 6379, item.source) for address in bound]


def _postgresql(root: Root, item: Started) -> list[Listener]:
    bound, port = "127.0.0.1", "5432"
    for key, value, _ in settings(root, "/etc/postgresql/*/*/postgresql.conf", sign="="):
        plain = unquoted(value.partition("#")[0])
        bound = plain if key == "listen_addresses" else bound
        port = plain if key == "port" else port
    return [at(item.name, "tcp", joined(each.strip(), port), 5432, item.source) for each in bound.split(",") if each]


DAEMONS: Readers = {
    SSHD: _sshd,
    DROPBEAR: _dropbear,
    MOSQUITTO: _mosquitto,
    SNMPD: _snmpd,
    ("dnsmasq",): _dnsmasq,
    ("chrony", "chronyd"): _chronyd,
    ("ntp", "ntpd", "ntpsec", "openntpd", "sysntpd", "busybox-ntpd"): _ntpd,
    ("rsyslog", "rsyslogd"): _rsyslogd,
    ("syslog-ng",): _syslog_ng,
    ("cups", "cupsd"): _cupsd,
    ("telnet", "telnetd", "utelnetd", "in.telnetd"): _telnetd,
    ("vsftpd",): _vsftpd,
    ("redis", "redis-server"): _redis,
    ("postgresql*",): _postgresql,
    ("odhcpd",): fixed([("udp", 547)]),
    ("avahi-daemon", "avahi", "umdns"): fixed([("udp", 5353)]),
    ("miniupnpd", "upnpd", "minidlna"): fixed([("udp", 1900)]),
    ("smb", "smbd", "samba", "samba4", "ksmbd"): fixed([("tcp", 139), ("tcp", 445)]),
    ("nmb", "nmbd"): fixed([("udp", 137), ("udp", 138)]),
    ("nfs", "nfs-server", "nfs-kernel-server", "nfsd"): fixed([("tcp", 2049)]),
    ("rpcbind", "portmap", "nfs-common"): fixed([("tcp", 111), ("udp", 111)]),
    ("ftpd", "proftpd", "pure-ftpd"): fixed([("tcp", 21)]),
    ("tftpd", "tftpd-hpa", "atftpd", "in.tftpd"): fixed([("udp", 69)]),
    ("adbd",): fixed([("tcp", 5555)]),
    ("inetd", "xinetd", "openbsd-inetd", "inetutils-inetd"): fixed([]),
}
"""By the names a daemon goes by; what inetd and xinetd open stands in their own files."""
