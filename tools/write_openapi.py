"""Writes ``docs/reference/openapi.json``, the description of the operator API, from its code."""

from __future__ import annotations

from pathlib import Path

from holdfast.web.api.app import openapi_text

TARGET = Path(__file__).resolve().parent.parent / "docs" / "reference" / "openapi.json"

if __name__ == "__main__":
    TARGET.write_text(openapi_text())
