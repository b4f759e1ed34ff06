"""The kernel's parameters, configuration, branch, command line and modules: what decides, and what mends make of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes import ProbeSpec
from holdfast_core.baseline.probes.boot import (
    Cmdline,
    KernelBranch,
    KernelConfig,
    KernelSince,
    Lockdown,
    ModuleOff,
    RootFsDriver,
    Sysctl,
)
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import parse_rfc3339
from holdfast_probe.boot.conf import settings_lines, without
from holdfast_probe.case import Case
from holdfast_probe.catalogue import shipped_catalogue
from holdfast_probe.changing import apply
from holdfast_probe.editor import CannotMend, Editor
from holdfast_probe.mending import mend
from holdfast_probe.roots import FolderRoot, LiveRoot, Told
from probe_builders import Files, a_plan, ask, grow

PTR = Sysctl(key="kernel.kptr_restrict", one_of=("1", "2"))
DMESG = Sysctl(
    key="kernel.dmesg_restrict",
    one_of=("1",),
    built=(("CONFIG_SECURITY_DMESG_RESTRICT", "y", "1"), ("CONFIG_SECURITY_DMESG_RESTRICT", "n", "0")),
)
BRANCH = KernelBranch(ends=(("5.10", "2026-12-31"), ("6.1", "2027-12-31"), ("6.12", "2028-12-31")), known="2026-11-21")
TODAY = parse_rfc3339("2026-11-21T10:00:00Z")
LOCKED = Cmdline(require=("lockdown=integrity|lockdown=confidentiality",))


def mended(tree: Path, spec: ProbeSpec, **lists: Any) -> Path:
    """The tree with what the mend of `spec` makes of it."""
    root = FolderRoot(tree, owners_kept=True)
    editor = Editor(root)
    mend(Case(root, a_plan(**lists)), editor, spec)
    apply(tree, editor.changes())
    return tree


class Image(FolderRoot):
    """A folder of which a container tells something."""

    def __init__(self, folder: Path, told: Told) -> None:
        super().__init__(folder, owners_kept=True)
        self.told = told


@pytest.mark.parametrize(
    ("config", "outcome"),
    [
        pytest.param("CONFIG_SECURITY_DMESG_RESTRICT=y\n", Outcome.PASS, id="built so"),
        pytest.param("# CONFIG_SECURITY_DMESG_RESTRICT is not set\n", Outcome.FAIL, id="built otherwise"),
        pytest.param("CONFIG_OTHER=y\n", Outcome.UNKNOWN, id="a kernel that does not say"),
    ],
)
def test_a_parameter_that_nothing_sets_starts_as_the_kernel_was_built(
    tmp_path: Path, config: str, outcome: Outcome
) -> None:
    grow(tmp_path, {"boot/config-6.12.1": config})
    assert ask(tmp_path, DMESG).outcome is outcome


LOADER: Files = {"etc/init.d/S02sysctl": "#!/bin/sh\nsysctl --system\n"}


def test_what_a_loaded_file_sets_outweighs_what_was_built(tmp_path: Path) -> None:
    grow(
        tmp_path,
        {"boot/config-6.12.1": "CONFIG_SECURITY_DMESG_RESTRICT=y\n", "etc/sysctl.conf": "kernel.dmesg_restrict=0\n"},
    )
    assert ask(tmp_path, DMESG).outcome is Outcome.PASS
    assert ask(grow(tmp_path, LOADER), DMESG).outcome is Outcome.FAIL


_WANTS = "etc/systemd/system/sysinit.target.wants/x.service"
LOADERS: dict[str, tuple[Files, Outcome]] = {
    "nothing that starts": ({}, Outcome.UNKNOWN),
    "scripts that load nothing": ({"etc/init.d/S02x": "echo sysctl -p\n"}, Outcome.UNKNOWN),
    "systemd": ({"usr/lib/systemd/systemd-sysctl": "x"}, Outcome.PASS),
    "systemd, masked": (
        {"usr/lib/systemd/systemd-sysctl": "x", "etc/systemd/system/systemd-sysctl.service": "-> /dev/null"},
        Outcome.UNKNOWN,
    ),
    "procps": ({"etc/init.d/procps": "x", "etc/rcS.d/S02procps": "-> ../init.d/procps"}, Outcome.PASS),
    "OpenWrt": ({"etc/init.d/sysctl": "x", "etc/rc.d/S11sysctl": "-> ../init.d/sysctl"}, Outcome.PASS),
    "a call for all files": ({"etc/init.d/S02x": "/sbin/sysctl -q --system\n"}, Outcome.PASS),
    "inittab": ({"etc/inittab": "::sysinit:/sbin/sysctl -p\n"}, Outcome.PASS),
    "rcS": ({"etc/init.d/rcS": "mount -a\nbusybox sysctl -e -p /etc/sysctl.conf >/dev/null\n"}, Outcome.PASS),
    "a call for another file": ({"etc/init.d/S02x": "sysctl -p /etc/other.conf\n"}, Outcome.UNKNOWN),
    "a call that sets it": ({"etc/init.d/S02x": "sysctl -w kernel.kptr_restrict=2\n"}, Outcome.PASS),
    "a call that sets it wrong": ({"etc/init.d/S02x": "sysctl -p\nsysctl kernel/kptr_restrict=0\n"}, Outcome.FAIL),
    "a unit": (
        {_WANTS: "-> ../../x.service", "etc/systemd/system/x.service": "[Service]\nExecStart=sysctl -p\n"},
        Outcome.PASS,
    ),
}


@pytest.mark.parametrize(("loader", "outcome"), LOADERS.values(), ids=LOADERS)
def test_a_file_sets_a_parameter_only_where_something_loads_it(tmp_path: Path, loader: Files, outcome: Outcome) -> None:
    finding = ask(grow(tmp_path, {"etc/sysctl.conf": "kernel.kptr_restrict = 1\n"} | loader), PTR)
    assert finding.outcome is outcome, finding
    if outcome is Outcome.UNKNOWN:
        assert finding.reason == "/etc/sysctl.conf sets kernel.kptr_restrict, and nothing that starts here loads it."


def test_what_nothing_would_load_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(CannotMend, match="nothing that starts here would load it"):
        mended(grow(tmp_path, {"etc/sysctl.conf": "kernel.kptr_restrict = 0\n"}), PTR)


def test_a_build_option_never_speaks_for_the_running_kernel(tmp_path: Path) -> None:
    grow(
        tmp_path, {"proc/sys/kernel/dmesg_restrict": "0\n", "boot/config-6.12.1": "CONFIG_SECURITY_DMESG_RESTRICT=y\n"}
    )
    assert ask(LiveRoot(tmp_path), DMESG).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"etc/sysctl.d/10-a.conf": "kernel.kptr_restrict=0\n"}, id="an earlier file"),
        pytest.param({"etc/sysctl.conf": "# mine\nkernel/kptr_restrict = 0\nvm.swappiness=1\n"}, id="the last file"),
        pytest.param({"etc/sysctl.d/zz.conf": "kernel.kptr_restrict=0"}, id="a later file"),
        pytest.param({"etc/sysctl.d/99-holdfast.conf": "kernel.kptr_restrict=0\na.b=1"}, id="our own file"),
        pytest.param(
            {"usr/lib/sysctl.d/50-x.conf": "kernel.*=0\n", "etc/sysctl.conf": "vm.swappiness=1\n"}, id="a star"
        ),
    ],
)
def test_a_parameter_is_set_where_it_counts(tmp_path: Path, files: Files) -> None:
    assert ask(grow(tmp_path, files | LOADER), PTR).outcome is Outcome.FAIL
    assert ask(mended(tmp_path, PTR), PTR).outcome is Outcome.PASS
    kept = (tmp_path / "etc/sysctl.conf").read_text() if "etc/sysctl.conf" in files else "vm.swappiness=1"
    assert "vm.swappiness=1" in kept


def test_a_pattern_of_parameters_has_no_single_value_to_set(tmp_path: Path) -> None:
    grow(tmp_path, {"etc/sysctl.conf": "net.ipv4.conf.all.rp_filter=0\n"})
    with pytest.raises(CannotMend):
        mended(tmp_path, Sysctl(key="net.ipv4.conf.*.rp_filter", one_of=("1",)))


@pytest.mark.parametrize(
    ("release", "outcome", "said"),
    [
        ("6.12.40-yocto-standard", Outcome.PASS, "2028-12-31"),
        ("5.10.0-rc1", Outcome.PASS, "2026-12-31"),
        ("4.19.325", Outcome.FAIL, "no long-term branch"),
        ("6.7.2", Outcome.FAIL, "no long-term branch"),
        ("7.3.0", Outcome.UNKNOWN, "known on 2026-11-21"),
    ],
)
def test_a_branch_is_judged_by_its_last_day(tmp_path: Path, release: str, outcome: Outcome, said: str) -> None:
    finding = ask(grow(tmp_path, {f"lib/modules/{release}/modules.dep": ""}), BRANCH, now=TODAY)
    assert finding.outcome is outcome
    assert said in " ".join((*finding.proof, finding.reason))


def test_the_last_day_of_a_branch_still_counts(tmp_path: Path) -> None:
    grow(tmp_path, {"proc/sys/kernel/osrelease": "5.10.200\n"})
    root = LiveRoot(tmp_path)
    assert ask(root, BRANCH, now=parse_rfc3339("2026-12-31T23:59:59Z")).outcome is Outcome.PASS
    over = ask(root, BRANCH, now=parse_rfc3339("2027-01-01T00:00:00Z"))
    assert over.outcome is Outcome.FAIL
    assert over.proof == ("kernel 5.10.200: its branch was supported until 2026-12-31",)


def test_without_a_clock_or_a_release_no_branch_is_judged(tmp_path: Path) -> None:
    assert ask(grow(tmp_path, {"etc/x": ""}), BRANCH, now=TODAY).outcome is Outcome.UNKNOWN
    grow(tmp_path, {"lib/modules/6.12.1/modules.dep": ""})
    assert ask(tmp_path, BRANCH).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("name", ["config-6.12.1", "vmlinuz-6.12.1-vendor", "System.map-6.12.1"])
def test_a_file_in_boot_names_the_kernel_where_it_has_no_modules(tmp_path: Path, name: str) -> None:
    grow(tmp_path, {f"boot/{name}": "", "boot/config-vendor": ""})
    assert ask(tmp_path, BRANCH, now=TODAY).outcome is Outcome.PASS
    grow(tmp_path, {"boot/vmlinuz-4.9.84": ""})
    assert ask(tmp_path, BRANCH, now=TODAY).proof == ("kernel 4.9.84 is of no long-term branch",)
    grow(tmp_path, {"lib/modules/6.12.1/modules.dep": ""})
    assert ask(tmp_path, BRANCH, now=TODAY).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("release", "outcome"),
    [
        ("5.4.0", Outcome.PASS),
        ("5.10.1", Outcome.PASS),
        ("5.3.18", Outcome.FAIL),
        ("4.9.84", Outcome.FAIL),
        ("vendor", Outcome.UNKNOWN),
    ],
)
def test_a_kernel_is_as_new_as_its_release_says(tmp_path: Path, release: str, outcome: Outcome) -> None:
    grow(tmp_path, {f"lib/modules/{release}/modules.dep": ""})
    assert ask(tmp_path, KernelSince(branch="5.4")).outcome is outcome


def test_a_kernel_is_not_asked_for_what_came_after_it(tmp_path: Path) -> None:
    spec = next(each for each in shipped_catalogue().controls if each.id == "KERN-05").probe
    assert spec is not None
    tree = grow(tmp_path, {"boot/config-4.9.84": "CONFIG_A=y\n", "boot/cmdline.txt": "quiet\n"})
    assert ask(tree, spec).outcome is Outcome.NOT_APPLICABLE
    grow(tree, {"proc/sys/kernel/osrelease": "4.9.84\n"})
    assert ask(LiveRoot(tree), spec).outcome is Outcome.NOT_APPLICABLE
    newer = grow(tmp_path / "newer", {"boot/config-5.10.1": "CONFIG_A=y\n", "boot/cmdline.txt": "quiet\n"})
    assert ask(newer, spec).outcome is Outcome.FAIL
    grow(newer, {"boot/cmdline.txt": "lockdown=integrity\n"})
    assert ask(newer, spec).outcome is Outcome.PASS


def test_of_several_kernels_the_worst_counts(tmp_path: Path) -> None:
    grow(tmp_path, {"lib/modules/6.12.1/x": "", "lib/modules/5.4.0/x": ""})
    assert ask(tmp_path, BRANCH, now=TODAY).outcome is Outcome.FAIL


def test_what_an_image_tells_of_its_kernel_comes_first(tmp_path: Path) -> None:
    grow(tmp_path, {"lib/modules/5.4.0/x": "", "boot/config-5.4.0": "CONFIG_A=n\n"})
    root = Image(tmp_path, Told(kernel_release="6.12.9", kernel_config="CONFIG_A=y\n", command_lines=("quiet single",)))
    assert ask(root, BRANCH, now=TODAY).outcome is Outcome.PASS
    assert ask(root, KernelConfig(option="CONFIG_A", one_of=("y",))).outcome is Outcome.PASS
    assert ask(root, Cmdline(("single",))).proof == ("single (the image's command line 1)",)


def test_what_was_not_understood_may_hold_another_command_line(tmp_path: Path) -> None:
    grow(tmp_path, {"boot/cmdline.txt": "quiet\n"})
    damaged = ("The device tree at 0x400 is damaged.",)
    assert ask(tmp_path, Cmdline(("single",))).outcome is Outcome.PASS
    finding = ask(Image(tmp_path, Told(gaps=damaged)), Cmdline(("single",)))
    assert (finding.outcome, finding.reason) == (Outcome.UNKNOWN, damaged[0])
    worse = Image(tmp_path, Told(gaps=damaged, command_lines=("single",)))
    assert ask(worse, Cmdline(("single",))).outcome is Outcome.FAIL


def test_an_option_that_is_not_set_is_no_option_that_never_was(tmp_path: Path) -> None:
    grow(tmp_path, {"boot/config-6.12.1": "# CONFIG_A is not set\n#CONFIG_B is not set\n"})
    assert ask(tmp_path, KernelConfig(option="CONFIG_A", one_of=("y",))).outcome is Outcome.FAIL
    assert ask(tmp_path, KernelConfig(option="CONFIG_B", one_of=("y",))).outcome is Outcome.NOT_APPLICABLE


def test_a_command_line_probe_that_asks_nothing_is_refused() -> None:
    with pytest.raises(HostileData):
        Cmdline()


def test_either_of_two_words_will_do(tmp_path: Path) -> None:
    grow(tmp_path, {"boot/cmdline.txt": "quiet lockdown=confidentiality\n"})
    assert ask(tmp_path, LOCKED).outcome is Outcome.PASS
    grow(tmp_path, {"boot/cmdline.txt": "quiet lockdown=none\n"})
    assert ask(tmp_path, LOCKED).outcome is Outcome.FAIL


LOADERS = {
    "boot/cmdline.txt": "console=tty1  init=/bin/sh root=/dev/x debug\n",
    "boot/extlinux/extlinux.conf": "label a\n\tappend root=/dev/x init=/bin/sh\nlabel rescue\n\tappend single\n",
    "boot/loader/entries/a.conf": "title A\noptions init=/bin/sh quiet\n",
    "boot/grub/grub.cfg": "menuentry 'a' {\n\tlinux /vmlinuz root=/dev/x debug\n}\n",
    "etc/default/grub": 'GRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX_DEFAULT="quiet debug"\nGRUB_CMDLINE_LINUX=""\n',
}


@pytest.mark.parametrize("path", LOADERS)
def test_words_are_taken_out_and_put_in_where_a_loader_keeps_them(tmp_path: Path, path: str) -> None:
    spec = Cmdline(("init=", "debug"), LOCKED.require)
    grow(tmp_path, {path: LOADERS[path]})
    assert ask(tmp_path, spec).outcome is Outcome.FAIL
    assert ask(mended(tmp_path, spec), spec).outcome is Outcome.PASS
    after = (tmp_path / path).read_text()
    assert after.count("\n") == LOADERS[path].count("\n")
    assert after.count("lockdown=integrity") == 1
    for kept in ("label rescue\n\tappend single\n", "GRUB_TIMEOUT=5\n", "root=/dev/x", "console=tty1"):
        assert (kept in after) == (kept in LOADERS[path])


def test_no_loader_no_mend(tmp_path: Path) -> None:
    with pytest.raises(CannotMend):
        mended(grow(tmp_path, {"etc/x": ""}), Cmdline(("debug",)))


@pytest.mark.parametrize(
    ("files", "outcome"),
    [
        ({"sys/kernel/security/lockdown": "none [integrity] confidentiality\n"}, Outcome.PASS),
        ({"sys/kernel/security/lockdown": "[none] integrity confidentiality\n"}, Outcome.FAIL),
        ({"boot/config-6.12.1": "# CONFIG_SECURITY_LOCKDOWN_LSM is not set\n"}, Outcome.FAIL),
        ({"boot/config-6.12.1": "CONFIG_A=y\n"}, Outcome.NOT_APPLICABLE),
        ({"boot/config-6.12.1": "CONFIG_SECURITY_LOCKDOWN_LSM=y\n"}, Outcome.UNKNOWN),
        ({}, Outcome.UNKNOWN),
    ],
)
def test_lockdown_is_the_running_kernels_word(tmp_path: Path, files: Files, outcome: Outcome) -> None:
    grow(tmp_path, {"proc/sys/kernel/osrelease": "6.12.1\n", **files})
    assert ask(LiveRoot(tmp_path), Lockdown()).outcome is outcome
    assert ask(tmp_path, Lockdown()).outcome is Outcome.NOT_APPLICABLE


STICK = ModuleOff(names=("usb-storage",))
THERE: Files = {"lib/modules/6.12.1/modules.dep": "kernel/drivers/usb/storage/usb-storage.ko.zst: a.ko\n"}


@pytest.mark.parametrize(
    ("files", "outcome"),
    [
        pytest.param({"etc/x": ""}, Outcome.NOT_APPLICABLE, id="no modules at all"),
        pytest.param(THERE, Outcome.FAIL, id="it can be loaded"),
        pytest.param({"lib/modules/6.12.1/modules.dep": ""}, Outcome.PASS, id="it is missing"),
        pytest.param({"lib/modules/6.12.1/other": ""}, Outcome.UNKNOWN, id="no list of modules"),
        pytest.param(
            {**THERE, "etc/modprobe.d/a.conf": "blacklist usb_storage\n"}, Outcome.FAIL, id="only blacklisted"
        ),
        pytest.param({**THERE, "etc/modprobe.d/a.conf": "install usb_storage /bin/true\n"}, Outcome.PASS, id="a dummy"),
        pytest.param({**THERE, "etc/modprobe.d/a.conf": "install usb_storage /sbin/x\n"}, Outcome.FAIL, id="no dummy"),
        pytest.param(
            {**THERE, "lib/modules/6.12.1/modules.builtin": "k/usb-storage.ko\n"}, Outcome.FAIL, id="built in"
        ),
    ],
)
def test_a_module_is_off_when_nothing_can_load_it(tmp_path: Path, files: Files, outcome: Outcome) -> None:
    assert ask(grow(tmp_path, files), STICK).outcome is outcome


def test_a_module_is_kept_out_but_never_one_that_the_device_boots_from(tmp_path: Path) -> None:
    grow(tmp_path, THERE)
    assert ask(mended(tmp_path, STICK), STICK).outcome is Outcome.PASS
    with pytest.raises(CannotMend):
        mended(tmp_path, ModuleOff(names=("squashfs",)), root_fs_drivers=("squashfs",))


def test_only_the_rule_against_a_needed_driver_goes(tmp_path: Path) -> None:
    grow(
        tmp_path,
        {
            "etc/modprobe.d/cis.conf": "# unused\ninstall cramfs /bin/true\n"
            "install \\\n  squashfs /bin/true\nblacklist pcspkr\n"
        },
    )
    assert ask(tmp_path, RootFsDriver(), a_plan(root_fs_drivers=("squashfs",))).outcome is Outcome.FAIL
    mended(tmp_path, RootFsDriver(), root_fs_drivers=("squashfs",))
    assert (
        tmp_path / "etc/modprobe.d/cis.conf"
    ).read_text() == "# unused\ninstall cramfs /bin/true\nblacklist pcspkr\n"


LINES = st.lists(st.sampled_from(["a = 1", "# a", "", "b=2 \\", "install x /bin/true", "  c", ";d", "\\"]), max_size=12)


@given(LINES, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_a_file_without_nothing_is_the_file(lines: list[str], end: str, last: bool) -> None:  # noqa: FBT001  (drawn)
    text = end.join(lines) + (end if last else "")
    assert without(text, frozenset()) == text


@given(LINES)
def test_what_is_taken_out_is_gone_and_the_rest_is_said_as_before(lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    gone = frozenset(["install x /bin/true"])
    said = [line for line in settings_lines(text) if line not in gone]
    assert settings_lines(without(text, gone)) == said
