"""The formats of ``holdfast audit``, by name: each is a view of one document."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast_core.baseline.document import Document
    from holdfast_core.kernel.severity import Severity


class Format(StrEnum):
    """What ``--format`` takes."""

    TABLE = "table"
    JSON = "json"
    SARIF = "sarif"
    HTML = "html"
    JUNIT = "junit"
    OSCAL = "oscal"


def rendered(document: Document, wanted: Format, target: Path, fail_on: Severity) -> bytes:
    """`document` in one of the formats that are files; `fail_on` is from where on a CI server is to fail."""
    match wanted:
        case Format.HTML:
            from holdfast.baseline.html import page  # noqa: PLC0415  (templates only where a page is made)

            return page(document).encode()
        case Format.JUNIT:
            from holdfast_core.baseline.junit import junit  # noqa: PLC0415  (XML likewise)

            return junit(document, fail_on=fail_on)
        case Format.SARIF:
            from holdfast_core.baseline.sarif import sarif  # noqa: PLC0415

            return _json(sarif(document, root_uri=target.resolve().as_uri()))
        case Format.OSCAL:
            from holdfast_core.baseline.oscal import oscal  # noqa: PLC0415

            return _json(oscal(document))
        case _:
            from holdfast_core.baseline.document import for_a_file  # noqa: PLC0415

            return _json(for_a_file(document))


def to_stdout(data: bytes) -> None:
    """Print a document."""
    sys.stdout.write(data.decode())


def _json(value: Any) -> bytes:
    import msgspec  # noqa: PLC0415  (not for --help)

    # One space a level: it stays legible, and a deep document is a quarter smaller than with two.
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"
