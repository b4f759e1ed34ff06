"""``holdfast harden --guide``: a model's hardening guide, for the people who run its devices."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.adapters.system import SystemClock
from holdfast.cli.files import STANDARD, read_model, write_whole
from holdfast.cli.terminal import words
from holdfast_probe.catalogue import shipped_catalogue

if TYPE_CHECKING:
    from holdfast.baseline.guide import GuideFormat


def write_guide(model: Path, kind: GuideFormat, output: Path | None) -> None:
    """Write the guide of the model file at `model` to `output`, or to stdout."""
    from holdfast.baseline.guide import guide_of, render  # noqa: PLC0415  (Jinja2 only where it lays something out)

    text = render(guide_of(read_model(model), shipped_catalogue(), SystemClock().now()), kind)
    if output is None or output == STANDARD:
        sys.stdout.write(text)
        return
    write_whole(output, text.encode())
    words(("✓ ", "green"), f"{output} is written.")
