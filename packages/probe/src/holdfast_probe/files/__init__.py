"""Looking at named files, at settings, and at modes and leftovers of the whole tree."""

from __future__ import annotations

from holdfast_core.baseline.probes import (
    Absent,
    CoreFiles,
    FileMode,
    Present,
    Setting,
    Setuid,
    Unowned,
    Words,
    WorldWritable,
    WritableList,
)
from holdfast_probe.case import Looks
from holdfast_probe.files.hunts import LeftoverHunt, SetuidHunt, UnownedHunt, WorldWritableHunt, WritableHunt
from holdfast_probe.files.named import see_absent, see_file_mode, see_present, see_words
from holdfast_probe.files.settings import see_setting
from holdfast_probe.hunt import Hunts

LOOKS: Looks = {
    Absent: see_absent,
    Present: see_present,
    Words: see_words,
    FileMode: see_file_mode,
    Setting: see_setting,
}
HUNTS: Hunts = {
    WorldWritable: lambda _case, _spec: WorldWritableHunt(),
    Unowned: lambda case, _spec: UnownedHunt(case.root),
    Setuid: lambda case, _spec: SetuidHunt(case.root, case.plan),
    WritableList: lambda case, _spec: WritableHunt(case.root, case.plan),
    CoreFiles: lambda _case, _spec: LeftoverHunt(),
}
