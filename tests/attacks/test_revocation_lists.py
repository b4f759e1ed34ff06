"""Ways to keep a revocation from being seen: lists taken away, cut, aged, put back; answers asked for and replayed."""

from __future__ import annotations

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from builders import FakeClock, data_folder
from holdfast.adapters.pki import FileLogSigner, find_passphrase
from holdfast.adapters.pki.canary import X509CanaryMaker
from holdfast.adapters.pki.crl import CrlMaker
from holdfast.adapters.pki.ocsp import OcspResponder
from holdfast.adapters.published import ListFetcher
from holdfast.adapters.store import EmbeddedStore, open_engine
from holdfast.bootstrap import DATABASE
from holdfast.identity.answers import StatusAnswers
from holdfast.identity.canaries import SPREAD, Canaries
from holdfast.identity.lists import WHOLE, MadeList, RevocationLists
from holdfast.identity.relying_parties import RelyingParties
from holdfast.response.service import IncidentListener
from holdfast.web.validation.app import PIECE_BYTES, validation_app
from holdfast_core.identity.model import Revocation
from holdfast_core.identity.published import LAPSE_WARNING, read_lists
from holdfast_core.identity.validity import ANSWER_LIFE, LIST_LIFE, issuer_name, stamp
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.errors import HoldfastError, WorldError
from holdfast_core.kernel.instants import HOUR, MINUTE, Instant
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.kernel.reasons import Reason
from issuer_builders import SCOPE, FixedIssuers, a_leaf, an_issuer

pytestmark = pytest.mark.anyio


class Fixed:
    def __init__(self):
        self.count = 0

    def token(self, size):
        self.count += 1
        return f"{self.count:0{size}d}"


class Site:
    """A control plane's part that speaks of validity, and a broker's file that somebody brings its lists to."""

    def __init__(self, folder, *, probes=(), limits=LIMITS):
        self.file = folder / "broker.pem"
        data = data_folder(folder / "data")
        self.clock = FakeClock()
        self.issuer = an_issuer()
        self.store = EmbeddedStore(
            open_engine(data / DATABASE), FileLogSigner(data / "keys", find_passphrase(data / "keys", {}))
        )
        self.lists = RevocationLists(
            store=self.store, clock=self.clock, issuers=FixedIssuers(self.issuer), maker=CrlMaker()
        )
        self.canaries = Canaries(store=self.store, clock=self.clock, lists=self.lists, maker=X509CanaryMaker())
        self.answers = StatusAnswers(
            store=self.store, clock=self.clock, lists=self.lists, responder=OcspResponder(limits)
        )
        self.parties = RelyingParties(
            store=self.store,
            clock=self.clock,
            lists=self.lists,
            canaries=self.canaries,
            fetcher=ListFetcher(limits),
            emit=IncidentListener(store=self.store, randomness=Fixed(), webhook=False),
            limits=limits,
            scope=SCOPE,
            published=() if probes else (str(self.file),),
            probes=probes,
        )

    async def bring(self):
        """What a publisher does: the bundle to the broker, whole or not at all."""
        fresh = self.file.with_suffix(".new")
        fresh.write_bytes(await self.lists.bundle(SCOPE))
        fresh.replace(self.file)

    async def settle(self):
        """A canary made, its list brought, and the time that takes."""
        await self.canaries.of(self.issuer)
        await self.bring()
        self.clock.forward(SPREAD)

    async def codes(self):
        found = await self.parties.sweep()
        return [reason.code for reasons in found.values() for reason in reasons]

    async def leaf(self, device="cam-1"):
        certificate, _, credential = a_leaf(self.issuer, device)
        await self.store.commit([credential])
        return certificate, credential

    async def revoke(self, credential):
        ended = msgspec.structs.replace(credential, revoked_at=self.clock.now(), revoked_code=Revocation.KEY_COMPROMISE)
        await self.store.commit([ended])

    def incident(self):
        return next(iter(self.store.open_incidents(SCOPE)), None)


@pytest.fixture
async def site(tmp_path):
    made = Site(tmp_path)
    yield made
    await made.store.settled()
    made.store.close()


async def test_control_a_list_that_was_brought_is_sound_and_stays_so(site):
    await site.settle()
    assert await site.codes() == []
    _, credential = await site.leaf()
    await site.revoke(credential)
    await site.bring()
    site.clock.forward(SPREAD)
    assert await site.codes() == []
    assert site.incident() is None


