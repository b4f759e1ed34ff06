"""Looking at programs and packages."""

from __future__ import annotations

from holdfast_core.baseline.probes.programs import Elf
from holdfast_probe.case import Looks
from holdfast_probe.hunt import Hunts
from holdfast_probe.programs.elf_hunt import ElfFactsHunt

LOOKS: Looks = {}
HUNTS: Hunts = {
    Elf: ElfFactsHunt,
}
