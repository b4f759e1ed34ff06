"""Working out the changes that meet the probes of this area."""

from __future__ import annotations

from holdfast_core.baseline.probes import Absent, Setting, Words
from holdfast_probe.files.mend_named import mend_absent, mend_words
from holdfast_probe.files.mend_settings import mend_setting
from holdfast_probe.mend import Mends

MENDS: Mends = {
    Absent: mend_absent,
    Setting: mend_setting,
    Words: mend_words,
}
