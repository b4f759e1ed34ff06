"""What dropbear is really started with decides, wherever its options are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes.services import Dropbear
from holdfast_probe.case import Case
from holdfast_probe.editor import CannotMend, Editor
from holdfast_probe.roots import FolderRoot
from holdfast_probe.services.dropbear import mend_dropbear
from probe_builders import Files, a_plan, ask, grow

PASS, FAIL, UNKNOWN, NOTHING = Outcome.PASS, Outcome.FAIL, Outcome.UNKNOWN, Outcome.NOT_APPLICABLE
START = "start-stop-daemon -S -b -x /usr/sbin/dropbear"


def script(*lines: str) -> Files:
    """A start script of buildroot."""
    return {"etc/init.d/S40ssh": ("#!/bin/sh\n" + "\n".join(lines) + "\n", 0o755)}


def default(value: str) -> Files:
    """Options in a file of their own, as distributions have it."""
    return {"etc/default/dropbear": f'DROPBEAR_EXTRA_ARGS="{value}"\n'}


OPENWRT = "#!/bin/sh /etc/rc.common\nUSE_PROCD=1\nPROG=/usr/sbin/dropbear\nstart_service() {\n config_load dropbear\n"
UNIT = "[Service]\nEnvironmentFile=-/etc/default/dropbear\nExecStart=/usr/sbin/dropbear -EF $DROPBEAR_EXTRA_ARGS\n"
WANTS = {"etc/systemd/system/multi-user.target.wants/dropbear.service": "-> ../dropbear.service"}
TREES: dict[str, tuple[Files, Outcome]] = {
    "no options at all": (script(START), FAIL),
    "options in a file that nothing reads": (script(START) | default("-s"), FAIL),
    "options in the script itself": (script(f"{START} -- -s -g"), PASS),
    "options of root alone": (script(f"{START} -- -g"), FAIL),
    "options in one word": (script(f"{START} -- -Rsg"), PASS),
    "a value that only looks like it": (script(f"{START} -- -R -b s"), FAIL),
    "a value in the same word": (script(f"{START} -- -bs"), FAIL),
    "a file that is read": (
        script(". /etc/default/dropbear", f"{START} -- -R $DROPBEAR_EXTRA_ARGS") | default("-s"),
        PASS,
    ),
    "a file that is read and says nothing of it": (
        script("[ -r /etc/default/dropbear ] && . /etc/default/dropbear", f"{START} -- $DROPBEAR_EXTRA_ARGS")
        | default("-w"),
        FAIL,
    ),
    "a file that is read after an empty value": (
        script("DROPBEAR_EXTRA_ARGS=", ". /etc/default/dropbear", f"{START} -- $DROPBEAR_EXTRA_ARGS") | default("-s"),
        PASS,
    ),
    "a file that is read and not used": (script(". /etc/default/dropbear", START) | default("-s"), FAIL),
    "options that are worked out": (script(f"{START} -- $(cat /run/options)"), UNKNOWN),
    "inittab": ({"etc/inittab": "::respawn:/usr/sbin/dropbear -F -s\n"}, PASS),
    "inittab without": ({"etc/inittab": "::respawn:/usr/sbin/dropbear -F\n"}, FAIL),
    "one of two": ({"etc/inittab": "::respawn:dropbear -F -s\n::respawn:dropbear -F -p 2222\n"}, FAIL),
    "inetd": ({"etc/inetd.conf": "ssh stream tcp nowait root /usr/sbin/dropbear dropbear -i -s\n"}, PASS),
    "the many-in-one program": (script("dropbearmulti dropbear -R"), FAIL),
    "a link": (
        script("/usr/bin/x -R") | {"usr/bin/x": "-> ../sbin/dropbear", "usr/sbin/dropbear": ("\0", 0o755)},
        FAIL,
    ),
    "a unit": (WANTS | {"etc/systemd/system/dropbear.service": UNIT} | default("-s"), PASS),
    "a unit without": (WANTS | {"etc/systemd/system/dropbear.service": UNIT}, FAIL),
    "OpenRC": (
        {
            "etc/init.d/dropbear": '#!/sbin/openrc-run\ncommand=/usr/sbin/dropbear\ncommand_args="$DROPBEAR_OPTS"\n',
            "etc/conf.d/dropbear": 'DROPBEAR_OPTS="-s"\n',
            "etc/runlevels/default/dropbear": "-> /etc/init.d/dropbear",
        },
        PASS,
    ),
    "OpenWrt, whose settings decide": (
        {
            "etc/init.d/dropbear": f'{OPENWRT} procd_set_param command "$PROG" -F\n}}\n',
            "etc/rc.d/S19dropbear": "-> ../init.d/dropbear",
            "etc/config/dropbear": "config dropbear\n",
        },
        NOTHING,
    ),
    "OpenWrt without settings": (
        {
            "etc/init.d/dropbear": f'{OPENWRT} procd_set_param command "$PROG" -F\n}}\n',
            "etc/rc.d/S19dropbear": "-> ../init.d/dropbear",
        },
        UNKNOWN,
    ),
    "a script that says nothing": ({"etc/init.d/S40dropbear": "#!/bin/sh\nstart_it\n"}, UNKNOWN),
    "another server": (script("/usr/sbin/sshd") | default(""), NOTHING),
    "a client of its own": (script("/usr/bin/dbclient 192.0.2.1"), NOTHING),
    "no known way of starting": ({"usr/sbin/dropbear": "x"}, UNKNOWN),
    "nothing of it": ({"etc/passwd": ""}, NOTHING),
}


@pytest.mark.parametrize(("tree", "outcome"), TREES.values(), ids=TREES)
def test_dropbear_takes_keys_only_by_the_options_that_it_gets(tmp_path: Path, tree: Files, outcome: Outcome) -> None:
    finding = ask(grow(tmp_path, tree), Dropbear())
    assert finding.outcome is outcome, finding


def test_a_person_is_told_what_to_add_and_where(tmp_path: Path) -> None:
    root = FolderRoot(grow(tmp_path, script(START)), owners_kept=True)
    with pytest.raises(CannotMend, match=r"S40ssh.* add -s to its options"):
        mend_dropbear(Case(root, a_plan()), Editor(root), Dropbear())
