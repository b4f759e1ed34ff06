"""A request to the cache: parsed from its head, or refused.

1. Only ``GET`` and ``HEAD`` of one form of path are known: a target under its consistent-snapshot name,
   ``/v1/update/targets/MODEL/VERSION/SHA256.FILE``. Nothing is decoded, normalized or joined to a folder: what does
   not match as it stands is not served.
2. Ranges are served as the control plane serves them (`holdfast_core.update.ranges`), under the same entity tag: a
   device may begin a file here and end it there.
3. A request has no body, and its connection carries no second one.

Source: RFC 9110, 13.1.5, 14.1.2 and 14.2; RFC 9112, 2.2, 3 and 5; TUF specification 1.0.34, 6.2 (consistent snapshots).
"""

from __future__ import annotations

import re

import msgspec

from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.errors import HostileData
from holdfast_core.update.ranges import Part, part_of

LARGEST_HEADERS = 64
METHODS = ("GET", "HEAD")
_NAME = r"(?![^/]*\.\.)[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?"
_PATH = re.compile(rf"/v1/update/targets/{_NAME}/{_NAME}/([0-9a-f]{{64}})\.[A-Za-z0-9][A-Za-z0-9._+-]{{0,127}}")
_LINE = re.compile(r"([A-Z]{1,16}) ([!-~]{1,1024}) HTTP/1\.([01])")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}):([\t -~]*)")
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
        """Its entity tag, as the control plane writes it: an artefact never changes, so it is its digest."""
        return f'"{self.hex}"'


class Request(msgspec.Struct, frozen=True):
    """What a device asks for. `range` and `if_range` are as it wrote them; empty where it did not."""

    method: str
    target: Target
    range: str = ""
    if_range: str = ""

    def part(self, size: int) -> Part:
        """What to send of the file of `size` bytes. Raises HostileData ``http.range``."""
        if self.method != "GET":  # the only one that ranges are defined for
            return Part(0, size)
        condition = self.if_range if self.if_range != f'"{self.target.digest}"' else self.target.etag
        return part_of(size, self.range, condition, self.target.etag)


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
