"""Attacks by the tree that is audited: it may hold anything, and must neither hang, escape, exhaust nor speak for us.

Each attack runs beside a planted fault that must still be found (the passing control of the audit itself).
"""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from holdfast_core.baseline.model import Finding, Findings, Outcome
from holdfast_core.baseline.probes import (
    Absent,
    AccountCheck,
    Accounts,
    Autostart,
    Cmdline,
    CoreFiles,
    Elf,
    ElfProperty,
    FileMode,
    KernelConfig,
    Listening,
    Mount,
    PrivateKeys,
    ProbeSpec,
    RootFsDriver,
    Service,
    Setting,
    Setuid,
    Syntax,
    Sysctl,
    Unowned,
    WorldWritable,
    WritableList,
)
from holdfast_probe.audit import audit
from holdfast_probe.budget import Budget
from holdfast_probe.roots import FolderRoot, Missing, Unreadable
from probe_builders import Files, a_plan, ask, der_ec_key, grow, pem

SSHD = Setting(file="/etc/ssh/sshd_config", syntax=Syntax.SSHD, key="PermitRootLogin", one_of=("no",), default="yes")
ALL: tuple[ProbeSpec, ...] = (
    Absent(paths=("/usr/sbin/telnetd",)),
    FileMode(paths=("/etc/shadow",), max_mode=0o640),
    WorldWritable(),
    Unowned(),
    Setuid(),
    WritableList(),
    *(Accounts(check=check) for check in AccountCheck),
    Service(names=("telnetd",)),
    Autostart(),
    Listening(),
    SSHD,
    Sysctl(key="kernel.kptr_restrict", minimum=1),
    KernelConfig(option="CONFIG_X", one_of=("y",)),
    Cmdline(forbid=("single",)),
    Mount(path="/", options=("ro",)),
    PrivateKeys(),
    *(Elf(property=each) for each in ElfProperty),
    RootFsDriver(),
    CoreFiles(),
)
READ_BY_NAME = (
    "etc/passwd", "etc/shadow", "etc/group", "etc/ssh/sshd_config", "etc/sysctl.conf", "etc/fstab", "etc/inittab",
    "etc/inetd.conf", "etc/rc.local", "boot/config-6.1", "boot/cmdline.txt", "etc/modprobe.d/a.conf",
)  # fmt: skip
PLANTED = {"srv/planted.pem": pem("EC PRIVATE KEY", der_ec_key())}


def everything(tree: Path, **budget: float) -> Findings:
    asked = [(f"XX-{number:02d}", spec) for number, spec in enumerate(ALL)]
    return audit(FolderRoot(tree), asked, a_plan(root_fs_drivers=("ext4",)), budget=Budget(**budget))  # type: ignore[arg-type]  # a table of bounds


def keys_of(findings: Findings) -> Finding:
    return findings.findings[ALL.index(PrivateKeys())]


def assert_planted_is_found(tree: Path, **budget: float) -> None:
    finding = keys_of(everything(grow(tree, dict(PLANTED)), **budget))
    assert finding.outcome is Outcome.FAIL
    assert finding.proof == ("/srv/planted.pem (EC private key)",)


def test_fifo_in_place_of_every_file(tmp_path: Path) -> None:
    for name in READ_BY_NAME:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(path)
    assert_planted_is_found(tmp_path)
    assert ask(tmp_path, SSHD).outcome is Outcome.UNKNOWN


def test_socket_and_directory_in_place_of_files(tmp_path: Path) -> None:
    (tmp_path / "etc/passwd").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as bound:
        here = Path.cwd()
        os.chdir(tmp_path / "etc")  # a socket's path may not be long
        try:
            bound.bind("shadow")
        finally:
            os.chdir(here)
        assert_planted_is_found(tmp_path)
    assert ask(tmp_path, Accounts(check=AccountCheck.UID_ZERO)).outcome is Outcome.UNKNOWN


