"""Which kind of system a tree is, told from the tree alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast_probe.layout import layout_of
from holdfast_probe.roots import FolderRoot
from probe_builders import Files, grow

TREES: dict[str, tuple[Files, str]] = {
    "Debian": (
        {
            "usr/lib/os-release": 'NAME="Debian GNU/Linux"\nVERSION_ID="12"\n',
            "usr/lib/systemd/systemd": "x",
            "var/lib/dpkg/status": "",
        },
        "Debian GNU/Linux 12, systemd, dpkg",
    ),
    "OpenWrt": (
        {
            "etc/os-release": 'NAME="OpenWrt"\nVERSION_ID="23.05.3"\n',
            "sbin/procd": "x",
            "usr/lib/opkg/status": "",
            "bin/busybox": "x",
            "etc/inittab": "",
        },
        "OpenWrt 23.05.3, procd, opkg, BusyBox",
    ),
    "an OpenWrt of old with placeholders": (
        {
            "etc/os-release": 'NAME="%D"\nVERSION_ID="%v"\n',
            "etc/openwrt_release": "DISTRIB_ID='OpenWrt'\nDISTRIB_RELEASE='15.05'\n",
            "sbin/procd": "x",
        },
        "OpenWrt 15.05, procd",
    ),
    "Buildroot": (
        {"etc/os-release": "NAME=Buildroot\nVERSION_ID=2024.02\n", "etc/inittab": "", "bin/busybox": "x"},
        "Buildroot 2024.02, BusyBox init",
    ),
    "Yocto": (
        {"etc/os-release": 'NAME="Poky"\nVERSION_ID=4.0\n', "etc/rc5.d/S20x": "x", "var/lib/rpm/x": "x"},
        "Poky 4.0, SysV init, rpm",
    ),
    "Alpine": (
        {"etc/alpine-release": "3.20.1\n", "sbin/openrc": "x", "lib/apk/db/installed": "", "bin/busybox": "x"},
        "Alpine Linux 3.20.1, OpenRC, apk, BusyBox",
    ),
    "nothing that is known": ({"data/x": "x"}, "a layout that nobody here knows"),
    "a name and nothing else": ({"etc/os-release": "NAME=Own\n"}, "Own, unknown who starts things"),
}


@pytest.mark.parametrize("name", TREES)
def test_a_layout_is_told_from_the_tree(tmp_path: Path, name: str) -> None:
    files, words = TREES[name]
    assert layout_of(FolderRoot(grow(tmp_path, files))).words == words


def test_a_release_file_without_end_is_no_name(tmp_path: Path) -> None:
    grow(tmp_path, {"etc/os-release": "NAME=" + "x" * 1_000_000, "etc/inittab": ""})
    assert layout_of(FolderRoot(tmp_path)).words == "BusyBox init"
    grow(tmp_path, {"usr/lib/os-release": "NAME=" + "x" * 1_000})
    assert len(layout_of(FolderRoot(tmp_path)).name) == 80
