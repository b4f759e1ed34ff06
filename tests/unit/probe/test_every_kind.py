"""Every kind of probe: a tree on which it passes, and a copy broken in one place on which exactly that shows."""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from holdfast_core.baseline.model import BuildManifest, Findings, Outcome
from holdfast_core.baseline.probes import (
    Absent,
    AccountCheck,
    Accounts,
    Autostart,
    Cmdline,
    CoreFiles,
    Elf,
    ElfProperty,
    Every,
    FileMode,
    KernelConfig,
    Listening,
    Manifest,
    Mount,
    Present,
    PrivateKeys,
    ProbeSpec,
    RootFsDriver,
    Service,
    Setting,
    Setuid,
    Simple,
    Syntax,
    Sysctl,
    Unowned,
    Words,
    WorldWritable,
    WritableList,
)
from holdfast_probe.audit import HUNTS, LOOKS, audit
from holdfast_probe.roots import FolderRoot, LiveRoot
from probe_builders import a_plan, ask, der_ec_key, grow, own_ids, pem

USERS = "root:x:0:0::/root:/bin/sh\ndaemon:x:1:1::/:/usr/sbin/nologin\n"
# sha512-crypt of 24 random letters; the weak one below is md5-crypt of "admin".
STRONG = "$6$abcdefgh$bR/8f31q01OtEg01mvvW3YylJuMEgdQclmvaTDu6fYd9horHK4ohiDzOGZ2GQjaY7zTE/OeaTr/j1bLbTzJ7A/"
PE = "/lib/systemd/system"
UNIT = "[Service]\nExecStart=/usr/sbin/{0} -F\n"
TCP = "  sl  local_address rem_address   st\n   0: 00000000:0016 00000000:0000 0A 0:0\n"


def elf(*, kind: int = 3, stack: int | None = 6, interp: bool = True, relro: bool = True, now: bool = True) -> bytes:
    """A little-endian 64-bit program of headers only."""
    dynamic = struct.pack("<qQ", 30, 8 if now else 0) + struct.pack("<qQ", 0, 0)
    kinds = [(1, 5), (2, 6)]
    kinds += [(3, 4)] if interp else []
    kinds += [(0x6474E551, stack)] if stack is not None else []
    kinds += [(0x6474E552, 4)] if relro else []
    start = 64 + 56 * len(kinds)
    segments = b"".join(
        struct.pack("<IIQQQQQQ", k, flags, start if k == 2 else 0, 0, 0, len(dynamic) if k == 2 else 0, 0, 0)
        for k, flags in kinds
    )
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    return (
        head + struct.pack("<HHIQQQIHHHHHH", kind, 62, 1, 0, 64, 0, 0, 64, 56, len(kinds), 0, 0, 0) + segments + dynamic
    )


Case = tuple[ProbeSpec, dict[str, Any], dict[str, Any], dict[str, Any]]
"""The probe, the passing tree, what breaks it (added or replaced), and the plan's lists."""

