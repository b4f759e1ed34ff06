"""Looking at programs and packages."""

from __future__ import annotations

from holdfast_core.baseline.probes.programs import (
    Built,
    Components,
    Confined,
    Elf,
    Exposed,
    FeedAddresses,
    FeedKeys,
    PendingUpdates,
    ReleaseAge,
    Sbom,
    StatedDay,
    Updater,
)
from holdfast_probe.case import Looks
from holdfast_probe.hunt import Hunts
from holdfast_probe.programs.confinement import see_confined, see_exposed
from holdfast_probe.programs.elf_hunt import ElfFactsHunt
from holdfast_probe.programs.pending import see_pending_updates
from holdfast_probe.programs.releases import see_release_age
from holdfast_probe.programs.sboms import see_components, see_sbom
from holdfast_probe.programs.stated import see_built, see_stated_day
from holdfast_probe.programs.updates.feeds import see_feed_addresses
from holdfast_probe.programs.updates.see import see_feed_keys, see_updater

LOOKS: Looks = {
    Built: see_built,
    Components: see_components,
    Confined: see_confined,
    Exposed: see_exposed,
    FeedAddresses: see_feed_addresses,
    FeedKeys: see_feed_keys,
    PendingUpdates: see_pending_updates,
    ReleaseAge: see_release_age,
    Sbom: see_sbom,
    StatedDay: see_stated_day,
    Updater: see_updater,
}
HUNTS: Hunts = {
    Elf: ElfFactsHunt,
}
