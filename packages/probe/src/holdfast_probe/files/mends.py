"""Working out the changes that meet the probes of this area."""

from __future__ import annotations

from holdfast_core.baseline.probes import (
    Absent,
    CoreFiles,
    FileMode,
    Setting,
    Setuid,
    Unowned,
    Words,
    WorldWritable,
    WritableList,
)
from holdfast_probe.files.mend_leftovers import mend_leftovers
from holdfast_probe.files.mend_modes import (
    mend_file_mode,
    mend_setuid,
    mend_unowned,
    mend_world_writable,
    mend_writable_list,
)
from holdfast_probe.files.mend_named import mend_absent, mend_words
from holdfast_probe.files.mend_settings import mend_setting
from holdfast_probe.mend import Mends

MENDS: Mends = {
    Absent: mend_absent,
    CoreFiles: mend_leftovers,
    FileMode: mend_file_mode,
    Setting: mend_setting,
    Setuid: mend_setuid,
    Unowned: mend_unowned,
    Words: mend_words,
    WorldWritable: mend_world_writable,
    WritableList: mend_writable_list,
}
