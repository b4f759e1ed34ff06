"""Updaters, their sources and their keys, one setting at a time; what no file tells is the build's to state."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.baseline.model import BuildManifest, Outcome
from holdfast_core.baseline.probes.programs import FeedAddresses, FeedKeys, UpdateCheck, Updater
from holdfast_probe.case import Case
from holdfast_probe.changing import apply
from holdfast_probe.editor import CannotMend, Editor
from holdfast_probe.mending import mend
from holdfast_probe.programs.updates.apt import parsed
from holdfast_probe.roots import FolderRoot, Unreadable
from probe_builders import Files, a_plan, ask, grow

PASS, FAIL, UNKNOWN, NA = Outcome.PASS, Outcome.FAIL, Outcome.UNKNOWN, Outcome.NOT_APPLICABLE
S, V, W, B, G = (
    UpdateCheck.SIGNED,
    UpdateCheck.VERIFIED,
    UpdateCheck.FORWARD,
    UpdateCheck.FALLBACK,
    UpdateCheck.GUARDED,
)
LIST = "/etc/apt/sources.list"
STANZA = "/etc/apt/sources.list.d/a.sources"
CONF = "/etc/apt/apt.conf.d/10x"
DEB = "deb https://a.example stable main\n"
KEY: Files = {"/etc/apt/trusted.gpg.d/a.asc": "key"}
OPKG = "src/gz a https://a.example\n"
RAUC = "/etc/rauc/system.conf"
SLOTS = "[slot.rootfs.0]\nbootname=A\n[slot.rootfs.1]\nbootname=B\n"

CHECKS: dict[str, tuple[UpdateCheck, Files, Outcome]] = {
    "no updater": (S, {}, UNKNOWN),
    "apt with a key": (S, {LIST: DEB, **KEY}, PASS),
    "apt without a key": (S, {LIST: DEB}, FAIL),
    "apt with a key in its source": (S, {STANZA: "Types: deb\nSigned-By:\n -----BEGIN PGP\n"}, PASS),
    "apt with a key that a source names": (
        S,
        {LIST: DEB.replace("deb", "deb [signed-by=/k.gpg]"), "/k.gpg": "k"},
        PASS,
    ),
    "apt whose sources are comments": (S, {LIST: f"# {DEB}"}, UNKNOWN),
    "apt whose only source is off": (S, {STANZA: "Types: deb\nEnabled: no\n"}, UNKNOWN),
    "opkg that checks": (S, {"/etc/opkg.conf": OPKG + "option check_signature\n"}, PASS),
    "opkg that is told to check": (S, {"/etc/opkg/a.conf": OPKG + "option check_signature 1\n"}, PASS),
    "opkg that is told not to": (S, {"/etc/opkg.conf": OPKG + "option check_signature 0\n"}, FAIL),
    "opkg that is not told": (S, {"/etc/opkg.conf": OPKG}, FAIL),
    "apk with keys": (S, {"/etc/apk/repositories": "https://a\n", "/etc/apk/keys/a.pub": "k"}, PASS),
    "apk without keys": (S, {"/etc/apk/repositories": "https://a\n"}, FAIL),
    "rauc with its keyring": (S, {RAUC: "[keyring]\npath=ring.pem\n", "/etc/rauc/ring.pem": "k"}, PASS),
    "rauc whose keyring is gone": (S, {RAUC: "[keyring]\npath=ring.pem\n"}, FAIL),
    "rauc with a folder of keys": (S, {RAUC: "[keyring]\ndirectory=/k\n", "/k/a.pem": "k"}, PASS),
    "swupdate with a key": (S, {"/etc/swupdate.cfg": 'public-key-file = "/k.pem";\n', "/k.pem": "k"}, PASS),
    "swupdate with a key as argument": (
        S,
        {"/etc/swupdate.cfg": "globals :\n", "/etc/swupdate/conf.d/09": 'ARGS="-v -k /k.pem"\n', "/k.pem": "k"},
        PASS,
    ),
    "swupdate without": (S, {"/etc/swupdate.cfg": "verbose = true;\n"}, FAIL),
    "mender with a key": (S, {"/etc/mender/mender.conf": '{"ArtifactVerifyKeys": ["/k"]}', "/k": "k"}, PASS),
    "mender without": (S, {"/etc/mender/mender.conf": '{"ServerURL": "https://a"}'}, FAIL),
    "mender in a hurry": (S, {"/etc/mender/mender.conf": "{"}, UNKNOWN),
    "ostree that checks": (S, {"/ostree/repo/config": '[remote "a"]\ngpg-verify=true\n'}, PASS),
    "ostree that does not": (S, {"/ostree/repo/config": '[remote "a"]\ngpg-verify=false\n'}, FAIL),
    "dnf that checks": (S, {"/etc/yum.repos.d/a.repo": "[a]\nbaseurl=https://a\ngpgcheck=1\n"}, PASS),
    "dnf that checks everything": (
        S,
        {"/etc/dnf/dnf.conf": "[main]\ngpgcheck=1\n", "/etc/yum.repos.d/a.repo": "[a]\nbaseurl=https://a\n"},
        PASS,
    ),
    "dnf that does not": (S, {"/etc/yum.repos.d/a.repo": "[a]\nbaseurl=https://a\ngpgcheck=0\n"}, FAIL),
    "dnf that is not told": (S, {"/etc/yum.repos.d/a.repo": "[a]\nbaseurl=https://a\n"}, FAIL),
    "dnf whose repository is off": (S, {"/etc/yum.repos.d/a.repo": "[a]\nenabled=0\n"}, UNKNOWN),
    "one of two that does not": (S, {LIST: DEB, **KEY, "/etc/opkg.conf": OPKG}, FAIL),
    "apt as it comes": (V, {LIST: DEB}, PASS),
    "apt that trusts a source": (V, {LIST: DEB.replace("deb", "deb [arch=all trusted=yes]")}, FAIL),
    "apt that trusts a stanza": (V, {STANZA: "Types: deb\nTrusted: yes\n"}, FAIL),
    "apt told in one line": (V, {LIST: DEB, CONF: 'APT::Get::AllowUnauthenticated "true";\n'}, FAIL),
    "apt told in a comment": (V, {LIST: DEB, CONF: '// APT::Get::AllowUnauthenticated "true";\n'}, PASS),
    "apt told nested": (V, {LIST: DEB, CONF: 'Acquire {\n AllowInsecureRepositories\n "1"; };\n'}, FAIL),
    "apt told and told back": (
        V,
        {LIST: DEB, CONF: 'APT::Get::AllowUnauthenticated "true";\nAPT::Get::AllowUnauthenticated "false";\n'},
        PASS,
    ),
    "opkg told": (V, {"/etc/opkg.conf": OPKG + "option force_checksum 1\n"}, FAIL),
    "a cron job that lets packages in": (V, {"/etc/crontabs/root": "0 3 * * * apk add --allow-untrusted x\n"}, FAIL),
    "a cron job that does not": (V, {LIST: DEB, "/etc/crontabs/root": "0 3 * * * apk add x\n"}, PASS),
    "a script that forces an image": (V, {"/etc/init.d/up": "/sbin/sysupgrade -F /tmp/a.bin\n"}, FAIL),
    "a script that is no text": (V, {LIST: DEB, "/etc/init.d/up/": ""}, PASS),
    "rauc checks by itself": (V, {RAUC: "[keyring]\npath=/r\n", "/r": "k"}, PASS),
    "swupdate without a key leaves it open": (V, {"/etc/swupdate.cfg": "verbose = true;\n"}, UNKNOWN),
    "apt that takes stale lists": (W, {LIST: DEB, CONF: "Acquire::Check-Valid-Until no;\n"}, FAIL),
    "a source whose list may be stale": (W, {LIST: DEB.replace("deb", "deb [check-valid-until=no]")}, FAIL),
    "a pin that goes back": (W, {LIST: DEB, "/etc/apt/preferences.d/a": "Package: *\nPin-Priority: 1001\n"}, FAIL),
    "a pin that does not": (W, {LIST: DEB, "/etc/apt/preferences": "Package: *\nPin-Priority: 1000\n"}, PASS),
    "opkg that goes back": (W, {"/etc/opkg.conf": OPKG + "option force_downgrade\n"}, FAIL),
    "apk follows its index": (W, {"/etc/apk/repositories": "https://a\n"}, UNKNOWN),
    "rauc with a lowest version": (W, {RAUC: "[system]\nmin-bundle-version=1\n"}, PASS),
    "rauc without": (W, {RAUC: "[system]\n"}, UNKNOWN),
    "swupdate with a lowest version": (W, {"/etc/swupdate.cfg": 'no-downgrading = "1.0";\n'}, PASS),
    "swupdate without one": (W, {"/etc/swupdate.cfg": "verbose = true;\n"}, FAIL),
    "rauc with two slots": (B, {RAUC: "[system]\nbootloader=uboot\n" + SLOTS}, PASS),
    "rauc whose loader knows nothing": (B, {RAUC: "[system]\nbootloader=noop\n" + SLOTS}, FAIL),
    "mender with two parts": (B, {"/etc/mender/mender.conf": '{"RootfsPartA": "a", "RootfsPartB": "b"}'}, PASS),
    "mender's parts, written by the installation": (
        B,
        {"/etc/mender/mender.conf": '{"a": 1}', "/data/mender/mender.conf": '{"RootfsPartA": "a", "RootfsPartB": "b"}'},
        PASS,
    ),
    "swupdate that is told which copy": (
        B,
        {"/etc/swupdate.cfg": "verbose = true;\n", "/etc/default/swupdate": 'ARGS="-e stable,copy1"\n'},
        PASS,
    ),
    "ostree": (B, {"/ostree/repo/config": "[core]\n"}, PASS),
    "swupdate's slots are in its images": (B, {"/etc/swupdate.cfg": "verbose = true;\n"}, UNKNOWN),
    "apt by hand": (G, {LIST: DEB}, PASS),
    "apt by itself": (G, {LIST: DEB, CONF: 'APT::Periodic::Unattended-Upgrade "1";\n'}, PASS),
    "apt that reboots at any hour": (
        G,
        {LIST: DEB, CONF: 'APT::Periodic::Unattended-Upgrade "1";\nUnattended-Upgrade::Automatic-Reboot "true";\n'},
        FAIL,
    ),
}


@pytest.mark.parametrize("case", CHECKS.values(), ids=CHECKS)
def test_each_updater_is_judged_by_what_it_is_told(tmp_path: Path, case: tuple[UpdateCheck, Files, Outcome]) -> None:
    check, files, outcome = case
    finding = ask(grow(tmp_path, {"etc/x": "", **files}), Updater(check=check))
    assert finding.outcome is outcome, finding
    assert finding.proof if outcome in (PASS, FAIL) else finding.reason


def test_what_files_leave_open_the_build_states_and_never_overrules(tmp_path: Path) -> None:
    spec = Updater(check=W, stated="forward")
    yes, no = BuildManifest("b", {"forward": True}), BuildManifest("b", {"forward": False})
    grow(tmp_path, {RAUC: "[system]\n"})
    assert ask(tmp_path, spec).outcome is UNKNOWN
    assert ask(tmp_path, spec, manifest=yes).outcome is PASS
    assert ask(tmp_path, spec, manifest=no).outcome is FAIL
    grow(tmp_path, {"/etc/swupdate.cfg": "verbose = true;\n"})
    assert ask(tmp_path, spec, manifest=yes).outcome is FAIL


FEEDS = FeedAddresses(paths=(LIST, "/etc/apt/sources.list.d/*", "/etc/apt/apt.conf.d/*", "/etc/opkg.conf", "/m.conf"))
ADDRESSES: dict[str, tuple[Files, Outcome]] = {
    "https": ({LIST: DEB}, PASS),
    "http": ({LIST: DEB.replace("https", "http")}, FAIL),
    "http in capitals": ({LIST: DEB.replace("https", "HTTP")}, FAIL),
    "a comment": ({LIST: DEB + "# deb http://a.example x\n"}, PASS),
    "this device itself": ({LIST: "deb http://localhost:3142/debian stable main\n"}, PASS),
    "a proxy": ({"/etc/opkg.conf": OPKG + "option http_proxy http://p.example/\n"}, PASS),
    "a stanza that is off": ({STANZA: "URIs: http://a.example\nEnabled: no\n\nURIs: https://b.example\n"}, PASS),
    "a stanza that is on": ({STANZA: "URIs: https://a.example\nEnabled: no\n\nURIs: http://b.example\n"}, FAIL),
    "a server that need not prove itself": ({LIST: DEB, CONF: 'Acquire::https::Verify-Peer "false";\n'}, FAIL),
    "opkg that asks for no certificate": ({"/etc/opkg.conf": OPKG + "option no_check_certificate 1\n"}, FAIL),
    "dnf that does not look": ({"/m.conf": "[a]\nbaseurl=https://a\nsslverify=0\n"}, FAIL),
    "mender that skips": ({"/m.conf": '{"HttpsClient": {"SkipVerify": true}}'}, FAIL),
    "none": ({}, UNKNOWN),
    "an updater that nobody knows": ({"/etc/update.conf": "url = http://update.example/\n"}, UNKNOWN),
    "settings without a source": ({CONF: 'APT::Periodic::Unattended-Upgrade "1";\n'}, UNKNOWN),
}


@pytest.mark.parametrize("case", ADDRESSES.values(), ids=ADDRESSES)
def test_sources_are_judged_by_their_addresses_and_mended(tmp_path: Path, case: tuple[Files, Outcome]) -> None:
    files, outcome = case
    grow(tmp_path, {"etc/x": "", **files})
    finding = ask(tmp_path, FEEDS)
    assert finding.outcome is outcome, finding
    if outcome is FAIL:
        mended(tmp_path, FEEDS)
        assert ask(tmp_path, FEEDS).outcome is PASS


def test_where_no_source_is_known_the_build_states_it_and_never_overrules(tmp_path: Path) -> None:
    spec = msgspec.structs.replace(FEEDS, stated="encrypted")
    yes, no = BuildManifest("b", {"encrypted": True}), BuildManifest("b", {"encrypted": False})
    grow(tmp_path, {"/etc/update.conf": "url = https://update.example/\n"})
    assert "No updater that is known has its sources here." in ask(tmp_path, spec).reason
    assert ask(tmp_path, spec, manifest=yes).outcome is PASS
    assert ask(tmp_path, spec, manifest=no).outcome is FAIL
    grow(tmp_path, {LIST: DEB.replace("https", "http")})
    assert ask(tmp_path, spec, manifest=yes).outcome is FAIL


def test_a_password_in_an_address_is_not_shown(tmp_path: Path) -> None:
    grow(tmp_path, {LIST: "deb http://me:hunter2@a.example/debian stable main\n"})
    finding = ask(tmp_path, FEEDS)
    assert finding.proof == (f"{LIST}:1 fetches over http from a.example",)
    mended(tmp_path, FEEDS)
    assert (tmp_path / LIST[1:]).read_text() == "deb https://me:hunter2@a.example/debian stable main\n"


def test_nobody_guesses_another_address_for_ftp(tmp_path: Path) -> None:
    grow(tmp_path, {LIST: "deb ftp://a.example/debian stable main\n"})
    with pytest.raises(CannotMend):
        mended(tmp_path, FEEDS)


@pytest.mark.parametrize(
    ("check", "files"),
    [
        (S, {"/etc/opkg.conf": OPKG + "option check_signature 0\n# mine"}),
        (V, {LIST: DEB.replace("deb", "deb [ trusted=yes ]")}),
        (V, {LIST: DEB.replace("deb", "deb [arch=armhf allow-insecure=yes]")}),
        (V, {STANZA: "Types: deb\nTrusted: yes\n"}),
        (V, {"/etc/opkg.conf": OPKG + "option force_checksum\n"}),
        (V, {LIST: DEB, CONF: 'Acquire { AllowInsecureRepositories "yes"; };'}),
        (W, {LIST: DEB, CONF: 'APT::Get::Allow-Downgrades "true";'}),
        (W, {"/etc/opkg.conf": OPKG + "option force_downgrade\n"}),
        (G, {LIST: DEB, CONF: 'APT::Periodic::Unattended-Upgrade "1"; Unattended-Upgrade::Automatic-Reboot "true";'}),
    ],
)
def test_a_setting_that_lets_things_in_is_mended(tmp_path: Path, check: UpdateCheck, files: Files) -> None:
    grow(tmp_path, files)
    assert ask(tmp_path, Updater(check=check)).outcome is FAIL
    mended(tmp_path, Updater(check=check))
    assert ask(tmp_path, Updater(check=check)).outcome is PASS


def test_the_rest_of_a_source_stays_as_it_was(tmp_path: Path) -> None:
    grow(tmp_path, {LIST: "# mine\r\ndeb [arch=armhf trusted=yes] https://a.example  stable main\r\n"})
    mended(tmp_path, Updater(check=V))
    assert (tmp_path / LIST[1:]).read_bytes() == b"# mine\r\ndeb [arch=armhf] https://a.example  stable main\r\n"


def test_no_mend_makes_up_a_key(tmp_path: Path) -> None:
    grow(tmp_path, {RAUC: "[system]\n"})
    with pytest.raises(CannotMend):
        mended(tmp_path, Updater(check=S))


def test_keys_are_compared_with_those_that_are_declared(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"key").hexdigest()
    grow(tmp_path, {LIST: DEB})
    assert ask(tmp_path, FeedKeys()).outcome is NA
    assert ask(tmp_path, FeedKeys(), a_plan(feed_keys=(digest,))).outcome is UNKNOWN
    grow(tmp_path, {**KEY, "/etc/opkg/keys/b5043e70f9a75cde": "key", "/usr/share/keyrings/unused.gpg": "other"})
    assert ask(tmp_path, FeedKeys(), a_plan(feed_keys=(f"sha256:{digest.upper()}",))).outcome is PASS
    grow(tmp_path, {"/etc/apk/keys/bench.rsa.pub": "other"})
    finding = ask(tmp_path, FeedKeys(), a_plan(feed_keys=(digest,)))
    assert finding.outcome is FAIL
    assert [item.split()[0] for item in finding.proof] == ["/etc/apk/keys/bench.rsa.pub"]


def test_a_key_inside_a_source_is_a_key_that_nobody_declared(tmp_path: Path) -> None:
    grow(tmp_path, {**KEY, STANZA: "Types: deb\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n"})
    finding = ask(tmp_path, FeedKeys(), a_plan(feed_keys=(hashlib.sha256(b"key").hexdigest(),)))
    assert finding.outcome is FAIL
    assert finding.proof[0].startswith(f"{STANZA}:1 ")


@given(st.text(st.sampled_from('ab:"{};/# \n'), max_size=400))
def test_apts_settings_are_read_whatever_they_hold(content: str) -> None:
    try:
        found = list(parsed(content, "/x"))
    except Unreadable:
        return
    assert all(key == key.lower() for key, _ in found)


def test_settings_that_nest_without_end_are_refused() -> None:
    with pytest.raises(Unreadable):
        list(parsed("a {" * 99, "/x"))


def mended(tree: Path, spec: Any) -> None:
    root = FolderRoot(tree, owners_kept=True)
    editor = Editor(root)
    mend(Case(root, a_plan()), editor, spec)
    apply(tree, editor.changes())


@pytest.mark.parametrize("how", ["fifo", "loop", "huge", "folder", "noise"])
def test_hostile_settings_hang_nothing_raise_nothing_and_pass_nothing(tmp_path: Path, how: str) -> None:
    files = [LIST, STANZA, CONF, "/etc/opkg.conf", "/etc/apk/repositories", RAUC, "/etc/swupdate.cfg"]
    files += ["/etc/mender/mender.conf", "/ostree/repo/config", "/etc/crontabs/root"]
    for name in files:
        path = tmp_path / name[1:]
        path.parent.mkdir(parents=True, exist_ok=True)
        if how == "fifo":
            os.mkfifo(path)
        elif how == "loop":
            path.symlink_to(path.name)
        elif how == "huge":
            path.write_bytes(b"")
            os.truncate(path, 1 << 33)
        elif how == "folder":
            path.mkdir()
        else:
            path.write_bytes(b'deb [trusted=\xff http://"{{{[[\n' * 9000)
    for check in UpdateCheck:
        assert ask(tmp_path, Updater(check=check)).outcome in (UNKNOWN, FAIL)
    assert ask(tmp_path, FEEDS).outcome in (UNKNOWN, FAIL)
