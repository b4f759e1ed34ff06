"""Looking at what starts, what listens and what guards the network."""

from __future__ import annotations

from holdfast_core.baseline.probes.logs import LogRetention, Logs, TimeSync
from holdfast_core.baseline.probes.network import CleartextClients, Firewall, ManagementBound, PinnedNames, Wifi
from holdfast_core.baseline.probes.services import (
    Autostart,
    Broker,
    ConsoleLogin,
    DaemonUsers,
    Dropbear,
    Listening,
    Runs,
    Service,
    Snmp,
    WebAdministration,
)
from holdfast_probe.case import Looks
from holdfast_probe.hunt import Hunts
from holdfast_probe.services.bound import see_management_bound
from holdfast_probe.services.broker import see_broker
from holdfast_probe.services.cleartext import see_cleartext_clients
from holdfast_probe.services.clock import see_time_sync
from holdfast_probe.services.console import see_console_login
from holdfast_probe.services.dropbear import see_dropbear
from holdfast_probe.services.firewall import see_firewall
from holdfast_probe.services.logs import see_log_retention, see_logs
from holdfast_probe.services.resolvers import see_pinned_names
from holdfast_probe.services.snmp import see_snmp
from holdfast_probe.services.sockets import see_listening
from holdfast_probe.services.starts import see_autostart, see_runs, see_service
from holdfast_probe.services.users import see_daemon_users
from holdfast_probe.services.web import see_web_administration
from holdfast_probe.services.wifi import see_wifi

LOOKS: Looks = {
    Service: see_service,
    Runs: see_runs,
    Autostart: see_autostart,
    Listening: see_listening,
    ConsoleLogin: see_console_login,
    DaemonUsers: see_daemon_users,
    WebAdministration: see_web_administration,
    Broker: see_broker,
    Snmp: see_snmp,
    Dropbear: see_dropbear,
    Firewall: see_firewall,
    ManagementBound: see_management_bound,
    Wifi: see_wifi,
    PinnedNames: see_pinned_names,
    CleartextClients: see_cleartext_clients,
    Logs: see_logs,
    LogRetention: see_log_retention,
    TimeSync: see_time_sync,
}
HUNTS: Hunts = {}
