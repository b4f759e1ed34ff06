"""Working out the changes that meet the probes of this area."""

from __future__ import annotations

from holdfast_probe.mend import Mends

MENDS: Mends = {}