@pytest.mark.root
def test_device_nodes_are_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, name in enumerate(("etc/passwd", "etc/shadow", "dev/watchdog", "core", "libx.so")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Character 1:3 is null, 1:5 zero: an endless file, were it opened.
            os.mknod(path, 0o020666, os.makedev(1, 5 if number % 2 else 3))
        except PermissionError:
            pytest.skip("device nodes cannot be made here")
    opened: list[str] = []
    real = os.open

    def watch(path: str, *rest: int, **more: int) -> int:
        opened.append(str(path).rsplit("/", 1)[-1])
        return real(path, *rest, **more)

    monkeypatch.setattr(os, "open", watch)
    assert_planted_is_found(tmp_path)
    assert "planted.pem" in opened
    assert not {"passwd", "shadow", "watchdog", "core", "libx.so"} & set(opened)


def test_loops_of_links(tmp_path: Path) -> None:
    grow(
        tmp_path,
        {"etc/passwd": "-> shadow", "etc/shadow": "-> passwd", "a/b": "-> ../a", "c": "-> .", "etc/ssh": "-> /etc/ssh"},
    )
    assert_planted_is_found(tmp_path)
    assert ask(tmp_path, Accounts(check=AccountCheck.UID_ZERO)).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("target", ["/etc/secret", "../../../../../../../../../etc/secret", "../outside/etc/secret"])
def test_links_do_not_lead_out_of_the_root(tmp_path: Path, target: str) -> None:
    outside = grow(tmp_path / "outside", {"etc/secret": "root:x:0:0::/:/bin/sh\nevil:x:0:0::/:/bin/sh\n"})
    tree = grow(tmp_path / "tree", {"etc/passwd": f"-> {target}", "way": f"-> {outside}"})
    root = FolderRoot(tree)
    with pytest.raises(Unreadable, match="not in this tree"):
        root.read("/etc/passwd")
    with pytest.raises(Unreadable, match="not in this tree"):
        root.read("/way/etc/secret")
    with pytest.raises(Missing):
        root.read(f"/../../..{outside}/etc/secret")
    grow(tree, {"etc/secret": "inside"})
    if "outside" not in target:  # the same link, now that its target exists inside, is followed inside
        assert root.read("/etc/passwd") == b"inside"


def test_a_directory_swapped_for_a_link_is_not_entered(tmp_path: Path) -> None:
    grow(tmp_path / "outside", {"k.pem": pem("EC PRIVATE KEY", der_ec_key())})
    tree = grow(tmp_path / "tree", {"link": "-> ../outside", "etc/x": ""})
    assert keys_of(everything(tree)).outcome is Outcome.PASS


def test_ten_gigabytes_of_nothing(tmp_path: Path) -> None:
    for name in ("etc/passwd", "etc/ssh/sshd_config", "boot/config-6.1", "core", "srv/huge"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(10 * 1024**3)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert_planted_is_found(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB
    assert ask(tmp_path, SSHD).outcome is Outcome.UNKNOWN


def test_nested_deeper_than_any_stack(tmp_path: Path) -> None:
    grow(tmp_path, dict(PLANTED))
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    try:
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        findings = everything(tmp_path)
        assert findings.findings[ALL.index(WorldWritable())].outcome is Outcome.UNKNOWN
        assert "nested" in findings.findings[ALL.index(WorldWritable())].reason
        assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    finally:
        take_down(tmp_path / "d", tmp_path / "e")


def take_down(tower: Path, moved: Path) -> None:
    """Level by level: pytest's own clean-up recurses."""
    while tower.exists():
        inner = tower / "d"
        if inner.exists():
            inner.rename(moved)
            tower.rmdir()
            moved.rename(tower)
        else:
            tower.rmdir()


def test_more_entries_than_the_budget(tmp_path: Path) -> None:
    for number in range(3000):
        (tmp_path / f"f{number}").touch()
    findings = everything(tmp_path, files=1500)
    assert findings.findings[ALL.index(WorldWritable())].outcome is Outcome.UNKNOWN
    assert ask(tmp_path, WorldWritable()).outcome is Outcome.PASS
    (tmp_path / "f0").chmod(0o666)
    assert ask(tmp_path, WorldWritable()).outcome is Outcome.FAIL


def test_a_hundred_thousand_files_in_one_folder(tmp_path: Path) -> None:
    grow(tmp_path, {"many/": "", **PLANTED})
    here = os.open(tmp_path / "many", os.O_RDONLY)
    for number in range(100_000):
        os.close(os.open(f"f{number}", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=here))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert keys_of(everything(tmp_path)).proof == ("/srv/planted.pem (EC private key)",)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB
    os.chmod("f77777", 0o666, dir_fd=here)  # noqa: S103  (the planted fault)
    assert ask(tmp_path, WorldWritable()).proof == ("/many/f77777 (0666)",)
    with pytest.raises(Unreadable):
        FolderRoot(tmp_path).listing("/many")
    for number in range(100_000):
        os.unlink(f"f{number}", dir_fd=here)
    os.close(here)


def test_more_time_than_the_budget(tmp_path: Path) -> None:
    for number in range(3000):
        (tmp_path / f"f{number}").touch()
    ticks: Iterator[int] = count()
    slow = ask(tmp_path, WorldWritable(), clock=lambda: 400.0 * next(ticks))
    assert slow.outcome is Outcome.UNKNOWN
    assert "300 s" in slow.reason


def test_names_that_speak_to_the_terminal(tmp_path: Path) -> None:
    for name in (b"\x1b[2J\nok", b"\xff\xfe", "\u202eexe".encode()):
        path = os.fsencode(tmp_path) + b"/" + name
        with open(path, "wb"):  # noqa: PTH123  (the name is no text)
            os.chmod(path, 0o666)  # noqa: PTH101, S103  (same; the planted fault)
    finding = ask(tmp_path, WorldWritable())
    assert len(finding.proof) == 3
    assert all(item.isprintable() for item in finding.proof)


def test_lines_without_end_and_settings_that_include_themselves(tmp_path: Path) -> None:
    grow(
        tmp_path,
        {"etc/ssh/sshd_config": "Include /etc/ssh/*\n", "etc/passwd": ":" * 900_000, "etc/inittab": "::" * 99_999},
    )
    assert_planted_is_found(tmp_path)
    assert ask(tmp_path, SSHD).outcome is Outcome.UNKNOWN


def test_a_hash_that_costs_a_year(tmp_path: Path) -> None:
    year = "$6$rounds=999999999$saltsalt$" + "x" * 86
    grow(tmp_path, {"etc/passwd": "root:x:0:0::/:/bin/sh\n", "etc/shadow": f"root:{year}:::::::\n"})
    finding = ask(tmp_path, Accounts(check=AccountCheck.DEFAULT_PASSWORD))
    assert finding.outcome is Outcome.UNKNOWN
    assert "saltsalt" not in finding.reason


def test_no_fact_of_this_host_reaches_a_folder(tmp_path: Path) -> None:
    """A tree that brings its own /proc is judged like the same tree with another, or with none."""
    tree: Files = {"etc/passwd": "root:x:0:0::/:/bin/sh\n", "etc/group": "root:x:0:\n", "bin/tool": ("x", 0o755)}
    lies: Files = {
        "proc/net/tcp": "sl\n 0: 00000000:0016 00000000:0000 0A\n",
        "proc/cmdline": "single",
        "proc/mounts": "x / ext4 ro 0 0\n",
        "proc/sys/kernel/kptr_restrict": "2",
        "proc/sys/kernel/osrelease": os.uname().release,
    }
    bare = everything(grow(tmp_path / "bare", dict(tree)))
    lying = everything(grow(tmp_path / "lying", tree | lies))
    assert lying == bare
    for spec in (Listening(), Cmdline(forbid=("single",)), Mount(path="/", options=("ro",))):
        assert bare.findings[ALL.index(spec) if spec in ALL else 0].outcome is not Outcome.FAIL
    assert bare.findings[ALL.index(Listening())].outcome is Outcome.UNKNOWN


def test_a_tree_that_is_not_there(tmp_path: Path) -> None:
    findings = everything(tmp_path / "nothing").findings
    assert len(findings) == len(ALL)
    assert {f.outcome for f in findings} <= {Outcome.UNKNOWN, Outcome.NOT_APPLICABLE}
    with pytest.raises(Unreadable):
        FolderRoot(tmp_path / "nothing").listing("/")


@pytest.mark.parametrize("path", ["etc/ssh/sshd_config", "etc/xinetd.conf", "etc/systemd/journald.conf"])
def test_a_line_of_a_million_blanks(tmp_path: Path, path: str) -> None:
    """Quadratic reading of it would take the better part of an hour."""
    line = "PermitRootLogin no" + " " * 900_000 + "y"
    grow(tmp_path, {path: f"{line}\nservice x\n{{\n a = {line}\n}}\n" + "\n" * 900_000})
    assert_planted_is_found(tmp_path)
    assert ask(tmp_path, SSHD).outcome in {Outcome.FAIL, Outcome.NOT_APPLICABLE, Outcome.UNKNOWN, Outcome.PASS}


def test_a_thousand_keys_that_begin_and_one_that_is_whole(tmp_path: Path) -> None:
    begin = b"-----BEGIN PRIVATE KEY-----"
    grow(
        tmp_path,
        {
            "a": begin * 500_000,
            "b": begin * 1_000 + b"\n" + pem("PRIVATE KEY", der_ec_key()).encode(),
            "c": b"-----END" * 99_999,
        },
    )
    finding = ask(tmp_path, PrivateKeys())
    assert (finding.outcome, [proof.split(" ")[0] for proof in finding.proof]) == (Outcome.FAIL, ["/b"])


@pytest.mark.parametrize("pattern", ["/usr/bin/[z-a]", "/usr/bin/" + "*a" * 24 + "*b", "/usr/bin/[", "/*/" * 40])
def test_a_pattern_that_no_shell_would_finish(tmp_path: Path, pattern: str) -> None:
    grow(tmp_path, {"usr/bin/" + "a" * 120: ("x", 0o4755)})
    findings = audit(FolderRoot(tmp_path), [("FS-05", Setuid())], a_plan(setuid=(pattern,)))
    assert findings.findings[0].outcome in {Outcome.FAIL, Outcome.UNKNOWN}
    allowed = audit(FolderRoot(tmp_path), [("FS-05", Setuid())], a_plan(setuid=("/usr/bin/*a",)))
    assert allowed.findings[0].outcome in {Outcome.PASS, Outcome.UNKNOWN}  # the control; unknown without root


def test_looks_that_take_all_the_time_leave_the_rest_unknown(tmp_path: Path) -> None:
    """Each look is bounded, and so is their sum."""
    grow(tmp_path, {"etc/hosts": "x"})
    times = iter(range(0, 10_000, 100))
    asked = [(f"XX-{n:02d}", Absent(paths=(f"/{n}",))) for n in range(8)]
    found = audit(FolderRoot(tmp_path), asked, a_plan(), clock=lambda: float(next(times))).findings
    outcomes = [finding.outcome for finding in found]
    assert outcomes == [Outcome.PASS] * 3 + [Outcome.UNKNOWN] * 5
    assert "longer than" in found[-1].reason
