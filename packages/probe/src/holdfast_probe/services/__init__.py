"""Looking at what starts, what listens and what guards the network."""

from __future__ import annotations

from holdfast_core.baseline.probes import Autostart, Listening, Service
from holdfast_probe.case import Looks
from holdfast_probe.hunt import Hunts
from holdfast_probe.services.sockets import see_listening
from holdfast_probe.services.starts import see_autostart, see_service

LOOKS: Looks = {
    Service: see_service,
    Autostart: see_autostart,
    Listening: see_listening,
}
HUNTS: Hunts = {}