async def test_list_cut_short(site):
    await site.settle()
    whole = site.file.read_bytes()
    for length in (0, 1, len(whole) // 2, len(whole) - 30):
        site.file.write_bytes(whole[:length])
        (code,) = await site.codes()
        assert code in {"crl.truncated", "crl.unreadable"}
    assert site.incident() is not None


async def test_list_deleted_opens_an_incident_that_ends_when_it_is_back(site):
    await site.settle()
    site.file.unlink()
    assert await site.codes() == ["crl.unreachable"]
    opened = site.incident()
    assert opened.cause == "relying-party"
    assert opened.key.device == f"relying-party:{site.file}"
    assert await site.codes() == ["crl.unreachable"]
    assert site.incident().id == opened.id
    await site.bring()
    assert await site.codes() == []
    assert site.incident() is None


async def test_publisher_killed_is_told_long_before_the_list_lapses(site):
    await site.settle()
    born = site.clock.at
    while not (found := await site.codes()) and site.clock.at < born + LIST_LIFE:
        site.clock.forward(HOUR)
        await site.lists.refresh()
    # A successor is due after 12 h and reaches everybody in a minute: from then on the old one is behind.
    assert found == ["crl.behind"]
    site.clock.forward(LIST_LIFE - LAPSE_WARNING - (site.clock.at - born) + MINUTE)
    assert "crl.lapses" in await site.codes()
    site.clock.forward(LIST_LIFE)
    assert "crl.lapsed" in await site.codes()


async def test_lapse_is_told_in_time_though_the_authority_makes_no_lists_either(site):
    await site.settle()
    site.clock.forward(LIST_LIFE - LAPSE_WARNING)
    assert await site.codes() == ["crl.lapses"]


async def test_older_list_put_back(site):
    await site.settle()
    old = site.file.read_bytes()
    _, credential = await site.leaf()
    await site.revoke(credential)
    await site.bring()
    site.clock.forward(SPREAD)
    assert await site.codes() == []
    site.file.write_bytes(old)
    assert await site.codes() == ["crl.behind"]


async def test_list_without_the_canary_though_its_number_is_right(site):
    await site.settle()
    made = await site.lists.current(site.issuer)
    site.file.write_bytes(CrlMaker().make(site.issuer, [], made.stamp))
    assert await site.codes() == ["crl.canary"]


async def test_list_signed_by_another_in_the_issuers_name(site):
    await site.settle()
    made, forger = await site.lists.current(site.issuer), an_issuer()
    assert forger.certificate.subject == site.issuer.certificate.subject
    site.file.write_bytes(CrlMaker().make(forger, [], made.stamp))
    assert await site.codes() == ["crl.signature"]


async def test_list_of_another_environment_only(site):
    await site.settle()
    made, other = await site.lists.current(site.issuer), an_issuer(7)
    site.file.write_bytes(CrlMaker().make(other, [], made.stamp))
    assert await site.codes() == ["crl.missing"]


async def test_part_of_a_list_given_for_the_whole(site):
    """A shard that would hold the canary and does not; one that would not is no proof and the number decides."""
    await site.settle()
    canary = (await site.canaries.of(site.issuer)).identity.certificate.serial_number
    lists = RevocationLists(
        store=site.store, clock=site.clock, issuers=FixedIssuers(site.issuer), maker=CrlMaker(), base_url="http://x"
    )
    made = await lists.current(site.issuer)
    address = lists.addresses(site.issuer.id, canary).crl
    site.file.write_bytes(CrlMaker().make(site.issuer, [], made.stamp, address=address))
    assert "crl.canary" in await site.codes()


async def test_huge_file(tmp_path):
    site = Site(tmp_path, limits=msgspec.structs.replace(LIMITS, crl_bytes=100_000))
    with site.file.open("wb") as file:
        file.truncate(1 << 40)
    assert await site.codes() == ["crl.too_large"]
    site.store.close()


@pytest.mark.parametrize(
    "data",
    [
        b"\x30\x84\xff\xff\xff\xff", b"\x30\x80" * 5000, b"-----BEGIN X509 CRL-----\n" * 3,
        b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
        b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n" * 65,
    ],
)  # fmt: skip
def test_bytes_that_are_no_list(data):
    with pytest.raises(HoldfastError) as refused:
        read_lists(data, LIMITS)
    assert refused.value.code in {"crl.unreadable", "crl.truncated", "crl.too_many"}


def test_file_of_a_hundred_thousand_begins_and_no_end():
    with pytest.raises(HoldfastError) as refused:
        read_lists(b"-----BEGIN X509 CRL-----A" * 100_000, LIMITS)
    assert refused.value.code == "crl.truncated"


class Door:
    """A relying party that lets everybody in, or nobody, or is away."""

    party, scope = "broker-1", SCOPE

    def __init__(self):
        self.mood, self.shown = "refuses", []

    async def look(self, canary, _now):
        self.shown.append(canary.certificate)
        if self.mood == "away":
            raise WorldError("broker.unreachable", "It is away.", remedy="Start it.")
        if self.mood == "broken":
            raise RuntimeError
        return (Reason("broker.canary_admitted", "It let the canary in.", "Stop it."),) if self.mood == "admits" else ()


async def test_relying_party_that_fails_open_is_found_by_the_canary(tmp_path, caplog):
    door = Door()
    site = Site(tmp_path, probes=(door,))
    assert await site.codes() == []
    assert not door.shown, "the list with the canary is still on its way"
    site.clock.forward(SPREAD)
    assert await site.codes() == []
    (canary,) = door.shown
    # The canary was never good: it is on the list of the moment it was made in.
    held = x509.load_der_x509_crl((await site.lists.current(site.issuer)).der)
    assert held.get_revoked_certificate_by_serial_number(canary.serial_number) is not None
    for mood, code in (
        ("admits", "broker.canary_admitted"),
        ("away", "broker.unreachable"),
        ("broken", "relying_party.unknown"),
    ):
        door.mood = mood
        assert await site.codes() == [code]
        assert site.incident().reasons[0].code == code
    assert "could not be looked at" in caplog.text
    door.mood = "refuses"
    assert await site.codes() == []
    assert site.incident() is None
    site.store.close()


def request_of(certificate, issuer, *, nonce=None, algorithm=None):
    builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer.certificate, algorithm or hashes.SHA256())
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(Encoding.DER)


