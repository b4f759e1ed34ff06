"""Validity from end to end: a served control plane, a device's real certificate, openssl, and the commands."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID
from typer.testing import CliRunner, Result

from holdfast.bootstrap import Plane
from holdfast.cli.app import build
from holdfast.config import load
from holdfast_core.identity.validity import SHARDS
from server_process import ServerProcess, configured, enroll_on_disk

runner = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "80"})
DEVICE = "cam-1"


def run(folder: Path, *arguments: str, code: int = 0) -> Result:
    result = runner.invoke(build(), [*arguments, "--data", str(folder)])
    assert result.exit_code == code, result.output
    return result


def told(folder: Path, *arguments: str, code: int = 0):
    return json.loads(run(folder, *arguments, "--json", code=code).stdout)


def enrolled(folder: Path) -> Path:
    """A device's key and chain, enrolled while no server runs."""

    async def enroll() -> Path:
        async with Plane.open(load(folder, {}), folder) as plane:
            return await enroll_on_disk(plane, folder, DEVICE)

    return asyncio.run(enroll())


def openssl(folder: Path, *words: object) -> tuple[int, str]:
    done = subprocess.run(["openssl", *map(str, words)], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder, port = tmp_path_factory.mktemp("site"), free_port()
    url = f"http://127.0.0.1:{port}"
    configured(folder, validation_url=url, validation_host="127.0.0.1", validation_port=port)
    enrolled(folder)
    with ServerProcess(folder) as server:
        yield server


def test_openssl_finds_its_way_from_a_certificate_to_its_revocation(site, tmp_path):
    folder = site.folder
    certificate = x509.load_pem_x509_certificates((folder / f"{DEVICE}.pem").read_bytes())[0]
    access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    urls = {one.access_method: one.access_location.value for one in access}
    issuer_der = tmp_path / "issuer.der"
    subprocess.run(["curl", "-sf", "-o", issuer_der, urls[AuthorityInformationAccessOID.CA_ISSUERS]], check=True)
    openssl(tmp_path, "x509", "-inform", "DER", "-in", issuer_der, "-out", "issuer.pem")
    verify = ("verify", "-crl_check", "-crl_download", "-CAfile", folder / "keys/root.pem", "-untrusted", "issuer.pem")
    ask = (
        "ocsp", "-url", urls[AuthorityInformationAccessOID.OCSP], "-issuer", "issuer.pem", "-cert",
        folder / f"{DEVICE}.pem", "-CAfile", folder / "keys/root.pem", "-verify_other", "issuer.pem",
    )  # fmt: skip
    code, said = openssl(tmp_path, *verify, folder / f"{DEVICE}.pem")
    assert code == 0, said
    code, said = openssl(tmp_path, *ask)
    assert "Response verify OK" in said
    assert f"{DEVICE}.pem: good" in said
    run(folder, "device", "revoke", DEVICE, "--why", "stolen", "--yes")
    code, said = openssl(tmp_path, *ask)
    assert f"{DEVICE}.pem: revoked" in said
    code, said = openssl(tmp_path, *verify, folder / f"{DEVICE}.pem")
    assert code != 0
    assert "certificate revoked" in said


def test_lists_are_shown_exported_and_checked(site, tmp_path):
    folder = site.folder
    (shown,) = told(folder, "crl", "list")["items"]
    assert shown["shards"] == SHARDS
    bundle, one, shard = tmp_path / "broker.pem", tmp_path / "one.crl", tmp_path / "3.crl"
    run(folder, "crl", "export", str(bundle))
    run(folder, "crl", "export", str(one), "--issuer", shown["issuer"], "--der")
    run(folder, "crl", "export", str(shard), "--issuer", shown["issuer"], "--shard", "3", "--der")
    assert x509.load_pem_x509_crl(bundle.read_bytes()) == x509.load_der_x509_crl(one.read_bytes())
    point = x509.load_der_x509_crl(shard.read_bytes()).extensions.get_extension_for_class(x509.IssuingDistributionPoint)
    assert point.critical
    for target in (bundle, one, shown["address"]):
        assert told(folder, "crl", "check", str(target))["findings"] == []
    certificate = tmp_path / "issuer.pem"
    certificate.write_text(shown["certificate"])
    assert told(folder, "crl", "check", str(bundle), "--issuer-certificate", str(certificate))["findings"] == []


def test_what_protects_nobody_is_a_finding(site, tmp_path):
    bundle = tmp_path / "broker.pem"
    run(site.folder, "crl", "export", str(bundle))
    bundle.write_bytes(bundle.read_bytes()[:-40])
    assert [one["code"] for one in told(site.folder, "crl", "check", str(bundle), code=3)["findings"]] == [
        "crl.truncated"
    ]
    gone = told(site.folder, "crl", "check", str(tmp_path / "none.pem"), code=3)["findings"]
    assert [one["code"] for one in gone] == ["crl.unreachable"]
    away = told(site.folder, "crl", "check", f"http://127.0.0.1:{free_port()}/all.crl", code=3)["findings"]
    assert [one["code"] for one in away] == ["crl.unreachable"]


def test_export_of_one_list_needs_to_know_which(site, tmp_path):
    run(site.folder, "crl", "export", str(tmp_path / "x"), "--der", code=2)
    run(site.folder, "crl", "export", str(tmp_path / "x"), "--issuer", "nobody", code=1)
    assert not (tmp_path / "x").exists()


def test_a_list_on_stdout_is_never_taken_for_json(site):
    assert "leave one of them out" in run(site.folder, "crl", "export", "-", "--json", code=2).stderr
    assert "BEGIN X509 CRL" in run(site.folder, "crl", "export", "-").stdout


def test_lists_are_exported_with_no_server_running(tmp_path):
    folder = tmp_path / "data"
    configured(folder)
    enrolled(folder)
    run(folder, "device", "revoke", DEVICE, "--why", "stolen", "--yes")
    run(folder, "crl", "export", str(tmp_path / "all.pem"))
    first = x509.load_pem_x509_crl((tmp_path / "all.pem").read_bytes())
    assert len(first) == 1
    (shown,) = told(folder, "crl", "list")["items"]
    number = first.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    assert shown["number"] > number, "every process numbers on from where the last one stopped"
    assert shown["address"] == ""
    certificate = x509.load_pem_x509_certificate((folder / f"{DEVICE}.pem").read_bytes())
    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints)
