"""The validation port over real sockets, asked by openssl and by plain HTTP."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import threading
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from builders import FakeClock, data_folder
from holdfast.adapters.pki import FileLogSigner, find_passphrase
from holdfast.adapters.pki.crl import CrlMaker
from holdfast.adapters.pki.ocsp import OcspResponder
from holdfast.adapters.store import EmbeddedStore, open_engine
from holdfast.bootstrap import DATABASE
from holdfast.identity.answers import StatusAnswers
from holdfast.identity.lists import RevocationLists
from holdfast.web.device.protocol import bounded
from holdfast.web.listeners import Listener, bind
from holdfast.web.validation.app import validation_app
from holdfast.web.validation.protocol import ValidationProtocol
from holdfast_core.identity.model import Revocation
from holdfast_core.identity.validity import SHARDS, issuer_name, shard_of
from holdfast_core.kernel.limits import LIMITS
from issuer_builders import FixedIssuers, a_leaf, an_issuer, pem_file


class Port:
    """A validation port over one issuer; the store is written on the port's own loop."""

    def __init__(self, folder, limits):
        self.folder = data_folder(folder / "data")
        # openssl knows no other time than this machine's.
        self.clock = FakeClock(int(datetime.now(UTC).timestamp()) * 1000)  # noqa: TID251
        self.issuer = an_issuer(now=self.clock.at)
        self.limits = limits
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self.loop.run_until_complete, args=(self.serve(),))

    async def serve(self):
        self.store = EmbeddedStore(
            open_engine(self.folder / DATABASE),
            FileLogSigner(self.folder / "keys", find_passphrase(self.folder / "keys", {})),
        )
        sock = bind("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        issuers = FixedIssuers(self.issuer)
        self.lists = RevocationLists(
            store=self.store, clock=self.clock, issuers=issuers, maker=CrlMaker(), base_url=self.url
        )
        answers = StatusAnswers(
            store=self.store, clock=self.clock, lists=self.lists, responder=OcspResponder(self.limits)
        )
        app = validation_app(self.lists, answers, self.clock, self.limits)
        protocol = bounded(self.limits, ValidationProtocol)
        self.listener = Listener(app, sock, tls=None, limits=self.limits, protocol=protocol)
        self.ready.set()
        await self.listener.listen()
        await self.store.settled()
        self.store.close()

    def stop(self):
        self.listener.should_exit = True

    def do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def leaf(self, device, folder):
        addresses = lambda serial: self.lists.addresses(self.issuer.id, serial)  # noqa: E731
        serial = x509.random_serial_number()
        certificate, _, credential = a_leaf(
            self.issuer, device, serial=serial, addresses=addresses(serial), now=self.clock.at
        )
        self.do(self.store.commit([credential]))
        pem_file(folder / f"{device}.pem", certificate)
        return certificate, credential

    def revoke(self, credential, code=Revocation.KEY_COMPROMISE):
        ended = msgspec.structs.replace(credential, revoked_at=self.clock.now(), revoked_code=code)
        self.do(self.store.commit([ended]))

    @property
    def base(self):
        return f"{self.url}/ocsp/{issuer_name(self.issuer.id)}"

    def crl(self, file):
        return f"{self.url}/crl/{issuer_name(self.issuer.id)}/{file}"


@contextmanager
def opened(folder, limits=LIMITS):
    port = Port(folder, limits)
    port.thread.start()
    assert port.ready.wait(30)
    try:
        yield port
    finally:
        port.loop.call_soon_threadsafe(port.stop)
        port.thread.join(30)
        port.loop.close()


@pytest.fixture
def port(tmp_path):
    with opened(tmp_path) as made:
        pem_file(tmp_path / "ca.pem", made.issuer.certificate)
        yield made


def openssl(folder, *words):
    done = subprocess.run(["openssl", *map(str, words)], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def request_of(certificate, issuer, *, nonce=None):
    builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer.certificate, hashes.SHA1())  # noqa: S303
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(Encoding.DER)


def test_openssl_ocsp_is_told_of_a_revocation_by_the_next_answer(port, tmp_path):
    _, credential = port.leaf("cam-1", tmp_path)
    ask = ("ocsp", "-url", port.base, "-issuer", "ca.pem", "-cert", "cam-1.pem", "-CAfile", "ca.pem")
    for extra in ((), ("-no_nonce",), ("-sha256",)):
        code, told = openssl(tmp_path, *ask[:1], *extra, *ask[1:])
        assert code == 0, told
        assert "Response verify OK" in told
        assert "cam-1.pem: good" in told
        assert "Nonce" not in told
    port.revoke(credential)
    for extra in ((), ("-no_nonce",), ("-sha256",)):
        code, told = openssl(tmp_path, *ask[:1], *extra, *ask[1:])
        assert "cam-1.pem: revoked" in told
        assert "Reason: keyCompromise" in told


def test_openssl_verify_fetches_the_shard_that_the_certificate_names(port, tmp_path):
    _, credential = port.leaf("cam-1", tmp_path)
    verify = ("verify", "-crl_check", "-crl_download", "-CAfile", "ca.pem", "cam-1.pem")
    code, told = openssl(tmp_path, *verify)
    assert code == 0, told
    port.revoke(credential)
    code, told = openssl(tmp_path, *verify)
    assert code != 0
    assert "certificate revoked" in told


def test_lists_are_given_whole_and_in_shards_and_not_twice_to_who_has_them(port, tmp_path):
    certificate, credential = port.leaf("cam-1", tmp_path)
    port.revoke(credential)
    shard = shard_of(certificate.serial_number, SHARDS)
    with httpx.Client() as client:
        for file, load in (
            ("all.crl", x509.load_der_x509_crl),
            ("all.pem", x509.load_pem_x509_crl),
            (f"{shard}.crl", x509.load_der_x509_crl),
        ):
            answer = client.get(port.crl(file))
            assert answer.status_code == 200
            assert answer.headers["cache-control"].startswith("max-age=30,")
            crl = load(answer.content)
            assert crl.is_signature_valid(port.issuer.certificate.public_key())
            assert crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None
            again = client.get(port.crl(file), headers={"if-none-match": answer.headers["etag"]})
            assert again.status_code == 304
            assert not again.content
        assert client.get(port.crl("all.crl")).headers["content-type"] == "application/pkix-crl"
        issuer = client.get(f"{port.url}/issuers/{issuer_name(port.issuer.id)}.cer")
        assert x509.load_der_x509_certificate(issuer.content) == port.issuer.certificate


def test_a_request_in_the_path_is_answered_and_may_be_kept_only_without_a_nonce(port, tmp_path):
    certificate, credential = port.leaf("cam-1", tmp_path)
    with httpx.Client() as client:

        def ask(nonce=None):
            text = base64.b64encode(request_of(certificate, port.issuer, nonce=nonce)).decode()
            path = text.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
            return client.get(f"{port.base}/{path}")

        good = ask()
        assert good.headers["content-type"] == "application/ocsp-response"
        assert "max-age=30" in good.headers["cache-control"]
        assert ocsp.load_der_ocsp_response(good.content).certificate_status is ocsp.OCSPCertStatus.GOOD
        assert ask().content == good.content
        with_nonce = ask(b"n" * 32)
        assert with_nonce.headers["cache-control"] == "no-store"
        found = ocsp.load_der_ocsp_response(with_nonce.content)
        assert found.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == b"n" * 32
        port.revoke(credential)
        assert ocsp.load_der_ocsp_response(ask().content).certificate_status is ocsp.OCSPCertStatus.REVOKED


@pytest.mark.parametrize(
    "path",
    [
        "/", "/crl", "/crl/x/all.crl", "/crl/{name}/all.der", "/crl/{name}/1.pem", "/crl/{name}/-1.crl",
        "/crl/{name}/64.crl", "/crl/{name}/99999999999999999999.crl", "/crl/{name}/٣.crl", "/issuers/x.cer",
        "/crl/{name}/../../etc/passwd",
    ],
)  # fmt: skip
def test_what_is_not_served_is_a_problem(port, path):
    answer = httpx.get(port.url + path.format(name=issuer_name(port.issuer.id)))
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["remedy"]


def test_one_address_that_asks_without_end_is_told_to_come_back(tmp_path):
    with opened(tmp_path, msgspec.structs.replace(LIMITS, validation_requests=20)) as port, httpx.Client() as client:
        answers = [client.get(port.crl("all.crl")) for _ in range(25)]
        assert [answer.status_code for answer in answers] == [200] * 20 + [429] * 5
        assert answers[-1].headers["retry-after"]
        port.clock.forward(10_000)
        assert client.get(port.crl("all.crl")).status_code == 200


def test_one_address_cannot_take_every_connection(tmp_path):
    with opened(tmp_path, msgspec.structs.replace(LIMITS, connections=8)) as port:
        clients = [httpx.Client() for _ in range(3)]
        codes = [client.get(port.crl("all.crl")).status_code for client in clients]
        for client in clients:
            client.close()
        assert codes == [200, 200, 503]
