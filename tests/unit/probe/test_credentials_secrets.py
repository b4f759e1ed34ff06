"""Secrets in texts and programs: found, masked, and not made up."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes.credentials import (
    AtRest,
    Entropy,
    PersonalData,
    SecretPlace,
    Secrets,
    TlsOffers,
    UncheckedTransfer,
)
from holdfast_probe.credentials.secret_words import assigned_in, masked, tokens_in
from holdfast_probe.roots import FolderRoot, LiveRoot, Told
from probe_builders import Files, ask, grow

TEXT, PROGRAMS = Secrets(place=SecretPlace.TEXT), Secrets(place=SecretPlace.PROGRAMS)
WORD = "tr7-Kd9x2mQz"


def jwt(header: dict[str, str]) -> str:
    head = base64.urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip("=")
    return f"{head}.eyJzdWIiOiJkZXZpY2UifQ.c2lnbmF0dXJlLW9mLXNvbWUtbGVuZ3Ro"


FOUND = [
    f"CLOUD_PASSWORD='{WORD}'",
    f"export MQTT_PASS={WORD}",
    f"password = {WORD}",
    f'  "password": "{WORD}",',
    f"<adminPassword>{WORD}</adminPassword>",
    f"define('DB_PASSWORD', '{WORD}');",
    f"\toption password '{WORD}'",
    f"api_key: {WORD}",
    "user=admin password=admin",
    f"sshpass -p {WORD} ssh root@host",
    f'echo "root:{WORD}" | chpasswd',
    f"curl -u device:{WORD} https://x.example",
    f"mqtt://device:{WORD}@broker.example:1883",
    "aws_access_key_id = AKIA" + "Q3ZRL7MNP2WXKV5T",
    "token=ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3hJ5",
    "auth " + jwt({"alg": "HS256"}),
    "DefaultEndpointsProtocol=https;AccountKey=" + "aB3dE5gH7+" * 8 + "aB3dE5==",
]
NOT_FOUND = [
    "PASSWORD=$1",
    'password="${PASSWORD}"',
    "password=%s",
    "password=<your password>",
    "password = changeme-please",
    "password_file = /etc/secret/word1",
    "passwd: files systemd",
    "PasswordAuthentication no",
    "passwordAttribute=userPassword",
    "secret = get_secret(1)",
    "password required pam_unix.so sha512",
    "api_key=AKIAIOSFODNN7EXAMPLE",
    "AKIAIOSFODNN7EXAMPLE",
    "https://user:password@example.com",
    "eyJub3QiOiJhIn0x.eyJub3QiOiJhIn0x.eyJub3QiOiJhIn0x",
    "auth " + jwt({"no": "header"}),
    "pass=1",
    "compass=a1b2c3d4e5",
    "password=aaaaaaa1",
    "PASSWD_MIN_LEN=8",
]


@pytest.mark.parametrize("line", FOUND)
def test_a_secret_is_found_and_masked(line: str) -> None:
    found = [*tokens_in(line), *assigned_in(line, code=False)]
    assert found
    assert not any(WORD in secret.said or "Q3ZRL7" in secret.said or "aB3dE5" in secret.said for secret in found)


@pytest.mark.parametrize("line", NOT_FOUND)
def test_what_only_looks_like_one_is_left_alone(line: str) -> None:
    assert [*tokens_in(line), *assigned_in(line, code=False)] == []


def test_a_public_default_is_named_and_anything_else_is_not() -> None:
    assert [secret.said for secret in assigned_in("password=raspberry", code=False)] == [
        "password is the public default 'raspberry'"
    ]
    assert [secret.said for secret in assigned_in(f"password={WORD}", code=False)] == [
        "password is tr… (12 characters)"
    ]
    assert masked(WORD) == "tr… (12 characters)"


def test_in_code_only_what_is_quoted_is_a_value() -> None:
    assert not [*assigned_in("password = settings2.Value", code=True)]
    assert [*assigned_in(f"password = '{WORD}'", code=True)]


@given(st.text(max_size=300))
def test_any_line_is_read(line: str) -> None:
    for secret in (*tokens_in(line), *assigned_in(f"password={line}", code=False)):
        assert secret.said


SETTINGS = f"password = {WORD}\n"


@pytest.mark.parametrize(
    ("path", "text", "mode", "image", "running"),
    [
        ("etc/app/app.conf", SETTINGS, 0o600, Outcome.FAIL, Outcome.PASS),
        ("etc/app/app.conf", SETTINGS, 0o644, Outcome.FAIL, Outcome.FAIL),
        ("etc/app/app.conf", "password = raspberry\n", 0o600, Outcome.FAIL, Outcome.FAIL),
        ("etc/app/app.conf", f"# {SETTINGS}", 0o644, Outcome.PASS, Outcome.PASS),
        ("etc/app/app.conf.example", SETTINGS, 0o644, Outcome.PASS, Outcome.PASS),
        ("usr/share/doc/app/app.conf", SETTINGS, 0o644, Outcome.PASS, Outcome.PASS),
        ("usr/bin/run", f"#!/bin/sh\n{SETTINGS.replace(' ', '')}", 0o700, Outcome.FAIL, Outcome.FAIL),
        ("usr/share/noise", SETTINGS, 0o644, Outcome.PASS, Outcome.PASS),
        ("etc/app/blob", SETTINGS.encode() + b"\0", 0o644, Outcome.PASS, Outcome.PASS),
        ("etc/shadow", f"password={WORD}\n", 0o644, Outcome.PASS, Outcome.PASS),
    ],
)
def test_where_a_secret_counts(
    tmp_path: Path, path: str, text: str | bytes, mode: int, *, image: Outcome, running: Outcome
) -> None:
    grow(tmp_path, {path: (text, mode)})
    assert ask(tmp_path, TEXT).outcome is image
    assert ask(LiveRoot(tmp_path), TEXT).outcome is running


def test_one_beyond_the_first_window_is_found_with_its_line(tmp_path: Path) -> None:
    grow(tmp_path, {"etc/long.conf": "a = 1\n" * 20_000 + SETTINGS})
    assert ask(tmp_path, TEXT).proof == ("/etc/long.conf:20001: password is tr… (12 characters)",)


def test_the_strings_of_programs(tmp_path: Path) -> None:
    grow(
        tmp_path,
        {"usr/bin/a": b"\x7fELF" + bytes(60) + b"password=%s xc3511x \0akia", "etc/xc3511": b"\0xc3511\0" * 20},
    )
    assert ask(tmp_path, PROGRAMS).outcome is Outcome.PASS
    deep = b"\x7fELF" + b"x" * 200_000
    grow(
        tmp_path,
        {"usr/bin/b": deep + b"\0xc3511\0", "usr/bin/c": deep + b"\0mqtt://dev:" + WORD.encode() + b"@b.example\0"},
    )
    assert ask(tmp_path, PROGRAMS).proof == (
        "/usr/bin/b: the public default 'xc3511'",
        "/usr/bin/c: password in an address tr… (12 characters)",
    )


@pytest.mark.parametrize(
    ("line", "bad"),
    [
        ("curl -sk https://x.example", True),
        ("curl --insecure https://x.example", True),
        ("curl --cacert k.pem https://x.example", False),
        ("curl https://x.example | tar -kx", False),
        ("wget --no-check-certificate https://x.example", True),
        ("ssh -o StrictHostKeyChecking=no host", True),
        ("ssh -o StrictHostKeyChecking=yes host", False),
        ("requests.get(url, verify=False)", True),
        ("mosquitto_pub --insecure -t a", True),
        ("NODE_TLS_REJECT_UNAUTHORIZED=0 node app.js", True),
        ("# curl -k https://x.example", False),
    ],
)
def test_a_transfer_that_checks_nobody(tmp_path: Path, line: str, *, bad: bool) -> None:
    grow(tmp_path, {"usr/bin/send": f"#!/bin/sh\n{line}\n"})
    assert ask(tmp_path, UncheckedTransfer()).outcome is (Outcome.FAIL if bad else Outcome.PASS)


@pytest.mark.parametrize(
    ("path", "text", "outcome"),
    [
        ("nginx/nginx.conf", "ssl_protocols TLSv1.2 TLSv1.3;\nssl_ciphers HIGH:!aNULL:!RC4;", Outcome.PASS),
        ("nginx/nginx.conf", "ssl_protocols TLSv1.1 TLSv1.2;", Outcome.FAIL),
        ("nginx/nginx.conf", 'ssl_ciphers "ECDHE-RSA-AES128-GCM-SHA256:DES-CBC3-SHA";', Outcome.FAIL),
        ("nginx/nginx.conf", "ssl_ciphers ALL;", Outcome.FAIL),
        ("nginx/nginx.conf", "# ssl_protocols SSLv3;", Outcome.NOT_APPLICABLE),
        ("lighttpd/lighttpd.conf", 'ssl.use-sslv3 = "enable"', Outcome.FAIL),
        ("lighttpd/lighttpd.conf", 'ssl.openssl.ssl-conf-cmd = ("MinProtocol" => "TLSv1.2")', Outcome.PASS),
        ("lighttpd/lighttpd.conf", 'ssl.openssl.ssl-conf-cmd = ("MinProtocol" => "TLSv1.0")', Outcome.FAIL),
        ("mosquitto/mosquitto.conf", "tls_version tlsv1", Outcome.FAIL),
        ("mosquitto/mosquitto.conf", "tls_version tlsv1.3", Outcome.PASS),
        ("stunnel/a.conf", "sslVersionMin = TLSv1\nciphers = HIGH", Outcome.FAIL),
        ("hostapd/a.conf", "tls_flags=[ENABLE-TLSv1.0]", Outcome.FAIL),
        ("ssl/openssl.cnf", "CipherString = DEFAULT:@SECLEVEL=0", Outcome.FAIL),
        ("ssl/openssl.cnf", "CipherString = DEFAULT@SECLEVEL=2", Outcome.PASS),
        ("crypto-policies/config", "LEGACY", Outcome.FAIL),
        ("crypto-policies/config", "DEFAULT", Outcome.PASS),
    ],
)
def test_what_tls_offers(tmp_path: Path, path: str, text: str, outcome: Outcome) -> None:
    grow(tmp_path, {f"etc/{path}": text + "\n"})
    assert ask(tmp_path, TlsOffers()).outcome is outcome


class ToldRoot(FolderRoot):
    told = Told(kernel_release="4.9.118")


@pytest.mark.parametrize(
    ("files", "image", "running"),
    [
        ({}, Outcome.FAIL, Outcome.FAIL),
        ({"lib/modules/6.6.52/": ""}, Outcome.PASS, Outcome.PASS),
        ({"lib/modules/4.14.9/": ""}, Outcome.FAIL, Outcome.FAIL),
        ({"sbin/urngd": "x"}, Outcome.PASS, Outcome.PASS),
        ({"sbin/urngd": "x", "etc/urandom.seed": "seed"}, Outcome.FAIL, Outcome.PASS),
        ({"proc/sys/kernel/random/entropy_avail": "12\n", "sbin/urngd": "x"}, Outcome.PASS, Outcome.FAIL),
        ({"sys/class/misc/hw_random/rng_current": "imx-rngc\n"}, Outcome.FAIL, Outcome.PASS),
    ],
)
def test_randomness(tmp_path: Path, files: Files, image: Outcome, running: Outcome) -> None:
    grow(tmp_path, {"etc/x": "", **files})
    assert ask(tmp_path, Entropy()).outcome is image
    assert ask(LiveRoot(tmp_path), Entropy()).outcome is running


def test_the_kernel_of_an_image_speaks_for_itself(tmp_path: Path) -> None:
    grow(tmp_path, {"lib/modules/6.6.52/": ""})
    assert ask(ToldRoot(tmp_path, owners_kept=True), Entropy()).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("files", "image", "running"),
    [
        ({"etc/crypttab": "data /dev/sda2 none luks\n"}, Outcome.PASS, Outcome.PASS),
        ({"etc/crypttab": "# data /dev/sda2 none luks\n"}, Outcome.FAIL, Outcome.FAIL),
        ({"etc/crypttab": "data /dev/sda2 none plain\n"}, Outcome.FAIL, Outcome.FAIL),
        ({"sys/block/dm-0/dm/uuid": "CRYPT-LUKS2-0123-data"}, Outcome.FAIL, Outcome.PASS),
        ({"sys/block/dm-0/dm/uuid": "LVM-0123"}, Outcome.FAIL, Outcome.FAIL),
        ({"etc/fscrypt.conf": "{}"}, Outcome.PASS, Outcome.PASS),
    ],
)
def test_what_is_stored_encrypted(tmp_path: Path, files: Files, image: Outcome, running: Outcome) -> None:
    grow(tmp_path, files)
    assert ask(tmp_path, AtRest()).outcome is image
    assert ask(LiveRoot(tmp_path), AtRest()).outcome is running


PHOTO = b"\xff\xd8\xff\xe1\x01\x00Exif\0\0MM\0*\0\0\0\x08\0\x01\x88\x25\0\x04\0\0\0\x01\0\0\0\x1a"


@pytest.mark.parametrize(
    ("path", "content", "bad"),
    [
        ("home/anna/notes.txt", "x", True),
        ("home/anna/.bashrc", "x", False),
        ("root/.gitconfig", "x", True),
        ("opt/app/people.vcf", "x", True),
        ("www/logo.jpg", b"\xff\xd8\xff\xe0JFIF", False),
        ("www/holiday.jpg", PHOTO, True),
        ("etc/wpa_supplicant.conf", 'network={\n\tpsk="secret word"\n}\n', True),
        ("etc/wpa_supplicant.conf", "ctrl_interface=/run/wpa\n", False),
    ],
)
def test_traces_of_people(tmp_path: Path, path: str, content: str | bytes, *, bad: bool) -> None:
    grow(tmp_path, {path: content})
    assert ask(tmp_path, PersonalData()).outcome is (Outcome.FAIL if bad else Outcome.PASS)
    assert ask(LiveRoot(tmp_path), PersonalData()).outcome is Outcome.NOT_APPLICABLE


PACKAGED: Files = {
    "usr/lib/thing/thing.conf": (f"password={WORD}\n", 0o644),
    "var/lib/dpkg/status": "Package: thing\n",
}


def test_what_a_distribution_brings_is_looked_at_in_the_image_and_not_on_every_machine(tmp_path: Path) -> None:
    tree = grow(tmp_path, PACKAGED)
    assert ask(FolderRoot(tree), TEXT).outcome is Outcome.FAIL
    assert ask(LiveRoot(tree), TEXT).outcome is Outcome.PASS
    own = grow(tmp_path, {"usr/local/lib/own.conf": (f"password={WORD}\n", 0o644)})
    assert ask(LiveRoot(own), TEXT).outcome is Outcome.FAIL


def test_without_a_distributions_packages_all_of_a_running_system_is_looked_at(tmp_path: Path) -> None:
    tree = grow(tmp_path, {"usr/lib/thing/thing.conf": (f"password={WORD}\n", 0o644)})
    assert ask(LiveRoot(tree), TEXT).outcome is Outcome.FAIL
