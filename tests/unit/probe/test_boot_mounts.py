"""Mounts, the root and the flash below it: what decides, and what a mend makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes import ProbeSpec
from holdfast_core.baseline.probes.boot import Mount, ReadOnlyRoot, VerifiedRoot, Wear
from holdfast_probe.case import Case
from holdfast_probe.changing import apply
from holdfast_probe.editor import CannotMend, Editor
from holdfast_probe.mending import mend
from holdfast_probe.roots import FolderRoot, LiveRoot, Told
from probe_builders import Files, a_plan, ask, grow

TMP = Mount(path="/tmp", options=("nosuid", "nodev", "noexec"))  # noqa: S108  (audited, not used)
TABLE = "tmpfs  /tmp  tmpfs  nosuid,nodev,noexec  0 0\n"
UNIT = "[Mount]\nWhat=tmpfs\nWhere=/tmp\nType=tmpfs\nOptions=mode=1777,nosuid,nodev,noexec\n"


def mended(tree: Path, spec: ProbeSpec) -> str:
    """The table of mounts that the mend of `spec` makes."""
    editor = Editor(FolderRoot(tree, owners_kept=True))
    mend(Case(editor.root, a_plan()), editor, spec)
    apply(tree, editor.changes())
    return (tree / "etc/fstab").read_text()


@pytest.mark.parametrize(
    ("files", "outcome"),
    [
        pytest.param({"etc/fstab": TABLE}, Outcome.PASS, id="a line of the table"),
        pytest.param({"etc/fstab": TABLE.replace(",noexec", "")}, Outcome.FAIL, id="an option is missing"),
        pytest.param({"etc/fstab": "/dev/x / ext4 ro 0 0\n"}, Outcome.FAIL, id="it lies on the root"),
        pytest.param({"etc/fstab": f"#{TABLE}"}, Outcome.FAIL, id="a comment"),
        pytest.param({"etc/x": ""}, Outcome.UNKNOWN, id="nothing says"),
        pytest.param(
            {"tmp": "-> /var/volatile/tmp", "etc/fstab": "x /var/volatile tmpfs nosuid,nodev,noexec 0 0\n"},
            Outcome.PASS, id="a link into a mount",
        ),
        pytest.param({"etc/fstab": TABLE + "x /tmp/sub tmpfs rw 0 0\n"}, Outcome.PASS, id="a mount below it"),
        pytest.param({"etc/fstab": TABLE + "x /tmp tmpfs rw 0 0\n"}, Outcome.FAIL, id="mounted over"),
        pytest.param(
            {
                "usr/lib/systemd/system/tmp.mount": UNIT,
                "usr/lib/systemd/system/local-fs.target.wants/tmp.mount": "-> ../tmp.mount",
            },
            Outcome.PASS, id="a unit that is started",
        ),
        pytest.param({"usr/lib/systemd/system/tmp.mount": UNIT}, Outcome.UNKNOWN, id="a unit that nothing starts"),
    ],
)  # fmt: skip
def test_a_path_is_judged_by_the_mount_it_lies_on(tmp_path: Path, files: Files, outcome: Outcome) -> None:
    assert ask(grow(tmp_path, files), TMP).outcome is outcome


def test_what_need_not_be_a_mount_of_its_own_does_not_apply_then(tmp_path: Path) -> None:
    grow(tmp_path, {"etc/fstab": "/dev/x / ext4 ro 0 0\n"})
    assert ask(tmp_path, Mount(path="/var", options=("nodev",), own=False)).outcome is Outcome.NOT_APPLICABLE


def test_an_option_may_have_any_value(tmp_path: Path) -> None:
    grow(tmp_path, {"etc/fstab": "x /var/log tmpfs nosuid,size=4m 0 0\ny /srv tmpfs nosuid 0 0\n"})
    assert ask(tmp_path, Mount(path="/var/log", options=("size=",))).outcome is Outcome.PASS
    assert ask(tmp_path, Mount(path="/srv", options=("size=",))).outcome is Outcome.FAIL
    with pytest.raises(CannotMend):
        mended(tmp_path, Mount(path="/srv", options=("size=",)))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("tmpfs  /tmp\ttmpfs  defaults  0 0\n", "tmpfs  /tmp\ttmpfs  defaults,nosuid,nodev,noexec  0 0\n"),
        ("tmpfs /tmp tmpfs exec,nodev,suid", "tmpfs /tmp tmpfs nodev,nosuid,noexec"),
        (
            "# /tmp\n" + TABLE.replace(",noexec", "") + "x / ext4 ro\n",
            "# /tmp\n" + TABLE.rstrip("\n") + "\nx / ext4 ro\n",
        ),
    ],
)
def test_the_missing_options_go_into_the_line_and_nothing_else_changes(tmp_path: Path, before: str, after: str) -> None:
    grow(tmp_path, {"etc/fstab": before})
    made = mended(tmp_path, TMP)
    assert sorted(made.split()) != sorted(before.split())
    assert [set(line.split(",")) for line in made.split()] == [set(line.split(",")) for line in after.split()]
    assert ask(tmp_path, TMP).outcome is Outcome.PASS


def test_a_mount_that_no_line_makes_is_a_persons(tmp_path: Path) -> None:
    with pytest.raises(CannotMend):
        mended(grow(tmp_path, {"etc/fstab": "/dev/x / ext4 ro 0 0\n"}), TMP)


OVERLAY = "o / overlay rw,lowerdir=/rom,upperdir={0}/upper,workdir={0}/work 0 0\n"


@pytest.mark.parametrize(
    ("files", "live", "outcome"),
    [
        ({"etc/fstab": "/dev/x / ext4 ro,noatime 0 0\n"}, False, Outcome.PASS),
        ({"etc/fstab": "/dev/x / ext4 defaults 0 0\n"}, False, Outcome.FAIL),
        ({"etc/fstab": "/dev/x / squashfs defaults 0 0\n"}, False, Outcome.PASS),
        ({"boot/cmdline.txt": "root=/dev/x ro\n"}, False, Outcome.PASS),
        ({"boot/cmdline.txt": "root=/dev/x ro rw\n"}, False, Outcome.FAIL),
        ({"boot/cmdline.txt": "root=/dev/x rootfstype=squashfs\n"}, False, Outcome.PASS),
        ({"boot/cmdline.txt": "root=/dev/x\n"}, False, Outcome.UNKNOWN),
        ({"etc/x": ""}, False, Outcome.UNKNOWN),
        ({"proc/mounts": "/dev/root / squashfs ro 0 0\n"}, True, Outcome.PASS),
        ({"proc/mounts": "/dev/root / ext4 rw 0 0\n", "etc/fstab": "/dev/x / ext4 ro 0 0\n"}, True, Outcome.FAIL),
        ({"proc/mounts": "rootfs / rootfs rw 0 0\n"}, True, Outcome.UNKNOWN),
        ({"proc/mounts": "x /overlay jffs2 rw 0 0\n" + OVERLAY.format("/overlay")}, True, Outcome.FAIL),
        ({"proc/mounts": "x /run tmpfs rw 0 0\n" + OVERLAY.format("/run/root")}, True, Outcome.PASS),
    ],
)
def test_whether_the_root_can_be_written(tmp_path: Path, files: Files, *, live: bool, outcome: Outcome) -> None:
    grow(tmp_path, files)
    assert ask(LiveRoot(tmp_path) if live else tmp_path, ReadOnlyRoot()).outcome is outcome


def test_an_image_of_a_kind_that_nobody_writes_is_read_only(tmp_path: Path) -> None:
    root = FolderRoot(grow(tmp_path, {"etc/fstab": "/dev/x / ext4 rw 0 0\n"}))
    root.told = Told(filesystem="squashfs")
    assert ask(root, ReadOnlyRoot()).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("files", "live", "outcome"),
    [
        ({"boot/cmdline.txt": "root=/dev/dm-0 roothash=ab\n"}, False, Outcome.PASS),
        (
            {"boot/cmdline.txt": 'dm-mod.create="r,,,ro, 0 9 verity 1 /dev/a /dev/b" root=/dev/dm-0\n'},
            False,
            Outcome.PASS,
        ),
        ({"boot/cmdline.txt": "root=/dev/x ima_appraise=enforce\n"}, False, Outcome.PASS),
        ({"boot/cmdline.txt": "root=/dev/x ima_appraise=log\n"}, False, Outcome.FAIL),
        (
            {"boot/cmdline.txt": "root=/dev/x\n", "etc/ima/ima-policy": "appraise func=BPRM_CHECK\n"},
            False,
            Outcome.PASS,
        ),
        ({"boot/cmdline.txt": "root=/dev/x\n", "etc/ima/ima-policy": "measure func=BPRM_CHECK\n"}, False, Outcome.FAIL),
        ({"etc/x": ""}, False, Outcome.UNKNOWN),
        ({"proc/cmdline": "quiet\n", "sys/block/dm-0/dm/uuid": "CRYPT-VERITY-ab-root\n"}, True, Outcome.PASS),
        ({"proc/cmdline": "quiet\n", "sys/block/dm-0/dm/uuid": "CRYPT-LUKS2-ab-root\n"}, True, Outcome.FAIL),
    ],
)
def test_what_verifies_the_root(tmp_path: Path, files: Files, *, live: bool, outcome: Outcome) -> None:
    grow(tmp_path, files)
    assert ask(LiveRoot(tmp_path) if live else tmp_path, VerifiedRoot()).outcome is outcome


SWAPS = "Filename Type Size Used Priority\n"


@pytest.mark.parametrize(
    ("files", "live", "outcome"),
    [
        ({"etc/fstab": "/dev/mmcblk0p2 / ext4 noatime 0 0\n"}, False, Outcome.PASS),
        ({"etc/fstab": "/dev/mmcblk0p3 none swap sw 0 0\n"}, False, Outcome.FAIL),
        ({"etc/fstab": "/dev/sda3 none swap sw 0 0\n"}, False, Outcome.PASS),
        ({"etc/fstab": "UUID=ab none swap sw 0 0\n"}, False, Outcome.UNKNOWN),
        ({"etc/fstab": "ubi0:data /data ubifs sync 0 0\n"}, False, Outcome.FAIL),
        ({"etc/fstab": "/dev/mtdblock3 /data jffs2 strictatime 0 0\n"}, False, Outcome.FAIL),
        ({"etc/x": ""}, False, Outcome.UNKNOWN),
        (
            {"proc/mounts": "x / ext4 rw 0 0\n", "proc/swaps": SWAPS + "/dev/zram0 partition 1 0 1\n"},
            True,
            Outcome.PASS,
        ),
        (
            {"proc/mounts": "x / ext4 rw 0 0\n", "proc/swaps": SWAPS + "/dev/mmcblk0p3 partition 1 0 1\n"},
            True,
            Outcome.FAIL,
        ),
    ],
)
def test_what_wears_the_flash(tmp_path: Path, files: Files, *, live: bool, outcome: Outcome) -> None:
    grow(tmp_path, files)
    assert ask(LiveRoot(tmp_path) if live else tmp_path, Wear()).outcome is outcome


def test_what_wears_the_flash_is_taken_out_and_the_rest_stays(tmp_path: Path) -> None:
    kept = "# data\n/dev/sda1  /srv  ext4  sync  0 0\n"
    grow(tmp_path, {"etc/fstab": f"{kept}/dev/mmcblk0p3 none swap sw 0 0\n/dev/mmcblk0p4 /data ext4 sync 0 2\n"})
    assert mended(tmp_path, Wear()) == f"{kept}/dev/mmcblk0p4 /data ext4 defaults 0 2\n"
    assert ask(tmp_path, Wear()).outcome is Outcome.PASS
