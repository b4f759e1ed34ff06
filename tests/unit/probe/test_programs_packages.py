"""What is installed and what is said of it: databases, parts lists, versions, releases, pending updates, digests."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.baseline.model import BuildManifest, Outcome
from holdfast_core.baseline.probes.programs import Built, Components, PendingUpdates, ReleaseAge, Sbom, StatedDay
from holdfast_core.kernel.instants import parse_rfc3339
from holdfast_probe.case import Case
from holdfast_probe.editor import CannotMend, Editor
from holdfast_probe.mending import mend
from holdfast_probe.programs.packages import Package, installed
from holdfast_probe.programs.stanzas import stanzas
from holdfast_probe.programs.versions import older
from holdfast_probe.roots import FolderRoot
from probe_builders import Files, a_plan, ask, grow

PASS, FAIL, UNKNOWN, NA = Outcome.PASS, Outcome.FAIL, Outcome.UNKNOWN, Outcome.NOT_APPLICABLE
NOW = parse_rfc3339("2026-11-21T10:00:00Z")
STATUS = "/var/lib/dpkg/status"
LISTS = Sbom(paths=("/usr/share/sbom/*",))
SBOM = "/usr/share/sbom/image.json"


def dpkg(**versions: str) -> Files:
    lines = [f"Package: {n}\nStatus: install ok installed\nVersion: {v}\n" for n, v in versions.items()]
    return {STATUS: "\n".join(lines)}


def cyclonedx(**versions: str) -> Files:
    parts = [{"name": n, "version": v} for n, v in versions.items()]
    return {SBOM: msgspec.json.encode({"bomFormat": "CycloneDX", "components": parts})}


DATABASES: dict[str, tuple[Files, tuple[Package, ...]]] = {
    "dpkg": (dpkg(a="1", b="2:1-1"), (Package("a", "1"), Package("b", "2:1-1"))),
    "dpkg of a removed package": ({STATUS: "Package: a\nStatus: deinstall ok config-files\nVersion: 1\n"}, ()),
    "dpkg without a distribution": ({"/var/lib/dpkg/status.d/a": "Package: a\nVersion: 1\n"}, (Package("a", "1"),)),
    "opkg": (
        {"/usr/lib/opkg/status": "Package: a\nVersion: 1\nDepends: libc\nStatus: install user installed\n"},
        (Package("a", "1"),),
    ),
    "apk": (
        {"/lib/apk/db/installed": "C:Q1\nP:a\nV:1-r0\np:so:x=1\n\nP:b\nV:2\n"},
        (Package("a", "1-r0"), Package("b", "2")),
    ),
    "none": ({}, ()),
}


@pytest.mark.parametrize("case", DATABASES.values(), ids=DATABASES)
def test_the_database_of_each_system_is_read(tmp_path: Path, case: tuple[Files, tuple[Package, ...]]) -> None:
    files, packages = case
    assert installed(FolderRoot(grow(tmp_path, files))) == packages


def test_rpms_own_database_leaves_it_open(tmp_path: Path) -> None:
    grow(tmp_path, {"/var/lib/rpm/rpmdb.sqlite": "SQLite format 3"})
    assert ask(tmp_path, LISTS).outcome is UNKNOWN


PARTS: dict[str, tuple[Files, Outcome]] = {
    "neither": ({}, FAIL),
    "a database alone": (dpkg(a="1"), PASS),
    "a list alone": (cyclonedx(a="1"), PASS),
    "a list that fits": ({**dpkg(a="1", b="2"), **cyclonedx(a="1", b="2", c="3")}, PASS),
    "a list without an epoch": ({**dpkg(a="2:1-1"), **cyclonedx(a="1-1")}, PASS),
    "a list that lacks one": ({**dpkg(a="1", b="2"), **cyclonedx(a="1")}, FAIL),
    "a list of another version": ({**dpkg(a="1"), **cyclonedx(a="2")}, FAIL),
    "spdx": (
        {**dpkg(a="1"), SBOM: '{"spdxVersion": "SPDX-2.3", "packages": [{"name": "a", "versionInfo": "1"}]}'},
        PASS,
    ),
    "parts of parts": (
        {
            **dpkg(b="1"),
            SBOM: '{"bomFormat":"CycloneDX","components":[{"name":"a","components":[{"name":"b","version":"1"}]}]}',
        },
        PASS,
    ),
    "no list at all": ({**dpkg(a="1"), SBOM: "hello"}, UNKNOWN),
    "another format": ({**dpkg(a="1"), SBOM: '{"components": []}'}, UNKNOWN),
    "a list without end": (
        {**dpkg(a="1"), SBOM: '{"bomFormat":"CycloneDX","components":[' + '{"components":[' * 9000},
        UNKNOWN,
    ),
    "nested too deeply": (
        {
            **dpkg(a="1"),
            SBOM: '{"bomFormat":"CycloneDX","components":' + '[{"components":' * 20 + "[]" + "}]" * 20 + "}",
        },
        UNKNOWN,
    ),
}


@pytest.mark.parametrize("case", PARTS.values(), ids=PARTS)
def test_a_parts_list_says_what_is_installed_or_is_no_use(tmp_path: Path, case: tuple[Files, Outcome]) -> None:
    files, outcome = case
    finding = ask(grow(tmp_path, {"etc/x": "", **files}), LISTS)
    assert finding.outcome is outcome, finding


def test_components_are_compared_with_those_that_are_declared_and_tools_come_first(tmp_path: Path) -> None:
    grow(tmp_path, {"etc/x": ""})
    declared = a_plan(components=("libc6", "web*"))
    assert ask(tmp_path, Components()).outcome is NA
    assert ask(tmp_path, Components(), declared).outcome is UNKNOWN
    grow(tmp_path, cyclonedx(libc6="1", web="2"))
    assert ask(tmp_path, Components(), declared).outcome is PASS
    grow(tmp_path, dpkg(libc6="1", webui="2", aaa="1", gdbserver="13", **{f"b{n}": "1" for n in range(20)}))
    finding = ask(tmp_path, Components(), declared)
    assert finding.outcome is FAIL
    assert "gdbserver" in finding.proof[0]


ORDER = ("0", "1.0~rc1", "1.0", "1.0-1", "1.0-1+b1", "1.0.1", "1.2a", "1.2+x", "1.10", "2", "1:0.1", "10:0")


@pytest.mark.parametrize("position", range(len(ORDER) - 1))
def test_versions_are_in_debians_order(position: int) -> None:
    assert older(ORDER[position], ORDER[position + 1])
    assert not older(ORDER[position + 1], ORDER[position])
    assert not older(ORDER[position], ORDER[position])


VERSION = st.from_regex(r"(?:[0-9]:)?[0-9][0-9a-z.+~]{0,8}(?:-[0-9a-z.+~]{1,4})?", fullmatch=True)


@pytest.mark.skipif(not shutil.which("dpkg"), reason="dpkg decides, and is not here")
def test_versions_are_compared_as_dpkg_compares_them() -> None:
    pairs = [(left, right) for left in ORDER for right in ORDER] + [("1a", "1"), ("1.0-1", "1.0-1~"), ("2.0", "2.0-0")]
    for left, right in pairs:
        done = subprocess.run(["dpkg", "--compare-versions", left, "lt", right], check=False)
        assert older(left, right) is (done.returncode == 0), (left, right)


@given(VERSION, VERSION)
def test_of_two_versions_at_most_one_is_older(left: str, right: str) -> None:
    assert not (older(left, right) and older(right, left))


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_two_texts_can_be_compared(left: str, right: str) -> None:
    assert older(left, right) in (True, False)


def test_a_field_is_its_first_line_and_a_field_without_end_costs_nothing() -> None:
    data = b"Package: a\nDescription: b\n Version: 9\n# Version: 8\nVersion: 1\n" + b" more\n" * 200_000
    assert list(stanzas(data, "Package", "Version")) == [{"Package": "a", "Version": "1"}]


@given(st.binary(max_size=400))
def test_stanzas_are_read_whatever_they_hold(data: bytes) -> None:
    for entry in stanzas(data, "P", "Version"):
        assert set(entry) <= {"P", "Version"}


HEADER = "/var/lib/apt/lists/a_security_InRelease"
LIST = "/var/lib/apt/lists/a_security_main_Packages"
AUTO: Files = {"/etc/apt/apt.conf.d/20auto": 'APT::Periodic::Unattended-Upgrade "1";\n'}
FRESH: Files = {HEADER: "-----BEGIN PGP SIGNED MESSAGE-----\n\nOrigin: a\nDate: Fri, 20 Nov 2026 08:00:00 UTC\n"}
PENDING: dict[str, tuple[Files, Outcome]] = {
    "no dpkg": (AUTO, NA),
    "nothing waits": ({**dpkg(a="1.0-1"), **AUTO, **FRESH, LIST: "Package: a\nVersion: 1.0-1\n"}, PASS),
    "one waits": ({**dpkg(a="1.0-1"), **AUTO, **FRESH, LIST: "Package: a\nVersion: 1.0-1+deb12u1\n"}, FAIL),
    "what is not installed does not wait": ({**dpkg(a="1"), **AUTO, **FRESH, LIST: "Package: b\nVersion: 9\n"}, PASS),
    "nobody installs": ({**dpkg(a="1"), **FRESH}, FAIL),
    "nobody has looked": ({**dpkg(a="1"), **AUTO, HEADER: "Date: Fri, 02 Oct 2026 08:00:00 UTC\n"}, FAIL),
    "no lists": ({**dpkg(a="1"), **AUTO}, UNKNOWN),
    "a list without its day": ({**dpkg(a="1"), **AUTO, HEADER: "Date: soon\n"}, UNKNOWN),
}


@pytest.mark.parametrize("case", PENDING.values(), ids=PENDING)
def test_what_is_out_and_not_installed_is_pending(tmp_path: Path, case: tuple[Files, Outcome]) -> None:
    files, outcome = case
    finding = ask(grow(tmp_path, files), PendingUpdates(within_days=14), now=NOW)
    assert finding.outcome is outcome, finding


def test_without_a_clock_no_list_is_fresh(tmp_path: Path) -> None:
    grow(tmp_path, {**dpkg(a="1"), **AUTO, **FRESH})
    assert ask(tmp_path, PendingUpdates(within_days=14)).outcome is UNKNOWN


def test_what_waits_is_installed_by_the_system_and_not_by_a_mend(tmp_path: Path) -> None:
    root = FolderRoot(grow(tmp_path, {**dpkg(a="1"), **AUTO}), owners_kept=True)
    with pytest.raises(CannotMend):
        mend(Case(root, a_plan(), now=NOW), Editor(root), PendingUpdates(within_days=14))


RELEASES: dict[str, tuple[str, Outcome]] = {
    "debian 12": ('ID=debian\nVERSION_ID="12"\n', PASS),
    "debian 9": ('ID=debian\nVERSION_ID="9"\n', FAIL),
    "a point release of openwrt": ('ID="openwrt"\nVERSION_ID="19.07.8"\n', FAIL),
    "alpine": ("ID=alpine\nVERSION_ID=3.22.1\n", PASS),
    "alpine of old": ("ID=alpine\nVERSION_ID=3.12.0\n", FAIL),
    "a branch nobody has heard of": ("ID=openwrt\nVERSION_ID=99.01\n", UNKNOWN),
    "a system nobody has heard of": ("ID=mine\nVERSION_ID=1\n", UNKNOWN),
    "yocto by its codename": ("ID=mine\nVERSION_ID=7\nDISTRO_CODENAME=scarthgap\n", PASS),
    "an old yocto by its codename": ("ID=mine\nVERSION_ID=7\nDISTRO_CODENAME=dunfell\n", FAIL),
    "raspbian": ('ID=raspbian\nVERSION_ID="10"\n', FAIL),
    "a maker's own day": ("ID=mine\nVERSION_ID=1\nSUPPORT_END=2030-01-31\n", PASS),
    "a maker's day before our table": ("ID=debian\nVERSION_ID=12\nSUPPORT_END=2026-11-20\n", FAIL),
    "the last day itself": ("ID=mine\nSUPPORT_END=2026-11-21\n", PASS),
    "no day": ("ID=mine\nSUPPORT_END=soon\n", FAIL),
    "nothing": ("", UNKNOWN),
}


@pytest.mark.parametrize("case", RELEASES.values(), ids=RELEASES)
def test_a_release_is_supported_until_its_branch_ends(tmp_path: Path, case: tuple[str, Outcome]) -> None:
    content, outcome = case
    grow(tmp_path, {"etc/os-release": content})
    finding = ask(tmp_path, ReleaseAge(), now=NOW)
    assert finding.outcome is outcome, finding
    assert ask(tmp_path, ReleaseAge()).outcome is UNKNOWN, "without a clock nothing is old, and nothing is new"


def test_a_renamed_openwrt_is_known_by_what_its_maker_left(tmp_path: Path) -> None:
    grow(tmp_path, {"etc/os-release": "ID=superrouter\nVERSION_ID=4\n"})
    grow(tmp_path, {"etc/openwrt_release": "DISTRIB_ID='OpenWrt'\nDISTRIB_RELEASE='18.06.2'\n"})
    finding = ask(tmp_path, ReleaseAge(), now=NOW)
    assert finding.outcome is FAIL
    assert "since 2020-12-31" in finding.proof[0]


@pytest.mark.parametrize(
    ("day", "outcome"),
    [
        ("2026-11-21", PASS),
        ("2026-11-22", PASS),
        ("2026-11-24", FAIL),
        ("2026-08-23", PASS),
        ("2026-08-22", FAIL),
        ("last week", FAIL),
        (True, FAIL),
    ],
)
def test_a_stated_day_counts_for_so_long(tmp_path: Path, day: Any, outcome: Outcome) -> None:
    spec = StatedDay(key="looked", within_days=90)
    assert ask(tmp_path, spec, manifest=BuildManifest("b", {"looked": day}), now=NOW).outcome is outcome
    assert ask(tmp_path, spec, manifest=BuildManifest("b", {"looked": day})).outcome is UNKNOWN
    assert ask(tmp_path, spec, now=NOW).outcome is UNKNOWN


def test_what_was_built_is_what_is_there(tmp_path: Path) -> None:
    grow(tmp_path, {"bin/a": "a", "bin/b": "b"})
    digests = {f"file:/bin/{name}": "sha256:" + hashlib.sha256(name.encode()).hexdigest() for name in "ab"}
    stated = BuildManifest("b", {"other": True, **digests})
    assert ask(tmp_path, Built()).outcome is UNKNOWN
    assert ask(tmp_path, Built(), manifest=BuildManifest("b", {"other": True})).outcome is UNKNOWN
    assert ask(tmp_path, Built(), manifest=stated).outcome is PASS
    grow(tmp_path, {"bin/a": "changed"})
    (tmp_path / "bin/b").unlink()
    finding = ask(tmp_path, Built(), manifest=stated)
    assert finding.proof == ("/bin/a is not what was built", "/bin/b is gone")
