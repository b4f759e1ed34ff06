"""Working out the changes that meet the probes of this area."""

from __future__ import annotations

from holdfast_core.baseline.probes.programs import Confined, Exposed, FeedAddresses, PendingUpdates, Updater
from holdfast_probe.mend import Mends
from holdfast_probe.programs.mend_units import mend_confined, mend_exposed
from holdfast_probe.programs.mend_updates import mend_pending_updates, mend_updater
from holdfast_probe.programs.updates.feeds import mend_feed_addresses

MENDS: Mends = {
    Confined: mend_confined,
    Exposed: mend_exposed,
    FeedAddresses: mend_feed_addresses,
    PendingUpdates: mend_pending_updates,
    Updater: mend_updater,
}
