"""Whatever bytes come as a list or as a request: they are read, or refused in our own words."""

from __future__ import annotations

import functools
from contextlib import suppress

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from hypothesis import given
from hypothesis import strategies as st

from builders import START
from holdfast.adapters.pki.crl import CrlMaker
from holdfast.adapters.pki.ocsp import OcspResponder
from holdfast.identity.lists import pem
from holdfast_core.identity.model import Revocation
from holdfast_core.identity.published import Expected, examine, read_lists
from holdfast_core.identity.validity import Ended, Unrevoked, shard_address, stamp
from holdfast_core.kernel.errors import HoldfastError
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.kernel.reasons import Reason
from issuer_builders import a_leaf, an_issuer


@functools.cache
def issuer():
    return an_issuer()


@functools.cache
def samples():
    held = [Ended(serial, START, Revocation.SUPERSEDED, Instant(START + DAY)) for serial in (5, 77)]
    whole = CrlMaker().make(issuer(), held, stamp(9, START))
    shard = CrlMaker().make(issuer(), held, stamp(9, START), address=shard_address("http://x", issuer().id, 3))
    return whole, shard, pem(whole) + pem(shard)


@functools.cache
def request():
    builder = ocsp.OCSPRequestBuilder().add_certificate(a_leaf(issuer())[0], issuer().certificate, hashes.SHA256())
    return builder.add_extension(x509.OCSPNonce(b"n" * 32), critical=False).build().public_bytes(Encoding.DER)


changes = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4)
cuts = st.integers(0, 10**6)


def mutated(data, changed, cut):
    found = bytearray(data)
    for place, value in changed:
        found[place % len(found)] = value
    return bytes(found[: cut % (2 * len(found))])


def is_taken(data):
    """Whether a relying party would be told that it may go by these bytes."""
    expected = Expected(issuer().certificate, "ours", 9, frozenset({5}), 64)
    try:
        lists = read_lists(data, LIMITS)
    except HoldfastError:
        return False
    reasons = examine(lists, [expected], START)
    assert all(isinstance(reason, Reason) and reason.remedy for reason in reasons)
    return not reasons


def test_control_the_lists_themselves_are_taken():
    assert [is_taken(sample) for sample in samples()] == [True, True, True]


@given(st.binary(max_size=400))
def test_any_bytes_as_a_list(data):
    assert not is_taken(data)


@given(st.integers(0, 1), changes, cuts)
def test_a_list_with_some_bytes_changed_is_never_taken(which, changed, cut):
    data = mutated(samples()[which], changed, cut)
    assert is_taken(data) == (data == samples()[which])


@given(changes, cuts)
def test_a_bundle_with_some_bytes_changed_is_read_or_refused(changed, cut):
    # What is around its lists is nobody's; a list that is left whole is good.
    data = mutated(samples()[2], changed, cut)
    assert not is_taken(data) or any(pem(sample).split(b"\n", 2)[1] in data for sample in samples()[:2])


@given(st.binary(max_size=400))
def test_any_bytes_as_a_request(data):
    with suppress(HoldfastError):
        OcspResponder(LIMITS).read(data)


@given(changes, cuts)
def test_a_request_with_some_bytes_changed_is_answered_or_refused(changed, cut):
    responder = OcspResponder(LIMITS)
    try:
        question = responder.read(mutated(request(), changed, cut))
    except HoldfastError:
        return
    if responder.is_about(question, issuer()):
        found = ocsp.load_der_ocsp_response(responder.answer(issuer(), question, Unrevoked.GOOD, START))
        assert found.serial_number == question.serial
