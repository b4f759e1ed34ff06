"""Downloads: whatever a server answers, either more of the payload comes, or it is said what is wrong."""

from __future__ import annotations

import hashlib
import http.client
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_agent.update.download import Download, Interrupted, Rate, Wrong, stored_path
from holdfast_core.kernel.errors import HoldfastError, WorldError
from holdfast_core.update.ranges import part_of
from install_builders import target

CONTENT = bytes(range(256)) * 40
WANTED = target(payload=CONTENT)


class Socket:
    """A socket that has already received everything it ever will."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self.data)


class Line:
    """A line whose server answers with these bytes."""

    def __init__(self, data: bytes | Exception) -> None:
        self.data = data
        self.headers: dict[str, str] = {}
        self.path = ""
        self.closed = 0

    def call(self, *_: Any) -> bytes:
        raise AssertionError("nothing is asked but the payload")

    def stream(self, path: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        self.path, self.headers = path, headers
        if isinstance(self.data, Exception):
            raise self.data
        response = http.client.HTTPResponse(Socket(self.data), method="GET")  # type: ignore[arg-type]
        response.begin()
        return response

    def wait(self, seconds: float) -> None:
        assert seconds > 0

    def close(self) -> None:
        self.closed += 1


def answer(body: bytes = CONTENT, status: str = "200 OK", **headers: str) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode() + body


def code_of(path: Path, data: bytes | Exception) -> str:
    with pytest.raises(HoldfastError) as raised:
        Download(path, WANTED).slice(Line(data), Rate())
    return raised.value.code


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "payload.part"


def test_it_is_asked_for_under_its_digest(part: Path) -> None:
    line = Line(answer())
    found = Download(part, WANTED).slice(line, Rate())
    assert (found.whole, found.came, part.read_bytes()) == (True, len(CONTENT), CONTENT)
    assert line.path == f"/v1/update/targets/cam/2/{hashlib.sha256(CONTENT).hexdigest()}.image.img"
    assert "Range" not in line.headers
    assert line.closed == 1
    assert stored_path(WANTED).startswith("cam/2/")


def test_what_is_here_is_not_asked_for_again(part: Path) -> None:
    part.write_bytes(CONTENT[:1_000])
    rest = f"bytes 1000-{len(CONTENT) - 1}/{len(CONTENT)}"
    line = Line(answer(CONTENT[1_000:], "206 Partial Content", Content_Range=rest))
    found = Download(part, WANTED).slice(line, Rate())
    assert (found.whole, found.came) == (True, len(CONTENT) - 1_000)
    assert line.headers["Range"] == "bytes=1000-"
    assert line.headers["If-Range"] == f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    digest = WANTED.digest.partition(":")[2]  # as the server makes its entity tag of it
    there = part_of(len(CONTENT), line.headers["Range"], line.headers["If-Range"], f'"{digest}"')
    assert (there.partial, there.start, there.length) == (True, 1_000, len(CONTENT) - 1_000)


def test_what_is_here_whole_costs_no_request(part: Path) -> None:
    part.write_bytes(CONTENT)
    assert Download(part, WANTED).slice(Line(AssertionError("it was asked")), Rate()).whole


@pytest.mark.parametrize(
    "text",
    ["", "bytes 0-9/10", "bytes 1000-5/10240", "bytes 999-10239/10240", "bytes 1000-10239/*", "pages 1000-10239/10240",
     "bytes 1000-10239/99999999999999999999999"],
)  # fmt: skip
def test_a_part_that_is_another_than_asked_for_is_refused(part: Path, text: str) -> None:
    part.write_bytes(CONTENT[:1_000])
    assert code_of(part, answer(CONTENT[1_000:], "206 Partial Content", Content_Range=text)) == "update.wrong_length"
    assert part.read_bytes() == CONTENT[:1_000]


def test_a_part_that_nobody_asked_for_is_not_taken(part: Path) -> None:
    assert code_of(part, answer(status="206 Partial Content")) == "update.not_served"


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "304 Not Modified", "204 No Content", "416 Nothing"])
def test_other_answers_are_not_followed(part: Path, status: str) -> None:
    code = code_of(part, answer(b"", status, Location="https://elsewhere.example/payload", Content_Length="0"))
    assert code in ("update.not_served", "update.wrong_length")


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "no"),
        TimeoutError(),
        http.client.BadStatusLine("x"),
        http.client.IncompleteRead(b""),
    ],
)
def test_a_line_that_breaks_is_an_interruption(part: Path, error: Exception) -> None:
    assert code_of(part, error) in ("update.cut_off", "update.stalled")


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(WorldError) as raised:
        Download(tmp_path / "missing/payload.part", WANTED).slice(Line(answer()), Rate())
    assert raised.value.code == "update.payload_disk"


def test_a_link_in_its_place_is_not_followed(tmp_path: Path, part: Path) -> None:
    (tmp_path / "precious").write_bytes(b"precious")
    part.symlink_to(tmp_path / "precious")
    assert code_of(part, answer()) == "update.payload_disk"
    assert (tmp_path / "precious").read_bytes() == b"precious"


def test_what_lies_here_is_verified_by_a_new_process(part: Path) -> None:
    for content, code in ((CONTENT[:-1], "update.payload_gone"), (bytes(len(CONTENT)), "update.digest")):
        part.write_bytes(content)
        with pytest.raises(Wrong) as raised:
            Download(part, WANTED).verify()
        assert (raised.value.code, raised.value.resumed) == (code, True)
    part.write_bytes(CONTENT)
    Download(part, WANTED).verify()


@given(st.binary(max_size=400), st.integers(0, 3_000))
def test_arbitrary_answers_raise_nothing_else(tmp_path_factory: pytest.TempPathFactory, data: bytes, here: int) -> None:
    _survives(tmp_path_factory.mktemp("any") / "part", data, here)


@given(st.data(), st.integers(0, 3_000))
def test_mutated_answers_raise_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, here: int
) -> None:
    status = "206 Partial Content" if here else "200 OK"
    text = f"bytes {here}-{len(CONTENT) - 1}/{len(CONTENT)}"
    good = bytearray(answer(CONTENT[here:], status, Content_Range=text, Content_Length=str(len(CONTENT) - here)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, 160))
        good[at] = data.draw(st.integers(0, 255))
    _survives(tmp_path_factory.mktemp("mutated") / "part", bytes(good[: data.draw(st.integers(0, len(good)))]), here)


def _survives(part: Path, data: bytes, here: int) -> None:
    part.write_bytes(CONTENT[:here])
    try:
        found = Download(part, WANTED).slice(Line(data), Rate())
    except (Wrong, Interrupted, HoldfastError):
        pass
    else:
        assert not found.whole or part.read_bytes() == CONTENT
    assert part.stat().st_size <= len(CONTENT)
