"""Writes docs/reference/audit.schema.json: the JSON Schema of what ``holdfast audit --format json`` prints."""

from __future__ import annotations

from pathlib import Path

import msgspec

from holdfast_core.baseline.document import schema

TARGET = Path(__file__).parent.parent / "docs" / "reference" / "audit.schema.json"

if __name__ == "__main__":
    TARGET.write_bytes(msgspec.json.format(msgspec.json.encode(schema(), order="deterministic"), indent=2) + b"\n")
