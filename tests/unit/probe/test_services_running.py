"""What start scripts run: a service is found under whatever name, and by whatever trick, it is started."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes.services import Autostart, Runs, Service
from holdfast_probe.services.shell import spoken
from holdfast_probe.services.wrapped import ends_in
from probe_builders import Files, a_plan, ask, grow

TELNET = Service(names=("telnet", "telnetd"))
DEBUG = Service(names=("gdbserver", "nc", "socat"))
START = 'case "$1" in\n    start) {} ;;\n    stop) killall telnetd ;;\nesac\n'


def script(*lines: str) -> Files:
    """A start script of buildroot whose name says nothing."""
    return {"etc/init.d/S90misc": ("#!/bin/sh\n" + "\n".join(lines) + "\n", 0o755)}


TRICKS: dict[str, Files] = {
    "a renamed script": script("telnetd -l /bin/sh &"),
    "an absolute path": script("/usr/sbin/telnetd -l /bin/sh"),
    "a shell that is given a text": script("sh -c 'sleep 1; telnetd -F'"),
    "a shell that is given a text in a text": script("""/bin/ash -c "sh -c 'telnetd'" """),
    "an applet of busybox": script("busybox telnetd"),
    "an applet by its whole path": script("/bin/busybox telnetd -F &"),
    "a variable": script("DAEMON=/usr/sbin/telnetd", "start() {", '  "$DAEMON" -F', "}", "start"),
    "a variable that is set below": script("start() {", "  $DAEMON", "}", "DAEMON=telnetd", "start"),
    "a variable of two": script("t=tel", "${t}netd"),
    "a default": script("${DAEMON:-/usr/sbin/telnetd}"),
    "quotes inside the name": script("te''lne\"t\"d"),
    "exec": script("exec telnetd"),
    "nohup": script("nohup telnetd >/dev/null 2>&1 &"),
    "setsid": script("setsid nohup /sbin/telnetd"),
    "start-stop-daemon": script(START.format("start-stop-daemon -S -b -x /usr/sbin/telnetd")),
    "options in one word": script(START.format("start-stop-daemon -Sbqx /usr/sbin/telnetd -- -F")),
    "a long option": script("start-stop-daemon --start --exec=/usr/sbin/telnetd"),
    "startas": script("start-stop-daemon -S -x /bin/true -a /usr/sbin/telnetd"),
    "a case on one line": script('case "$1" in start) telnetd ;; esac'),
    "a loop": script("for each in crond telnetd; do $each & done"),
    "a condition": script("if telnetd -F; then exit; fi"),
    "after another": script("true && telnetd"),
    "a subshell": script("(telnetd)"),
    "a substitution": script("x=$(telnetd)"),
    "backticks": script("`which telnetd` -F"),
    "eval": script('eval "tel"netd'),
    "another root": script("chroot / telnetd"),
    "a line that goes on": script("nohup \\", "  telnetd"),
    "a script that is called": script("/opt/x.sh") | {"opt/x.sh": "#!/bin/sh\nsh /opt/y\n", "opt/y": "telnetd\n"},
    "a script on the path": script("helper") | {"usr/bin/helper": "#!/bin/sh\ntelnetd\n"},
    "a script that is read in": script(". /opt/lib") | {"opt/lib": "telnetd\n"},
    "a variable that is read in": script(". /opt/lib", "$WHAT") | {"opt/lib": "WHAT=telnetd\n"},
    "a link under another name": script("/usr/bin/x") | {"usr/bin/x": "-> ../sbin/telnetd", "usr/sbin/telnetd": "\0"},
    "rc.local": {"etc/rc.local": "D=/usr/sbin/telnetd\nnohup $D &\n"},
    "a script of rc.local": {"etc/rc.local": "sh /opt/x.sh\n", "opt/x.sh": "#!/bin/sh\ntelnetd &\n"},
    "a script of inittab": {"etc/inittab": "::sysinit:/opt/x.sh\n", "opt/x.sh": "#!/bin/sh\ntelnetd &\n"},
    "a script of cron": {"etc/crontabs/root": "@reboot /opt/x.sh\n", "opt/x.sh": "#!/bin/sh\ntelnetd &\n"},
    "procd": {
        "etc/init.d/net": "#!/bin/sh /etc/rc.common\nUSE_PROCD=1\nPROG=/usr/sbin/telnetd\n"
        'start_service() {\n procd_open_instance\n procd_set_param command "$PROG" -F\n}\n',
        "etc/rc.d/S20net": "-> ../init.d/net",
    },
    "OpenRC": {
        "etc/init.d/net": "#!/sbin/openrc-run\ncommand=/usr/sbin/telnetd\n",
        "etc/runlevels/default/net": "-> /etc/init.d/net",
    },
    "a setting of OpenRC": {
        "etc/init.d/net": '#!/sbin/openrc-run\ncommand="$WHAT"\n',
        "etc/conf.d/net": "WHAT=telnetd\n",
        "etc/runlevels/default/net": "-> /etc/init.d/net",
    },
    "a SysV script of init-d-script": {
        "etc/init.d/net": "#!/usr/bin/env /lib/init/init-d-script\nDAEMON=/usr/sbin/telnetd\n",
        "etc/rc2.d/S01net": "-> ../init.d/net",
    },
}
_WANTS = {"etc/systemd/system/multi-user.target.wants/net.service": "-> ../net.service"}
for _trick, _unit in {
    "ExecStart": "ExecStart=-/usr/sbin/telnetd -F",
    "ExecStartPre": "ExecStartPre=telnetd\nExecStart=/bin/true",
    "a unit's shell": "ExecStart=/bin/sh -c 'exec telnetd -F'",
    "a unit's long line": "ExecStart=/bin/sh -c \\\n  telnetd",
    "a unit's variable": "Environment=WHAT=telnetd\nExecStart=/usr/bin/env ${WHAT}",
}.items():
    TRICKS[_trick] = _WANTS | {"etc/systemd/system/net.service": f"[Service]\n{_unit}\n"}
_HARMLESS = {"etc/systemd/system/net.service": "[Service]\nExecStart=/bin/true\n"}
TRICKS["a drop-in"] = (
    _WANTS | _HARMLESS | {"etc/systemd/system/net.service.d/a.conf": "[Service]\nExecStart=\nExecStart=telnetd\n"}
)
TRICKS["a timer"] = {
    "etc/systemd/system/timers.target.wants/net.timer": "-> ../net.timer",
    "etc/systemd/system/net.timer": "[Timer]\nOnBootSec=1\n",
    "etc/systemd/system/net.service": "[Service]\nExecStart=/usr/sbin/telnetd\n",
}


@pytest.mark.parametrize("tree", TRICKS.values(), ids=TRICKS)
def test_telnet_is_found_however_it_is_started(tmp_path: Path, tree: Files) -> None:
    finding = ask(grow(tmp_path, tree), TELNET)
    assert finding.outcome is Outcome.FAIL, finding
    assert "telnetd" in finding.proof[0]


INNOCENT: dict[str, Files] = {
    "shown": script("echo starting telnetd", "logger -t x telnetd"),
    "stopped": script("killall telnetd", "start-stop-daemon -K -x /usr/sbin/telnetd"),
    "tested": script("[ -x /usr/sbin/telnetd ] || exit 0", "pidof telnetd"),
    "a word of a case": script('case "$1" in', "  telnetd)", "    echo no ;;", "  a | telnetd) ;;", "esac"),
    "a comment": script("# telnetd", "crond # telnetd"),
    "a text that is written": script("cat >/tmp/x <<EOF", "telnetd", "EOF"),
    "called from": script("telnet 192.0.2.1 </dev/null"),
    "written to": script("crond >/run/telnetd"),
    "a function's name": script("telnetd() {", "  crond", "}", "telnetd"),
    "a unit's folder": _WANTS
    | {"etc/systemd/system/net.service": "[Service]\nExecStartPre=/bin/mkdir /run/telnetd\nExecStart=/bin/true\n"},
    "a unit's command taken back": _WANTS
    | {"etc/systemd/system/net.service": "[Service]\nExecStart=telnetd\n"}
    | {"etc/systemd/system/net.service.d/a.conf": "[Service]\nExecStart=\nExecStart=/bin/true\n"},
}


@pytest.mark.parametrize("tree", INNOCENT.values(), ids=INNOCENT)
def test_a_word_that_nothing_runs_is_no_service(tmp_path: Path, tree: Files) -> None:
    finding = ask(grow(tmp_path, tree), TELNET)
    assert finding.outcome is Outcome.PASS, finding


def test_netcat_counts_where_it_listens_or_gives_a_shell(tmp_path: Path) -> None:
    assert ask(grow(tmp_path, script("nc -z 192.0.2.1 80")), DEBUG).outcome is Outcome.PASS
    assert ask(grow(tmp_path, script("nc -l -p 9 -e /bin/sh &")), DEBUG).outcome is Outcome.FAIL
    assert ask(grow(tmp_path, script("busybox nc -ll -p 9")), DEBUG).outcome is Outcome.FAIL
    assert ask(grow(tmp_path, script("socat TCP-LISTEN:9 EXEC:sh")), DEBUG).outcome is Outcome.FAIL


def test_a_script_tells_what_it_runs_and_by_whom(tmp_path: Path) -> None:
    grow(tmp_path, script("start-stop-daemon -S -b -x /usr/sbin/gdbserver"))
    assert ask(tmp_path, DEBUG).proof == ("gdbserver is run by misc, which /etc/init.d/S90misc starts",)
    assert ask(tmp_path, Runs(names=("gdbserver",))).outcome is Outcome.PASS


def test_a_stranger_is_not_expected_because_of_what_it_runs_beside(tmp_path: Path) -> None:
    plan = a_plan(autostart=("camera",))
    assert ask(grow(tmp_path, script("camera &", "telnetd &")), Autostart(), plan).outcome is Outcome.FAIL


UNREADABLE: dict[str, Files] = {
    "too large": {"etc/init.d/S90misc": (b"#" * (1 << 20) + b"#", 0o755)},
    "a folder": {"etc/init.d/S90misc/": "", "etc/init.d/S91x": ""},
    "many": {f"etc/init.d/S90m{number}": ("#" * 1_000_000, 0o755) for number in range(3)},
}


@pytest.mark.parametrize("tree", UNREADABLE.values(), ids=UNREADABLE)
def test_a_script_that_cannot_be_read_leaves_it_unknown(tmp_path: Path, tree: Files) -> None:
    assert ask(grow(tmp_path, tree), TELNET).outcome is Outcome.UNKNOWN


def test_scripts_that_call_each_other_come_to_an_end(tmp_path: Path) -> None:
    tree = script("/opt/a") | {"opt/a": "#!/bin/sh\n/opt/b\n/opt/a\n", "opt/b": "#!/bin/sh\n/opt/a\ntelnetd\n"}
    assert ask(grow(tmp_path, tree), TELNET).outcome is Outcome.FAIL


SHELLISH = st.text(alphabet="ab $`'\"\\(){};&|<>#=\n\t-/:*[]!caseindofor", max_size=400)


@given(SHELLISH)
def test_any_text_has_commands_or_none_and_never_an_error(text: str) -> None:
    for each in spoken(text, {}):
        assert each.words[0]
        assert each.number <= text.count("\n") + 1
        assert all(words[0] for words in ends_in(each.words))


@pytest.mark.parametrize(
    "piece", ["'", '"', "$(", "${", "`", "\\", "(", "a=$a$a;", "case x in ", "for a in $a;", "<<x"]
)
def test_a_hostile_line_costs_its_length(piece: str) -> None:
    assert len(spoken((piece * 20_000)[:40_000], {"a": "x"})) <= 40_000
