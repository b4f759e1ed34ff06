from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway_builders import target_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.update.ranges import Part
from holdfast_gateway.request import Request, parse_request, parse_target

TARGET = target_of(b"x")
HEAD = f"GET {TARGET.path} HTTP/1.1\r\nHost: gateway\r\nRange: bytes=5-\r\nIf-Range: {TARGET.etag}\r\n\r\n".encode()


def _code(head: bytes) -> str:
    with pytest.raises(HostileData) as refused:
        parse_request(head)
    return refused.value.code


def _parsed(head: bytes) -> Request | None:
    """The request, or `None` where it was refused as it should be."""
    try:
        return parse_request(head)
    except HostileData:
        return None


def test_a_request_is_its_method_its_target_and_its_range():
    assert parse_request(HEAD) == Request("GET", TARGET, "bytes=5-", TARGET.etag)
    assert parse_request(HEAD.replace(b"GET", b"HEAD")) == Request("HEAD", TARGET, "bytes=5-", TARGET.etag)
    assert parse_request(f"GET {TARGET.path} HTTP/1.0\r\n\r\n".encode()) == Request("GET", TARGET)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"POST %s HTTP/1.1", "gateway.method"),
        (b"get %s HTTP/1.1", "gateway.not_http"),
        (b"GET %s", "gateway.not_http"),
        (b"GET  %s HTTP/1.1", "gateway.not_http"),
        (b"GET %s HTTP/2.0", "gateway.not_http"),
        (b"GET http://gateway%s HTTP/1.1", "gateway.not_served"),
        (b"GET %s?x HTTP/1.1", "gateway.not_served"),
        (b"GET /v1/update/image/metadata/timestamp.json HTTP/1.1", "gateway.not_served"),
    ],
)
def test_another_request_line_is_refused(line, code):
    path = TARGET.path.encode()
    assert _code((line % path if b"%s" in line else line) + b"\r\nHost: gateway\r\n\r\n") == code


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (b"Range: bytes=1-", "gateway.not_http"),
        (b"no header", "gateway.not_http"),
        (b" folded: line", "gateway.not_http"),
        (b"name : value", "gateway.not_http"),
        (b"name: \x00", "gateway.not_http"),
        (b"name: \xc3\xa9", "gateway.not_http"),
        (b"name: bare\nline", "gateway.not_http"),
        (b"Host: another", "gateway.not_http"),
        (b"Content-Length: 1", "gateway.body"),
        (b"Transfer-Encoding: chunked", "gateway.body"),
        (b"\r\n".join(b"a%d: b" % number for number in range(70)), "gateway.not_http"),
    ],
)
def test_headers_that_are_wrong_or_twice_are_refused(header, code):
    assert _code(HEAD.removesuffix(b"\r\n") + header + b"\r\n\r\n") == code


def test_http_1_1_names_its_host():
    assert _code(HEAD.replace(b"Host: gateway\r\n", b"")) == "gateway.not_http"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/update/targets/a/b/../../../../etc/passwd",
        f"/v1/update/targets/../targets/b/{'0' * 64}.f",
        f"/v1/update/targets/a/../{'0' * 64}.f",
        f"/v1/update/targets/a..b/c/{'0' * 64}.f",
        f"/v1/update/targets/a%2fb/c/{'0' * 64}.f",
        f"/v1/update/targets/a/c/{'0' * 64}.%2e%2e",
        f"/v1/update/targets/a/c/{'0' * 63}.f",
        f"/v1/update/targets/a/c/{'A' * 64}.f",
        f"/v1/update/targets/a/c/{'0' * 64}.",
        f"/v1/update/targets/a/c/{'0' * 64}./x",
        f"/v1/update/targets/a/c/{'0' * 64}.{'f' * 129}",
        f"/v1/update/targets/{'a' * 64}/c/{'0' * 64}.f",
        f"//v1/update/targets/a/c/{'0' * 64}.f",
        f"/v1/update/targets/a/c/{'0' * 64}.f\n",
        f"/v1/update/targets/a/c/{chr(0x660) * 64}.f",
    ],
)
def test_a_path_that_does_not_fit_as_it_stands_is_not_served(path):
    with pytest.raises(HostileData) as refused:
        parse_target(path)
    assert (refused.value.code, refused.value.http_status) == ("gateway.not_served", 404)


@given(st.binary(max_size=600))
@example(b"\r\n\r\n")
@example(b"GET / HTTP/1.1\r\n" + b"a:" + b" " * 8000 + b"\x01\r\n\r\n")
def test_any_bytes_are_a_request_or_refused(data):
    assert _parsed(data) is None or isinstance(_parsed(data), Request)


@given(st.integers(0, len(HEAD) - 1), st.integers(0, 255))
def test_a_request_with_one_byte_changed_is_a_request_or_refused(at, byte):
    found = _parsed(HEAD[:at] + bytes([byte]) + HEAD[at + 1 :])
    assert found is None or parse_target(found.target.path) == found.target


@pytest.mark.parametrize("end", range(len(HEAD)))
def test_a_request_that_ends_early_never_asks_for_another_file(end):
    found = _parsed(HEAD[:end])
    assert found is None or found.target == TARGET


def _part(asked: str, condition: str = "", method: str = "GET") -> Part:
    return Request(method, TARGET, asked, condition).part(10)


def test_a_range_is_served_as_the_control_plane_serves_it():
    assert _part("bytes=5-") == Part(5, 5, partial=True)
    assert _part("") == _part("bytes=1-2,4-5") == _part("lines=1-") == Part(0, 10)
    with pytest.raises(HostileData) as refused:
        _part("bytes=10-")
    assert refused.value.http_status == 416


def test_a_condition_on_another_tag_or_a_date_asks_for_the_whole_file():
    assert _part("bytes=5-", TARGET.etag) == _part("bytes=5-", f'"{TARGET.digest}"') == Part(5, 5, partial=True)
    for condition in ('"0"', f"W/{TARGET.etag}", "Sun, 22 Nov 2026 00:00:00 GMT"):
        assert _part("bytes=5-", condition) == Part(0, 10)


def test_a_head_has_no_range():
    assert _part("bytes=500-", method="HEAD") == Part(0, 10)


@given(st.text(max_size=40), st.integers(1, 2**40))
def test_any_range_lies_within_the_file(text, size):
    for asked in (text, f"bytes={text}"):
        with suppress(HostileData):
            part = Request("GET", TARGET, asked).part(size)
            assert part.start >= 0
            assert 0 < part.length <= size - part.start
