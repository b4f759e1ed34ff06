"""What a mend is: it works out, in an `Editor`, the changes after which a probe passes.

1. A mend changes what its probe found and nothing else, and leaves everything else of a file byte for byte.
2. What it cannot work out it refuses (`CannotMend`); it never makes half of a change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from holdfast_core.baseline.probes import Simple
from holdfast_probe.case import Case
from holdfast_probe.editor import Editor

Mend: TypeAlias = Callable[[Case, Editor, Any], None]
"""Given the case, the edits so far and the probe's spec. It reads files through the editor, to see earlier edits."""
Mends: TypeAlias = Mapping[type[Simple], Mend]