def told(answer):
    return ocsp.load_der_ocsp_response(answer)


async def test_control_a_request_is_answered(site):
    certificate, _ = await site.leaf()
    answer, may_keep = site.answers.answer(issuer_name(site.issuer.id), request_of(certificate, site.issuer))
    assert told(answer).certificate_status is ocsp.OCSPCertStatus.GOOD
    assert may_keep


async def test_good_answer_kept_from_before_the_revocation_is_never_given_after_it(site):
    certificate, credential = await site.leaf()
    name, request = issuer_name(site.issuer.id), request_of(certificate, site.issuer)
    good, _ = site.answers.answer(name, request)
    assert site.answers.answer(name, request)[0] == good
    await site.revoke(credential)
    after = told(site.answers.answer(name, request)[0])
    assert after.certificate_status is ocsp.OCSPCertStatus.REVOKED
    assert after.revocation_reason is x509.ReasonFlags.key_compromise


async def test_good_answer_replayed_by_an_attacker_soon_counts_no_more(site):
    certificate, _ = await site.leaf()
    answer, _ = site.answers.answer(issuer_name(site.issuer.id), request_of(certificate, site.issuer))
    good = told(answer)
    life = good.next_update_utc - good.this_update_utc
    assert life.total_seconds() * 1000 == ANSWER_LIFE <= 10 * MINUTE
    # One that is kept here is given away while at least half of its life is left.
    site.clock.forward(ANSWER_LIFE // 2)
    again = told(site.answers.answer(issuer_name(site.issuer.id), request_of(certificate, site.issuer))[0])
    assert again.this_update_utc > good.this_update_utc


async def test_good_answer_replayed_to_who_sent_a_nonce_has_another(site):
    certificate, _ = await site.leaf()
    name = issuer_name(site.issuer.id)
    for nonce in (b"a" * 16, b"b" * 32, b"c" * 128, b"d"):
        found = told(site.answers.answer(name, request_of(certificate, site.issuer, nonce=nonce))[0])
        assert found.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == nonce


async def test_certificate_nobody_issued_is_unknown_not_good(site):
    forged, _, _ = a_leaf(site.issuer)
    answer, _ = site.answers.answer(issuer_name(site.issuer.id), request_of(forged, site.issuer))
    assert told(answer).certificate_status is ocsp.OCSPCertStatus.UNKNOWN


async def test_canary_is_revoked_in_answers_too(site):
    canary = (await site.canaries.of(site.issuer)).identity.certificate
    answer, _ = site.answers.answer(issuer_name(site.issuer.id), request_of(canary, site.issuer))
    assert told(answer).certificate_status is ocsp.OCSPCertStatus.REVOKED


@pytest.mark.parametrize("asked", ["another issuer", "another key of the name", "another address"])
async def test_question_about_an_issuer_that_is_not_ours(site, asked):
    certificate, _ = await site.leaf()
    other = an_issuer(9) if asked == "another issuer" else an_issuer()
    about = site.issuer if asked == "another address" else other
    name = "0" * 16 if asked == "another address" else issuer_name(site.issuer.id)
    answer, may_keep = site.answers.answer(name, request_of(certificate, about))
    assert told(answer).response_status is ocsp.OCSPResponseStatus.UNAUTHORIZED
    assert not may_keep


def _many(count):
    """A request for many certificates: the one that the library makes, its Request repeated."""
    one = request_of(a_leaf(an_issuer())[0], an_issuer())
    inner = one[one.index(b"\x30", 4) :]  # requestList's content begins after two headers

    def wrapped(content):
        size = len(content)
        head = bytes([size]) if size < 0x80 else b"\x82" + size.to_bytes(2, "big")
        return b"\x30" + head + content

    single = inner[2:] if inner[1] + 2 == len(inner) else inner
    return wrapped(wrapped(wrapped(single * count)))


def test_control_the_request_that_is_repeated_can_be_read_alone():
    assert ocsp.load_der_ocsp_request(_many(1)).serial_number


@pytest.mark.parametrize(
    ("request_der", "why"),
    [
        (b"", "empty"),
        (b"\x30" * 100, "nested"),
        (b"\x00" * 1_000_000, "a megabyte"),
        (_many(2), "two"),
        (_many(10), "ten"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_request_that_is_none_or_asks_for_too_much(site, request_der, why):
    answer, may_keep = site.answers.answer(issuer_name(site.issuer.id), request_der)
    assert told(answer).response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST, why
    assert not may_keep


@pytest.mark.parametrize("size", [129, 500, 1500])
async def test_nonce_too_long(site, size):
    certificate, _ = await site.leaf()
    request = request_of(certificate, site.issuer, nonce=b"n" * size)
    answer, _ = site.answers.answer(issuer_name(site.issuer.id), request)
    assert told(answer).response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST


async def test_made_up_serial_numbers_drive_no_answer_of_a_real_one_out(site):
    certificate, _ = await site.leaf()
    name, request = issuer_name(site.issuer.id), request_of(certificate, site.issuer)
    good, _ = site.answers.answer(name, request)
    for _ in range(50):
        forged, _, _ = a_leaf(site.issuer)
        site.answers.answer(name, request_of(forged, site.issuer))
    assert len(site.answers._responder._kept) == 1
    assert site.answers.answer(name, request)[0] == good


# Asking for long lists without reading them, and again and again.


class OneList:
    """Lists of an issuer whose whole one is long."""

    def __init__(self, der):
        self.made = MadeList(Digest("sha256:00"), SCOPE, WHOLE, stamp(1, Instant(0)), 0, der)

    def named(self, _name):
        return self.made

    async def current(self, _issuer, _shard):
        return self.made


async def asked(app, path, *headers):
    """What is sent to who asks for `path`."""
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": "GET", "path": path, "headers": list(headers), "query_string": b""}
    await app({**scope, "client": ("192.0.2.1", 1), "root_path": ""}, receive, send)
    return sent


def validation_of(lists):
    return validation_app(lists, None, FakeClock(), LIMITS)


async def test_long_list_that_nobody_reads_takes_one_piece_of_memory():
    der = bytes(range(256)) * 4096
    begun, *pieces = await asked(validation_of(OneList(der)), "/crl/x/all.crl")
    assert dict(begun["headers"])[b"content-length"] == str(len(der)).encode()
    assert max(len(piece["body"]) for piece in pieces) <= PIECE_BYTES
    assert b"".join(piece["body"] for piece in pieces) == der
    assert [piece["more_body"] for piece in pieces] == [True] * (len(pieces) - 1) + [False]


async def test_asking_for_a_list_that_one_has_costs_next_to_nothing(monkeypatch):
    written = []
    monkeypatch.setattr("holdfast.web.validation.app.pem", lambda der: written.append(der) or der)
    lists = OneList(b"x" * 1000)
    app = validation_of(lists)
    begun, *_ = await asked(app, "/crl/x/all.pem")
    tag = dict(begun["headers"])[b"etag"]
    for _ in range(20):
        begun, *_ = await asked(app, "/crl/x/all.pem", (b"if-none-match", tag))
        assert begun["status"] == 304
    assert len(written) == 1
    lists.made = msgspec.structs.replace(lists.made, der=b"y" * 1000)  # a newer one is told at once
    begun, body = await asked(app, "/crl/x/all.pem", (b"if-none-match", tag))
    assert begun["status"] == 200
    assert body["body"] == b"y" * 1000
