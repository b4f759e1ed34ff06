"""Attacks with what the probes of accounts, keys and settings read: they end, say unknown, and name no secret."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes import AccountCheck, Accounts, ProbeSpec, Setting, Syntax, Words
from holdfast_core.baseline.probes.credentials import (
    AtRest,
    CertificateCheck,
    Certificates,
    Entropy,
    PasswordFiles,
    PersonalData,
    RootRights,
    SecretPlace,
    Secrets,
    ServerKeys,
    TlsOffers,
    TrustStore,
    UncheckedTransfer,
)
from holdfast_core.kernel.errors import HoldfastError
from holdfast_core.kernel.instants import parse_rfc3339
from holdfast_probe.audit import audit
from holdfast_probe.case import Case
from holdfast_probe.editor import Editor
from holdfast_probe.mending import mend, mendable
from holdfast_probe.roots import FolderRoot
from probe_builders import a_plan, ask, grow

SPECS: tuple[ProbeSpec, ...] = (
    *(Accounts(check=check) for check in AccountCheck),
    *(Certificates(check=check) for check in CertificateCheck),
    *(Secrets(place=place) for place in SecretPlace),
    RootRights(),
    PasswordFiles(),
    ServerKeys(),
    TrustStore(),
    Entropy(),
    TlsOffers(),
    AtRest(),
    PersonalData(),
    UncheckedTransfer(),
    Setting(file="/etc/ssh/sshd_config", syntax=Syntax.SSHD, key="PermitRootLogin", one_of=("no",), default="yes"),
    Setting(file="/etc/mosquitto/mosquitto.conf", syntax=Syntax.KEYVALUE, key="a/tls_version", one_of=("x",)),
    Setting(file="/etc/config/wireless", syntax=Syntax.UCI, key="wifi-iface.key", one_of=("x",), default="y"),
    Words(paths=("/etc/pam.d/*",), forbid=("nullok",), require=("faillock",)),
)
FILES = (
    "etc/passwd",
    "etc/shadow",
    "etc/sudoers",
    "etc/doas.conf",
    "etc/nginx/htpasswd",
    "etc/ppp/chap-secrets",
    "etc/wpa_supplicant.conf",
    "etc/config/wireless",
    "etc/httpd.conf",
    "etc/ssh/sshd_config",
    "etc/ssh/ssh_host_rsa_key",
    "etc/ssl/certs/ca.pem",
    "etc/ssl/private/a",
    "etc/nginx/nginx.conf",
    "etc/mosquitto/mosquitto.conf",
    "etc/crypttab",
    "etc/fstab",
    "etc/pam.d/login",
    "etc/device.crt",
    "root/.ssh/authorized_keys",
    "usr/bin/script.sh",
    "usr/bin/program",
    "lib/modules/x/y",
    "home/x/y.jpg",
)
PIECES = (
    b"root:x:0:0::/root:/bin/sh\n",
    b"root:$1$a$b::::::\n",
    b":::::::\n",
    b"\x7fELF",
    b"#!/bin/sh\n",
    b"\xff\xfe",
    b"\0",
    b"-----BEGIN CERTIFICATE-----\n",
    b"-----END CERTIFICATE-----\n",
    b"-----BEGIN RSA PRIVATE KEY-----\n",
    b"MIIB",
    b"\x30\x82\x01",
    b"Cmnd_Alias A = A, B\n",
    b"x ALL=(ALL) NOPASSWD: A\n",
    b"@include /etc/sudoers\n",
    b"Include *\nMatch User x\n",
    b"permit nopass\n",
    b"config wifi-iface\n\toption key '",
    b'password = "',
    b"ssl_ciphers 'ALL",
    b'key_mgmt=\npsk="',
    b"[a]\n",
    b"tls_version = \n",
    b"PermitRootLogin\tyes\r\n",
    b"Exif\0\0",
    b"eyJ.eyJ.x",
    b"://a:bcd1@",
    b"curl -k",
    b"=",
    b"\\\n",
    b'"',
    b"'",
    b"\xc2\x85",
)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.sampled_from(PIECES) | st.binary(max_size=12), max_size=8), min_size=24, max_size=24))
def test_whatever_the_files_hold_each_probe_has_an_answer_and_each_mend_an_end(
    tmp_path_factory: pytest.TempPathFactory, contents: list[list[bytes]]
) -> None:
    tree = grow(
        tmp_path_factory.mktemp("tree"), {name: b"".join(each) for name, each in zip(FILES, contents, strict=True)}
    )
    root = FolderRoot(tree, owners_kept=True)
    asked = [(f"XX-{number:02}", spec) for number, spec in enumerate(SPECS)]
    found = audit(root, asked, a_plan(), now=parse_rfc3339("2026-11-21T10:00:00Z")).findings
    assert len(found) == len(SPECS)
    for finding in found:
        assert finding.reason or finding.proof
    for spec in SPECS:
        if mendable(spec):
            try:
                mend(Case(root, a_plan()), Editor(root), spec)
            except HoldfastError:
                continue


@pytest.mark.parametrize(
    "name", ["etc/sudoers", "etc/nginx/htpasswd", "etc/crypttab", "etc/ssl/certs/a.pem", "etc/pam.d/x"]
)
def test_a_fifo_in_place_of_a_file_hangs_nothing_and_is_unknown(tmp_path: Path, name: str) -> None:
    spec: ProbeSpec = {
        "etc/sudoers": RootRights(),
        "etc/nginx/htpasswd": PasswordFiles(),
        "etc/crypttab": AtRest(),
        "etc/ssl/certs/a.pem": TrustStore(),
        "etc/pam.d/x": Words(paths=("/etc/pam.d/*",), forbid=("x",)),
    }[name]
    grow(tmp_path, {f"{name}.d/": ""})
    os.mkfifo(tmp_path / name)
    assert ask(tmp_path, spec).outcome is Outcome.UNKNOWN


def test_a_secret_behind_a_link_out_of_the_tree_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("op:admin\n")
    tree = grow(tmp_path / "tree", {"etc/nginx/htpasswd": f"-> {tmp_path}/outside", "etc/x": f"-> {tmp_path}/outside"})
    assert ask(tree, PasswordFiles()).outcome is Outcome.UNKNOWN
    assert ask(tree, Secrets(place=SecretPlace.TEXT)).outcome is Outcome.PASS


def test_an_alias_that_grows_without_end_is_refused(tmp_path: Path) -> None:
    rules = "Cmnd_Alias A = " + ", ".join(["/bin/ls"] * 50_000) + "\n" + "x ALL=NOPASSWD:A\n" * 20_000
    grow(tmp_path, {"etc/sudoers": rules})
    finding = ask(tmp_path, RootRights())
    assert finding.outcome is Outcome.UNKNOWN
    assert "65536" in finding.reason


def test_certificates_that_begin_and_never_end_are_none(tmp_path: Path) -> None:
    grow(tmp_path, {"etc/ssl/certs/a.pem": "-----BEGIN CERTIFICATE-----" * 100_000})
    assert ask(tmp_path, TrustStore()).outcome is Outcome.NOT_APPLICABLE
