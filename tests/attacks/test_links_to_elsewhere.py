"""Attacks with links to what is not in the audited tree: what nobody can see is unknown, and never simply not there.

Router firmware has such links by design: ``/etc/passwd`` leads to a partition that the device makes when it starts.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes import Absent, AccountCheck, Accounts, Present, ProbeSpec, Service, Setting, Syntax
from holdfast_core.baseline.probes.credentials import PasswordFiles, RootRights
from holdfast_probe.images.limits import ImageLimits, Meter
from holdfast_probe.images.root import ImageRoot
from holdfast_probe.images.tree import Node, Tree
from holdfast_probe.roots import FolderRoot, LiveRoot, Missing, Root, Unreadable
from probe_builders import Files, ask, grow

ACCOUNTS = Accounts(check=AccountCheck.EMPTY_PASSWORD)
SSHD = Setting(file="/etc/ssh/sshd_config", syntax=Syntax.SSHD, key="PermitRootLogin", one_of=("no",), default="yes")
LINE = "root:*:0:0:root:/root:/bin/sh\n"
SHADOW = "root:*:20000:0:99999:7:::\n"
SH = "\x7fELF"


def image(files: Files) -> ImageRoot:
    tree = Tree("tar", Meter(ImageLimits()))
    for name, what in files.items():
        folder = tree.top
        *folders, last = name.rstrip("/").split("/")
        for part in folders:
            assert folder.children is not None
            if part not in folder.children:
                tree.put(folder, part.encode(), tree.node(0o040755, 0, 0))
            folder = folder.children[part]
        assert isinstance(what, str)
        tree.put(folder, last.encode(), _node(tree, what, is_folder=name.endswith("/")))
    return ImageRoot(tree)


def _node(tree: Tree, what: str, *, is_folder: bool) -> Node:
    if what.startswith("-> "):
        node = tree.node(0o120777, 0, 0)
        node.link = what[3:]
        return node
    node = tree.node(0o040755 if is_folder else 0o100644, 0, 0)
    if not is_folder:
        node.size, node.content = len(what), _Text(what.encode())
    return node


class _Text:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def read_at(self, offset: int, size: int) -> bytes:
        return self._content[offset : offset + size]


@pytest.fixture(params=["folder", "image"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def rooted(tmp_path: Path, kind: str, files: Files) -> Root:
    return image(files) if kind == "image" else FolderRoot(grow(tmp_path, files), owners_kept=True)


@pytest.mark.parametrize(
    "links",
    [
        {"etc/passwd": "-> /var/passwd", "var/": ""},
        {"etc/passwd": "-> /data/etc/passwd"},
        {"etc/passwd": "-> ../tmp/passwd", "tmp/": ""},
        {"etc/passwd": "-> passwd.now", "etc/passwd.now": "-> /nvram/passwd"},
        {"etc": "-> /data/etc"},
        {"etc": "-> /data", "data/": ""},
        {"etc/passwd": LINE, "etc/shadow": "-> /data/shadow"},
        {"bin/sh": SH, "sbin/init": SH, "etc/hostname": "x\n"},
    ],
)
def test_accounts_that_lie_elsewhere_are_unknown(tmp_path: Path, kind: str, links: Files) -> None:
    finding = ask(rooted(tmp_path, kind, links), ACCOUNTS)
    assert finding.outcome is Outcome.UNKNOWN, finding


@pytest.mark.parametrize(
    "files",
    [
        {"etc/passwd": LINE, "etc/shadow": SHADOW},
        {
            "etc/passwd": "-> /data/passwd",
            "etc/shadow": "-> ../data/shadow",
            "data/passwd": LINE,
            "data/shadow": SHADOW,
        },
        {"etc": "-> /rom/etc", "rom/etc/passwd": LINE, "rom/etc/shadow": SHADOW},
    ],
)
def test_accounts_that_a_link_leads_to_inside_are_read(tmp_path: Path, kind: str, files: Files) -> None:
    assert ask(rooted(tmp_path, kind, files), ACCOUNTS).outcome is Outcome.PASS


def test_a_tree_that_is_no_system_needs_no_accounts(tmp_path: Path, kind: str) -> None:
    assert ask(rooted(tmp_path, kind, {"etc/hostname": "x\n"}), ACCOUNTS).outcome is Outcome.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("spec", "files"),
    [
        (SSHD, {"etc/ssh/sshd_config": "-> /data/sshd_config"}),
        (
            SSHD,
            {
                "etc/ssh/sshd_config": "Include /etc/ssh/d/*.conf\nPermitRootLogin no\n",
                "etc/ssh/d/a.conf": "-> /data/a",
            },
        ),
        (SSHD, {"etc/ssh/sshd_config": "Include d/*.conf\nPermitRootLogin no\n", "etc/ssh/d": "-> /data/d"}),
        (SSHD, {"etc/ssh/sshd_config": "Include d/*\nPermitRootLogin no\n", "etc/ssh/d": "-> /data", "data/": ""}),
        (RootRights(), {"etc/sudoers": "-> /data/sudoers"}),
        (PasswordFiles(), {"etc/nginx/htpasswd": "-> /data/htpasswd"}),
        (
            Service(names=("telnetd",)),
            {"etc/init.d/S50telnet": "-> /data/telnet", "etc/inittab": "::respawn:/bin/login\n"},
        ),
        (Service(names=("telnetd",)), {"etc/init.d": "-> /data/init.d", "etc/inittab": "::respawn:/bin/login\n"}),
    ],
)
def test_an_input_that_lies_elsewhere_is_unknown(tmp_path: Path, kind: str, spec: ProbeSpec, files: Files) -> None:
    finding = ask(rooted(tmp_path, kind, files), spec)
    assert finding.outcome is Outcome.UNKNOWN, finding
    assert "/data" in finding.reason


@pytest.mark.parametrize(
    ("spec", "files", "outcome"),
    [
        (Absent(paths=("/usr/sbin/telnetd", "/x")), {"usr/sbin/telnetd": "-> /data/t", "x": "-> /y"}, Outcome.PASS),
        (Present(paths=("/etc/x", "/etc/*.conf")), {"etc/x": "-> /data/x", "etc/a.conf": "-> /data/a"}, Outcome.FAIL),
        (
            Service(names=("telnetd",)),
            {
                "etc/systemd/system/telnetd.service": "-> /dev/null",
                "etc/systemd/system/multi-user.target.wants/telnetd.service": "-> /lib/systemd/system/telnetd.service",
                "lib/systemd/system/getty.service": "[Service]\nExecStart=/sbin/agetty\n",
            },
            Outcome.PASS,
        ),
        (PasswordFiles(), {"etc/resolv.conf": "-> /tmp/resolv.conf", "tmp/": ""}, Outcome.NOT_APPLICABLE),
    ],
)
def test_what_is_meant_not_to_be_there_is_not(
    tmp_path: Path, kind: str, spec: ProbeSpec, files: Files, outcome: Outcome
) -> None:
    finding = ask(rooted(tmp_path, kind, files), spec)
    assert finding.outcome is outcome, finding


def test_a_root_says_where_a_way_ends(tmp_path: Path, kind: str) -> None:
    files: Files = {
        "etc/a": "-> b",
        "etc/b": "-> ../data/../nvram/c",
        "data/": "",
        "var": "-> tmp",
        "tmp/": "",
        "x/y": "z",
    }
    root = rooted(tmp_path, kind, files)
    with pytest.raises(Unreadable, match="it leads to /nvram/c, which is not in this tree"):
        root.read("/etc/a")
    for path in ("/etc/c", "/var/spool/cron", "/x/y/z"):
        with pytest.raises(Missing):
            root.status(path)
    assert root.listing("/var") == ()
    assert root.present("/etc/*") == ()
    with pytest.raises(Unreadable):
        root.glob("/etc/*")


def test_on_a_running_system_nothing_is_elsewhere(tmp_path: Path) -> None:
    root = LiveRoot(grow(tmp_path, {"etc/a": "-> /data/a"}))
    with pytest.raises(Missing):
        root.read("/etc/a")
    assert root.glob("/etc/*") == ()
