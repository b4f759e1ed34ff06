"""Looking at what starts, what listens and what guards the network."""

from __future__ import annotations

from holdfast_core.baseline.probes.services import Autostart, ConsoleLogin, Listening, Runs, Service
from holdfast_probe.case import Looks
from holdfast_probe.hunt import Hunts
from holdfast_probe.services.console import see_console_login
from holdfast_probe.services.sockets import see_listening
from holdfast_probe.services.starts import see_autostart, see_runs, see_service

LOOKS: Looks = {
    Service: see_service,
    Runs: see_runs,
    Autostart: see_autostart,
    Listening: see_listening,
    ConsoleLogin: see_console_login,
}
HUNTS: Hunts = {}
