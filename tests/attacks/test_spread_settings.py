"""Attacks by settings that stand in another file than the one that everybody looks at."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes.services import Broker, Listening, Snmp, WebAdministration
from holdfast_core.baseline.probes.shape import Probe
from probe_builders import Files, a_plan, ask, grow


def started(program: str, *arguments: str) -> Files:
    command = " ".join((f"/usr/sbin/{program}", *arguments))
    return {f"etc/init.d/S50{program}": (f'#!/bin/sh\n[ "$1" = start ] && {command} &\n', 0o755)}


BROKER = "listener 8883\nallow_anonymous false\n"
HIDDEN: dict[str, tuple[Probe, Files, Files]] = {
    "a folder of the broker": (
        Broker(), started("mosquitto"),
        {"etc/mosquitto/mosquitto.conf": f"{BROKER}include_dir /opt/m\n", "opt/m/a.conf": "allow_anonymous true\n"},
    ),
    "a file of the broker's own": (
        Broker(), started("mosquitto", "-c", "/opt/m.conf"),
        {"etc/mosquitto/mosquitto.conf": BROKER, "opt/m.conf": "listener 1883\nallow_anonymous true\n"},
    ),
    "a file that the agent reads in": (
        Snmp(), started("snmpd"),
        {"etc/snmp/snmpd.conf": "rouser x priv\nincludeFile more.conf\n", "etc/snmp/more.conf": "rwcommunity public\n"},
    ),
    "a word before the community": (
        Snmp(), started("snmpd"), {"etc/snmp/snmpd.conf": "rouser x priv\n[snmpd] rwcommunity public\n"},
    ),
    "a file of the agent's own": (
        Snmp(), started("snmpd", "-c", "/opt/s.conf"),
        {"etc/snmp/snmpd.conf": "rouser x priv\n", "opt/s.conf": "rwcommunity public\n"},
    ),
    "a port of sshd that is read in": (
        Listening(), started("sshd"),
        {"etc/ssh/sshd_config": "Port 22\nInclude /opt/*.conf\n", "opt/a.conf": "Port 4444\n"},
    ),
    "a port of sshd with another sign": (
        Listening(), started("sshd"), {"etc/ssh/sshd_config": "Port=4444\n"},
    ),
    "a port of sshd's own": (
        Listening(), started("sshd", "-p", "4444"), {"etc/ssh/sshd_config": "Port 22\n"},
    ),
    "a port of lighttpd that is read in": (
        Listening(), started("lighttpd"),
        {"etc/lighttpd/lighttpd.conf": 'server.port = 443\ninclude "more/a"\n',
         "etc/lighttpd/more/a": '$SERVER["socket"] == ":81" {\n}\n'},
    ),
    "a file of lighttpd's own": (
        WebAdministration(), started("lighttpd", "-f", "/opt/l.conf"),
        {"etc/lighttpd/lighttpd.conf": "server.port = 443\n", "opt/l.conf": 'cgi.assign = ( ".cgi" => "" )\n'},
    ),
}  # fmt: skip
PLAN = a_plan(listening=(("tcp", 22), ("tcp", 443), ("tcp", 8883)))


@pytest.mark.parametrize(("spec", "start", "files"), HIDDEN.values(), ids=HIDDEN)
def test_a_setting_is_found_where_it_is_read(tmp_path: Path, spec: Probe, start: Files, files: Files) -> None:
    finding = ask(grow(tmp_path, {**start, **files}), spec, PLAN)  # type: ignore[arg-type]  # every one is a probe's spec
    assert finding.outcome is Outcome.FAIL, finding


GOOD: dict[str, tuple[Probe, Files]] = {
    "a broker": (Broker(), {**started("mosquitto"), "etc/mosquitto/mosquitto.conf": f"{BROKER}include_dir /opt/m\n"}),
    "an agent": (Snmp(), {**started("snmpd"), "etc/snmp/snmpd.conf": "rouser x priv\nincludeFile gone.conf\n"}),
    "sshd": (Listening(), {**started("sshd"), "etc/ssh/sshd_config": "Include /opt/*.conf\nPort 22\n"}),
    "lighttpd": (Listening(), {**started("lighttpd"), "etc/lighttpd/lighttpd.conf": "server.port = 443\n"}),
}


@pytest.mark.parametrize(("spec", "files"), GOOD.values(), ids=GOOD)
def test_settings_without_fault_still_pass(tmp_path: Path, spec: Probe, files: Files) -> None:
    finding = ask(grow(tmp_path, files), spec, PLAN)  # type: ignore[arg-type]  # every one is a probe's spec
    assert finding.outcome is Outcome.PASS, finding


def test_files_that_read_in_each_other_come_to_an_end(tmp_path: Path) -> None:
    chain: Files = {f"etc/snmp/{n}.conf": f"includeFile {n + 1}.conf\nincludeFile 0.conf\n" for n in range(200)}
    grow(tmp_path, {**started("snmpd"), "etc/snmp/snmpd.conf": "includeFile 0.conf\n", **chain})
    assert ask(tmp_path, Snmp()).outcome is Outcome.UNKNOWN
