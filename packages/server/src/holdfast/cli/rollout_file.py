"""A rollout in a file, YAML or JSON: what ``POST /api/v1/rollouts`` takes, with waves written short where that suits.

::

    release: site-gateway:2.4.0
    selection: {sites: [berlin]}
    waves:
      - lab:label=ring=0,soak=2h
      - {name: rest, percent: 100, soak_s: 3600, at_once: 50}
    thresholds: {failed: 3}
"""

from __future__ import annotations

from typing import Any

from holdfast.cli.waves import wave
from holdfast.strict_yaml import parse
from holdfast_core.kernel.errors import HostileData

SOAK_S = 3_600


def read_rollout(data: bytes) -> dict[str, Any]:
    """The file as the API takes it; what is wrong within it the API says.

    Raises:
        HostileData: ``rollout.not_yaml`` and what else `strict_yaml.parse` raises; ``rollout.file``.
    """
    value, _ = parse(data, "rollout")
    if not isinstance(value, dict) or not isinstance(value.get("waves", []), list):
        raise HostileData(
            "rollout.file",
            "The file is no rollout: it needs release, and waves as a list.",
            remedy="See docs/how-to/roll-out-an-update.md for one.",
        )
    waves = [wave(each, {"soak_s": SOAK_S}) if isinstance(each, str) else each for each in value.get("waves", [])]
    return {**value, "waves": waves}
