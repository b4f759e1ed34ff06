"""A request to the cache: parsed from its head, or refused.

1. Only ``GET`` and ``HEAD`` of one form of path are known: a target under its consistent-snapshot name,
   ``/v1/update/targets/MODEL/VERSION/SHA256.FILE``. Nothing is decoded, normalized or joined to a folder: what does
   not match as it stands is not served.
2. One range at most. The rest of a range's rules is in `Span.of`.
3. A request has no body, and its connection carries no second one.

Source: RFC 9110, 13.1.5, 14.1.2 and 14.2; RFC 9112, 2.2, 3 and 5; TUF specification 1.0.34, 6.2 (consistent snapshots).
"""

from __future__ import annotations

import re

import msgspec

from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.errors import HostileData

LARGEST_HEADERS = 64
METHODS = ("GET", "HEAD")
_NAME = r"(?![^/]*\.\.)[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?"
_PATH = re.compile(rf"/v1/update/targets/{_NAME}/{_NAME}/([0-9a-f]{{64}})\.[A-Za-z0-9][A-Za-z0-9._+-]{{0,127}}")
_LINE = re.compile(r"([A-Z]{1,16}) ([!-~]{1,1024}) HTTP/1\.([01])")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}):([\t -~]*)")
_RANGE = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))")
_FROM_CONTROL_PLANE = "Ask the control plane for everything else."


class Target(msgspec.Struct, frozen=True):
    """An artefact: the path by which the control plane has it too, and the digest that it names."""

    path: str
    digest: Digest

    @property
    def hex(self) -> str:
        """The digest's digits."""
        return self.digest.partition(":")[2]

    @property
    def etag(self) -> str:
        """Its entity tag: an artefact never changes, so it is its digest."""
        return f'"{self.digest}"'


class Span(msgspec.Struct, frozen=True):
    """A part of a file: its first byte and how many."""

    start: int
    length: int

    @staticmethod
    def of(asked: str, size: int) -> Span | None:
        """The part of a file of `size` bytes that a ``Range`` header asks for; `None` for the whole file.

        A unit that is not bytes is passed over, as RFC 9110 wants.

        Raises:
            HostileData: ``gateway.range`` for anything but one range that begins within the file.
        """
        if not asked.startswith("bytes="):
            return None
        found = _RANGE.fullmatch(asked)
        if found is None:
            raise _range("is not one range of bytes", size)
        if found[3] is not None:
            length = min(int(found[3]), size)
            start, end = size - length, size
        else:
            start = int(found[1])
            end = min(int(found[2]) + 1, size) if found[2] else size
            if found[2] and int(found[2]) < start:
                raise _range("ends before it begins", size)
        if start >= end:
            raise _range("begins behind the end of the file", size)
        return Span(start, end - start)


class Request(msgspec.Struct, frozen=True):
    """What a device asks for. `range` and `if_range` are as it wrote them; empty where it did not."""

    method: str
    target: Target
    range: str = ""
    if_range: str = ""

    def span(self, size: int) -> Span | None:
        """The part of the file of `size` bytes to send; `None` for all of it. Raises HostileData ``gateway.range``."""
        if self.method != "GET" or not self.range:
            return None
        if self.if_range and self.if_range not in (self.target.etag, f'"{self.target.hex}"'):
            return None
        return Span.of(self.range, size)


def parse_target(path: str) -> Target:
    """The artefact at `path`. Raises HostileData ``gateway.not_served``."""
    found = _PATH.fullmatch(path)
    if found is None:
        raise HostileData(
            "gateway.not_served",
            "This cache serves artefacts of updates and nothing else.",
            remedy=f"Ask for /v1/update/targets/MODEL/VERSION/SHA256.FILE. {_FROM_CONTROL_PLANE}",
            http_status=404,
        )
    return Target(path, Digest(f"sha256:{found[1]}"))


def parse_request(head: bytes) -> Request:
    """The request whose line and headers, up to and with the empty line, are `head`.

    Raises:
        HostileData: ``gateway.not_http``, ``gateway.method``, ``gateway.not_served``, ``gateway.body``.
    """
    try:
        lines = head.decode("ascii").removesuffix("\r\n\r\n").split("\r\n")
    except UnicodeDecodeError:
        raise _not_http("has bytes that are not ASCII") from None
    line = _LINE.fullmatch(lines[0])
    if line is None:
        raise _not_http("has no request line of HTTP/1.1")
    headers = _headers(lines[1:])
    if line[3] == "1" and "host" not in headers:
        raise _not_http("names no host")
    if line[1] not in METHODS:
        raise HostileData(
            "gateway.method",
            f"{line[1]} is not served here.",
            remedy=f"Use GET or HEAD. {_FROM_CONTROL_PLANE}",
            http_status=405,
        )
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        raise HostileData("gateway.body", "The request has a body.", remedy="Send none with GET and HEAD.")
    return Request(line[1], parse_target(line[2]), headers.get("range", ""), headers.get("if-range", ""))


def _headers(lines: list[str]) -> dict[str, str]:
    if len(lines) > LARGEST_HEADERS:
        raise _not_http(f"has more than {LARGEST_HEADERS} headers")
    found: dict[str, str] = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        if header is None:
            raise _not_http("has a line that is no header")
        name = header[1].lower()
        if name in found and name in ("host", "range", "if-range", "content-length", "transfer-encoding"):
            raise _not_http(f"has the header {name} twice")
        found[name] = header[2].strip(" \t")
    return found


def _not_http(how: str) -> HostileData:
    return HostileData("gateway.not_http", f"The request {how}.", remedy="Speak HTTP/1.1 (RFC 9112) to this cache.")


def _range(how: str, size: int) -> HostileData:
    return HostileData(
        "gateway.range",
        f"The range that is asked for {how}.",
        remedy=f"Ask for one range within the file's {size} bytes, such as bytes=0-, or for the whole file.",
        http_status=416,
    )
