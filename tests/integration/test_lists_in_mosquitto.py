"""The bundle of lists as mosquitto goes by it: whoever is listed stays out, also after its file was read anew."""

from __future__ import annotations

import shutil
import signal
import socket
import ssl
import subprocess
import time
from datetime import UTC, datetime

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from holdfast.adapters.pki.crl import CrlMaker
from holdfast.identity.lists import pem
from holdfast_core.identity.model import Revocation
from holdfast_core.identity.validity import revocation_of, stamp
from holdfast_core.kernel.instants import Instant
from issuer_builders import a_leaf, an_issuer, pem_file

MOSQUITTO = "/usr/sbin/mosquitto"
START_SECONDS = 30


def keyed(folder, name, certificate, key):
    pem_file(folder / f"{name}.pem", certificate)
    (folder / f"{name}.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def connects(folder, port, name):
    """Whether the broker takes `name`: TLS 1.3 succeeds before the server has looked, so only its CONNACK tells."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    body = b"\x00\x04MQTT\x04\x02\x00\x3c" + len(name).to_bytes(2, "big") + name.encode()
    try:
        with socket.create_connection(("127.0.0.1", port), 10) as plain, context.wrap_socket(plain) as sock:
            sock.sendall(bytes([0x10, len(body)]) + body)
            return sock.recv(4) == b"\x20\x02\x00\x00"
    except OSError:
        return False


def wait_for(what):
    deadline = time.monotonic() + START_SECONDS
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.skipif(shutil.which(MOSQUITTO) is None, reason="mosquitto is not installed")
def test_who_is_listed_stays_out_and_the_others_stay_in(tmp_path):
    now = Instant(int(datetime.now(UTC).timestamp()) * 1000)  # noqa: TID251  (mosquitto knows no other time)
    issuers = [an_issuer(number, now=now) for number in (1, 2)]
    ended = {issuer.id: [] for issuer in issuers}
    credentials = {}
    for issuer, names in zip(issuers, (("one", "two"), ("three",)), strict=True):
        for name in names:
            certificate, key, credentials[name] = a_leaf(issuer, name, now=now)
            keyed(tmp_path, name, certificate, key)
    server, key, _ = a_leaf(an_issuer(9, now=now), "localhost", now=now)
    keyed(tmp_path, "server", server, key)
    pem_file(tmp_path / "anchors.pem", *(issuer.certificate for issuer in issuers))
    maker = CrlMaker()

    def bring(number):
        lists = [pem(maker.make(issuer, ended[issuer.id], stamp(number, now))) for issuer in issuers]
        (tmp_path / "new.pem").write_bytes(b"".join(lists))
        (tmp_path / "new.pem").replace(tmp_path / "crl.pem")

    bring(1)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    (tmp_path / "mosquitto.conf").write_text(
        f"user root\nallow_anonymous true\nlistener {port} 127.0.0.1\ncafile {tmp_path}/anchors.pem\n"
        f"certfile {tmp_path}/server.pem\nkeyfile {tmp_path}/server.key\ncrlfile {tmp_path}/crl.pem\n"
        "require_certificate true\nuse_identity_as_username true\n"
    )
    with (tmp_path / "log").open("wb") as log:
        argv = [MOSQUITTO, "-c", str(tmp_path / "mosquitto.conf")]
        broker = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        wait_for(lambda: connects(tmp_path, port, "one"))
        assert connects(tmp_path, port, "two")
        assert connects(tmp_path, port, "three")
        stolen = msgspec.structs.replace(credentials["one"], revoked_at=now, revoked_code=Revocation.KEY_COMPROMISE)
        ended[stolen.issuer].append(revocation_of(stolen))
        bring(2)
        broker.send_signal(signal.SIGHUP)
        wait_for(lambda: not connects(tmp_path, port, "one"))
        assert connects(tmp_path, port, "two")
        assert connects(tmp_path, port, "three"), "of the other issuer, whose list is empty"
    finally:
        broker.terminate()
        broker.wait(30)