CASES: dict[str, Case] = {
    "absent": (Absent(paths=("/usr/bin/gdb*",)), {"usr/bin/ls": "x"}, {"usr/bin/gdbserver": "x"}, {}),
    "words": (
        Words(paths=("/etc/rc.*",), forbid=("telnetd",)),
        {"etc/rc.local": "# telnetd\n"},
        {"etc/rc.local": "telnetd &\n"},
        {},
    ),
    "file_mode": (
        FileMode(paths=("/etc/shadow",), max_mode=0o640),
        {"etc/shadow": ("x", 0o600)},
        {"etc/shadow": ("x", 0o644)},
        {},
    ),
    "world_writable": (WorldWritable(), {"tmp/": ("", 0o1777)}, {"etc/passwd": ("x", 0o666)}, {}),
    "world_writable directory": (WorldWritable(), {"tmp/": ("", 0o1777)}, {"srv/": ("", 0o777)}, {}),
    "setuid": (Setuid(), {"bin/su": ("x", 0o4755)}, {"bin/sh": ("x", 0o4755)}, {"setuid": ("/bin/su",)}),
    "writable_list": (
        WritableList(),
        {"tmp/": ("", 0o1777), "tmp/below/": ("", 0o1777)},
        {"var/spool/": ("", 0o1777)},
        {"writable": ("/tmp",)},  # noqa: S108  (audited, not used)
    ),
    "empty password": (
        Accounts(check=AccountCheck.EMPTY_PASSWORD),
        {"etc/passwd": USERS, "etc/shadow": "root:*:::::::\n"},
        {"etc/shadow": "root::::::::\n"},
        {},
    ),
    "default password": (
        Accounts(check=AccountCheck.DEFAULT_PASSWORD),
        {"etc/passwd": USERS, "etc/shadow": f"root:{STRONG}:::::::\n"},
        {"etc/shadow": "root:$1$salt$IEd.dPRrJY41NYnnaBENQ1:::::::\n"},
        {},
    ),
    "uid zero": (
        Accounts(check=AccountCheck.UID_ZERO),
        {"etc/passwd": USERS},
        {"etc/passwd": USERS + "toor:x:0:0::/:/bin/sh\n"},
        {},
    ),
    "hash strength": (
        Accounts(check=AccountCheck.HASH_STRENGTH),
        {"etc/passwd": USERS, "etc/shadow": f"root:{STRONG}:::::::\n"},
        {"etc/shadow": "root:$1$salt$IEd.dPRrJY41NYnnaBENQ1:::::::\n"},
        {},
    ),
    "unexpected login": (
        Accounts(check=AccountCheck.UNEXPECTED_LOGIN),
        {"etc/passwd": USERS, "etc/shadow": f"root:{STRONG}:::::::\ndaemon:*::\n"},
        {"etc/passwd": USERS + "backdoor:" + STRONG + ":0:0::/:/bin/sh\n"},
        {"accounts": ("root",)},
    ),
    "login with a key": (
        Accounts(check=AccountCheck.UNEXPECTED_LOGIN),
        {"etc/passwd": USERS, "etc/shadow": "root:*::\n"},
        {"root/.ssh/authorized_keys": "ssh-ed25519 AAAA\n"},
        {},
    ),
    "service by unit": (
        Service(names=("telnetd",)),
        {f"{PE}/telnetd.service": UNIT.format("telnetd"), f"{PE}/multi-user.target.wants/": ""},
        {f"{PE}/multi-user.target.wants/telnetd.service": "-> ../telnetd.service"},
        {},
    ),
    "service by socket and program": (
        Service(names=("in.telnetd",)),
        {f"{PE}/t.socket": "[Socket]\nAccept=yes\n", f"{PE}/t@.service": UNIT.format("in.telnetd")},
        {"etc/systemd/system/sockets.target.wants/t.socket": f"-> {PE}/t.socket"},
        {},
    ),
    "service by rc.d": (
        Service(names=("telnet",)),
        {"etc/init.d/telnet": "x", "etc/rc.d/S10boot": "x", "usr/sbin/telnetd": "-> /bin/busybox", "bin/busybox": "x"},
        {"etc/rc.d/S50telnet": "-> ../init.d/telnet"},
        {},
    ),
    "service by runlevel": (
        Service(names=("telnetd",)),
        {"etc/rc2.d/K01telnetd": "x"},
        {"etc/rc2.d/S01telnetd": "x"},
        {},
    ),
    "service by inittab": (
        Service(names=("telnetd",)),
        {"etc/inittab": "::sysinit:/etc/init.d/rcS\n#::respawn:telnetd\n"},
        {"etc/inittab": "::respawn:/bin/busybox telnetd -l /bin/sh\n"},
        {},
    ),
    "service by inetd": (
        Service(names=("telnet",)),
        {"etc/inetd.conf": "# telnet stream tcp nowait root /usr/sbin/telnetd telnetd\n"},
        {"etc/inetd.conf": "telnet stream tcp nowait root /usr/sbin/telnetd telnetd\n"},
        {},
    ),
    "service by xinetd": (
        Service(names=("telnet",)),
        {"etc/xinetd.d/telnet": "service telnet\n{\n disable = yes\n server = /usr/sbin/x\n}\n"},
        {"etc/xinetd.d/telnet": "service telnet\n{\n disable = no\n server = /usr/sbin/x\n}\n"},
        {},
    ),
    "service by xinetd, on few lines": (
        Service(names=("telnet",)),
        {"etc/xinetd.conf": "service telnet { disable = yes }\nservice x {\n server = /x }\n"},
        {"etc/xinetd.conf": "service telnet { disable = no }\nservice x {\n server = /x }\n"},
        {},
    ),
    "service by start-up script": (
        Service(names=("telnetd",)),
        {"etc/init.d/rcS": "#!/bin/sh\nmount -a\n"},
        {"etc/init.d/rcS": "#!/bin/sh\nmount -a\ntelnetd -l /bin/sh\n"},
        {},
    ),
    "autostart": (
        Autostart(),
        {"etc/rc.d/S50dropbear": "x", "etc/inittab": "::sysinit:/etc/init.d/rcS\n"},
        {"etc/rc.d/S99miner": "x"},
        {"autostart": ("dropbear",)},
    ),
    "sshd": (
        Setting(file="/etc/ssh/sshd_config", syntax=Syntax.SSHD, key="PermitRootLogin", one_of=("no",)),
        {"etc/ssh/sshd_config": "permitrootlogin no\nPermitRootLogin yes\n"},
        {"etc/ssh/sshd_config": "Include sshd_config.d/*.conf\nPermitRootLogin no\n"}
        | {"etc/ssh/sshd_config.d/a.conf": 'PermitRootLogin "yes"\n'},
        {},
    ),
    "sshd match": (
        Setting(file="/etc/ssh/sshd_config", syntax=Syntax.SSHD, key="PasswordAuthentication", one_of=("no",)),
        {"etc/ssh/sshd_config": "PasswordAuthentication no\nMatch User a\n X11Forwarding no\n"},
        {"etc/ssh/sshd_config": "PasswordAuthentication no\nMatch User a\n PasswordAuthentication yes\n"},
        {},
    ),
    "keyvalue": (
        Setting(file="/etc/journald.conf", syntax=Syntax.KEYVALUE, key="Journal/Storage", one_of=("persistent",)),
        {"etc/journald.conf": "[Journal]\nStorage=persistent ; why\n[Other]\nStorage=none\n"},
        {"etc/journald.conf.d/x.conf": "[Journal]\nStorage=volatile\n"},
        {},
    ),
    "uci": (
        Setting(file="/etc/config/dropbear", syntax=Syntax.UCI, key="dropbear.PasswordAuth", one_of=("off", "0")),
        {"etc/config/dropbear": "config dropbear\n\toption PasswordAuth 'off'\n"},
        {"etc/config/dropbear": "config dropbear\n\toption PasswordAuth 0\nconfig dropbear\n option PasswordAuth on\n"},
        {},
    ),
    "sysctl": (
        Sysctl(key="kernel.kptr_restrict", minimum=1),
        {"etc/sysctl.d/10-a.conf": "kernel.kptr_restrict = 0\n", "etc/sysctl.d/20-b.conf": "kernel/kptr_restrict=2\n"}
        | {"etc/inittab": "::sysinit:/sbin/sysctl --system\n"},
        {"etc/sysctl.conf": "-kernel.kptr_restrict = 0\n"},
        {},
    ),
    "kernel_config": (
        KernelConfig(option="CONFIG_DEVMEM", one_of=("n",)),
        {"boot/config-6.1": "# CONFIG_DEVMEM is not set\n"},
        {"boot/config-6.1": "CONFIG_DEVMEM=y\n"},
        {},
    ),
    "cmdline": (
        Cmdline(forbid=("init=", "single")),
        {"boot/cmdline.txt": "console=tty1 root=/dev/mmcblk0p2 singles\n"},
        {"boot/cmdline.txt": "console=tty1 init=/bin/sh\n"},
        {},
    ),
    "mount": (
        Mount(path="/tmp", options=("nosuid", "nodev")),  # noqa: S108  (audited, not used)
        {"etc/fstab": "tmpfs /tmp tmpfs nosuid,nodev 0 0\n"},
        {"etc/fstab": "tmpfs /tmp tmpfs nosuid 0 0\n"},
        {},
    ),
    "private_keys": (
        PrivateKeys(allow=("/etc/dropbear/*",)),
        {"etc/dropbear/k": pem("EC PRIVATE KEY", der_ec_key()), "bin/tool": "-----BEGIN EC PRIVATE KEY-----\0%s\0"},
        {"www/server.pem": "certificate first\n" + pem("EC PRIVATE KEY", der_ec_key())},
        {},
    ),
    "nx": (Elf(property=ElfProperty.NX), {"bin/a": (elf(), 0o755)}, {"bin/b": (elf(stack=7), 0o755)}, {}),
    "pie": (
        Elf(property=ElfProperty.PIE),
        {"bin/a": (elf(), 0o755), "lib/l.so": elf(interp=False)},
        {"bin/b": (elf(kind=2), 0o755)},
        {},
    ),
    "relro": (
        Elf(property=ElfProperty.RELRO),
        {"bin/a": (elf(), 0o755), "lib/l.so": elf(interp=False, now=False)},
        {"bin/b": (elf(now=False), 0o755)},
        {},
    ),
    "root_fs_driver": (
        RootFsDriver(),
        {"etc/modprobe.d/a.conf": "install cramfs /bin/true\noptions squashfs x=1\n"},
        {"etc/modprobe.d/b.conf": "install squashfs /bin/false\n"},
        {"root_fs_drivers": ("squashfs",)},
    ),
    "core_files": (
        CoreFiles(),
        {"etc/core": "no dump", "root/.ash_history": ""},
        {"root/.ash_history": "passwd secret\n"},
        {},
    ),
    "core dump": (CoreFiles(), {"etc/core": "no dump"}, {"core.77": elf(kind=4)}, {}),
    "every": (
        Every(of=(Absent(paths=("/a",)), WorldWritable())),
        {"c": "x"},
        {"etc/passwd": ("x", 0o666)},
        {},
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_passes_and_flips_when_broken(tmp_path: Path, case: Case) -> None:
    spec, tree, fault, lists = case
    whole, broken = grow(tmp_path / "whole", tree), grow(tmp_path / "broken", tree | fault)
    passing = ask(whole, spec, a_plan(**lists))
    assert passing.outcome is Outcome.PASS, passing
    failing = ask(broken, spec, a_plan(**lists))
    assert failing.outcome is Outcome.FAIL, failing
    assert failing.proof
    assert not any("secret" in item or STRONG in item for item in failing.proof)


def test_every_kind_can_be_looked_at_and_none_twice() -> None:
    kinds = {kind for area in get_args(Simple) for kind in (get_args(area) or (area,))}
    assert kinds == LOOKS.keys() | HUNTS.keys()
    assert not LOOKS.keys() & HUNTS.keys()


def test_present(tmp_path: Path) -> None:
    grow(tmp_path, {"a": "x", "dangling": "-> /nowhere"})
    assert ask(tmp_path, Present(paths=("/a",))).outcome is Outcome.PASS
    assert ask(tmp_path, Present(paths=("/dangling",))).outcome is Outcome.FAIL


@pytest.mark.root
def test_unowned(tmp_path: Path) -> None:
    grow(tmp_path, {"etc/passwd": own_ids(), "etc/group": own_ids(), "srv/data": "x"})
    assert ask(tmp_path, Unowned()).outcome is Outcome.PASS
    os.chown(tmp_path / "srv/data", 4711, 0)
    finding = ask(tmp_path, Unowned())
    assert finding.outcome is Outcome.FAIL
    assert finding.proof == ("/srv/data (uid 4711, gid 0)",)


def test_listening_is_read_from_the_kernels_list(tmp_path: Path) -> None:
    proc = grow(tmp_path / "proc", {"net/tcp": TCP})
    root = FolderRoot(grow(tmp_path / "tree", {"etc/x": ""}), proc=proc)
    assert ask(root, Listening(), a_plan(listening=(("tcp", 22),))).outcome is Outcome.PASS
    extra = ask(root, Listening(), a_plan())
    assert extra.outcome is Outcome.FAIL
    assert extra.proof == ("tcp/22 on 0.0.0.0",)
    loopback = TCP.replace("00000000:0016", "0100007F:0016")
    grow(tmp_path / "proc", {"net/tcp": loopback})
    assert ask(root, Listening(), a_plan()).outcome is Outcome.PASS
    assert ask(root, Listening(loopback=True), a_plan()).outcome is Outcome.FAIL


def test_listening_udp_leaves_clients_of_the_ephemeral_range_out(tmp_path: Path) -> None:
    udp = " sl\n 0: 00000000:{} 00000000:0000 07 0:0\n"
    proc = grow(
        tmp_path / "proc", {"net/udp": udp.format("C000"), "sys/net/ipv4/ip_local_port_range": "40000\t50000\n"}
    )
    root = FolderRoot(grow(tmp_path / "tree", {"etc/x": ""}), proc=proc)
    assert ask(root, Listening()).outcome is Outcome.PASS
    grow(tmp_path / "proc", {"net/udp": udp.format("0045")})
    assert ask(root, Listening()).proof == ("udp/69 on 0.0.0.0",)


def test_manifest() -> None:
    spec = Manifest(key="stack_protector", one_of=("true",))
    root = FolderRoot(Path("/nowhere"))
    assert ask(root, spec).outcome is Outcome.UNKNOWN
    for fact, outcome in ((True, Outcome.PASS), (False, Outcome.FAIL)):
        assert ask(root, spec, manifest=BuildManifest("b", {"stack_protector": fact})).outcome is outcome
    assert ask(root, spec, manifest=BuildManifest("b", {})).outcome is Outcome.UNKNOWN


UNDECIDED: dict[str, tuple[ProbeSpec, dict[str, Any], Outcome]] = {
    "nothing starts anything": (Service(names=("x",)), {}, Outcome.UNKNOWN),
    "a folder has no sockets": (Listening(), {"proc/net/tcp": TCP}, Outcome.UNKNOWN),
    "no settings file": (
        Setting(file="/etc/ssh/sshd_config", syntax=Syntax.SSHD, key="A", one_of=("no",)),
        {},
        Outcome.NOT_APPLICABLE,
    ),
    "a folder that sets nothing": (Sysctl(key="a.b", one_of=("1",)), {}, Outcome.UNKNOWN),
    "no kernel configuration": (KernelConfig(option="CONFIG_X", one_of=("y",)), {}, Outcome.UNKNOWN),
    "an option the kernel never had": (
        KernelConfig(option="CONFIG_X", one_of=("y",)),
        {"boot/config-1": "CONFIG_XY=y\n"},
        Outcome.NOT_APPLICABLE,
    ),
    "no boot loader": (Cmdline(forbid=("single",)), {}, Outcome.UNKNOWN),
    "no fstab": (Mount(path="/", options=("ro",)), {}, Outcome.UNKNOWN),
    "no driver declared": (RootFsDriver(), {}, Outcome.NOT_APPLICABLE),
    "no program": (Elf(property=ElfProperty.NX), {}, Outcome.NOT_APPLICABLE),
    "the architecture decides": (Elf(property=ElfProperty.NX), {"b": (elf(stack=None), 0o755)}, Outcome.UNKNOWN),
    "a scheme nobody can try": (
        Accounts(check=AccountCheck.DEFAULT_PASSWORD),
        {"etc/passwd": "root:$9$who$knows:0:0::/:/bin/sh\n"},
        Outcome.UNKNOWN,
    ),
    "no accounts": (Accounts(check=AccountCheck.UID_ZERO), {}, Outcome.NOT_APPLICABLE),
    "no owners to compare with": (Unowned(), {}, Outcome.UNKNOWN),
}


@pytest.mark.parametrize("case", UNDECIDED.values(), ids=UNDECIDED)
def test_what_cannot_be_said_is_not_said(tmp_path: Path, case: tuple[ProbeSpec, dict[str, Any], Outcome]) -> None:
    spec, tree, outcome = case
    finding = ask(grow(tmp_path, {"etc/nothing": ""} | tree), spec)
    assert finding.outcome is outcome
    assert finding.reason


@pytest.mark.parametrize("spec", [Setuid(), Unowned()], ids=["setuid", "unowned"])
def test_lost_owners_prove_nothing(tmp_path: Path, spec: ProbeSpec) -> None:
    grow(tmp_path, {"etc/passwd": own_ids(), "etc/group": own_ids()})
    assert ask(FolderRoot(tmp_path, owners_kept=True), spec).outcome is Outcome.PASS
    assert ask(FolderRoot(tmp_path, owners_kept=False), spec).outcome is Outcome.UNKNOWN


LIVE: dict[str, tuple[ProbeSpec, dict[str, Any], dict[str, Any]]] = {
    "sysctl": (Sysctl(key="a.b", minimum=1), {"proc/sys/a/b": "1\n"}, {"proc/sys/a/b": "0\n"}),
    "kernel_config": (
        KernelConfig(option="CONFIG_X", one_of=("y",)),
        {"proc/config.gz": gzip.compress(b"CONFIG_X=y\n")},
        {"proc/config.gz": gzip.compress(b"# CONFIG_X is not set\n")},
    ),
    "cmdline": (Cmdline(forbid=("single",)), {"proc/cmdline": "quiet\n"}, {"proc/cmdline": "quiet single\n"}),
    "mount": (
        Mount(path="/a b", options=("ro",)),
        {"proc/mounts": "x /a\\040b ext4 ro,x 0 0\n"},
        {"proc/mounts": "x / ext4 ro 0 0\n"},
    ),
    "listening": (Listening(), {"proc/net/tcp": "sl\n"}, {"proc/net/tcp": TCP}),
}


@pytest.mark.parametrize("case", LIVE.values(), ids=LIVE)
def test_a_live_root_asks_its_proc(tmp_path: Path, case: tuple[ProbeSpec, dict[str, Any], dict[str, Any]]) -> None:
    spec, tree, fault = case
    assert ask(LiveRoot(grow(tmp_path, tree)), spec).outcome is Outcome.PASS
    assert ask(LiveRoot(grow(tmp_path, fault)), spec).outcome is Outcome.FAIL


def test_a_masked_unit_does_not_start(tmp_path: Path) -> None:
    grow(
        tmp_path,
        {
            f"{PE}/telnetd.service": UNIT.format("telnetd"),
            f"{PE}/multi-user.target.wants/telnetd.service": "-> ../telnetd.service",
            "etc/systemd/system/telnetd.service": "-> /dev/null",
        },
    )
    assert ask(tmp_path, Service(names=("telnetd",))).outcome is Outcome.PASS


def test_guesses_stop_at_their_price(tmp_path: Path) -> None:
    dear = "$6$rounds=999999999$abcdefgh$x"
    grow(tmp_path, {"etc/passwd": f"root:{dear}:0:0::/:/bin/sh\n"})
    assert ask(tmp_path, Accounts(check=AccountCheck.DEFAULT_PASSWORD)).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("mode", [0o000, 0o200])
def test_what_cannot_be_read_is_unknown(tmp_path: Path, mode: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root reads everything, so the refusal is planted."""
    grow(tmp_path, {"etc/passwd": USERS, "etc/shadow": ("root::::::::", mode)})
    real: Callable[..., int] = os.open

    def refuse(path: Any, *rest: Any, **more: Any) -> int:
        if path == "shadow":
            raise PermissionError(13, "Permission denied")
        return real(path, *rest, **more)

    monkeypatch.setattr(os, "open", refuse)
    finding = ask(tmp_path, Accounts(check=AccountCheck.EMPTY_PASSWORD))
    assert finding.outcome is Outcome.UNKNOWN
    assert "/etc/shadow" in finding.reason


def test_findings_are_in_control_order_and_survive_the_wire(tmp_path: Path) -> None:
    names = [f"XX-{i:02d}" for i in range(len(CASES), 0, -1)]
    asked = list(zip(names, (spec for spec, *_ in CASES.values()), strict=True))
    grow(tmp_path, {"etc/passwd": USERS})
    found = audit(FolderRoot(tmp_path), asked, a_plan())
    assert [f.control for f in found.findings] == sorted(names)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Findings) == found
    assert audit(FolderRoot(tmp_path), asked[::-1], a_plan()) == found
