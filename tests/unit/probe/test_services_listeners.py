"""Ports, users, logins and clients, read from the settings of what starts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast_core.baseline.model import Finding, Outcome
from holdfast_core.baseline.probes.network import CleartextClients, ManagementBound, PinnedNames, Wifi
from holdfast_core.baseline.probes.services import (
    Broker,
    DaemonUsers,
    Listening,
    Snmp,
    WebAdministration,
)
from holdfast_core.baseline.probes.shape import Probe
from holdfast_probe.roots import FolderRoot
from holdfast_probe.services.listeners import derived
from probe_builders import a_plan, ask, grow

PASS, FAIL, UNKNOWN, NOT = Outcome.PASS, Outcome.FAIL, Outcome.UNKNOWN, Outcome.NOT_APPLICABLE
UNITS = "etc/systemd/system"
Tree = dict[str, Any]


def init(name: str, text: str = "x\n") -> Tree:
    return {f"etc/init.d/S50{name}": (text, 0o755)}


def mosquitto(text: str) -> Tree:
    return init("mosquitto") | {"etc/mosquitto/mosquitto.conf": text}


def seen(tree: Path, spec: Probe, **lists: Any) -> Finding:
    return ask(tree, spec, a_plan(**lists))  # type: ignore[arg-type]  # every spec here is one of the union


PORTS: dict[str, tuple[Tree, set[tuple[str, int, str]]]] = {
    "sshd": (init("sshd"), {("tcp", 22, "")}),
    "sshd, bound": (
        init("sshd") | {"etc/ssh/sshd_config": "Port 2222\nListenAddress 192.0.2.1\nListenAddress [2001:db8::1]:22\n"},
        {("tcp", 2222, "192.0.2.1"), ("tcp", 22, "[2001:db8::1]")},
    ),
    "dropbear": (init("dropbear", "dropbear -p 127.0.0.1:2022 -p 23\n"), {("tcp", 2022, "127.0.0.1"), ("tcp", 23, "")}),
    "dropbear of OpenWrt": (
        init("dropbear") | {"etc/config/dropbear": "config dropbear\n option Port '22'\n option Interface 'lan'\n"},
        {("tcp", 22, "lan")},
    ),
    "uhttpd": (
        init("uhttpd")
        | {"etc/config/uhttpd": "config uhttpd main\n list listen_http 0.0.0.0:80\n list listen_https [::]:443\n"},
        {("tcp", 80, ""), ("tcp", 443, "")},
    ),
    "lighttpd": (
        init("lighttpd") | {"etc/lighttpd/lighttpd.conf": 'server.port = 8080 # x\n$SERVER["socket"] == ":443" {\n}\n'},
        {("tcp", 8080, ""), ("tcp", 443, "")},
    ),
    "nginx": (
        init("nginx") | {"etc/nginx/nginx.conf": "server { listen 127.0.0.1:81; listen [::]:443 ssl; }\n"},
        {("tcp", 81, "127.0.0.1"), ("tcp", 443, "")},
    ),
    "busybox httpd": (init("httpd", "httpd -p 8080 -h /www\n"), {("tcp", 8080, "")}),
    "mosquitto": (
        init("mosquitto") | {"etc/mosquitto/mosquitto.conf": "listener 1883 localhost\nlistener 8883\n"},
        {("tcp", 1883, "localhost"), ("tcp", 8883, "")},
    ),
    "snmpd": (init("snmpd"), {("udp", 161, "")}),
    "dnsmasq": (
        init("dnsmasq") | {"etc/dnsmasq.conf": "port=0\ndhcp-range=192.0.2.2,192.0.2.9\nenable-tftp\n"},
        {("udp", 67, ""), ("udp", 69, "")},
    ),
    "rsyslog": (
        init("rsyslogd") | {"etc/rsyslog.conf": 'module(load="imudp")\ninput(type="imudp" port="10514")\n'},
        {("udp", 10514, "")},
    ),
    "chronyd as a client": (init("chronyd") | {"etc/chrony.conf": "server a nts\n"}, set()),
    "chronyd as a server": (init("chronyd") | {"etc/chrony.conf": "allow 192.0.2.0/24\n"}, {("udp", 123, "")}),
    "vsftpd": (init("vsftpd") | {"etc/vsftpd.conf": "listen_port=2121\n"}, {("tcp", 2121, "")}),
    "a unit's socket": (
        {
            f"{UNITS}/x.socket": "[Socket]\nListenStream=/run/x\nListenStream=8000\nListenDatagram=[::1]:53\n",
            f"{UNITS}/sockets.target.wants/x.socket": "-> ../x.socket",
        },
        {("tcp", 8000, ""), ("udp", 53, "[::1]")},
    ),
    "inetd": ({"etc/inetd.conf": "tftp dgram udp wait nobody /usr/sbin/tftpd tftpd\n"}, {("udp", 69, "")}),
    "xinetd": ({"etc/xinetd.d/x": "service x\n{\n port = 99\n bind = 127.0.0.1\n}\n"}, {("tcp", 99, "127.0.0.1")}),
    "telnetd in an inittab": ({"etc/inittab": "::respawn:/usr/sbin/telnetd -F -p 2323\n"}, {("tcp", 2323, "")}),
}


@pytest.mark.parametrize("tree", PORTS)
def test_a_port_is_derived_from_settings(tmp_path: Path, tree: str) -> None:
    files, ports = PORTS[tree]
    found = derived(FolderRoot(grow(tmp_path, files)))
    assert {(each.transport, each.port, each.address) for each in found.listeners} == ports
    assert found.gaps == ()
    declared = tuple((transport, port) for transport, port, _ in ports)
    assert seen(tmp_path, Listening(), listening=declared).outcome is PASS
    outside = [each for each in found.listeners if not each.local]
    assert seen(tmp_path, Listening()).outcome is (FAIL if outside else PASS)


def test_a_program_nobody_knows_is_named_and_nothing_passes_beside_it(tmp_path: Path) -> None:
    finding = seen(grow(tmp_path, init("sshd") | init("vendord")), Listening(), listening=(("tcp", 22),))
    assert finding.outcome is UNKNOWN
    assert "vendord" in finding.reason
    assert seen(tmp_path, Listening()).outcome is FAIL


USERS: dict[str, tuple[Tree, bool]] = {
    "a unit": ({f"{UNITS}/x.service": "[Service]\nExecStart=/usr/bin/x\n"}, True),
    "a unit with a user": ({f"{UNITS}/x.service": "[Service]\nExecStart=/usr/bin/x\nUser=x\n"}, False),
    "a unit with a drop-in": (
        {
            f"{UNITS}/x.service": "[Service]\nExecStart=/x\n",
            f"{UNITS}/x.service.d/u.conf": "[Service]\nDynamicUser=yes\n",
        },
        False,
    ),
    "a oneshot unit": ({f"{UNITS}/x.service": "[Service]\nType=oneshot\nExecStart=/usr/bin/x\n"}, False),
    "procd": (init("x", "USE_PROCD=1\nprocd_open_instance\nprocd_set_param command /usr/bin/x\n"), True),
    "procd with a user": (init("x", "USE_PROCD=1\nprocd_open_instance\nprocd_set_param user x\n"), False),
    "start-stop-daemon": (init("x", "start-stop-daemon -S -x /usr/bin/x -- -u nobody\n"), True),
    "start-stop-daemon --chuid": (init("x", "start-stop-daemon --start --chuid x:x -x /usr/bin/x\n"), False),
    "openrc": ({"etc/runlevels/default/x": "command=/usr/bin/x\n"}, True),
    "openrc with a user": ({"etc/runlevels/default/x": 'command=/usr/bin/x\ncommand_user="x:x"\n'}, False),
    "a script that ends": (init("x", "echo done\n"), False),
    "inetd": ({"etc/inetd.conf": "x stream tcp nowait root /usr/bin/x x\n"}, True),
    "inetd with a user": ({"etc/inetd.conf": "x stream tcp nowait nobody.nogroup /usr/bin/x x\n"}, False),
    "a respawned line": ({"etc/inittab": "::respawn:/usr/bin/x\n"}, True),
    "its own setting": (
        init("lighttpd", "start-stop-daemon -S -x lighttpd\n")
        | {"etc/lighttpd/lighttpd.conf": 'server.username = "www"\n'},
        False,
    ),
    "root by its own setting": (
        init("mosquitto", "start-stop-daemon -S -x m\n") | {"etc/mosquitto/mosquitto.conf": "user root\n"},
        True,
    ),
}


@pytest.mark.parametrize("how", USERS)
def test_who_runs_as_root_is_named_unless_declared(tmp_path: Path, how: str) -> None:
    files, as_root = USERS[how]
    grow(tmp_path, files)
    if f"{UNITS}/x.service" in files:
        grow(tmp_path, {f"{UNITS}/multi-user.target.wants/x.service": "-> ../x.service"})
    assert seen(tmp_path, DaemonUsers()).outcome is (FAIL if as_root else PASS)
    assert seen(tmp_path, DaemonUsers(), root_daemons=("x", "mosquitto")).outcome is PASS


JUDGED: dict[str, tuple[Probe, Tree, Outcome]] = {
    "no broker": (Broker(), init("sshd"), NOT),
    "an unknown broker": (Broker(), init("emqx"), UNKNOWN),
    "mosquitto, local only": (
        Broker(),
        mosquitto("listener 1883 ::1\n"),
        PASS,
    ),
    "mosquitto that does not say": (
        Broker(),
        mosquitto("listener 1\n"),
        UNKNOWN,
    ),
    "mosquitto, one open of two": (
        Broker(),
        mosquitto("per_listener_settings true\nlistener 1\nallow_anonymous false\nlistener 2\nallow_anonymous true\n"),
        FAIL,
    ),
    "no snmp": (Snmp(), init("sshd"), NOT),
    "snmp without settings": (Snmp(), init("snmpd"), UNKNOWN),
    "snmp 3": (Snmp(), init("snmpd") | {"etc/snmp/snmpd.conf": "rouser x priv\n"}, PASS),
    "snmp of OpenWrt": (
        Snmp(),
        init("snmpd") | {"etc/config/snmpd": "config com2sec public\n option community s3cret\n"},
        FAIL,
    ),
    "no web server": (WebAdministration(), init("sshd"), NOT),
    "uhttpd with LuCI": (
        WebAdministration(),
        init("uhttpd") | {"etc/config/uhttpd": "config uhttpd main\n option home /www\n", "www/cgi-bin/luci": "x"},
        PASS,
    ),
    "uhttpd with another cgi": (
        WebAdministration(),
        init("uhttpd") | {"etc/config/uhttpd": "config uhttpd main\n option home /www\n", "www/cgi-bin/reboot": "x"},
        FAIL,
    ),
    "busybox httpd, guarded": (
        WebAdministration(),
        init("httpd", "httpd -h /www\n") | {"www/cgi-bin/x": "x", "etc/httpd.conf": "/cgi-bin:admin:$1$x\n"},
        PASS,
    ),
    "busybox httpd": (WebAdministration(), init("httpd", "httpd -h /www\n") | {"www/cgi-bin/x": "x"}, FAIL),
    "nginx in front of a program": (
        WebAdministration(),
        init("nginx") | {"etc/nginx/nginx.conf": "location / { proxy_pass http://127.0.0.1:1; }\n"},
        FAIL,
    ),
    "boa": (WebAdministration(), init("boa") | {"etc/boa/boa.conf": "ScriptAlias /cgi-bin/ /cgi/\n"}, FAIL),
    "goahead": (
        WebAdministration(),
        init("goahead") | {"etc/goahead/route.txt": "route uri=/action handler=action\n"},
        FAIL,
    ),
    "goahead, guarded": (
        WebAdministration(),
        init("goahead") | {"etc/goahead/route.txt": "route uri=/action handler=action auth=digest\n"},
        PASS,
    ),
    "goahead without routes": (WebAdministration(), init("goahead"), UNKNOWN),
    "mini_httpd": (
        WebAdministration(),
        init("mini_httpd") | {"etc/mini_httpd.conf": "cgipat=cgi-bin/*\ndir=/www\n"},
        FAIL,
    ),
    "bound": (ManagementBound(), init("dropbear", "dropbear -p 192.0.2.1:22\n"), PASS),
    "unbound": (ManagementBound(), init("dropbear", "dropbear -p 22\n"), FAIL),
    "nothing to manage": (ManagementBound(), init("chronyd"), NOT),
    "resolv.conf": (PinnedNames(), {"etc/resolv.conf": "nameserver 192.0.2.1\n"}, PASS),
    "no resolver": (PinnedNames(), {"etc/x": ""}, UNKNOWN),
    "a link into memory": (PinnedNames(), {"etc/resolv.conf": "-> /tmp/resolv.conf", "tmp/resolv.conf": ""}, FAIL),
    "learnt by DHCP": (
        PinnedNames(),
        {"etc/resolv.conf": "nameserver 192.0.2.1\n", "etc/network/interfaces": "iface eth0 inet dhcp\n"},
        FAIL,
    ),
    "DHCP that leaves it alone": (
        PinnedNames(),
        {
            "etc/resolv.conf": "nameserver 192.0.2.1\n",
            "etc/network/interfaces": "iface eth0 inet dhcp\n",
            "etc/dhcpcd.conf": "nohook resolv.conf\n",
        },
        PASS,
    ),
    "peerdns": (PinnedNames(), {"etc/config/network": "config interface wan\n option proto dhcp\n"}, FAIL),
    "no peerdns": (
        PinnedNames(),
        {"etc/config/network": "config interface wan\n option proto dhcp\n option peerdns 0\n list dns 192.0.2.1\n"},
        PASS,
    ),
    "resolved": (
        PinnedNames(),
        {
            "etc/resolv.conf": "-> ../run/systemd/resolve/stub-resolv.conf",
            "etc/systemd/resolved.conf": "[Resolve]\nDNS=192.0.2.1\n",
            "etc/systemd/network/a.network": "[Network]\nDHCP=yes\n[DHCPv4]\nUseDNS=no\n",
        },
        PASS,
    ),
    "resolved that learns": (
        PinnedNames(),
        {
            "etc/resolv.conf": "-> ../run/systemd/resolve/stub-resolv.conf",
            "etc/systemd/resolved.conf": "[Resolve]\nDNS=192.0.2.1\n",
            "etc/systemd/network/a.network": "[Network]\nDHCP=yes\n",
        },
        FAIL,
    ),
}


@pytest.mark.parametrize("name", JUDGED)
def test_settings_are_judged(tmp_path: Path, name: str) -> None:
    spec, files, outcome = JUDGED[name]
    finding = seen(grow(tmp_path, files), spec)
    assert finding.outcome is outcome, finding
    assert finding.reason if outcome in {UNKNOWN, NOT} else finding.proof
    assert "s3cret" not in str(finding)


def test_a_default_community_is_named_and_another_is_not(tmp_path: Path) -> None:
    grow(tmp_path, init("snmpd") | {"etc/snmp/snmpd.conf": "rocommunity public\nrwcommunity s3cret\n"})
    proof = " ".join(seen(tmp_path, Snmp()).proof)
    assert "'public'" in proof
    assert "s3cret" not in proof


NETWORKS = {
    "network={\n ssid=x\n psk=y\n}\n": PASS,
    "network={\n ssid=x\n key_mgmt=SAE\n}\n": PASS,
    "network={\n ssid=x\n key_mgmt=NONE\n disabled=1\n}\nnetwork={\n psk=x\n}\n": PASS,
    "network={\n ssid=x\n key_mgmt=NONE\n}\n": FAIL,
    "network={\n key_mgmt=NONE\n wep_key0=12345\n}\n": FAIL,
    "network={\n proto=WPA RSN\n}\n": FAIL,
    "network={\n pairwise=CCMP TKIP\n}\n": FAIL,
    "ctrl_interface=/run/x\n": NOT,
}
POINTS = {
    "interface=w\nssid=x\nwpa=2\nrsn_pairwise=CCMP\n": PASS,
    "interface=w\nssid=x\n": FAIL,
    "interface=w\nssid=x\nwpa=3\n": FAIL,
    "interface=w\nssid=x\nwpa=2\nbss=w1\nssid=guest\n": FAIL,
}
IFACES = {"psk2": PASS, "sae-mixed": PASS, "psk2+tkip+ccmp": FAIL, "none": FAIL, "psk": FAIL, "wep": FAIL, "owe": FAIL}


@pytest.mark.parametrize(
    ("path", "text", "outcome"),
    [
        *(("etc/wpa_supplicant.conf", text, outcome) for text, outcome in NETWORKS.items()),
        *(("etc/hostapd.conf", text, outcome) for text, outcome in POINTS.items()),
        *(
            ("etc/config/wireless", f"config wifi-iface a\n option ssid x\n option encryption '{kind}'\n", outcome)
            for kind, outcome in IFACES.items()
        ),
    ],
)
def test_a_wireless_network_keeps_strangers_out_or_is_named(
    tmp_path: Path, path: str, text: str, outcome: Outcome
) -> None:
    assert seen(grow(tmp_path, {path: text}), Wifi()).outcome is outcome


CALLS = {
    "* * * * * wget https://a.example/x": True,
    "* * * * * wget http://a.example/x": False,
    "* * * * * wget -q -O- http://user:pass@a.example/x": False,
    "* * * * * curl -sk https://a.example": False,
    "* * * * * curl -s https://a.example --key k": True,
    "* * * * * wget --no-check-certificate https://a.example": False,
    "* * * * * curl http://localhost:8080/health": True,
    "# wget http://a.example": True,
    "echo http://a.example": True,
    "* * * * * tftp -g -r x 192.0.2.1": False,
    "* * * * * tftp 192.0.2.1": False,
    "* * * * * telnet 192.0.2.1": False,
    "* * * * * mosquitto_pub -h a.example -t x -m y": False,
    "* * * * * mosquitto_pub -h a.example --cafile /c -t x -m y": True,
}


@pytest.mark.parametrize(("line", "closed"), CALLS.items())
def test_who_calls_in_the_clear_is_named_without_its_password(tmp_path: Path, line: str, *, closed: bool) -> None:
    if line.startswith("* * * * * tftp -g"):
        closed = False
    finding = seen(
        grow(tmp_path, {"etc/crontabs/root": line.replace("* * * * * echo", "echo") + "\n"}), CleartextClients()
    )
    assert (finding.outcome is PASS) is closed, finding
    assert "pass@" not in str(finding.proof)


def test_what_is_offered_is_not_called(tmp_path: Path) -> None:
    grow(tmp_path, {"etc/inetd.conf": "telnet stream tcp nowait root /usr/sbin/telnetd telnetd\n"})
    assert ask(tmp_path, CleartextClients()).outcome is PASS
    grow(tmp_path, {"etc/other.conf": "call telnet 192.0.2.1\n"})
    assert ask(tmp_path, CleartextClients()).outcome is FAIL


def test_settings_that_cannot_be_read_are_unknown(tmp_path: Path) -> None:
    grow(tmp_path, init("snmpd") | init("sshd") | {"etc/snmp/": "", "etc/crontabs/": "", "etc/ssh/": ""})
    for path in ("etc/snmp/snmpd.conf", "etc/crontabs/root", "etc/ssh/sshd_config"):
        os.mkfifo(tmp_path / path)
    for spec in (Snmp(), CleartextClients(), Listening()):
        assert seen(tmp_path, spec).outcome is UNKNOWN, spec


SPECS = (Listening(), DaemonUsers(), WebAdministration(), Broker(), Snmp(), ManagementBound(), Wifi(), PinnedNames())
PATHS = sorted({path for files, _ in PORTS.values() for path in files} | {p for _, f, _ in JUDGED.values() for p in f})


@given(
    files=st.dictionaries(st.sampled_from(PATHS), st.text("listen port=0:[]{}'\"\n#-/x1*=", max_size=120), max_size=6)
)
@settings(max_examples=60, deadline=None)
def test_hostile_settings_never_crash_a_look(tmp_path_factory: pytest.TempPathFactory, files: dict[str, str]) -> None:
    tree = tmp_path_factory.mktemp("hostile")
    # A link of the tables above may stand where a folder is needed: leave such out.
    grow(tree, {path: text.removeprefix("-> ") for path, text in files.items()})
    for spec in SPECS:
        finding = seen(tree, spec)
        assert finding.outcome in set(Outcome)
        assert "Reading it failed" not in finding.reason, (spec, finding)
